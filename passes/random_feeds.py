"""Inputs to run a graph with when the user gives none: reproducible, and valid where an index or a mask is meant."""

from typing import Any
from zlib import crc32

import numpy as np

from partita.errors import ModelError
from partita.graph.dtypes import OPTIONAL, SEQUENCE, numpy_of_name
from partita.graph.ir import Array, Graph, Node, Value

PASSING_OPS = frozenset(
    ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Expand", "Slice")
)
"""Operators behind which an index is still the same index."""
DEFAULT_INTEGERS = 2
"""Integers of unknown meaning are 0 or 1: valid as token types, labels, flags and most indices."""
SEQUENCE_LENGTH = 2
"""Tensors in a sequence that is made up: the fewest that tell a sequence from its element."""


def random_feeds(graph: Graph, seed: int = 0) -> dict[str, Any]:
    """What to give each input of the graph, drawn from `seed` (any whole number) and the input's name.

    Floats are N(0, 1); masks are ones; positions count up; integers that index a table stay inside of it; those that
    the model compares with constants are some of these; other integers are 0 or 1. A sequence is a list of
    `SEQUENCE_LENGTH` tensors, an optional holds its tensor or sequence.
    Raises ModelError if a shape is not known.
    """
    return {name: _feed(graph, name, graph.value(name), _generator(seed, name)) for name in graph.inputs}


def _generator(seed: int, name: str) -> np.random.Generator:
    """The generator of one input; numpy takes no negative seeds, so the sign is a number of its own."""
    entropy = (seed, crc32(name.encode())) if seed >= 0 else (-seed, crc32(name.encode()), 1)
    return np.random.default_rng(entropy)


def _feed(graph: Graph, name: str, value: Value, rng: np.random.Generator) -> Any:
    if value.dtype == OPTIONAL and value.element is not None:
        return _feed(graph, name, value.element, rng)
    if value.dtype == SEQUENCE and value.element is not None:
        return [_feed(graph, name, value.element, rng) for _ in range(SEQUENCE_LENGTH)]
    if not value.is_concrete:
        raise ModelError(f"no data can be made up for input {name!r} of type {value}; give it a shape")
    return _tensor(graph, name, value, rng)


def _tensor(graph: Graph, name: str, value: Value, rng: np.random.Generator) -> Array:
    if value.dtype == "string":
        return np.full(value.dims, "", object)
    if value.dtype == "bool":
        return np.ones(value.dims, bool)
    if numpy_of_name(value.dtype).kind in "iu":
        return _integers(graph, name, value, rng)
    if "mask" in name.lower():
        return np.ones(value.dims, numpy_of_name(value.dtype))
    if numpy_of_name(value.dtype).kind == "c":
        return (rng.standard_normal(value.dims) + 1j * rng.standard_normal(value.dims)).astype(value.dtype)
    return rng.standard_normal(value.dims, np.float32).astype(numpy_of_name(value.dtype))


def _integers(graph: Graph, name: str, value: Value, rng: np.random.Generator) -> Array:
    dtype = numpy_of_name(value.dtype)
    label = name.lower()
    if "mask" in label or (value.elements == 1 and "len" in label):
        return np.ones(value.dims, dtype)
    limit = _table_rows(graph, name)
    if "position" in label and value.dims:
        count = np.arange(value.dims[-1]) % (limit or value.dims[-1] or 1)
        return np.broadcast_to(count, value.dims).astype(dtype)
    told = _compared(graph, name) if limit is None else ()
    if told:
        return rng.choice(told, value.dims).astype(dtype)
    return rng.integers(0, limit or DEFAULT_INTEGERS, value.dims).astype(dtype)


def _compared(graph: Graph, name: str) -> tuple[int, ...]:
    """The constants that `name` is compared with for being equal: a sampling rate, the classes of a one-hot code."""
    found: set[int] = set()
    for node in graph.consumers_of.get(name, ()):
        if node.op in PASSING_OPS and node.inputs[0] == name:
            found.update(_compared(graph, node.outputs[0]))
        if node.op == "Equal":
            others = (graph.constants[other] for other in node.inputs if other in graph.constants)
            found.update(int(each) for array in others if array.dtype.kind in "iuf" for each in array.reshape(-1))
    return tuple(sorted(found))


def _table_rows(graph: Graph, name: str) -> int | None:
    """The rows of the smallest table that `name` indexes, perhaps through a Cast or Reshape; None if there is none."""
    limits = [rows for node in graph.consumers_of.get(name, ()) if (rows := _rows_of(graph, node, name)) is not None]
    return min(limits, default=None)


def _rows_of(graph: Graph, node: Node, index: str) -> int | None:
    if node.op in PASSING_OPS and node.inputs[0] == index:
        return _table_rows(graph, node.outputs[0])
    if node.op == "OneHot" and node.inputs[0] == index:
        depth = graph.constants.get(node.inputs[1])
        return None if depth is None else int(depth.reshape(-1)[0])
    if node.op not in ("Gather", "GatherElements") or node.inputs[1] != index:
        return None
    table = graph.values.get(node.inputs[0])
    if table is None or table.shape is None:
        return None
    return table.shape[node.attributes.get("axis", 0)]
