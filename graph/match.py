"""Matches of fusible patterns, and the graph in which chosen ones have become single operators."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from partita.graph.ir import FUSED_DOMAIN, Graph, Node


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """One place where a pattern occurs. Nothing is fused yet: matches become candidates of the partitioner.

    All operators but the last, the sink, are read only inside the match, so that the fused operator can run where the
    sink stands in the graph's order.
    """

    pattern: str
    """An ONNX operator ("Gelu", "LayerNormalization") that the primitives spell, or a chain such as "Conv+Relu"."""
    nodes: tuple[str, ...]
    """Names of the covered operators in the graph's order; the last is the sink."""
    inputs: tuple[str, ...]
    """Tensors that the fused operator reads, in its own order; other constants become part of its body."""
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Attributes of the ONNX operator that the pattern names; empty for a chain."""

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        return self.pattern, self.nodes


def fused_node(graph: Graph, match: Match) -> Node:
    """The single operator that stands for a match; its body holds the primitives, so any unit can still run it.

    ValueError if the match is not one: it reads what it does not list, or others read what it does not give.
    """
    nodes = tuple(graph.node_named[name] for name in match.nodes)
    inner = {output for node in nodes for output in node.present_outputs}
    _check_closed(graph, match, inner)
    read = dict.fromkeys(name for node in nodes for name in graph.reads(node) if name not in match.inputs)
    constants = {name: graph.constants[name] for name in read if name in graph.constants}
    missing = frozenset(name for name in read if name in graph.missing)
    names = sorted({*match.inputs, *inner, *constants, *missing})
    values = {name: graph.values[name] for name in names if name in graph.values}
    body = Graph(match.pattern, nodes, match.inputs, match.outputs, values, constants, missing)
    if body.free_names:
        raise ValueError(f"match {match.key} reads {body.free_names} but does not list them as inputs")
    attributes = {**match.attributes, "body": body}
    return Node(match.nodes[-1], match.pattern, match.inputs, match.outputs, attributes, FUSED_DOMAIN, 1)


def _check_closed(graph: Graph, match: Match, inner: set[str]) -> None:
    covered, sink = set(match.nodes), match.nodes[-1]
    for name in sorted(inner):
        readers = [node.name for node in graph.consumers_of.get(name, ()) if node.name not in covered]
        if (readers or name in graph.outputs) and (
            name not in match.outputs or name not in graph.node_named[sink].outputs
        ):
            raise ValueError(f"match {match.key} hides {name!r}, which {readers or 'the model gives'} out of it")


def fuse(graph: Graph, matches: Sequence[Match]) -> Graph:
    """The graph with each match, none overlapping another, contracted into one operator at its sink's place."""
    covered = [name for match in matches for name in match.nodes]
    if len(covered) != len(set(covered)):
        raise ValueError("matches to fuse overlap")
    if not matches:
        return graph
    sinks = {match.nodes[-1]: fused_node(graph, match) for match in matches}
    gone = set(covered) - set(sinks)
    nodes = tuple(sinks.get(node.name, node) for node in graph.nodes if node.name not in gone)
    return prune(replace(graph, nodes=nodes))


def prune(graph: Graph) -> Graph:
    """The graph without constants and types that no operator uses any more."""
    used = {*graph.inputs, *graph.outputs}
    for node in graph.nodes:
        used.update(graph.reads(node))
        used.update(node.present_outputs)
    return replace(
        graph,
        values={name: value for name, value in graph.values.items() if name in used},
        constants={name: array for name, array in graph.constants.items() if name in used},
        missing=frozenset(name for name in graph.missing if name in used),
    )
