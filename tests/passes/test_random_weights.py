import math

import numpy as np
import pytest

from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.match import Match, fuse
from partita.graph.verify import verify
from partita.kernels.executor import run
from partita.passes.random_feeds import random_feeds
from partita.passes.random_weights import fill_missing


def filled(b: GraphBuilder) -> Graph:
    graph = fill_missing(b.build())
    verify(graph)
    assert not graph.missing
    return graph


def test_a_complete_graph_stays_the_same_object() -> None:
    b = GraphBuilder()
    b.output(b.node("Relu", b.input("x", "float32", (2,))))
    graph = b.build()
    assert fill_missing(graph) is graph


def test_a_weight_depends_on_its_name_alone() -> None:
    def weight(name: str, *, alone: bool) -> np.ndarray:
        b = GraphBuilder()
        x = b.input("x", "float32", (1, 8))
        if not alone:
            b.output(b.node("MatMul", x, b.missing("another", "float32", (8, 8))))
        b.output(b.node("MatMul", x, b.missing(name, "float32", (8, 8))))
        return filled(b).constants[name]

    np.testing.assert_array_equal(weight("w", alone=True), weight("w", alone=False))
    assert not np.array_equal(weight("w", alone=True), weight("v", alone=True))


def test_the_spread_of_a_weight_follows_its_fan_in() -> None:
    b = GraphBuilder()
    image, rows = b.input("image", "float32", (1, 32, 8, 8)), b.input("rows", "float32", (1, 64))
    b.output(b.node("Conv", image, b.missing("conv", "float32", (64, 32, 3, 3)), b.missing("bias", "float32", (64,))))
    b.output(b.node("MatMul", rows, b.missing("matrix", "float32", (64, 512))))
    b.output(b.node("Gemm", rows, b.missing("gemm", "float32", (512, 64)), transB=1))
    turned = b.node("Transpose", b.missing("turned", "float32", (512, 64)), perm=(1, 0))
    b.output(b.node("MatMul", rows, turned))
    b.output(b.node("Gather", b.missing("table", "float32", (100, 256)), b.input("tokens", "int64", (4,))))
    graph = filled(b)
    spreads = {name: float(array.std()) for name, array in graph.constants.items()}
    assert spreads["conv"] == pytest.approx(math.sqrt(2 / 288), rel=0.05)
    assert spreads["matrix"] == pytest.approx(math.sqrt(1 / 64), rel=0.05)
    assert spreads["gemm"] == pytest.approx(math.sqrt(1 / 64), rel=0.05)
    assert spreads["turned"] == pytest.approx(math.sqrt(1 / 64), rel=0.05)
    assert spreads["table"] == pytest.approx(math.sqrt(1 / 256), rel=0.05)
    assert spreads["bias"] == pytest.approx(0.1, rel=0.3)


def test_norm_scales_are_around_one_and_variances_positive() -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (1, 500, 2))
    y = b.node("BatchNormalization", x, *(b.missing(name, "float32", (500,)) for name in ("scale", "b", "mean", "var")))
    b.output(b.node("Div", y, b.missing("divisor", "float32", (2,))))
    graph = filled(b)
    assert graph.constants["scale"].mean() == pytest.approx(1, abs=0.05)
    assert graph.constants["mean"].mean() == pytest.approx(0, abs=0.05)
    assert graph.constants["var"].min() > 0
    assert graph.constants["divisor"].min() > 0


def test_quantised_weights_spread_as_float_weights_do_once_dequantised() -> None:
    b = GraphBuilder()
    weight = [b.missing("w", "int8", (256, 256)), b.missing("s", "float32", ()), b.missing("z", "int8", ())]
    b.output(b.node("MatMul", b.input("x", "float32", (1, 256)), b.node("DequantizeLinear", *weight, name="wide")))
    graph = filled(b)
    assert graph.constants["z"] == 0
    assert run(graph, random_feeds(graph), ["wide"])["wide"].std() == pytest.approx(1 / 16, rel=0.4)


def test_integers_are_zero_and_each_dtype_is_kept() -> None:
    b = GraphBuilder()
    b.output(b.node("Add", b.input("i", "int64", (3,)), b.missing("whole", "int64", (3,))))
    b.output(b.node("Add", b.input("h", "float16", (3,)), b.missing("half", "float16", (3,))))
    b.output(b.node("And", b.input("c", "bool", (3,)), b.missing("flag", "bool", (3,))))
    graph = filled(b)
    assert graph.constants["whole"].tolist() == [0, 0, 0]
    assert graph.constants["half"].dtype == np.float16
    assert graph.constants["half"].any()
    assert graph.constants["flag"].dtype == bool


def test_the_output_of_a_deep_network_stays_alive() -> None:
    b = GraphBuilder()
    y = b.input("x", "float32", (1, 16, 8, 8))
    for layer in range(20):
        y = b.node("Relu", b.node("Conv", y, b.missing(f"w{layer}", "float32", (16, 16, 3, 3)), pads=(1, 1, 1, 1)))
    b.output(y)
    graph = filled(b)
    [output] = run(graph, random_feeds(graph)).values()
    assert 1e-2 < output.std() < 1e2


def test_fusing_does_not_change_how_a_weight_is_drawn() -> None:
    b = GraphBuilder()
    y = b.node("Conv", b.input("x", "float32", (1, 3, 4, 4)), b.missing("w", "float32", (2, 3, 1, 1)), name="conv")
    b.output(b.node("Relu", y, name="relu"))
    graph = b.build()
    fused = fuse(graph, [Match("Conv+Relu", ("conv", "relu"), ("x", "w"), ("relu",))])
    np.testing.assert_array_equal(fill_missing(fused).constants["w"], fill_missing(graph).constants["w"])
