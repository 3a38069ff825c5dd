"""The law of a CPU core: kinds of kernels, the fit that finds rates, and what an operator then costs."""

from dataclasses import replace

import numpy as np
import pytest

from partita.devices import load_soc
from partita.devices.calibration.fit_core import Timed, fitted_core, robust_rates, timed
from partita.devices.core_law import core_cost
from partita.devices.core_record import KernelTime
from partita.devices.core_terms import kernels_of
from partita.devices.cost import law_cost
from partita.devices.facts import facts
from partita.devices.soc import Unit
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.match import Match, fuse
from partita.graph.work import work_of

CACHE = float(1 << 20)


def rate(**us: float) -> KernelTime:
    return KernelTime(us=us, low=0.8, high=1.25, kind="measured", source="a test")


def unit_with(**law: KernelTime) -> Unit:
    unit = load_soc("sd8gen3-qnn").unit_named("cpu")
    return unit.model_copy(update={"core_law": law, "law": None})


def conv_graph(channels: int, filters: int, side: int, window: int, *, group: int = 1, stride: int = 1) -> Graph:
    b = GraphBuilder("g")
    weight = b.missing("w", "float32", (filters, channels // group, window, window))
    x, pads = b.input("x", "float32", (1, channels, side, side)), (window // 2,) * 4
    b.output(b.node("Conv", x, weight, name="c", pads=pads, group=group, strides=(stride, stride)))
    return b.build()


def kind_of(graph: Graph) -> str:
    return kernels_of(graph, graph.nodes[0], "float32", CACHE, ())[0].kind


def test_convolutions_are_told_apart_as_libraries_do() -> None:
    assert kind_of(conv_graph(64, 64, 32, 3)) == "conv_winograd"
    assert kind_of(conv_graph(64, 64, 32, 3, stride=2)) == "conv"
    assert kind_of(conv_graph(32, 64, 32, 3)) == "conv"
    assert kind_of(conv_graph(3, 16, 64, 3)) == "conv_few"
    assert kind_of(conv_graph(32, 64, 32, 1)) == "conv_1x1"
    assert kind_of(conv_graph(32, 64, 7, 1)) == "conv_1x1_few"
    assert kind_of(conv_graph(32, 64, 1, 1)) == "conv_1x1_vector"
    assert kind_of(conv_graph(32, 32, 28, 3, group=32)) == "depthwise"
    assert kind_of(conv_graph(32, 32, 28, 3, group=32, stride=2)) == "depthwise_strided"
    assert kind_of(conv_graph(32, 32, 28, 3, group=4)) == "conv_grouped"


def product_graph(rows: int) -> Graph:
    b = GraphBuilder("g")
    weight = b.missing("w", "float32", (64, 32))
    b.output(b.node("MatMul", b.input("x", "float32", (rows, 64)), weight, name="m"))
    return b.build()


def test_products_are_told_apart_by_the_rows_that_share_the_weights() -> None:
    assert [kind_of(product_graph(rows)) for rows in (1, 8, 15, 16)] == [
        "product_vector", "product_few", "product_few", "product",
    ]  # fmt: skip


def chain() -> Graph:
    b = GraphBuilder("g")
    x, w = b.input("x", "float32", (1, 32, 28, 28)), b.missing("w", "float32", (64, 32, 1, 1))
    b.output(b.node("Relu", b.node("Conv", x, w, name="c"), name="r"))
    graph = b.build()
    return fuse(graph, [Match("Conv+Relu", ("c", "r"), ("x", "w"), graph.outputs)])


def test_a_chain_costs_its_main_kernel_and_a_step_for_each_link() -> None:
    graph = chain()
    (node,) = graph.nodes
    unit = unit_with(conv_1x1=rate(calls=10.0, mmacs=20.0), tail_Relu=rate(calls=3.0, mb_out=50.0))
    cost = core_cost(graph, node, unit, "float32", work_of(graph, node, "float32"))
    assert cost is not None
    macs, result_bytes = 64 * 32 * 28 * 28, 4 * 64 * 28 * 28
    busy_us = 10 + 20 * macs / 1e6 + 3 + 50 * result_bytes / 1e6
    assert cost.latency_us == pytest.approx(unit.dispatch_us.value + busy_us)
    assert cost.dispatch_us + max(cost.compute_us, cost.memory_us) == pytest.approx(cost.latency_us)
    assert (cost.low_us, cost.high_us) == pytest.approx(
        (unit.dispatch_us.least + 0.8 * busy_us, unit.dispatch_us.most + 1.25 * busy_us)
    )
    assert law_cost(graph, node, unit, "float32") == cost


def test_a_kernel_of_no_known_kind_costs_what_its_class_does_or_what_the_roofline_says() -> None:
    graph = product_graph(64)
    (node,) = graph.nodes
    by_class = law_cost(graph, node, unit_with(class_gemm=rate(calls=100.0)), "float32")
    assert by_class.latency_us - by_class.dispatch_us == pytest.approx(100.0)
    assert law_cost(graph, node, unit_with(conv=rate(calls=100.0)), "float32").evidence == "roofline"


def test_a_view_takes_its_call() -> None:
    b = GraphBuilder("g")
    b.output(b.node("Reshape", b.input("x", "float32", (2, 8)), b.constant("s", np.array([16], np.int64)), name="v"))
    graph = b.build()
    unit = unit_with(view=rate(calls=12.0))
    assert law_cost(graph, graph.nodes[0], unit, "float32").latency_us == pytest.approx(12 + unit.dispatch_us.value)
    free = law_cost(graph, graph.nodes[0], unit.model_copy(update={"core_law": {}}), "float32")
    assert free.latency_us == 0


def test_rates_are_found_though_some_measurements_are_disturbed() -> None:
    rng = np.random.default_rng(0)
    truth = np.array([20.0, 3.0, 0.0, 150.0])
    table = np.exp(rng.normal(0, 1.5, (400, 4)))
    times = table @ truth * np.exp(rng.normal(0, 0.03, 400))
    times[::10] *= 8
    found = robust_rates(table, times)
    assert found == pytest.approx(truth, rel=0.1, abs=1.0)
    assert (found >= 0).all()


def samples() -> list[Timed]:
    """Convolutions and products of many sizes, timed by a law that is known."""
    graphs = [conv_graph(16 * i, 16 * j, side, 1) for i in (2, 4, 9) for j in (1, 3, 8) for side in (21, 28, 56)]
    graphs += [product_graph(rows) for rows in (64, 100, 200, 300, 500, 1000)]
    law = {"conv_1x1": rate(calls=30.0, mmacs=15.0, mb_in=80.0), "product": rate(calls=5.0, mmacs=12.0)}
    found = []
    for graph in graphs:
        alone = timed(graph, graph.nodes[0], "float32", CACHE, 1.0)
        counts, known = alone.kernels[0].counts, law[alone.kind]
        found.append(replace(alone, us=sum(known.us.get(term, 0.0) * count for term, count in counts.items())))
    return found


def test_a_fit_meets_the_times_that_a_law_made_and_says_how_far_off_it_is() -> None:
    fit = fitted_core(samples(), "HOST")
    for sample in samples():
        assert fit.predicted_us(sample) == pytest.approx(sample.us, rel=0.02)
    assert fit.law["conv_1x1"].source == "HOST: 27 operators, median error 0%"
    assert {"conv_1x1", "product", "class_dense_conv", "class_gemm"} <= set(fit.law)
    slower = fit.scaled(2.0).law["product"].us
    assert slower == pytest.approx({term: 2 * us for term, us in fit.law["product"].us.items()}, rel=1e-3)


def test_the_rates_are_listed_with_their_ranges_and_sources() -> None:
    soc = load_soc("sd8gen3-qnn")
    units = tuple(unit_with(conv=rate(mmacs=20.0)) if unit.name == "cpu" else unit for unit in soc.units)
    listed = {fact.path: fact for fact in facts(soc.model_copy(update={"units": units}))}
    fact = listed["units.cpu.core_law.conv.us.mmacs"]
    assert (fact.value, fact.unit, fact.kind, fact.source) == (20.0, "us", "measured", "a test")
    assert (fact.low, fact.high) == (16.0, 25.0)


def test_a_rate_below_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"us.mmacs must be at least 0, is -1"):
        rate(mmacs=-1.0)


def test_a_sigmoid_that_multiplies_its_input_is_one_link() -> None:
    b = GraphBuilder("g")
    x, w = b.input("x", "float32", (1, 32, 28, 28)), b.missing("w", "float32", (64, 32, 1, 1))
    y = b.node("Conv", x, w, name="c")
    b.output(b.node("Mul", y, b.node("Sigmoid", y, name="s"), name="m"))
    graph = b.build()
    graph = fuse(graph, [Match("Conv+Sigmoid+Mul", ("c", "s", "m"), ("x", "w"), graph.outputs)])
    kernels = kernels_of(graph, graph.nodes[0], "float32", CACHE, ())
    assert [kernel.kind for kernel in kernels] == ["conv_1x1", "tail_Swish"]
    assert kernels[1].counts["mb_in"] == 0


def test_a_link_counts_the_other_tensor_that_it_reads_but_no_constant() -> None:
    b = GraphBuilder("g")
    x, w = b.input("x", "float32", (1, 32, 28, 28)), b.missing("w", "float32", (32, 32, 1, 1))
    y = b.node("Add", b.node("Conv", x, w, name="c"), b.missing("s", "float32", (1, 32, 1, 1)), name="a")
    b.output(b.node("Add", y, x, name="r"))
    graph = b.build()
    graph = fuse(graph, [Match("Conv+Add+Add", ("c", "a", "r"), ("x", "w", "s"), graph.outputs)])
    _, shift, residual = kernels_of(graph, graph.nodes[0], "float32", CACHE, ())
    assert (shift.counts["mb_in"], residual.counts["mb_in"]) == (0, 4 * 32 * 28 * 28 / 1e6)


def test_attention_counts_its_scores_by_heads() -> None:
    b = GraphBuilder("g")
    q, k, v = (b.input(name, "float32", (1, 6, 1500, 64)) for name in "qkv")
    b.output(b.node("Attention", q, k, v, name="a"))
    graph = b.build()
    (kernel,) = kernels_of(graph, graph.nodes[0], "float32", CACHE, ())
    scores = 6 * 1500 * 1500
    assert kernel.counts["kgroups"] == pytest.approx(6 / 1e3)
    assert kernel.counts["mops"] == pytest.approx(scores / 1e6)
    assert kernel.counts["mops_masked"] == 0
    assert kernel.counts["mb_spilled_scores"] == pytest.approx((4 * scores - 6 * CACHE) / 1e6)


def test_a_bias_counts_as_a_pass_over_the_result() -> None:
    def counts(inputs: int) -> dict[str, float]:
        b = GraphBuilder("g")
        names = [b.input("x", "float32", (1, 8, 16, 16)), b.missing("w", "float32", (8, 8, 3, 3))]
        names += [b.missing("b", "float32", (8,))] * (inputs - 2)
        b.output(b.node("Conv", *names, name="c", pads=(1,) * 4))
        graph = b.build()
        return kernels_of(graph, graph.nodes[0], "float32", CACHE, ())[0].counts

    assert "mb_biased" not in counts(2)
    assert counts(3)["mb_biased"] == counts(3)["mb_out"] > 0
