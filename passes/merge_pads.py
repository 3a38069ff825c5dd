"""Merges a Pad into the convolution or pooling that alone reads it."""

from dataclasses import replace
from typing import Any

import numpy as np

from partita.graph.ir import Graph, Node
from partita.graph.match import prune
from partita.passes.rewrite import integers, sole_reader


def merge_pads(graph: Graph) -> Graph:
    """The graph without the Pads that its Conv and pooling operators can do by themselves.

    A Conv pads with zeros, a MaxPool with minus infinity. An AveragePool counts what a Pad before it added, so it is
    changed to count its padding, which is only right if it had none of its own.
    """
    merged: dict[str, Node] = {}
    gone: set[str] = set()
    for node in graph.nodes:
        reader = sole_reader(graph, node.outputs[0]) if node.op == "Pad" and not node.domain else None
        if reader is None or reader.domain or reader.inputs[0] != node.outputs[0]:
            continue
        pads = _spatial_pads(graph, node)
        attributes = None if pads is None else _padded_attributes(graph, reader, pads, _fill(graph, node))
        if attributes is not None:
            merged[reader.name] = replace(
                reader, inputs=(node.inputs[0], *reader.inputs[1:]), attributes={**reader.attributes, **attributes}
            )
            gone.add(node.name)
    if not gone:
        return graph
    nodes = (merged.get(node.name, node) for node in graph.nodes if node.name not in gone)
    return prune(replace(graph, nodes=tuple(nodes)))


def _spatial_pads(graph: Graph, node: Node) -> tuple[int, ...] | None:
    """The begins and ends that a constant Pad adds to axes from 2 on; None if it does anything else."""
    if node.attributes.get("mode", "constant") != "constant" or (len(node.inputs) > 3 and node.inputs[3]):
        return None
    pads = node.attributes.get("pads") or (integers(graph, node.inputs[1]) if len(node.inputs) > 1 else None)
    if pads is None or min(pads, default=0) < 0:
        return None
    rank = len(pads) // 2
    begins, ends = pads[:rank], pads[rank:]
    return None if any((*begins[:2], *ends[:2])) else (*begins[2:], *ends[2:])


def _fill(graph: Graph, node: Node) -> float | None:
    """The number that a Pad writes; None if it is not constant."""
    if len(node.inputs) > 2 and node.inputs[2]:
        array = graph.constants.get(node.inputs[2])
        return None if array is None else float(array.reshape(()).item())
    return float(node.attributes.get("value", 0.0))


def _padded_attributes(graph: Graph, reader: Node, pads: tuple[int, ...], fill: float | None) -> dict[str, Any] | None:
    """The attributes with which `reader` pads by itself; None if it would compute something else."""
    own = reader.attributes.get("pads") or (0,) * len(pads)
    if reader.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or reader.attributes.get("ceil_mode"):
        return None
    summed = tuple(a + b for a, b in zip(own, pads, strict=True))
    total: dict[str, Any] = {"pads": summed, "auto_pad": "NOTSET"}
    if reader.op == "Conv" and fill == 0:
        return total
    if reader.op == "MaxPool" and fill is not None and fill <= _lowest(graph, reader):
        return total if len(reader.outputs) == 1 and _is_within_window(reader, summed) else None
    if reader.op == "AveragePool" and fill == 0 and _is_within_window(reader, summed):
        counts = bool(reader.attributes.get("count_include_pad"))
        return {**total, "count_include_pad": 1} if counts or not any(own) else None
    return None


def _lowest(graph: Graph, reader: Node) -> float:
    """The lowest number of the pool's dtype: padding with it, or with minus infinity, never wins."""
    dtype = graph.values[reader.inputs[0]].dtype
    return float(np.finfo(dtype).min) if dtype in ("float16", "float32", "float64") else -np.inf


def _is_within_window(reader: Node, pads: tuple[int, ...]) -> bool:
    """Whether runtimes accept the padding: onnxruntime wants it smaller than the window on each side."""
    window = reader.attributes["kernel_shape"]
    return all(p < k for p, k in zip(pads, (*window, *window), strict=True))
