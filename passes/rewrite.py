"""Small tools that passes share: renaming what operators read, new names, sizes of constants."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from partita.graph.ir import Graph, Node

Pass = Callable[[Graph], Graph]

RANDOM_OPS = frozenset(
    ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")
)
"""Operators that give something else each time, so that they are neither folded nor merged."""


def with_reads_renamed(node: Node, new_name_of: Mapping[str, str]) -> Node:
    """The operator reading other tensors, in its regions too; the same object if none of its reads is renamed."""
    inputs = tuple(new_name_of.get(name, name) for name in node.inputs)
    attributes = dict(node.attributes)
    if node.body is None:
        for key, value in node.attributes.items():
            if isinstance(value, Graph):
                attributes[key] = _region_renamed(value, new_name_of)
    if inputs == node.inputs and all(attributes[k] is v for k, v in node.attributes.items()):
        return node
    return replace(node, inputs=inputs, attributes=attributes)


def _region_renamed(region: Graph, new_name_of: Mapping[str, str]) -> Graph:
    captured = {name: new_name_of[name] for name in region.free_names if name in new_name_of}
    if not captured:
        return region
    values = {captured.get(name, name): value for name, value in region.values.items()}
    return replace(
        region,
        nodes=tuple(with_reads_renamed(node, captured) for node in region.nodes),
        outputs=tuple(captured.get(name, name) for name in region.outputs),
        values=values,
    )


def renamed_reads(nodes: Iterable[Node], new_name_of: Mapping[str, str]) -> tuple[Node, ...]:
    return tuple(with_reads_renamed(node, new_name_of) for node in nodes) if new_name_of else tuple(nodes)


def fresh_name(graph: Graph, wanted: str, taken: Iterable[str] = ()) -> str:
    """A tensor name that the graph does not have: `wanted`, or `wanted` with a number."""
    used = {*graph.values, *graph.constants, *graph.missing, *graph.inputs, *graph.producer_of, *taken}
    name, count = wanted, 1
    while name in used:
        name, count = f"{wanted}.{count}", count + 1
    return name


def sole_reader(graph: Graph, name: str) -> Node | None:
    """The one operator that reads a tensor; None if there are more, or if the tensor leaves the graph."""
    readers = graph.consumers_of.get(name, ())
    return readers[0] if len(readers) == 1 and name not in graph.outputs else None


def scalar(graph: Graph, name: str) -> float | None:
    """The number that a constant of one element holds; None for anything else."""
    array = graph.constants.get(name)
    if array is None or array.size != 1 or (array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16"):
        return None
    return float(array.reshape(()).item())


def integers(graph: Graph, name: str) -> tuple[int, ...] | None:
    """The values of an integer constant, flat; None if it is not one."""
    array = graph.constants.get(name)
    if array is None or array.dtype.kind not in "iu":
        return None
    return tuple(int(x) for x in array.reshape(-1))


def is_close(a: float | None, b: float, tolerance: float = 1e-3) -> bool:
    """Whether a constant is the number meant, within the rounding of float16 or of a few printed digits."""
    return a is not None and math.isclose(a, b, rel_tol=tolerance)
