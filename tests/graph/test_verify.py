from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from partita.errors import ModelError
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph, Node, Value
from partita.graph.match import Match, fuse
from partita.graph.verify import verify


def two_relus() -> Graph:
    b = GraphBuilder("g")
    b.output(b.node("Relu", b.node("Relu", b.input("x", "float32", (1, 8)), name="a"), name="b"))
    return b.build()


def test_a_sound_graph_passes() -> None:
    verify(two_relus(), concrete=True)


def test_a_fused_graph_passes() -> None:
    verify(fuse(two_relus(), [Match("Relu+Relu", ("a", "b"), ("x",), ("b",))]), concrete=True)


def test_an_operator_before_its_input_is_refused() -> None:
    graph = two_relus()
    with pytest.raises(ModelError, match=r"node 'b' \(Relu\): reads 'a', which is made later, by node 'a'"):
        verify(replace(graph, nodes=graph.nodes[::-1]))


def test_a_tensor_that_nothing_makes_is_refused() -> None:
    graph = two_relus()
    with pytest.raises(ModelError, match=r"node 'b' \(Relu\): reads 'a', which is made by nothing"):
        verify(replace(graph, nodes=graph.nodes[1:]))


def test_a_tensor_made_twice_is_refused() -> None:
    graph = two_relus()
    again = Node("c", "Relu", ("x",), ("b",))
    with pytest.raises(ModelError, match=r"node 'c' .*: makes 'b', which is made or given already"):
        verify(replace(graph, nodes=(*graph.nodes, again)))


def test_two_operators_of_one_name_are_refused() -> None:
    graph = two_relus()
    again = Node("b", "Relu", ("x",), ("c",))
    with pytest.raises(ModelError, match="two operators are named 'b'"):
        verify(replace(graph, nodes=(*graph.nodes, again)))


def test_a_tensor_without_a_type_is_refused() -> None:
    graph = two_relus()
    values = {name: value for name, value in graph.values.items() if name != "a"}
    with pytest.raises(ModelError, match=r"node 'a' \(Relu\): tensor 'a' has no type"):
        verify(replace(graph, values=values))


def test_an_unknown_dimension_is_refused_only_where_concrete_shapes_are_wanted() -> None:
    graph = two_relus()
    graph = replace(graph, values={**graph.values, "a": Value("float32", (None, 8))})
    verify(graph)
    with pytest.raises(ModelError, match=r"node 'a' \(Relu\): the shape of tensor 'a' is not known in full"):
        verify(graph, concrete=True)


def test_a_constant_that_is_not_as_its_type_says_is_refused() -> None:
    b = GraphBuilder("g")
    b.output(b.node("Add", b.input("x", "float32", (2,)), b.constant("c", np.float32(1))))
    graph = b.build()
    with pytest.raises(ModelError, match="constant 'c' is float64"):
        verify(replace(graph, constants={"c": np.array(1.0)}))


def test_an_output_that_nothing_makes_is_refused() -> None:
    with pytest.raises(ModelError, match="output 'z' is made by nothing"):
        verify(replace(two_relus(), outputs=("z",)))


def test_a_body_with_other_inputs_than_its_operator_is_refused() -> None:
    graph = fuse(two_relus(), [Match("Relu+Relu", ("a", "b"), ("x",), ("b",))])
    wrong = replace(graph.nodes[0], inputs=("x", "x"))
    with pytest.raises(ModelError, match=r"node 'b' .*: has 2 inputs"):
        verify(replace(graph, nodes=(wrong,)))


def test_what_a_region_reads_must_be_made_before_the_operator_that_holds_it() -> None:
    branches: dict[str, Any] = {}
    for branch in ("then_branch", "else_branch"):
        inner = GraphBuilder(branch)
        inner.output(inner.node("Relu", inner.captured("late", "float32", (2,)), name=f"{branch}_relu"))
        branches[branch] = inner.build()
    b = GraphBuilder("g")
    x, condition = b.input("x", "float32", (2,)), b.input("c", "bool", ())
    late = b.node("Relu", x, name="late")
    b.output(b.node("If", condition, name="choose", **branches), late)
    graph = b.build()
    with pytest.raises(ModelError, match=r"node 'choose' \(If\): reads 'late', which is made later"):
        verify(replace(graph, nodes=graph.nodes[::-1]))
