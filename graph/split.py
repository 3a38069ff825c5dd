"""An operator cut along its output channels into parts that can be computed side by side and joined again.

A part is a graph of one operator with narrower weights. It makes the same numbers as the whole makes in its channels.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from partita.graph.ir import Array, Graph, Node, Value

ACROSS: Mapping[str, Mapping[int, int]] = {
    "Conv": {1: 0, 2: 0},
    "ConvTranspose": {1: 1, 2: 0},
    "MatMul": {1: -1},
    "Gemm": {1: 1, 2: -1},
}
"""Operators with channels to cut: their constant inputs and the axis of each that counts output channels."""
CHANNEL_AXIS = 1
CHANNEL_BY_CHANNEL = frozenset((
    "Abs", "Add", "BatchNormalization", "Celu", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish",
    "LeakyRelu", "Max", "Min", "Mish", "Mul", "Neg", "PRelu", "Pow", "QuickGelu", "Relu", "Selu", "Sigmoid", "Softplus",
    "Softsign", "Sqrt", "Sub", "Swish", "Tanh", "ThresholdedRelu",
))  # fmt: skip
"""Operators that may follow inside a fused one: each channel of their output depends on that channel alone."""


@dataclass(frozen=True, slots=True)
class Channels:
    """Where an operator's output channels stand."""

    axis: int
    """Of its output, from 0."""
    size: int
    axis_of: Mapping[str, int] = field(hash=False)
    """Every tensor that narrows with them, constants, inputs and inner ones, and its axis from 0."""


def channels_of(graph: Graph, node: Node) -> Channels | None:
    """The output channels along which `node` can be cut; None if it cannot."""
    if len(node.present_outputs) != 1:
        return None
    inner, nodes = (graph, (node,)) if node.body is None else (node.body, node.body.nodes)
    if not nodes or nodes[-1].present_outputs != (node.outputs if node.body is None else inner.outputs):
        return None
    given = zip(node.inputs, inner.inputs, strict=True) if node.body is not None else ()
    known = {there for name, there in given if name and graph.is_constant(name)}
    axis_of = _of_product(inner, nodes[0], known)
    for following in nodes[1:]:
        if axis_of is None or nodes[0].inputs[0] in following.inputs or not _follows(inner, following, axis_of):
            return None
    last = nodes[-1].outputs[0]
    if axis_of is None or last not in axis_of:
        return None
    return Channels(axis_of[last], inner.value(last).dims[axis_of[last]], axis_of)


def _of_product(graph: Graph, node: Node, known: Collection[str]) -> dict[str, int] | None:
    """The tensors of a convolution or matrix product that narrow with its channels; `known` inputs are constants."""
    across, out = ACROSS.get(node.op), graph.values.get(node.outputs[0])
    if across is None or node.domain or out is None or not out.is_concrete or node.attributes.get("group", 1) != 1:
        return None
    axis = CHANNEL_AXIS if "Conv" in node.op else len(out.dims) - 1
    axis_of = {node.outputs[0]: axis}
    for place, weight_axis in across.items():
        name = node.inputs[place] if place < len(node.inputs) else ""
        if not name:
            continue
        value = graph.values.get(name)
        if not (graph.is_constant(name) or name in known) or value is None or not value.is_concrete or not value.dims:
            return None
        if node.op == "Gemm" and place == 1 and node.attributes.get("transB", 0):
            weight_axis = 0
        weight_axis %= len(value.dims)
        if value.dims[weight_axis] == out.dims[axis]:
            axis_of[name] = weight_axis
        elif place == 1 or value.dims[weight_axis] != 1:
            return None
    is_matrix = node.op != "MatMul" or len(graph.value(node.inputs[1]).dims) > 1
    return axis_of if is_matrix and node.inputs[1] in axis_of else None


