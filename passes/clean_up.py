"""Passes that leave out what computes nothing, or nothing new."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from partita.graph.infer import schema_of
from partita.graph.ir import Array, Graph, Node
from partita.graph.match import prune
from partita.graph.steering import steering_names
from partita.passes.rewrite import RANDOM_OPS, integers, renamed_reads, with_reads_renamed

SMALL_CONSTANT_BYTES = 1024
"""Constants up to this size that steer operators are compared by value, so that equal ones become one.

Weights are not: their data may be absent, and a model must have the same operators with and without it.
"""

_OPTIONAL = onnx.defs.OpSchema.FormalParameterOption.Optional


def remove_dead_nodes(graph: Graph) -> Graph:
    """Without operators whose outputs nobody reads, and without optional outputs that nobody reads."""
    wanted = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if not wanted.intersection(node.present_outputs):
            continue
        kept.append(_without_unread_outputs(node, wanted))
        wanted.update(graph.reads(node))
    if len(kept) == len(graph.nodes) and all(a is b for a, b in zip(reversed(kept), graph.nodes, strict=True)):
        return graph
    return prune(replace(graph, nodes=tuple(reversed(kept))))


def _without_unread_outputs(node: Node, wanted: set[str]) -> Node:
    if len(node.outputs) == 1 or node.domain or wanted.issuperset(node.outputs):
        return node
    optional = [output.option == _OPTIONAL for output in schema_of(node).outputs]
    outputs = ["" if i < len(optional) and optional[i] and o not in wanted else o for i, o in enumerate(node.outputs)]
    while not outputs[-1]:
        outputs.pop()
    return node if tuple(outputs) == node.outputs else replace(node, outputs=tuple(outputs))


def remove_identities(graph: Graph) -> Graph:
    """Without operators that hand on their input as it is: Identity, inference Dropout, a Cast to the same dtype, ...

    Outputs of the graph keep their names: the operator that made the source takes the output's name. Where it cannot,
    because the source is an input, a constant or another output, the identity stays, at the end.
    """
    source_of: dict[str, str] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        if _is_identity(graph, node):
            source_of[node.outputs[0]] = source_of.get(node.inputs[0], node.inputs[0])
        else:
            kept.append(node)
    output_of, copied = _sources_of_outputs(graph, source_of)
    if len(source_of) == len(copied):
        return graph
    new_name_of = output_of | {name: output_of.get(source, source) for name, source in source_of.items()}
    for output in copied:
        node = graph.producer_of[output]
        kept.append(replace(node, inputs=(source_of[output], *node.inputs[1:])))
    nodes = tuple(_with_outputs_renamed(node, output_of) for node in renamed_reads(kept, new_name_of))
    values = {**graph.values, **{new: graph.values[old] for old, new in output_of.items()}}
    return prune(replace(graph, nodes=nodes, values=values))


def _sources_of_outputs(graph: Graph, source_of: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """For outputs that an identity makes: the sources that can take an output's name, and the outputs without one."""
    output_of: dict[str, str] = {}
    copied: list[str] = []
    for output in graph.outputs:
        source = source_of.get(output)
        if source is None:
            continue
        if source in graph.producer_of and source not in graph.outputs and source not in output_of:
            output_of[source] = output
        else:
            copied.append(output)
    return output_of, copied


def _with_outputs_renamed(node: Node, new_name_of: dict[str, str]) -> Node:
    if not any(name in new_name_of for name in node.outputs):
        return node
    return replace(node, outputs=tuple(new_name_of.get(name, name) for name in node.outputs))


def _is_identity(graph: Graph, node: Node) -> bool:
    rule = _IDENTITY_RULES.get(node.op)
    if rule is None or node.domain or len(node.present_outputs) != 1 or not node.outputs[0]:
        return False
    before, after = graph.values.get(node.inputs[0]), graph.values.get(node.outputs[0])
    if before is None or before != after or not (before.is_concrete or node.op == "Identity"):
        return False
    return rule(graph, node)


