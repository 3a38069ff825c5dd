"""Rows meet operators by name, by what is left of a name, and by order and type; what does not meet is told."""

from collections.abc import Sequence

import pytest

from partita.devices.profiles import Profile, Row
from partita.devices.profiles.kinds import kind_named
from partita.devices.profiles.matching import Matching, match_rows, shares_of
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.passes.find_matches import find_matches
from tests.devices.example_soc import make

CPU = make().unit_named("cpu")


def network(names: Sequence[str] = ("stem", "act", "dw", "act2", "pw", "sum", "pool", "fc", "prob")) -> Graph:
    """Conv, Relu, depthwise Conv, Relu, 1x1 Conv, Add with the first, pool, product, Softmax."""
    stem, act, dw, act2, pw, add, pool, fc, prob = names
    b = GraphBuilder("network")
    x = b.input("x", "float32", (1, 3, 8, 8))
    y = b.node("Conv", x, b.missing("w0", "float32", (16, 3, 3, 3)), name=stem, pads=(1, 1, 1, 1))
    y = b.node("Relu", y, name=act)
    z = b.node("Conv", y, b.missing("w1", "float32", (16, 1, 3, 3)), name=dw, pads=(1, 1, 1, 1), group=16)
    z = b.node("Relu", z, name=act2)
    z = b.node("Conv", z, b.missing("w2", "float32", (16, 16, 1, 1)), name=pw)
    z = b.node("Add", z, y, name=add)
    z = b.node("GlobalAveragePool", z, name=pool)
    z = b.node("Flatten", z, name="flat")
    z = b.node("MatMul", z, b.missing("w3", "float32", (16, 10)), name=fc)
    b.output(b.node("Softmax", z, name=prob))
    return b.build()


def rows(*cells: tuple[str, str, float | None]) -> tuple[Row, ...]:
    return tuple(Row(name=name, op=op, order=i, duration_us=us) for i, (name, op, us) in enumerate(cells))


def matched(found: tuple[Row, ...], graph: Graph | None = None) -> Matching:
    graph = graph or network()
    return match_rows(graph, Profile(format="test", rows=found), CPU, "float32", find_matches(graph))


def times(matching: Matching) -> dict[tuple[str, ...], float]:
    return {timing.nodes: timing.latency_us for timing in matching.timings}


def test_each_row_is_the_operator_of_its_name_in_whatever_order_they_come() -> None:
    cells = [(node.name, node.op, 10.0 + i) for i, node in enumerate(network().nodes)]
    for order in (cells, cells[::-1], cells[3:] + cells[:3]):
        found = matched(rows(*order))
        assert times(found) == {(name,): us for name, _, us in cells}
        assert not found.unmatched_rows
        assert not found.unmatched_nodes
        assert all(timing.by_name for timing in found.timings)


@pytest.mark.parametrize(
    ("name", "node"),
    [
        ("stem_nchwc", "stem"), ("stem_token_3", "stem"), ("fc/MatMulAddFusion", "fc"), ("/stem", "stem"),
        ("STEM", "stem"),
        ("fused prob", "prob"), ("Softmax_prob_0_kernel_time", None),
    ],
)  # fmt: skip
def test_a_name_is_known_whatever_a_runtime_hangs_on_to_it(name: str, node: str | None) -> None:
    found = matched(rows((name, "", 5.0)))
    assert [timing.nodes[0] for timing in found.timings] == ([node] if node else [])


def test_a_row_may_be_named_after_the_tensor_that_its_operator_makes() -> None:
    graph = network()
    tensor = graph.node_named["fc"].outputs[0]
    assert times(matched(rows((tensor, "MatMul", 5.0)), graph)) == {("fc",): 5.0}


def test_lost_scopes_and_other_separators_do_not_hide_an_operator() -> None:
    graph = network(
        ("/m/stem/Conv", "/m/stem/Relu", "/m/dw/Conv", "/m/dw/Relu", "/m/pw/Conv", "/m/Add", "/m/p", "/m/f", "/m/s")
    )
    found = matched(rows(("stem_Conv", "Conv", 3.0), ("m.dw.Conv", "Conv", 4.0)), graph)
    assert {timing.nodes[0]: timing.latency_us for timing in found.timings} == {"/m/stem/Conv": 3.0, "/m/dw/Conv": 4.0}


@pytest.mark.parametrize("name", ["stem+act", "stem;act", "stem | act", "act,stem"])
def test_a_row_that_names_several_operators_is_all_of_them(name: str) -> None:
    assert times(matched(rows((name, "Conv", 7.0)))) == {("stem", "act"): 7.0}


def test_a_row_is_what_its_tool_says_that_it_covers() -> None:
    row = Row(name="qnn_17", op="", order=0, duration_us=7.0, covers=("pw", "sum"))
    assert times(matched((row,))) == {("pw", "sum"): 7.0}


@pytest.mark.parametrize("cells", [
    [("stem", "Conv", 0.0), ("act", "Clip", 181.0)], [("stem", "Conv", 181.0), ("act", "Relu", 0.0)],
    [("stem", "Conv", 181.0)], [("act", "Conv", 181.0)], [("stem", "Conv", None), ("act", "Relu", 181.0)],
])  # fmt: skip
def test_the_time_of_a_group_is_the_groups_wherever_it_is_booked(cells: list[tuple[str, str, float | None]]) -> None:
    assert times(matched(rows(*cells))) == {("stem", "act"): 181.0}


