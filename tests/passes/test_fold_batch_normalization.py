from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.passes.fold_batch_normalization import fold_batch_normalization
from partita.passes.random_weights import fill_missing
from tests.passes.checks import assert_same, ops

NAMES = ("scale", "beta", "mean", "var")


def normalised(op: str, weight: tuple[int, ...], channels: int, *, bias: bool, **attributes: Any) -> Graph:
    """`op` with a weight of this shape, then a BatchNormalization; the data of all weights is missing."""
    b = GraphBuilder()
    depth = {"Conv": weight[1] * attributes.get("group", 1), "ConvTranspose": weight[0]}
    rank = len(weight)
    columns = weight[1] if attributes.get("transB") else weight[0]
    x = b.input("x", "float32", (2, columns) if op == "Gemm" else (2, depth[op], *(6,) * (rank - 2)))
    inputs = [b.missing("w", "float32", weight), *([b.missing("b", "float32", (channels,))] if bias else [])]
    y = b.node(op, x, *inputs, **attributes)
    parameters = [b.missing(name, "float32", (channels,)) for name in NAMES]
    b.output(b.node("BatchNormalization", y, *parameters, epsilon=1e-3, name="y"))
    return b.build()


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.booleans(), st.integers(1, 2))
def test_a_conv_computes_the_normalisation_too(outer: int, inner: int, group: int, bias: bool, axes: int) -> None:
    weight = (outer * group, inner, *(3,) * axes)
    graph = fill_missing(normalised("Conv", weight, outer * group, bias=bias, group=group))
    after = fold_batch_normalization(graph)
    assert ops(after) == ["Conv"]
    assert_same(graph, after)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("weight", "transposed"), [((4, 3), 0), ((3, 4), 1)])
def test_a_gemm_computes_the_normalisation_too(weight: tuple[int, int], transposed: int, bias: bool) -> None:
    graph = fill_missing(normalised("Gemm", weight, 3, bias=bias, transB=transposed))
    after = fold_batch_normalization(graph)
    assert ops(after) == ["Gemm"]
    assert_same(graph, after)


def test_a_transposed_convolution_computes_the_normalisation_too() -> None:
    graph = fill_missing(normalised("ConvTranspose", (4, 5, 3, 3), 5, bias=True))
    after = fold_batch_normalization(graph)
    assert ops(after) == ["ConvTranspose"]
    assert_same(graph, after)


def test_a_transposed_convolution_in_groups_is_left_alone() -> None:
    graph = normalised("ConvTranspose", (4, 2, 3, 3), 4, bias=True, group=2)
    assert fold_batch_normalization(graph) is graph


def test_missing_weights_become_missing_weights_of_the_right_type() -> None:
    graph = normalised("Conv", (5, 4, 3, 3), 5, bias=False)
    after = fold_batch_normalization(graph)
    assert ops(after) == ["Conv"]
    assert {name: str(after.value(name)) for name in after.missing} == {
        "Conv_0.folded_weight": "float32[5x4x3x3]",
        "Conv_0.folded_bias": "float32[5]",
    }
    assert_same(fill_missing(after), fill_missing(after))


def test_a_convolution_that_others_read_is_left_alone() -> None:
    graph = normalised("Conv", (5, 4, 3, 3), 5, bias=True)
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 4, 6, 6))
    y = b.node("Conv", x, b.missing("w", "float32", (5, 4, 3, 3)))
    parameters = [b.missing(name, "float32", (5,)) for name in NAMES]
    b.output(b.node("BatchNormalization", y, *parameters), b.node("Relu", y))
    graph = b.build()
    assert fold_batch_normalization(graph) is graph


def test_a_float16_convolution_stays_float16() -> None:
    b = GraphBuilder()
    x = b.input("x", "float16", (1, 2, 4, 4))
    y = b.node("Conv", x, b.missing("w", "float16", (3, 2, 1, 1)))
    b.output(b.node("BatchNormalization", y, *(b.missing(name, "float32", (3,)) for name in NAMES)))
    after = fold_batch_normalization(fill_missing(b.build()))
    assert {array.dtype.name for array in after.constants.values()} == {"float16"}
