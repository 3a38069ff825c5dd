"""Checks that a graph keeps its invariants, so that a broken pass is found where it broke them."""

from collections.abc import Iterable

from partita.errors import ModelError
from partita.graph.dtypes import OPTIONAL, SEQUENCE, name_of_numpy
from partita.graph.fit import why_too_large
from partita.graph.ir import Graph, Node


def verify(graph: Graph, *, concrete: bool = False) -> None:
    """ModelError that names the node if an invariant is broken; with `concrete`, unknown dimensions are refused too.

    The invariants: every tensor is made once and before it is read, operators have names of their own, every tensor
    has a type whose size is possible, constants are as their types say, and a fused operator's body has as many inputs
    and outputs as it. The shapes inside of regions may stay unknown.
    """
    _check_names(graph)
    _check_constants(graph)
    _check_order(graph, outer=frozenset())
    _check_types(graph, concrete=concrete)


def _check_names(graph: Graph) -> None:
    seen: set[str] = set()
    for node in _outside_bodies(graph):
        if not node.name or node.name in seen:
            raise ModelError(f"graph {graph.name!r}: two operators are named {node.name!r}, the second is node {node}")
        seen.add(node.name)


def _outside_bodies(graph: Graph) -> Iterable[Node]:
    """Every operator, those of control-flow regions too; the body of a fused one keeps the names it had."""
    for node in graph.nodes:
        yield node
        for region in () if node.body is not None else node.regions:
            yield from _outside_bodies(region)


def _check_constants(graph: Graph) -> None:
    for name, array in graph.constants.items():
        if name in graph.missing:
            raise ModelError(f"graph {graph.name!r}: constant {name!r} has data and is listed as missing")
        value = graph.values.get(name)
        if value is not None and (value.shape != array.shape or value.dtype != name_of_numpy(array.dtype)):
            actual = f"{name_of_numpy(array.dtype)}{list(array.shape)}"
            raise ModelError(f"graph {graph.name!r}: constant {name!r} is {actual}, but its type says {value}")


def _check_order(graph: Graph, outer: frozenset[str]) -> None:
    known = {*graph.inputs, *graph.constants, *graph.missing}
    if len(set(graph.inputs)) != len(graph.inputs):
        raise ModelError(f"graph {graph.name!r}: an input is listed twice: {', '.join(graph.inputs)}")
    for node in graph.nodes:
        for name in graph.reads(node):
            if name not in known and name not in outer:
                later = graph.producer_of.get(name)
                reason = f"made later, by node {later}" if later else "made by nothing"
                raise ModelError(f"node {node}: reads {name!r}, which is {reason}")
        _check_regions(node, frozenset(known) | outer if node.regions else outer)
        for name in node.present_outputs:
            if name in known:
                raise ModelError(f"node {node}: makes {name!r}, which is made or given already")
            known.add(name)
    for name in graph.outputs:
        if name not in known and name not in outer:
            raise ModelError(f"graph {graph.name!r}: output {name!r} is made by nothing")


def _check_regions(node: Node, outer: frozenset[str]) -> None:
    if node.body is None:
        for region in node.regions:
            _check_constants(region)
            _check_order(region, outer)
        return
    body = node.body
    if len(body.inputs) != len(node.inputs) or len(body.outputs) != len(node.outputs):
        raise ModelError(
            f"node {node}: has {len(node.inputs)} inputs and {len(node.outputs)} outputs, "
            f"but its body has {len(body.inputs)} and {len(body.outputs)}"
        )
    _check_constants(body)
    _check_order(body, frozenset())


def _check_types(graph: Graph, *, concrete: bool) -> None:
    for name in (*graph.inputs, *graph.constants, *sorted(graph.missing)):
        _check_type(graph, name, f"graph {graph.name!r}", concrete=concrete)
    for node in graph.nodes:
        for name in node.present_outputs:
            _check_type(graph, name, f"node {node}", concrete=concrete)


def _check_type(graph: Graph, name: str, where: str, *, concrete: bool) -> None:
    value = graph.values.get(name)
    if value is None:
        raise ModelError(f"{where}: tensor {name!r} has no type")
    reason = why_too_large(value)
    if reason is not None:
        raise ModelError(f"{where}: tensor {name!r}: {reason}")
    if concrete and not value.is_concrete and value.dtype not in (SEQUENCE, OPTIONAL):
        raise ModelError(f"{where}: the shape of tensor {name!r} is not known in full, it is {value}")
