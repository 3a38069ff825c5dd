from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.passes.merge_pads import merge_pads
from tests.passes.checks import assert_same, ops

SPATIAL = st.tuples(*(st.integers(0, 2) for _ in range(4)))


def padded(op: str, around: tuple[int, ...], fill: float = 0.0, mode: str = "constant", **attributes: Any) -> Graph:
    """`op` with a window of 3 by 3 on a padded [1, 2, 6, 5] tensor; `around` is top, left, bottom, right."""
    b = GraphBuilder()
    x = b.input("x", "float32", (1, 2, 6, 5))
    amounts = b.constant("pads", np.array([0, 0, *around[:2], 0, 0, *around[2:]]))
    y = b.node("Pad", x, amounts, b.constant("fill", np.float32(fill)), mode=mode)
    weights = [b.constant("w", np.linspace(-1, 1, 54, dtype=np.float32).reshape(3, 2, 3, 3))] if op == "Conv" else []
    b.output(b.node(op, y, *weights, kernel_shape=(3, 3), **attributes))
    return b.build()


@settings(deadline=None, max_examples=30)
@given(SPATIAL, SPATIAL)
def test_a_conv_pads_by_itself(outer: tuple[int, ...], own: tuple[int, ...]) -> None:
    graph = padded("Conv", outer, pads=own)
    after = merge_pads(graph)
    assert ops(after) == ["Conv"]
    assert_same(graph, after)


@pytest.mark.parametrize("counts", [0, 1])
def test_an_average_pool_pads_by_itself_and_counts_it(counts: int) -> None:
    graph = padded("AveragePool", (1, 0, 1, 2), count_include_pad=counts)
    after = merge_pads(graph)
    assert ops(after) == ["AveragePool"]
    assert_same(graph, after)


def test_an_average_pool_that_leaves_its_own_padding_out_keeps_the_pad() -> None:
    graph = padded("AveragePool", (1, 1, 1, 1), pads=(1, 1, 1, 1))
    assert merge_pads(graph) is graph


def test_a_max_pool_merges_only_padding_that_never_wins() -> None:
    graph = padded("MaxPool", (1, 1, 1, 1), fill=float("-inf"))
    after = merge_pads(graph)
    assert ops(after) == ["MaxPool"]
    assert_same(graph, after)
    with_zeros = padded("MaxPool", (1, 1, 1, 1))
    assert merge_pads(with_zeros) is with_zeros


@pytest.mark.parametrize(
    ("mode", "fill", "pads"),
    [("reflect", 0.0, (1, 1, 1, 1)), ("constant", 1.0, (1, 1, 1, 1)), ("constant", 0.0, (-1, 0, 0, 0))],
)
def test_other_padding_than_zeros_around_is_kept(mode: str, fill: float, pads: tuple[int, ...]) -> None:
    graph = padded("Conv", pads, fill, mode)
    assert merge_pads(graph) is graph


def test_a_conv_with_automatic_padding_keeps_the_pad() -> None:
    graph = padded("Conv", (1, 1, 1, 1), auto_pad="SAME_UPPER")
    assert merge_pads(graph) is graph
