from dataclasses import replace

import numpy as np
import pytest

from partita.graph.build import GraphBuilder
from partita.graph.ir import FUSED_DOMAIN, Graph
from partita.graph.match import Match, fuse, fused_node, prune
from partita.graph.verify import verify
from partita.kernels.executor import run


def silu() -> Graph:
    """x * sigmoid(x) + c, then a ReLU."""
    b = GraphBuilder("g")
    x = b.input("x", "float32", (2, 3))
    gated = b.node("Mul", x, b.node("Sigmoid", x, name="s"), name="m")
    b.output(b.node("Relu", b.node("Add", gated, b.constant("c", np.float32(1)), name="a"), name="r"))
    return b.build()


SILU = Match("Swish", ("s", "m"), ("x",), ("m",), {"alpha": 1.0})


def test_a_match_becomes_one_operator_that_computes_the_same() -> None:
    graph = silu()
    fused = fuse(graph, [SILU])
    verify(fused)
    assert [(n.name, n.op, n.domain) for n in fused.nodes] == [
        ("m", "Swish", FUSED_DOMAIN), ("a", "Add", ""), ("r", "Relu", ""),
    ]  # fmt: skip
    x = np.linspace(-3, 3, 6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(run(fused, {"x": x})["r"], run(graph, {"x": x})["r"], rtol=1e-6)


def test_constants_that_are_no_inputs_go_into_the_body() -> None:
    fused = fuse(silu(), [Match("Add+Relu", ("a", "r"), ("m",), ("r",))])
    assert not fused.constants
    body = fused.nodes[-1].body
    assert body is not None
    assert body.constants["c"] == 1
    assert "a" not in fused.values


def test_a_weight_without_data_may_go_into_the_body_too() -> None:
    graph = replace(silu(), constants={}, missing=frozenset(("c",)))
    body = fused_node(graph, Match("Add+Relu", ("a", "r"), ("m",), ("r",))).body
    assert body is not None
    assert body.missing == {"c"}


def test_several_matches_are_fused_at_once_and_none_gives_the_graph_itself() -> None:
    graph = silu()
    fused = fuse(graph, [Match("Add+Relu", ("a", "r"), ("m",), ("r",)), SILU])
    assert [n.op for n in fused.nodes] == ["Swish", "Add+Relu"]
    assert fuse(graph, []) is graph


def test_matches_that_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        fuse(silu(), [SILU, Match("Mul+Add", ("m", "a"), ("x", "s"), ("a",))])


def test_a_match_that_does_not_list_what_it_reads_is_refused() -> None:
    with pytest.raises(ValueError, match=r"reads \('s',\) but does not list them"):
        fused_node(silu(), Match("Mul+Add", ("m", "a"), ("x",), ("a",)))


def test_a_match_that_hides_what_others_read_is_refused() -> None:
    with pytest.raises(ValueError, match=r"hides 's', which \['m'\] out of it"):
        fused_node(silu(), Match("Sigmoid", ("s",), ("x",), ()))
    graph = silu()
    with pytest.raises(ValueError, match="hides 'a', which the model gives"):
        fused_node(replace(graph, outputs=("r", "a")), Match("Add+Relu", ("a", "r"), ("m",), ("r",)))


def test_pruning_drops_what_no_operator_uses() -> None:
    graph = silu()
    pruned = prune(replace(graph, nodes=graph.nodes[:2], outputs=("m",)))
    assert not pruned.constants
    assert set(pruned.values) == {"x", "s", "m"}


def test_pruning_keeps_what_only_a_region_reads_and_constant_outputs() -> None:
    inner = GraphBuilder("branch")
    inner.output(inner.node("Neg", inner.captured("w", "float32", ())))
    b = GraphBuilder("g")
    b.constant("w", np.float32(2))
    b.constant("given", np.float32(3))
    region = inner.build()
    b.output(b.node("If", b.input("c", "bool", ()), then_branch=region, else_branch=region), "given")
    assert set(prune(b.build()).constants) == {"w", "given"}
