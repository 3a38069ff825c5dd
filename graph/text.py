"""The text form of a graph, for people, errors and digests."""

import hashlib
from collections.abc import Set
from typing import Any

import numpy as np
import onnx

from partita.graph.ir import Array, Graph, Node
from partita.graph.steering import steering_names

EXACT_CONSTANT_BYTES = 1024
"""Constants that steer operators are part of a graph's digest by value up to this size, all others by type only."""


def to_text(graph: Graph, *, exact: bool = False) -> str:
    """One line per operator: `y float32[1x8] = Relu(x)`; with `exact`, constants too.

    Exact are the hashes of small constants that steer operators; weights, which may be absent, are shown by type.
    """
    head = ", ".join(f"{name} {graph.values.get(name, '?')}" for name in graph.inputs)
    lines = [f"{graph.name}({head}) -> ({', '.join(graph.outputs)})"]
    if exact:
        steering = steering_names(graph)
        lines += [
            f"  const {name} {graph.values.get(name, '?')} {_constant_key(graph, name, steering)}"
            for name in _constants(graph)
        ]
    lines += [_node_line(graph, node, exact=exact) for node in graph.nodes]
    return "\n".join(lines) + "\n"


def _constants(graph: Graph) -> list[str]:
    return sorted({*graph.constants, *graph.missing})


def _constant_key(graph: Graph, name: str, steering: Set[str]) -> str:
    array = graph.constants.get(name) if name in steering else None
    if array is None or array.nbytes > EXACT_CONSTANT_BYTES:
        return "weights"
    return _hash(array)


def _hash(array: Array) -> str:
    content = repr(array.tolist()).encode() if array.dtype.kind == "O" else np.ascontiguousarray(array).tobytes()
    return hashlib.sha256(content).hexdigest()[:16]


def _node_line(graph: Graph, node: Node, *, exact: bool) -> str:
    results = ", ".join(f"{name} {graph.values.get(name, '?')}" for name in node.present_outputs)
    attributes = ", ".join(f"{k}={_attribute(v, exact=exact)}" for k, v in sorted(node.attributes.items()))
    operator = f"{node.domain}::{node.op}" if node.domain else node.op
    version = f"@{node.version} {node.name}" if exact else ""
    return f"  {results} = {operator}{version}({', '.join(node.inputs)}){f' {{{attributes}}}' if attributes else ''}"


def _attribute(value: Any, *, exact: bool) -> str:
    if isinstance(value, Graph):
        return "{" + to_text(value, exact=exact).replace("\n", "; ") + "}"
    if isinstance(value, np.ndarray):
        return f"<{value.dtype}{list(value.shape)} {_hash(value)}>"
    if isinstance(value, onnx.TypeProto):
        return f"<{' '.join(str(value).split())}>"
    if isinstance(value, tuple) and any(isinstance(part, np.ndarray) for part in value):
        return f"({', '.join(_attribute(part, exact=exact) for part in value)})"
    return repr(value)
