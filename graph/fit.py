"""What ONNX's shape inference lets pass although no runtime can compute it: sizes that contradict each other."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from partita.errors import ModelError
from partita.graph.ir import Array, Graph, Node, Value
from partita.graph.weights import MOST_ELEMENTS

Dims = tuple[int | None, ...]
"""A shape whose rank is known."""


def why_too_large(value: Value) -> str | None:
    """Why no tensor can have this type: a negative dimension or more elements than any memory holds; None if it can."""
    if value.element is not None:
        return why_too_large(value.element)
    elements = 1
    for size in value.shape or ():
        if size is not None:
            if size < 0:
                return f"{value} has a negative dimension"
            elements *= size
    if elements > MOST_ELEMENTS:
        return f"{value} has more elements than any memory holds (2^{MOST_ELEMENTS.bit_length() - 1})"
    return None


@dataclass(frozen=True, slots=True)
class Operands:
    """An operator with what is known of its tensors."""

    node: Node
    types: Mapping[str, Value]
    constants: Mapping[str, Array]
    found: Mapping[str, Value]

    def dims(self, index: int) -> Dims | None:
        """The shape of an input; None if the operator lacks the input or the rank is not known."""
        name = self.node.inputs[index] if index < len(self.node.inputs) else ""
        return self.types[name].shape if name in self.types else None

    def output(self) -> Dims | None:
        """The shape of the first output."""
        value = self.found.get(self.node.outputs[0])
        return None if value is None else value.shape

    def constant(self, index: int) -> Array | None:
        name = self.node.inputs[index] if index < len(self.node.inputs) else ""
        return self.constants.get(name)


Check = Callable[[Operands], str | None]
"""Gives the reason why the operands do not fit, None if they do as far as is known."""


def check_fit(
    node: Node, types: Mapping[str, Value], constants: Mapping[str, Array], found: Mapping[str, Value]
) -> None:
    """ModelError, naming the node, if it cannot compute outputs of the types `found` from inputs of these types."""
    check = None if node.domain else _CHECKS.get(node.op)
    reason = None if check is None else check(Operands(node, types, constants, found))
    for name, value in found.items() if reason is None else ():
        too_large = why_too_large(value)
        if too_large is not None:
            reason = f"its output {name!r} would be impossible: {too_large}"
            break
    if reason is not None:
        raise ModelError(f"node {node}: {reason}")


def _text(dims: Dims) -> str:
    return f"[{'x'.join('?' if d is None else str(d) for d in dims)}]"


def _differs(what: str, given: Dims | None, wanted: Dims) -> str | None:
    """The reason why a tensor of shape `given` cannot be one of shape `wanted`; unknown dimensions may be any."""
    if given is None:
        return None
    if len(given) == len(wanted) and all(g == w or None in (g, w) for g, w in zip(given, wanted, strict=True)):
        return None
    return f"its {what} is {_text(given)}, but the other sizes ask for {_text(wanted)}"


def _first(*reasons: str | None) -> str | None:
    return next((reason for reason in reasons if reason is not None), None)


def _times(size: int | None, factor: int) -> int | None:
    return None if size is None else size * factor


def _broadcasts(what: str, given: Dims | None, onto: Dims | None) -> str | None:
    """The reason why a tensor cannot be stretched onto another, from the last dimension on."""
    if given is None or onto is None:
        return None
    fits = len(given) <= len(onto) and all(
        g in (1, None, w) or w is None for g, w in zip(reversed(given), reversed(onto), strict=False)
    )
    return None if fits else f"its {what} is {_text(given)}, which cannot be stretched onto {_text(onto)}"


def _conv(weight_at: int, bias_at: int | None) -> Check:
    def check(operands: Operands) -> str | None:
        """Input [batch, channels, ...], weight [outputs, channels / group, window ...], bias [outputs]."""
        node, image, weight = operands.node, operands.dims(0), operands.dims(weight_at)
        group = int(node.attributes.get("group", 1))
        if group < 1:
            return f"group must be 1 or more, is {group}"
        if image is None or weight is None:
            return None
        if len(image) != len(weight) or len(image) < 3:
            return f"a weight of shape {_text(weight)} cannot slide over an input of shape {_text(image)}"
        outputs, window = weight[0], weight[2:]
        if outputs is not None and outputs % group:
            return f"its {outputs} output channels cannot be split into {group} groups"
        return _first(
            _differs("input", image, (image[0], _times(weight[1], group), *image[2:])),
            _differs("kernel_shape", node.attributes.get("kernel_shape") or None, window),
            None if bias_at is None else _differs("bias", operands.dims(bias_at), (outputs,)),
            _too_wide(node, image[2:], window),
        )

    return check


def _too_wide(node: Node, image: Dims, window: Dims) -> str | None:
    """The reason why a window has no place in an image; one that is padded to keep its size always has.

    Source of the formula: ONNX operators, MaxPool-12, output_shape.
    """
    mode = node.attributes.get("auto_pad", "NOTSET")
    if mode not in ("NOTSET", "VALID"):
        return None
    rank = len(window)
    pads = (node.attributes.get("pads") if mode == "NOTSET" else None) or (0,) * 2 * rank
    dilations, strides = (node.attributes.get(key) or (1,) * rank for key in ("dilations", "strides"))
    for axis, (size, width) in enumerate(zip(image, window, strict=True)):
        if size is None or width is None:
            continue
        padded, reach = size + pads[axis] + pads[axis + rank], (width - 1) * dilations[axis] + 1
        spare = padded - reach + (strides[axis] - 1 if node.attributes.get("ceil_mode") else 0)
        if spare < 0:
            return f"its window reaches over {reach} elements of axis {axis + 2}, which has {padded} with its padding"
    return None


def _pool(operands: Operands) -> str | None:
    image = operands.dims(0)
    window = operands.node.attributes.get("kernel_shape", ())
    return None if image is None or len(image) != len(window) + 2 else _too_wide(operands.node, image[2:], window)


def _conv_transpose(operands: Operands) -> str | None:
    """Input [batch, channels, ...], weight [channels, outputs / group, window ...], bias [outputs]."""
    group = int(operands.node.attributes.get("group", 1))
    image, weight, output = operands.dims(0), operands.dims(1), operands.output()
    if group < 1:
        return f"group must be 1 or more, is {group}"
    if image is None or weight is None:
        return None
    if len(image) != len(weight) or len(image) < 3:
        return f"a weight of shape {_text(weight)} cannot slide over an input of shape {_text(image)}"
    if weight[0] is not None and weight[0] % group:
        return f"its {weight[0]} input channels cannot be split into {group} groups"
    if output is not None and any(d is not None and d < 1 for d in output[2:]):
        return f"its padding crops the whole output, which would be {_text(output)}"
    return _first(
        _differs("input", image, (image[0], weight[0], *image[2:])),
        _differs("bias", operands.dims(2), (_times(weight[1], group),)),
    )


def _per_channel(*positions: int) -> Check:
    def check(operands: Operands) -> str | None:
        """Each of the inputs at `positions` has one number per channel, which is axis 1."""
        image = operands.dims(0)
        if image is None or not operands.node.attributes.get("spatial", 1):
            return None
        channels = (image[1] if len(image) > 1 else 1,)
        return _first(*(_differs(f"input {i}", operands.dims(i), channels) for i in positions))

    return check


def _layer_norm(operands: Operands) -> str | None:
    return _first(*(_broadcasts(what, operands.dims(i), operands.dims(0)) for i, what in ((1, "scale"), (2, "bias"))))


def _group_norm(operands: Operands) -> str | None:
    """Scale and bias have one number per channel, before opset 21 one per group."""
    image, groups = operands.dims(0), operands.node.attributes.get("num_groups")
    if groups is None:
        return "its attribute 'num_groups' is missing"
    if groups < 1:
        return f"num_groups must be 1 or more, is {groups}"
    if image is None or len(image) < 2 or image[1] is None:
        return None
    if image[1] % groups:
        return f"its {image[1]} channels cannot be split into {groups} groups"
    size = image[1] if operands.node.version >= 21 else groups
    return _first(*(_differs(f"input {i}", operands.dims(i), (size,)) for i in (1, 2)))


def _recurrent(gates: int) -> Check:
    def check(operands: Operands) -> str | None:
        """Weights [directions, gates x hidden, depth] and so on. Source: ONNX operators, LSTM-14, GRU-14, RNN-14."""
        node, sequence, recurrence = operands.node, operands.dims(0), operands.dims(2)
        if sequence is None or recurrence is None or len(sequence) != 3 or len(recurrence) != 3:
            return None
        directions = 2 if node.attributes.get("direction") == "bidirectional" else 1
        hidden = node.attributes.get("hidden_size", recurrence[2])
        rows, by_batch = _times(hidden, gates), bool(node.attributes.get("layout"))
        batch = sequence[0 if by_batch else 1]
        state = (batch, directions, hidden) if by_batch else (directions, batch, hidden)
        return _first(
            _differs("recurrence weight", recurrence, (directions, rows, hidden)),
            _differs("weight", operands.dims(1), (directions, rows, sequence[2])),
            _differs("bias", operands.dims(3), (directions, _times(rows, 2))),
            _differs("sequence_lens", operands.dims(4), (batch,)),
            _differs("initial_h", operands.dims(5), state),
            _differs("initial_c", operands.dims(6), state) if gates == 4 else None,
            _differs("peephole weight", operands.dims(7), (directions, _times(hidden, 3))) if gates == 4 else None,
        )

    return check


def _quantisation(operands: Operands) -> str | None:
    """One scale for all, one per slice of an axis, or one per block of it; the zero point is shaped like the scale.

    Source: ONNX operators, QuantizeLinear-21. A scale of one element holds for all, whatever its rank.
    """
    tensor, scale, node = operands.dims(0), operands.dims(1), operands.node
    if tensor is None or scale is None or all(d == 1 for d in scale):
        return None
    axis, block = int(node.attributes.get("axis", 1)), int(node.attributes.get("block_size", 0))
    if not -len(tensor) <= axis < len(tensor):
        return f"axis {axis} is not one of the {len(tensor)} axes of its input"
    size = tensor[axis]
    if block > 0:
        blocks = None if size is None else math.ceil(size / block)
        wanted: Dims = tuple(blocks if i == axis % len(tensor) else d for i, d in enumerate(tensor))
    else:
        wanted = (size,)
    return _first(_differs("scale", scale, wanted), _differs("zero point", operands.dims(2), scale))


def _depth_to_space(operands: Operands) -> str | None:
    image, block = operands.dims(0), int(operands.node.attributes["blocksize"])
    if image is None or image[1] is None or image[1] % block**2 == 0:
        return None
    return f"its {image[1]} channels cannot be split into blocks of {block}x{block}"


def _space_to_depth(operands: Operands) -> str | None:
    image, block = operands.dims(0), int(operands.node.attributes["blocksize"])
    if image is None or all(d is None or d % block == 0 for d in image[2:]):
        return None
    return f"its input {_text(image)} cannot be cut into blocks of {block}x{block}"


def _reshape(operands: Operands) -> str | None:
    before, after = operands.dims(0), operands.output()
    if before is None or after is None:
        return None
    sizes = [math.prod(d for d in dims if d is not None) for dims in (before, after) if None not in dims]
    if len(sizes) < 2 or sizes[0] == sizes[1]:
        return None
    return f"{_text(before)} has {sizes[0]} elements and cannot become {_text(after)} with {sizes[1]}"


def _resize(operands: Operands) -> str | None:
    """Scales are above 0, sizes 0 or more; a scale that is no number would become any size at all.

    From opset 11 on scales and sizes are inputs 2 and 3, behind the region of interest. Source: ONNX changelog.
    """
    positions = (2, 3) if operands.node.op == "Resize" and operands.node.version >= 11 else (1,)
    for array in map(operands.constant, positions):
        if array is None:
            continue
        numbers = array.astype(np.float64).reshape(-1).tolist()
        least = 0.0 if array.dtype.kind == "i" else math.ulp(0.0)
        if not all(least <= number <= MOST_ELEMENTS for number in numbers):
            return f"its scales or sizes {numbers} must be positive and finite"
    return None


def _gemm(operands: Operands) -> str | None:
    return _broadcasts("third input", operands.dims(2), operands.output())


def _prelu(operands: Operands) -> str | None:
    return _broadcasts("slope", operands.dims(1), operands.dims(0))


_CHECKS: dict[str, Check] = {
    "Conv": _conv(1, 2), "ConvInteger": _conv(1, None), "QLinearConv": _conv(3, 8), "ConvTranspose": _conv_transpose,
    "MaxPool": _pool, "AveragePool": _pool, "LpPool": _pool,
    "BatchNormalization": _per_channel(1, 2, 3, 4), "InstanceNormalization": _per_channel(1, 2),
    "LayerNormalization": _layer_norm, "RMSNormalization": _layer_norm, "GroupNormalization": _group_norm,
    "LSTM": _recurrent(4), "GRU": _recurrent(3), "RNN": _recurrent(1),
    "QuantizeLinear": _quantisation, "DequantizeLinear": _quantisation,
    "DepthToSpace": _depth_to_space, "SpaceToDepth": _space_to_depth, "Reshape": _reshape,
    "Resize": _resize, "Upsample": _resize, "Gemm": _gemm, "PRelu": _prelu,
}  # fmt: skip
"""By operator of ONNX's own domain."""


