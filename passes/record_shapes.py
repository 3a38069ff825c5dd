"""Shapes that only a run can tell, such as those behind NonZero: taken from a run on given or generated inputs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from partita.errors import ModelError
from partita.graph.dtypes import OPTIONAL, SEQUENCE, name_of_numpy
from partita.graph.ir import Array, Graph, Node, Value
from partita.kernels.executor import checked_feeds, compute, last_uses
from partita.passes.random_feeds import random_feeds


def unknown_tensors(graph: Graph) -> tuple[str, ...]:
    """The tensors that operators make and whose shape is not known in full, in order; sequences have none."""
    return tuple(name for node in graph.nodes for name in node.present_outputs if not _is_known(graph.values.get(name)))


def _is_known(value: Value | None) -> bool:
    return value is not None and (value.is_concrete or value.dtype in (SEQUENCE, OPTIONAL))


def record_shapes(graph: Graph, feeds: Mapping[str, Array] | None = None) -> Graph:
    """The graph with the shapes that one run has; the same object if all are known already.

    Only the operators that the unknown tensors depend on are run, on `feeds` or else on generated inputs. The shapes
    hold for these inputs. Raises ModelError if weights that the run needs are missing.
    """
    unknown = unknown_tensors(graph)
    if not unknown:
        return graph
    needed = _needed_for(graph, unknown)
    _check_weights(graph, needed, unknown)
    given = random_feeds(graph) if feeds is None else checked_feeds(replace(graph, missing=frozenset()), feeds)
    part = replace(graph, nodes=needed)
    return replace(graph, values={**graph.values, **_recorded(part, given, set(unknown))})


def _needed_for(graph: Graph, wanted: tuple[str, ...]) -> tuple[Node, ...]:
    reached = set(wanted)
    needed: list[Node] = []
    for node in reversed(graph.nodes):
        if reached.intersection(node.outputs):
            needed.append(node)
            reached.update(graph.reads(node))
    return tuple(reversed(needed))


def _check_weights(graph: Graph, needed: tuple[Node, ...], unknown: tuple[str, ...]) -> None:
    missing = [name for node in needed for name in graph.reads(node) if name in graph.missing]
    if missing:
        raise ModelError(
            f"the shape of {_listed(unknown)} depends on data, and the weight {missing[0]!r} that decides it is "
            "missing: put the weight file beside the model, or use --random-weights"
        )


def _listed(names: tuple[str, ...], most: int = 3) -> str:
    shown = ", ".join(map(repr, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more tensors"


def _recorded(graph: Graph, feeds: Mapping[str, Array], wanted: set[str]) -> dict[str, Value]:
    known: dict[str, Any] = {**graph.constants, **feeds}
    freed = last_uses(graph, ())
    found: dict[str, Value] = {}
    for index, node in enumerate(graph.nodes):
        results = compute(node, [known[name] if name else None for name in node.inputs], known)
        for name, result in zip(node.outputs, results, strict=False):
            if name:
                known[name] = result
            if name in wanted:
                found[name] = _type_of(result)
        for name in freed.get(index, ()):
            known.pop(name, None)
    return found


def _type_of(result: Any) -> Value:
    if isinstance(result, list):
        return Value(SEQUENCE, None)
    if result is None:
        return Value(OPTIONAL, None)
    array = np.asarray(result)
    return Value(name_of_numpy(array.dtype), array.shape)
