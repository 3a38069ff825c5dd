"""The shape of a kernel as the fitted laws see it: what is computed, on how many pixels and channels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from partita.graph.ir import Graph, Node
from partita.graph.op_class import CONVOLUTIONS, SECOND_OPERAND, conv_weight

CONV, GROUPED, DEPTHWISE, GEMM = "conv", "grouped", "depthwise", "gemm"
MAX_POOL, AVERAGE_POOL, MEAN = "max_pool", "average_pool", "mean"
CONCAT, MOVEMENT, ADD, MULTIPLY, NORM, RELU, ACTIVATION = (
    "concat", "movement", "add", "multiply", "norm", "relu", "activation",
)  # fmt: skip
KINDS = (
    CONV, GROUPED, DEPTHWISE, GEMM, MAX_POOL, AVERAGE_POOL, MEAN, CONCAT, MOVEMENT, ADD, MULTIPLY, NORM, RELU,
    ACTIVATION,
)  # fmt: skip
CHAIN = "+"
IMAGE_RANK = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelShape:
    """One kernel: an operator with those that are fused behind it. Sizes in elements, batch folded into the rows."""

    kind: str
    height: int
    """Of the output, as `width`; a matrix product has one row of pixels, one for each row of its result."""
    width: int
    channels: int
    """Of the output."""
    in_channels: int
    taps: int = 1
    """Pixels that one output pixel reads: kernel height times width, the whole image for a mean."""
    side: int = 1
    """Height of that window."""
    stride: int = 1
    groups: int = 1
    inputs: int = 1
    """Activations that the operator itself reads."""
    joined: tuple[int, ...] = ()
    """Channels of each input of a concatenation."""
    read_elements: int
    """Of those inputs together."""
    weights: int = 0
    """Elements of constants."""
    pads: bool = False
    """Whether a window reaches over the border."""
    followers: tuple[str, ...] = ()
    """Operators fused behind it."""
    extra_inputs: int = 0
    """Activations of the output's size that the followers read."""

    @property
    def pixels(self) -> int:
        return self.height * self.width

    @property
    def elements(self) -> int:
        return self.pixels * self.channels

    @property
    def depth(self) -> int:
        """Products that are summed up for one element of the output."""
        if self.kind in (DEPTHWISE, MAX_POOL, AVERAGE_POOL, MEAN):
            return self.taps
        return self.taps * self.in_channels // self.groups if self.kind in (CONV, GROUPED, GEMM) else 0

    @property
    def macs(self) -> int:
        return self.elements * self.depth

    def scaled(self, *, channels: int, in_channels: int, height: int, width: int) -> "KernelShape":
        """The same kernel on another size; what it reads and its weights follow."""
        groups = in_channels if self.kind == DEPTHWISE else self.groups
        old = self.pixels * self.in_channels
        new = height * width * in_channels
        taps = self.taps
        return replace(
            self,
            channels=channels,
            in_channels=in_channels,
            height=height,
            width=width,
            groups=groups,
            taps=taps,
            read_elements=max(1, round(self.read_elements * new / max(old, 1))),
            weights=round(self.weights * channels * in_channels / max(self.channels * self.in_channels, 1)),
        )


_KIND_OF_OP = {
    "MaxPool": MAX_POOL, "AveragePool": AVERAGE_POOL, "GlobalAveragePool": MEAN, "GlobalMaxPool": MEAN,
    "Concat": CONCAT, "Slice": MOVEMENT, "Resize": MOVEMENT, "Pad": MOVEMENT, "Upsample": MOVEMENT, "Split": MOVEMENT,
    "Add": ADD, "Sub": ADD, "Max": ADD, "Min": ADD, "Mul": MULTIPLY, "Div": MULTIPLY, "BatchNormalization": NORM,
    "Relu": RELU, "Clip": RELU, "LeakyRelu": RELU, "PRelu": RELU,
    "Sigmoid": ACTIVATION, "HardSigmoid": ACTIVATION, "HardSwish": ACTIVATION, "Tanh": ACTIVATION, "Swish": ACTIVATION,
}  # fmt: skip


def kernel_shape(graph: Graph, node: Node) -> KernelShape | None:
    """The shape of an operator or a fused one, None if it is of no kind that the laws know or its sizes are open."""
    body = node.body
    if body is None:
        return _shape_of(graph, node)
    links = node.op.split(CHAIN)
    if len(links) == 1 and node.op not in _KIND_OF_OP:
        return None
    main = body.nodes[0] if len(links) > 1 or node.op not in _KIND_OF_OP else None
    if main is None:
        return _elementwise(graph, node, _KIND_OF_OP[node.op])
    found = _shape_of(graph, main, op=links[0])
    if found is None:
        return None
    own = set(_activations(graph, main))
    border = [name for name in node.present_inputs if not graph.is_constant(name)]
    extra = sum(name not in own for name in border)
    return replace(found, followers=tuple(links[1:]), extra_inputs=extra)


