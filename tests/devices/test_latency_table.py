"""A measured operator costs what was measured; one between two measured ones lies between them; others by the law."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.devices import Soc, facts, operator_cost
from partita.devices.cost import law_cost
from partita.devices.latency_table import signature, with_units, work_measure
from partita.devices.soc import Latency, Number
from partita.errors import SocError
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph, Node
from partita.graph.match import Match, fuse
from partita.graph.plan import Cost
from partita.graph.work import work_of
from tests.devices.example_soc import content, make, number


def convolution(channels: int = 16, filters: int = 16, side: int = 8, stride: int = 1, **attributes: Any) -> Graph:
    b = GraphBuilder("convolution")
    x = b.input("x", "float32", (1, channels, side, side))
    w = b.missing("w", "float32", (filters, channels, 3, 3))
    b.output(b.node("Conv", x, w, name="conv", pads=(1, 1, 1, 1), strides=(stride, stride), **attributes))
    return b.build()


def chain(channels: int = 16) -> Graph:
    b = GraphBuilder("chain")
    w = b.missing("w", "float32", (channels, channels, 3, 3))
    y = b.node("Conv", b.input("x", "float32", (1, channels, 8, 8)), w, name="conv", pads=(1, 1, 1, 1))
    b.output(b.node("Relu", y, name="relu"))
    return b.build()


def entry(graph: Graph, us: float, node: Node | None = None, dtype: str = "float32", **more: Any) -> dict[str, Any]:
    node = node or graph.nodes[0]
    key = signature(graph, node)
    return {
        "unit": "cpu", "op": key.op, "attributes": key.attributes, "inputs": list(key.inputs),
        "outputs": list(key.outputs), "dtype": dtype, "work": work_measure(work_of(graph, node, dtype)),
        "latency_us": {**number(us, **more), "kind": "measured"},
    }  # fmt: skip


def soc_with(*entries: dict[str, Any]) -> Soc:
    return make(with_units({**content(), "latencies": list(entries)}, "test"))


def cost(soc: Soc, graph: Graph, unit: str = "cpu", dtype: str = "float32") -> Cost:
    return operator_cost(graph, graph.nodes[-1], soc.unit_named(unit), dtype)


def test_a_measured_operator_costs_what_was_measured_with_its_range() -> None:
    graph = convolution()
    found = cost(soc_with(entry(graph, 123.0, low=100.0, high=170.0)), graph)
    assert found.latency_us == pytest.approx(123)
    assert (found.low_us, found.high_us, found.evidence) == (100, 170, "measured")
    assert found.latency_us == found.dispatch_us + max(found.compute_us, found.memory_us)


def test_a_measurement_holds_for_its_unit_and_dtype_only() -> None:
    graph = convolution()
    soc = soc_with(entry(graph, 123.0))
    assert cost(soc, graph, "gpu").evidence == "roofline"
    soc = soc_with({**entry(graph, 9.0, dtype="float16"), "unit": "gpu"})
    assert cost(soc, graph, "gpu", "float16").evidence == "measured"
    assert cost(soc, graph, "gpu", "float32").evidence == "roofline"


@pytest.mark.parametrize("other", [convolution(side=9), convolution(stride=2), convolution(dilations=(2, 2))])
def test_an_operator_of_other_sizes_or_attributes_is_not_the_one_measured(other: Graph) -> None:
    assert cost(soc_with(entry(convolution(), 123.0)), other).evidence == "roofline"


def test_attributes_that_say_the_default_are_no_difference() -> None:
    soc = soc_with(entry(convolution(), 123.0))
    spelled_out = convolution(group=1, dilations=(1, 1), kernel_shape=(3, 3), auto_pad="NOTSET")
    assert cost(soc, spelled_out).evidence == "measured"


def test_a_weight_that_is_computed_is_not_one_that_is_known() -> None:
    b = GraphBuilder("dynamic")
    x, w = b.input("x", "float32", (1, 16, 8, 8)), b.input("w", "float32", (16, 16, 3, 3))
    b.output(b.node("Conv", x, w, pads=(1, 1, 1, 1)))
    assert cost(soc_with(entry(convolution(), 123.0)), b.build()).evidence == "roofline"


@given(side=st.integers(8, 16), small_us=st.floats(1, 1e4), ratio=st.floats(1, 10))
def test_between_two_measured_sizes_the_time_lies_between_theirs(side: int, small_us: float, ratio: float) -> None:
    small, large = convolution(side=8), convolution(side=16)
    soc = soc_with(entry(small, small_us), entry(large, small_us * ratio))
    found = cost(soc, convolution(side=side))
    assert small_us * 0.999 <= found.latency_us <= small_us * ratio * 1.001
    assert found.low_us <= found.latency_us <= found.high_us
    assert found.evidence == ("measured" if side in (8, 16) else "interpolated")


def test_where_time_grows_with_work_so_does_the_interpolation() -> None:
    soc = soc_with(entry(convolution(side=8), 64.0), entry(convolution(side=16), 256.0))
    assert cost(soc, convolution(side=12)).latency_us == pytest.approx(144)


@pytest.mark.parametrize(
    ("small", "large", "between"),
    [
        (convolution(side=8), convolution(side=64), convolution(side=20)),  # too far apart
        (convolution(side=8), convolution(side=16), convolution(side=20)),  # beyond both
        (convolution(side=8), convolution(side=16), convolution(channels=32, side=10)),  # another dimension is beyond
        (
            convolution(channels=32, side=8),
            convolution(channels=16, side=16),
            convolution(channels=24, side=12),
        ),  # crossed
        (convolution(side=8, stride=2), convolution(side=16), convolution(side=12)),  # of two kinds
    ],
)
def test_where_two_measurements_do_not_bracket_an_operator_the_law_holds(
    small: Graph, large: Graph, between: Graph
) -> None:
    assert cost(soc_with(entry(small, 10.0), entry(large, 100.0)), between).evidence == "roofline"


def test_a_larger_operator_that_was_faster_is_no_ground_for_interpolation() -> None:
    soc = soc_with(entry(convolution(side=8), 100.0), entry(convolution(side=16), 50.0))
    assert cost(soc, convolution(side=12)).evidence == "roofline"


def test_a_fused_chain_has_an_entry_of_its_own() -> None:
    graph = chain()
    fused = fuse(graph, [Match("Conv+Relu", ("conv", "relu"), ("x", "w"), graph.outputs)])
    soc = soc_with(entry(fused, 77.0))
    assert cost(soc, fused).evidence == "measured"
    assert cost(soc, fused).latency_us == pytest.approx(77)
    assert operator_cost(graph, graph.nodes[0], soc.unit_named("cpu"), "float32").evidence == "roofline"


def test_a_fused_chain_without_an_entry_costs_what_its_members_say_less_the_dispatch_it_saves() -> None:
    graph = chain()
    fused = fuse(graph, [Match("Conv+Relu", ("conv", "relu"), ("x", "w"), graph.outputs)])
    soc = soc_with(entry(graph, 500.0, graph.nodes[0]), entry(graph, 30.0, graph.nodes[1]))
    found = cost(soc, fused)
    assert found.evidence == "interpolated"
    assert found.latency_us == pytest.approx(500 + 30 - 2)


def test_a_chain_whose_heavy_member_is_not_in_the_table_goes_by_the_law() -> None:
    graph = chain(64)
    fused = fuse(graph, [Match("Conv+Relu", ("conv", "relu"), ("x", "w"), graph.outputs)])
    found = cost(soc_with(entry(graph, 3.0, graph.nodes[1])), fused)
    assert found.evidence == "roofline"


def test_an_unmeasured_unit_costs_what_the_law_says() -> None:
    graph = convolution()
    assert cost(make(), graph) == law_cost(graph, graph.nodes[0], make().unit_named("cpu"), "float32")


def test_entries_survive_the_json_of_a_plan_and_are_listed_with_their_source() -> None:
    graph = convolution()
    soc = soc_with(entry(graph, 123.0, low=100.0))
    again = Soc.from_json(soc.to_json())
    assert again == soc
    assert cost(again, graph).evidence == "measured"
    fact = next(fact for fact in facts(soc) if "latencies" in fact.path)
    assert fact.path.startswith("units.cpu.latencies.Conv pads=1x1x1x1 1x16x8x8, const 16x16x3x3 -> 1x16x8x8 (float32)")
    assert (fact.value, fact.unit, fact.low, fact.source) == (123, "us", 100, "a test")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"unit": "tpu"}], r"latencies\[0\].unit is 'tpu', which is no unit; units: cpu, gpu, npu"),
        ([7], r"latencies\[0\].unit is 7"),
        ("none", "latencies must be tables"),
        ([{"unit": "cpu", "op": "Conv"}], r"units\[cpu\].latencies\[0\].\w+ is missing"),
    ],
)
def test_a_wrong_entry_is_one_line_that_names_it(entries: Any, message: str) -> None:
    with pytest.raises(SocError, match=message):
        make(with_units({**content(), "latencies": entries}, "my.toml"))


def test_ranks_that_differ_are_two_families() -> None:
    number_of = Number(value=1.0, kind="measured", source="a test")
    one, other = (
        Latency(op="Relu", inputs=(shape,), outputs=(shape,), dtype="float32", work=8, latency_us=number_of)
        for shape in ("8", "1x8")
    )
    assert one.family != other.family
