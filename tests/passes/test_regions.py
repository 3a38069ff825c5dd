"""Types inside of If: a branch for other sizes does not stop the model."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from partita.errors import ModelError
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph, Value
from partita.graph.work import work_of
from partita.passes.pipeline import prepare


def branch(name: str, weight: tuple[int, int]) -> Graph:
    """The product of x, which is 1x4, and a weight that may not fit."""
    b = GraphBuilder(name)
    x = b.captured("x", "float32", (1, 4))
    b.output(b.node("MatMul", x, b.constant(f"{name}_w", np.ones((4, weight[1]), np.float32)), name=f"{name}_product"))
    constant = {f"{name}_w": np.ones(weight, np.float32)}
    return replace(b.build(), constants=constant, values={f"{name}_w": Value("float32", weight)})


def conditional(then_weight: tuple[int, int], else_weight: tuple[int, int]) -> Graph:
    b = GraphBuilder("g")
    condition = b.input("c", "bool", ())
    b.input("x", "float32", (1, 4))
    branches: dict[str, Any] = {"then_branch": branch("then", then_weight), "else_branch": branch("else", else_weight)}
    b.output(b.node("If", condition, name="if", **branches))
    return b.build()


def test_a_branch_that_cannot_run_at_these_sizes_is_left_alone() -> None:
    graph = prepare(conditional((4, 2), (5, 2)))
    assert graph.value(graph.outputs[0]) == Value("float32", (1, 2))
    assert work_of(graph, graph.nodes[0]).macs == 8


def test_an_if_neither_branch_of_which_can_run_is_refused() -> None:
    with pytest.raises(ModelError, match="then_product"):
        prepare(conditional((3, 2), (5, 2)))