def _shape_of(graph: Graph, node: Node, op: str | None = None) -> KernelShape | None:
    op = op or node.op
    names = (*node.present_inputs, *node.present_outputs[:1])
    if not all(name in graph.values and graph.values[name].is_concrete for name in names):
        return None
    if node.op in CONVOLUTIONS:
        return _conv(graph, node)
    if node.op in SECOND_OPERAND or node.op in ("Gemm", "FusedGemm"):
        return _product(graph, node)
    kind = _KIND_OF_OP.get(op)
    if node.op == "ReduceMean" and len(_dims(graph, node.inputs[0])) == IMAGE_RANK:
        kind = MEAN
    if kind is None or (node.op not in _KIND_OF_OP and node.op != "ReduceMean"):
        return None
    return _pool(graph, node, kind) if kind in (MAX_POOL, AVERAGE_POOL, MEAN) else _elementwise(graph, node, kind)


def _conv(graph: Graph, node: Node) -> KernelShape | None:
    weight = _dims(graph, conv_weight(node))
    output = _dims(graph, node.outputs[0])
    if len(weight) != IMAGE_RANK or len(output) != IMAGE_RANK:
        return None
    groups = int(node.attributes.get("group", 1))
    in_channels = weight[1] * groups
    kind = CONV if groups == 1 else DEPTHWISE if groups == in_channels == weight[0] else GROUPED
    return KernelShape(
        kind=kind,
        height=output[0] * output[2],
        width=output[3],
        channels=output[1],
        in_channels=in_channels,
        taps=weight[2] * weight[3],
        side=weight[2],
        stride=max(node.attributes.get("strides") or (1,)),
        groups=groups,
        read_elements=_elements(graph, node.inputs[0]),
        weights=math.prod(weight),
        pads=any(node.attributes.get("pads") or ()) or str(node.attributes.get("auto_pad", "")).startswith("SAME"),
    )


def _product(graph: Graph, node: Node) -> KernelShape | None:
    """A matrix product with a weight; one of two activations has no kernel of its own here."""
    operands = [name for name in node.inputs[:2] if name]
    weights = [name for name in operands if graph.is_constant(name)]
    if len(weights) != 1 or len(operands) != 2:
        return None
    weight, output = _dims(graph, weights[0]), _dims(graph, node.outputs[0])
    activation = _elements(graph, next(name for name in operands if name not in weights))
    columns = output[-1] if output else 1
    rows = max(1, math.prod(output) // max(columns, 1))
    return KernelShape(
        kind=GEMM,
        height=1,
        width=rows,
        channels=columns,
        in_channels=max(1, activation // rows),
        read_elements=activation,
        weights=math.prod(weight),
    )


def _pool(graph: Graph, node: Node, kind: str) -> KernelShape | None:
    read, output = _dims(graph, node.inputs[0]), _dims(graph, node.outputs[0])
    if len(read) != IMAGE_RANK:
        return None
    window = tuple(node.attributes.get("kernel_shape") or read[2:]) if kind != MEAN else read[2:]
    if math.prod(output[2:]) == 1:
        kind, window = MEAN, read[2:]
    return KernelShape(
        kind=kind,
        height=read[0] * (output[2] if len(output) == IMAGE_RANK else 1),
        width=output[3] if len(output) == IMAGE_RANK else 1,
        channels=read[1],
        in_channels=read[1],
        taps=math.prod(window),
        side=window[0],
        stride=max(node.attributes.get("strides") or (1,)),
        read_elements=math.prod(read),
        pads=any(node.attributes.get("pads") or ()),
    )


def _elementwise(graph: Graph, node: Node, kind: str) -> KernelShape | None:
    if any(name not in graph.values or not graph.values[name].is_concrete for name in node.present_outputs[:1]):
        return None
    output = _dims(graph, node.outputs[0])
    read = [name for name in _activations(graph, node) if name in graph.values and graph.values[name].is_concrete]
    height, width, channels = _image(output)
    return KernelShape(
        kind=kind,
        height=height,
        width=width,
        channels=channels,
        in_channels=channels,
        inputs=max(1, len(read)),
        joined=tuple(_image(_dims(graph, name))[2] for name in read) if kind == CONCAT else (),
        read_elements=sum(_elements(graph, name) for name in read),
    )


def _image(dims: Sequence[int]) -> tuple[int, int, int]:
    """Any tensor as height, width and channels: channels second in an image, last elsewhere."""
    if len(dims) == IMAGE_RANK:
        return dims[0] * dims[2], dims[3], dims[1]
    return 1, max(1, math.prod(dims[:-1])), dims[-1] if dims else 1


def _activations(graph: Graph, node: Node) -> list[str]:
    return [name for name in dict.fromkeys(node.present_inputs) if not graph.is_constant(name)]


def _dims(graph: Graph, name: str) -> tuple[int, ...]:
    return graph.value(name).dims


def _elements(graph: Graph, name: str) -> int:
    return graph.value(name).elements
