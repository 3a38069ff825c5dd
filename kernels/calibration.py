"""Ranges of a model's tensors over some inputs: what post-training quantisation needs to know."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from partita.graph.dtypes import is_floating, name_of_numpy
from partita.graph.ir import Graph
from partita.graph.quantisation import Range
from partita.kernels.executor import checked_feeds, compute, last_uses


def calibrate(graph: Graph, samples: Iterable[Mapping[str, Any]]) -> dict[str, Range]:
    """The least and greatest finite value of every floating-point tensor over all samples, computed in float32.

    Each sample holds data for every input. Raises ModelError if one does not fit.
    """
    found: dict[str, Range] = {}
    for feeds in samples:
        known: dict[str, Any] = {**graph.constants, **checked_feeds(graph, feeds)}
        freed = last_uses(graph, ())
        for name in graph.inputs:
            _observe(found, name, known[name])
        for index, node in enumerate(graph.nodes):
            results = compute(node, [known[name] if name else None for name in node.inputs], known)
            for name, result in zip(node.outputs, results, strict=False):
                if name:
                    known[name] = result
                    _observe(found, name, result)
            for name in freed.get(index, ()):
                known.pop(name, None)
    return found


def _observe(found: dict[str, Range], name: str, tensor: Any) -> None:
    if not isinstance(tensor, np.ndarray) or not is_floating(name_of_numpy(tensor.dtype)) or not tensor.size:
        return
    finite = tensor if np.isfinite(tensor).all() else tensor[np.isfinite(tensor)]
    low, high = float(finite.min(initial=0.0)), float(finite.max(initial=0.0))
    before = found.get(name)
    found[name] = Range(min(low, before.low), max(high, before.high)) if before else Range(low, high)