def _follows(graph: Graph, node: Node, axis_of: dict[str, int]) -> bool:
    """Whether an operator keeps channels apart; what it makes and reads is added to `axis_of`."""
    if node.op not in CHANNEL_BY_CHANNEL or len(node.present_outputs) != 1 or node.regions:
        return False
    out = graph.values.get(node.outputs[0])
    narrow = [name for name in node.present_inputs if name in axis_of]
    if out is None or not out.is_concrete or not narrow:
        return False
    axis, rank = axis_of[narrow[0]], len(graph.value(narrow[0]).dims)
    if len(out.dims) != rank or any(len(graph.value(n).dims) - axis_of[n] != rank - axis for n in narrow):
        return False
    made = {name for each in graph.nodes for name in each.present_outputs}
    for name in node.present_inputs:
        value = graph.values.get(name)
        if name in axis_of:
            continue
        if value is None or not value.is_concrete or name in made:
            return False
        own = 0 if node.op == "BatchNormalization" else axis - (rank - len(value.dims))
        if 0 <= own < len(value.dims) and value.dims[own] != 1:
            if value.dims[own] != out.dims[axis]:
                return False
            axis_of[name] = own
    axis_of[node.outputs[0]] = axis
    return True


def part_of(graph: Graph, node: Node, channels: Channels, first: int, end: int) -> Graph:
    """A graph of one operator, which makes the channels from `first` up to `end` of what `node` makes.

    Its tensors keep their names; those of `channels.axis_of` are narrower.
    """
    reads = graph.reads(node)
    values, constants = _narrowed(graph, channels, first, end, (*reads, *node.present_outputs))
    part = node
    if node.body is not None:
        body = node.body
        inner, held = _narrowed(body, channels, first, end, tuple(body.values), tuple(body.constants))
        part = replace(node, attributes={**node.attributes, "body": replace(body, values=inner, constants=held)})
        outer = dict(zip(node.outputs, body.outputs, strict=True)) | dict(zip(node.inputs, body.inputs, strict=True))
        values |= {name: inner[there] for name, there in outer.items() if there in inner and name}
        constants |= {
            name: _cut(graph.constants[name], channels.axis_of[there], first, end)
            for name, there in outer.items()
            if name in graph.constants and there in channels.axis_of
        }
    given = tuple(name for name in reads if not graph.is_constant(name))
    missing = frozenset(name for name in reads if name in graph.missing)
    return Graph(f"{node.name} [{first}:{end}]", (part,), given, node.present_outputs, values, constants, missing)


def _narrowed(
    graph: Graph, channels: Channels, first: int, end: int, names: Sequence[str], held: Sequence[str] | None = None
) -> tuple[dict[str, Value], dict[str, Array]]:
    """The types of some tensors and the data of constants, cut where they narrow."""
    axis_of = channels.axis_of
    values, constants = {}, {}
    for name in names:
        if name in graph.values:
            value = graph.values[name]
            values[name] = _shrunk(value, axis_of[name], end - first) if name in axis_of else value
    for name in names if held is None else held:
        if name in graph.constants:
            array = graph.constants[name]
            constants[name] = _cut(array, axis_of[name], first, end) if name in axis_of else array
    return values, constants


def _shrunk(value: Value, axis: int, size: int) -> Value:
    dims = value.dims
    return replace(value, shape=(*dims[:axis], size, *dims[axis + 1 :]))


def _cut(array: Array, axis: int, first: int, end: int) -> Array:
    found: Array = np.ascontiguousarray(array[(slice(None),) * axis + (slice(first, end),)])
    return found


def cut_input(channels: Channels, node: Node, name: str, tensor: Array, first: int, end: int) -> Array:
    """What a part reads of an input of `node`: its channels only, if the input narrows with them."""
    body = node.body
    there = name if body is None else dict(zip(node.inputs, body.inputs, strict=True))[name]
    return _cut(tensor, channels.axis_of[there], first, end) if there in channels.axis_of else tensor
