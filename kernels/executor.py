"""Runs graphs with the registered kernels: one operator, or a whole graph on one unit."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from partita.errors import ModelError
from partita.graph.dtypes import name_of_numpy
from partita.graph.ir import Graph, Node
from partita.kernels.blas import on_one_thread
from partita.kernels.program import Call, describe, last_uses, program_of

__all__ = ["checked_feeds", "compute", "last_uses", "run"]


def compute(node: Node, inputs: Sequence[Any], outer: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
    """The outputs of one operator on its inputs (None for an absent one); `outer` is what its regions may read.

    Raises KernelError that names the node.
    """
    with on_one_thread():
        return _call_of(node)(inputs, outer)


@lru_cache(maxsize=2048)
def _remembered(node: Node) -> Call:
    return Call(node)


def _call_of(node: Node) -> Call:
    """Operators whose regions hold weights are not remembered, so that their graphs can be forgotten."""
    return _remembered(node) if node.body is not None or not node.regions else Call(node)


def run(graph: Graph, feeds: Mapping[str, Any], wanted: Iterable[str] | None = None) -> dict[str, Any]:
    """The model's outputs, or the `wanted` tensors, computed in the model's own dtypes on one unit.

    Tensors are dropped after their last use. Raises ModelError if weights are missing or `feeds` does not fit.
    """
    names = tuple(graph.outputs if wanted is None else wanted)
    given = checked_feeds(graph, feeds)
    return dict(zip(names, program_of(graph, names).run(given), strict=True))


def checked_feeds(graph: Graph, feeds: Mapping[str, Any]) -> dict[str, Any]:
    """The feeds as a dict; ModelError if one is missing, unknown, or of another shape or dtype than the graph says."""
    if graph.missing:
        raise ModelError(
            f"graph {graph.name!r} has no data for {len(graph.missing)} weights (such as {min(graph.missing)!r}): "
            "put the weight file beside the model, or use --random-weights"
        )
    for name in feeds:
        if name not in graph.inputs:
            raise ModelError(f"{name!r} is no input of {graph.name!r}; it has: {', '.join(graph.inputs)}")
    for name in graph.inputs:
        if name not in feeds:
            raise ModelError(f"no data for input {name!r} ({graph.values.get(name, 'unknown type')})")
        value, given = graph.values.get(name), feeds[name]
        if value is None or value.shape is None or not isinstance(given, np.ndarray):
            continue
        same_rank = len(given.shape) == len(value.shape)
        fits = same_rank and all(d in (None, g) for d, g in zip(value.shape, given.shape, strict=True))
        if not fits or name_of_numpy(given.dtype) != value.dtype:
            raise ModelError(f"input {name!r} must be {value}, but the data is {describe([given])}")
    return dict(feeds)
