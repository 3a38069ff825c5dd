"""What an operator has to do, apart from any device: multiply-accumulates, element operations, bytes moved."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from partita.graph.dtypes import is_floating, size_bytes
from partita.graph.ir import Graph, Node, Value

FREE = "free"
DENSE_CONV = "dense_conv"
FIRST_CONV = "first_conv"
GROUPED_CONV = "grouped_conv"
DEPTHWISE_CONV = "depthwise_conv"
STRIDED_DEPTHWISE_CONV = "strided_depthwise_conv"
GEMM = "gemm"
BATCHED_MATMUL = "batched_matmul"
RECURRENT = "recurrent"
POOL = "pool"
REDUCE = "reduce"
NORM = "norm"
SOFTMAX = "softmax"
ELEMENTWISE = "elementwise"
RESIZE = "resize"
GATHER = "gather"
MOVEMENT = "movement"
OTHER = "other"

OP_CLASSES = (
    FREE, DENSE_CONV, FIRST_CONV, GROUPED_CONV, DEPTHWISE_CONV, STRIDED_DEPTHWISE_CONV, GEMM, BATCHED_MATMUL, RECURRENT,
    POOL, REDUCE, NORM, SOFTMAX, ELEMENTWISE, RESIZE, GATHER, MOVEMENT, OTHER,
)  # fmt: skip
"""Operators of one class share one utilisation in a device model."""

FIRST_CONV_CHANNELS = 4
"""A convolution that reads at most this many channels cannot fill a unit's vectors, and is a class of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matmul:
    """The matrix product that an operator amounts to: `batch` products of [m, k] by [k, n]."""

    batch: int
    m: int
    n: int
    k: int

    @property
    def macs(self) -> int:
        return self.batch * self.m * self.n * self.k


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The work of one operator whose floating-point tensors are stored in one dtype."""

    op_class: str
    macs: int
    element_ops: int
    """Elementary operations besides `macs`: additions, comparisons, table look-ups; one transcendental counts as several."""
    input_bytes: int
    """Activations read, each tensor once."""
    output_bytes: int
    weight_bytes: int
    matmul: Matmul | None = None
    """The largest matrix product in it, for tile and wave quantisation."""

    @property
    def total_bytes(self) -> int:
        return self.input_bytes + self.output_bytes + self.weight_bytes


def work_of(graph: Graph, node: Node, dtype: str | None = None) -> Work:
    """The work of `node`, its floating-point tensors stored as `dtype` (their own if None).

    A fused operator has the sum of its body's work, but only the bytes at its border.
    """
    if node.body is not None:
        return _fused(graph, node, node.body, dtype)
    op_class = class_of(graph, node)
    if op_class == FREE:
        return Work(op_class=FREE, macs=0, element_ops=0, input_bytes=0, output_bytes=0, weight_bytes=0)
    matmul = _MATMULS[node.op](graph, node) if node.op in _MATMULS else None
    inner = [work_of(region, n, dtype) for region in node.regions for n in region.nodes]
    inputs, outputs, weights = _border_bytes(graph, node, dtype)
    return Work(
        op_class=op_class,
        macs=(matmul.macs if matmul else 0) + sum(w.macs for w in inner),
        element_ops=_element_ops(graph, node) + sum(w.element_ops for w in inner),
        input_bytes=inputs,
        output_bytes=outputs,
        weight_bytes=weights,
        matmul=matmul,
    )


def _fused(graph: Graph, node: Node, body: Graph, dtype: str | None) -> Work:
    parts = [work_of(body, inner, dtype) for inner in body.nodes]
    heaviest = max(parts, key=lambda w: (w.macs, w.element_ops))
    inputs, outputs, weights = _border_bytes(graph, node, dtype)
    op_class = heaviest.op_class if heaviest.macs or node.op not in CLASS_OF_OP else CLASS_OF_OP[node.op]
    return Work(
        op_class=op_class,
        macs=sum(w.macs for w in parts),
        element_ops=sum(w.element_ops for w in parts),
        input_bytes=inputs,
        output_bytes=outputs,
        weight_bytes=weights,
        matmul=heaviest.matmul,
    )


def _border_bytes(graph: Graph, node: Node, dtype: str | None) -> tuple[int, int, int]:
    inputs = weights = 0
    for name in graph.reads(node):
        if not graph.is_constant(name):
            inputs += _stored_bytes(graph.values.get(name), dtype)
        elif node.op not in _READS_ROWS:
            weights += _stored_bytes(graph.values.get(name), dtype)
    outputs = sum(_stored_bytes(graph.values.get(name), dtype) for name in node.present_outputs)
    if node.op in _READS_ROWS or node.op in ("Slice", "Split"):  # only what is taken is read
        inputs = (
            min(inputs, outputs)
            if node.op != "Gather"
            else inputs + (outputs if graph.is_constant(node.inputs[0]) else 0)
        )
    return inputs, outputs, weights


def _stored_bytes(value: Value | None, dtype: str | None) -> int:
    if value is None or not value.is_concrete:
        return 0
    return size_bytes(value.elements, dtype if dtype and is_floating(value.dtype) else value.dtype)


def class_of(graph: Graph, node: Node) -> str:
    """The operator's class; a Conv's depends on its groups and channels, a MatMul's on whether a weight is multiplied."""
    if node.op in ("Conv", "ConvInteger", "QLinearConv", "FusedConv"):
        return _conv_class(graph, node)
    if node.op in ("MatMul", "MatMulInteger", "FusedMatMul", "QLinearMatMul"):
        return (
            GEMM
            if any(graph.is_constant(name) for name in node.present_inputs[:4]) and node.op != "QLinearMatMul"
            else (BATCHED_MATMUL)
        )
    return CLASS_OF_OP.get(node.op, OTHER)