def check_regions(node: Node) -> None:
    """ModelError if an If, Loop or Scan lacks a region, or one does not take and give what the operator needs."""
    keys = () if node.domain else _REGIONS.get(node.op, ())
    for key in keys:
        region = node.attributes.get(key)
        if not isinstance(region, Graph):
            raise ModelError(f"node {node}: its attribute {key!r}, a graph, is missing")
        reason = _region_reason(node, region)
        if reason is not None:
            raise ModelError(
                f"node {node}: its {key} has {len(region.inputs)} inputs and {len(region.outputs)} "
                f"outputs, but {reason}"
            )


_REGIONS = {"If": ("then_branch", "else_branch"), "Loop": ("body",), "Scan": ("body",)}
_SCAN_WITHOUT_BATCH = 9
"""The opset from which on a Scan has no batch axis. Source: ONNX changelog, Scan-9."""


def _region_reason(node: Node, region: Graph) -> str | None:
    """Why a region cannot be the operator's, None if it can. Source: ONNX operators, If-21, Loop-21, Scan-21."""
    inputs, outputs = len(region.inputs), len(region.outputs)
    if node.op == "If":
        fits = not inputs and outputs == len(node.outputs) and len(node.inputs) == 1
        return None if fits else f"an If of {len(node.outputs)} outputs has branches with none and as many"
    if node.op == "Loop":
        carried = len(node.inputs) - 2
        fits = carried >= 0 and inputs == len(node.inputs) and outputs > carried and len(node.outputs) < outputs
        return (
            None
            if fits
            else (
                f"a Loop with {len(node.inputs)} inputs and {len(node.outputs)} outputs has a body with as many inputs "
                "and one output more"
            )
        )
    if node.version < _SCAN_WITHOUT_BATCH:
        return None
    scanned = int(node.attributes.get("num_scan_inputs", 0))
    states = len(node.inputs) - scanned
    axes = [len(node.attributes.get(f"scan_{side}_axes") or ()) for side in ("input", "output")]
    fits = scanned > 0 and 0 <= states <= outputs and inputs == len(node.inputs) and len(node.outputs) <= outputs
    if fits and axes[0] in (0, scanned) and axes[1] in (0, outputs - states):
        return None
    return (
        f"a Scan with {len(node.inputs)} inputs, {scanned} of them scanned, and {len(node.outputs)} outputs "
        "has a body with as many, and one axis for each tensor that is scanned or stacked"
    )