def test_a_zero_between_two_timed_operators_goes_to_the_one_with_which_it_can_be_fused() -> None:
    found = times(
        matched(rows(("stem", "Conv", 9.0), ("act", "Relu", 0.0), ("dw", "Conv", 5.0), ("act2", "Relu", 1.0)))
    )
    assert found == {("stem", "act"): 9.0, ("dw",): 5.0, ("act2",): 1.0}


def test_a_zero_that_fits_no_kernel_joins_what_comes_after_it() -> None:
    found = times(
        matched(rows(("sum", "Add", 4.0), ("pool", "Mean", 0.0), ("fc", "MatMul", 3.0), ("prob", "Softmax", 1.0)))
    )
    assert found[("pool", "fc")] == 3.0


def test_a_missing_time_is_no_time_of_zero() -> None:
    found = matched(rows(("pool", "Mean", None), ("fc", "MatMul", 3.0)))
    assert times(found) == {("fc",): 3.0}
    assert "pool" in found.unmatched_nodes


def test_rows_without_names_are_known_by_order_and_type_and_say_so() -> None:
    cells = [("", "Conv2d", 1.0), ("", "Relu", 2.0), ("", "DepthwiseConv2D", 3.0), ("", "Transpose", 9.0),
             ("", "Relu", 4.0), ("", "CONV_2D", 5.0), ("", "ADD", 6.0), ("", "MEAN", 7.0),
             ("", "FULLY_CONNECTED", 8.0), ("", "SOFTMAX", 9.0)]  # fmt: skip
    found = matched(rows(*cells))
    assert times(found) == {
        ("stem",): 1, ("act",): 2, ("dw",): 3, ("act2",): 4, ("pw",): 5, ("sum",): 6, ("pool",): 7,
        ("fc",): 8, ("prob",): 9
    }  # fmt: skip
    assert not any(timing.by_name for timing in found.timings)
    assert [row.op for row in found.unmatched_rows] == ["Transpose"]


def test_names_that_are_known_hold_the_order_of_the_others() -> None:
    found = times(matched(rows(("", "Conv", 1.0), ("dw", "Conv", 3.0), ("", "Relu", 4.0), ("", "Conv", 5.0))))
    assert found[("dw",)] == 3.0
    assert {nodes[0]: us for nodes, us in found.items()} == {"stem": 1.0, "dw": 3.0, "act2": 4.0, "pw": 5.0}


def test_a_shape_keeps_a_row_from_the_wrong_operator_of_its_type() -> None:
    row = Row(name="", op="Conv", order=0, duration_us=5.0, shape=(1, 99, 8, 8))
    assert not matched((row,)).timings


def test_rows_of_one_name_go_to_the_operators_of_that_name_in_turn() -> None:
    graph = network(("a/Conv", "a/Relu", "a.Conv", "a.Relu", "pw", "sum", "pool", "fc", "prob"))
    found = times(matched(rows(("a_conv", "Conv", 1.0), ("x", "Pad", 1.0), ("a_conv", "Conv", 3.0)), graph))
    assert {nodes[0]: us for nodes, us in found.items()} == {"a/Conv": 1.0, "a.Conv": 3.0}


def test_neighbouring_rows_of_one_operator_are_its_parts() -> None:
    assert times(matched(rows(("fc", "MatMul", 3.0), ("fc", "MatMul", 4.0), ("prob", "Softmax", 1.0))))[("fc",)] == 7.0


def test_what_is_not_matched_is_told_with_its_share_of_the_time() -> None:
    found = matched(
        rows(("stem", "Conv", 60.0), ("ReorderOutput", "ReorderOutput", 30.0), ("zero", "Noop", 0.0), ("q", "Q", 10.0))
    )
    assert [row.name for row in found.unmatched_rows] == ["ReorderOutput", "q"]
    assert shares_of(found) == {"matched": 0.6, "unmatched": 0.4}
    assert "flat" not in found.unmatched_nodes
    assert {"dw", "fc", "prob"} <= set(found.unmatched_nodes)


def test_rows_of_another_kind_of_unit_are_left_out() -> None:
    row = Row(name="stem", op="Conv", order=0, duration_us=5.0, unit="npu")
    found = matched((row, Row(name="fc", op="MatMul", order=1, duration_us=1.0, unit="cpu")))
    assert times(found) == {("fc",): 1.0}
    assert found.elsewhere == (row,)


@pytest.mark.parametrize(("word", "kind"), [
    ("Conv2d", "conv"), ("CONV_2D", "conv"), ("aten.convolution.default", "conv"),
    ("native_call_convolution.out", "conv"),
    ("Convolution (NHWC, F32) IGEMM", "conv"), ("FusedConv", "conv"), ("DEPTHWISE_CONV_2D", "depthwise"),
    ("Fully Connected (NC, F32) GEMM", "matmul"), ("FullyConnected", "matmul"), ("aten.addmm.out", "matmul"),
    ("Gemm", "matmul"), ("TRANSPOSE_CONV", "transposed_conv"), ("ElementWiseAdd", "add"),
    ("AVERAGE_POOL_2D", "avg_pool"),
    ("GlobalAveragePool", "mean"), ("LOGISTIC", "sigmoid"), ("RESIZE_BILINEAR", "resize"), ("", None),
])  # fmt: skip
def test_tools_words_for_an_operator_mean_one_kind(word: str, kind: str | None) -> None:
    assert kind_named(word) == kind