def _conv_class(graph: Graph, node: Node) -> str:
    groups = int(node.attributes.get("group", 1))
    weight = _dims(graph, node.inputs[3] if node.op == "QLinearConv" else node.inputs[1])
    channels = weight[1] * groups
    if groups == 1:
        return FIRST_CONV if channels <= FIRST_CONV_CHANNELS else DENSE_CONV
    if groups < channels:
        return GROUPED_CONV
    return STRIDED_DEPTHWISE_CONV if max(node.attributes.get("strides", (1,))) > 1 else DEPTHWISE_CONV


def _dims(graph: Graph, name: str) -> tuple[int, ...]:
    return graph.value(name).dims


def _conv(graph: Graph, node: Node) -> Matmul:
    groups = int(node.attributes.get("group", 1))
    weight = _dims(graph, node.inputs[3] if node.op == "QLinearConv" else node.inputs[1])
    output = _dims(graph, node.outputs[0])
    pixels = output[0] * math.prod(output[2:])
    return Matmul(batch=groups, m=pixels, n=weight[0] // groups, k=math.prod(weight[1:]))


def _conv_transpose(graph: Graph, node: Node) -> Matmul:
    groups = int(node.attributes.get("group", 1))
    data, weight = _dims(graph, node.inputs[0]), _dims(graph, node.inputs[1])
    pixels = data[0] * math.prod(data[2:])
    return Matmul(batch=groups, m=pixels, n=math.prod(weight[1:]), k=weight[0] // groups)


def _matmul(graph: Graph, node: Node) -> Matmul:
    left, right = node.inputs[0], node.inputs[3] if node.op == "QLinearMatMul" else node.inputs[1]
    a, b, out = _dims(graph, left), _dims(graph, right), _dims(graph, node.outputs[0])
    m, n = (a[-2] if len(a) > 1 else 1), (b[-1] if len(b) > 1 else 1)
    if len(b) <= 2:  # one right-hand matrix for the whole batch
        return Matmul(batch=1, m=math.prod(out) // max(n, 1), n=n, k=a[-1])
    return Matmul(batch=math.prod(out) // max(m * n, 1), m=m, n=n, k=a[-1])


def _gemm(graph: Graph, node: Node) -> Matmul:
    a, out = _dims(graph, node.inputs[0]), _dims(graph, node.outputs[0])
    return Matmul(batch=1, m=out[0], n=out[1], k=a[0] if node.attributes.get("transA", 0) else a[1])


def _recurrent(graph: Graph, node: Node) -> Matmul:
    data, weight, recurrence = (_dims(graph, name) for name in node.inputs[:3])
    steps, batch = (data[1], data[0]) if node.attributes.get("layout", 0) else (data[0], data[1])
    return Matmul(batch=steps * weight[0], m=batch, n=weight[1], k=weight[2] + recurrence[2])


def _einsum(graph: Graph, node: Node) -> Matmul:
    terms = str(node.attributes["equation"]).replace(" ", "").split("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, name in zip(terms, node.present_inputs, strict=True):
        sizes.update(
            zip(term.replace("...", ""), _dims(graph, name)[-len(term.replace("...", "")) or None :], strict=False)
        )
    output = graph.value(node.outputs[0]).elements
    kept = set(str(node.attributes["equation"]).split("->")[-1]) if "->" in str(node.attributes["equation"]) else set()
    summed = math.prod(size for letter, size in sizes.items() if letter not in kept)
    return Matmul(batch=1, m=output, n=1, k=summed)


def _attention(graph: Graph, node: Node) -> Matmul:
    """Both products, as one of twice the depth; heads from the attributes if the inputs are three-dimensional."""
    query, key = _dims(graph, node.inputs[0]), _dims(graph, node.inputs[1])
    heads = (
        query[1] if len(query) == 4 else int(node.attributes.get("q_num_heads", node.attributes.get("num_heads", 1)))
    )
    depth = query[-1] if len(query) == 4 else query[-1] // heads
    return Matmul(batch=query[0] * heads, m=query[-2], n=key[-2], k=2 * depth)


_MATMULS: dict[str, Callable[[Graph, Node], Matmul]] = {
    "Conv": _conv, "FusedConv": _conv, "ConvInteger": _conv, "QLinearConv": _conv, "ConvTranspose": _conv_transpose,
    "MatMul": _matmul, "MatMulInteger": _matmul, "FusedMatMul": _matmul, "QLinearMatMul": _matmul, "Gemm": _gemm,
    "LSTM": _recurrent, "GRU": _recurrent, "RNN": _recurrent, "Einsum": _einsum,
    "Attention": _attention, "MultiHeadAttention": _attention,
}  # fmt: skip

_READS_ROWS = ("Gather", "GatherElements", "GatherND", "Embedding")

_BY_CLASS: dict[str, tuple[str, ...]] = {
    FREE: ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout", "Shape", "Size", "Constant"),
    GEMM: ("Gemm", "MatMulInteger", "QLinearMatMul", "QGemm", "FusedGemm", "MatMulNBits"),
    DENSE_CONV: ("ConvTranspose", "DeformConv"),
    BATCHED_MATMUL: ("Einsum", "Attention", "MultiHeadAttention", "GroupQueryAttention"),
    RECURRENT: ("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"),
    POOL: ("MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"),
    REDUCE: (
        "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
        "ReduceLogSumExp", "ReduceSumSquare", "ArgMax", "ArgMin", "CumSum", "TopK",
    ),
    NORM: (
        "BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization",
        "LRN", "LpNormalization", "MeanVarianceNormalization", "SkipLayerNormalization", "SimplifiedLayerNormalization",
    ),
    SOFTMAX: ("Softmax", "LogSoftmax", "Hardmax"),
    RESIZE: ("Resize", "Upsample", "GridSample", "RoiAlign"),
    GATHER: (
        "Gather", "GatherElements", "GatherND", "Scatter", "ScatterElements", "ScatterND", "OneHot", "NonZero", "Compress",
        "NonMaxSuppression", "Unique",
    ),
    MOVEMENT: (
        "Transpose", "Concat", "Slice", "Split", "Pad", "Expand", "Tile", "DepthToSpace", "SpaceToDepth", "ConstantOfShape",
        "Range", "Trilu", "ReverseSequence", "EyeLike",
    ),
    ELEMENTWISE: (
        "Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Reciprocal", "Neg", "Abs", "Exp", "Log", "Erf", "Floor", "Ceil", "Round",
        "Sign", "Sin", "Cos", "Tan", "Tanh", "Sigmoid", "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu",
        "FastGelu", "QuickGelu", "BiasGelu", "HardSigmoid", "HardSwish", "Swish", "Mish", "Softplus", "Softsign",
        "ThresholdedRelu", "Clip", "Min", "Max", "Mean", "Sum", "Mod", "Where", "Equal", "Less", "LessOrEqual", "Greater",
        "GreaterOrEqual", "And", "Or", "Xor", "Not", "IsNaN", "IsInf", "Cast", "CastLike", "QuantizeLinear",
        "DequantizeLinear", "DynamicQuantizeLinear", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot",
        "QLinearAdd", "QLinearMul", "Acos", "Asin", "Atan", "Cosh", "Sinh", "Acosh", "Asinh", "Atanh", "RotaryEmbedding",
    ),
}  # fmt: skip
CLASS_OF_OP: dict[str, str] = {op: op_class for op_class, ops in _BY_CLASS.items() for op in ops}

_TRANSCENDENTAL = frozenset(
    ("Exp", "Log", "Erf", "Sin", "Cos", "Tan", "Tanh", "Sigmoid", "Elu", "Selu", "Celu", "Gelu", "FastGelu", "QuickGelu",
     "BiasGelu", "Swish", "Mish", "Softplus", "Pow", "Softmax", "LogSoftmax", "Acos", "Asin", "Atan", "Cosh", "Sinh", "Acosh",
     "Asinh", "Atanh")
)  # fmt: skip
_OPS_OF_TRANSCENDENTAL = 8
_OPS_OF_NORM = 6


def _element_ops(graph: Graph, node: Node) -> int:
    op_class = CLASS_OF_OP.get(node.op, OTHER)
    output = sum(_elements(graph, name) for name in node.present_outputs)
    if op_class == POOL:
        window = math.prod(node.attributes.get("kernel_shape", ())) if "kernel_shape" in node.attributes else 0
        return output * window if window else _elements(graph, node.inputs[0])
    if op_class == REDUCE:
        return _elements(graph, node.inputs[0])
    if op_class in (NORM, SOFTMAX, RESIZE):
        return output * (_OPS_OF_NORM + (_OPS_OF_TRANSCENDENTAL if op_class == SOFTMAX else 0))
    if node.op in _TRANSCENDENTAL:
        return output * _OPS_OF_TRANSCENDENTAL
    return output if op_class in (ELEMENTWISE, OTHER) else 0


def _elements(graph: Graph, name: str) -> int:
    value = graph.values.get(name)
    return value.elements if value is not None and value.is_concrete else 0
