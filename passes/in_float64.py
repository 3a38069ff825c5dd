"""The same graph computed in float64, to tell what float32 loses from what a kernel does wrong."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from partita.graph.dtypes import onnx_of_name
from partita.graph.ir import Graph, Node, Value

SINGLE, DOUBLE = "float32", "float64"


def in_float64(graph: Graph) -> Graph:
    """Every float32 tensor, constant and cast in float64; weights must be there. Other dtypes stay."""
    return replace(
        graph,
        nodes=tuple(_node(node) for node in graph.nodes),
        values={name: _value(value) for name, value in graph.values.items()},
        constants={name: doubled(array) for name, array in graph.constants.items()},
    )


def doubled(array: Any) -> Any:
    """A float32 array in float64, anything else as it is."""
    return array.astype(np.float64) if isinstance(array, np.ndarray) and array.dtype == np.float32 else array


def _value(value: Value) -> Value:
    if value.element is not None:
        return replace(value, element=_value(value.element))
    return replace(value, dtype=DOUBLE) if value.dtype == SINGLE else value


def _node(node: Node) -> Node:
    return replace(node, attributes=_attributes(node.attributes)) if node.attributes else node


def _attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _attribute(name, value) for name, value in attributes.items()}


def _attribute(name: str, value: Any) -> Any:
    if isinstance(value, Graph):
        return in_float64(value)
    if name in ("to", "dtype") and value == onnx_of_name(SINGLE):
        return onnx_of_name(DOUBLE)
    return doubled(value) if isinstance(value, np.ndarray) else value