def _always(graph: Graph, node: Node) -> bool:
    """The rule of operators that keep the order of elements: with the same type they change nothing."""
    return True


def _is_single(graph: Graph, node: Node) -> bool:
    return len(node.inputs) == 1


def _is_inference(graph: Graph, node: Node) -> bool:
    training = node.inputs[2] if len(node.inputs) > 2 else ""
    return not training or (training in graph.constants and not graph.constants[training].any())


def _keeps_order(graph: Graph, node: Node) -> bool:
    """Whether a Transpose moves nothing but axes of size 1."""
    dims = graph.values[node.inputs[0]].dims
    order = node.attributes.get("perm", tuple(reversed(range(len(dims)))))
    moved = [axis for axis in order if dims[axis] != 1]
    return moved == sorted(moved)


def _pads_nothing(graph: Graph, node: Node) -> bool:
    pads = node.attributes.get("pads") or (integers(graph, node.inputs[1]) if len(node.inputs) > 1 else None)
    return pads is not None and not any(pads)


def _steps_forward(graph: Graph, node: Node) -> bool:
    if len(node.inputs) < 5 or not node.inputs[4]:
        return True
    steps = integers(graph, node.inputs[4])
    return steps is not None and all(step > 0 for step in steps)


_IDENTITY_RULES: dict[str, Callable[[Graph, Node], bool]] = {
    "Identity": _always, "Cast": _always, "CastLike": _always, "Reshape": _always, "Flatten": _always,
    "Squeeze": _always, "Unsqueeze": _always, "Expand": _always, "Tile": _always, "Dropout": _is_inference,
    "Transpose": _keeps_order, "Pad": _pads_nothing, "Slice": _steps_forward, "Concat": _is_single, "Sum": _is_single,
    "Max": _is_single, "Min": _is_single, "Mean": _is_single,
}  # fmt: skip


def merge_common_subexpressions(graph: Graph) -> Graph:
    """With one operator where several computed the same from the same, and one where equal constants steered."""
    new_name_of = _equal_constants(graph)
    seen: dict[tuple[Any, ...], Node] = {}
    kept: list[Node] = []
    for original in graph.nodes:
        node = with_reads_renamed(original, new_name_of)
        key = _key(node)
        first = seen.get(key) if key else None
        if first is None or any(name in graph.outputs for name in node.outputs):
            kept.append(node)
            if key:
                seen.setdefault(key, node)
            continue
        new_name_of.update(zip(node.present_outputs, first.present_outputs, strict=True))
    if not new_name_of:
        return graph
    return prune(replace(graph, nodes=tuple(kept)))


def _equal_constants(graph: Graph) -> dict[str, str]:
    first_of: dict[tuple[Any, ...], str] = {}
    new_name_of: dict[str, str] = {}
    steering = steering_names(graph)
    for name, array in graph.constants.items():
        if name in steering and array.nbytes <= SMALL_CONSTANT_BYTES and name not in graph.outputs:
            first = first_of.setdefault(_content(array), name)
            if first != name:
                new_name_of[name] = first
    return new_name_of


def _content(array: Array) -> tuple[Any, ...]:
    return array.dtype.name, array.shape, hashlib.sha256(np.ascontiguousarray(array).tobytes()).digest()


def _key(node: Node) -> tuple[Any, ...] | None:
    """Equal for two operators that compute the same; None for one that must stay."""
    if node.regions or node.op in RANDOM_OPS:
        return None
    attributes = tuple((k, _hashable(v)) for k, v in sorted(node.attributes.items()))
    present = tuple(bool(name) for name in node.outputs)
    return node.op, node.domain, node.version, node.inputs, attributes, present


def _hashable(value: Any) -> Any:
    return _content(value) if isinstance(value, np.ndarray) else (type(value).__name__, value)
