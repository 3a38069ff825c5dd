"""Classes of operators: those of one class share one utilisation in a device model."""

from partita.graph.ir import Graph, Node

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

FIRST_CONV_CHANNELS = 4
"""A convolution that reads at most this many channels cannot fill a unit's vectors, and is a class of its own."""

CONVOLUTIONS = ("Conv", "ConvInteger", "QLinearConv", "FusedConv")

SECOND_OPERAND = {
    "MatMul": 1, "MatMulInteger": 1, "FusedMatMul": 1, "TransposeMatMul": 1, "QLinearMatMul": 3,
    "MatMulIntegerToFloat": 1, "DynamicQuantizeMatMul": 1,
}  # fmt: skip
"""Matrix products of two inputs, and where the right-hand one stands."""


def class_of(graph: Graph, node: Node) -> str:
    """The operator's class; a Conv's depends on groups and channels, a MatMul's on whether a weight is multiplied.

    The shape of a Conv's weight must be known.
    """
    if node.op in CONVOLUTIONS:
        return _conv_class(graph, node)
    if node.op in SECOND_OPERAND:
        operands = node.inputs[0], node.inputs[SECOND_OPERAND[node.op]]
        return GEMM if any(graph.is_constant(name) for name in operands) else BATCHED_MATMUL
    return CLASS_OF_OP.get(node.op, OTHER)


def conv_weight(node: Node) -> str:
    return node.inputs[3] if node.op == "QLinearConv" else node.inputs[1]


def _conv_class(graph: Graph, node: Node) -> str:
    groups = int(node.attributes.get("group", 1))
    channels = graph.value(conv_weight(node)).dims[1] * groups
    if groups == 1:
        return FIRST_CONV if channels <= FIRST_CONV_CHANNELS else DENSE_CONV
    if groups < channels:
        return GROUPED_CONV
    return STRIDED_DEPTHWISE_CONV if max(node.attributes.get("strides") or (1,)) > 1 else DEPTHWISE_CONV


_BY_CLASS: dict[str, tuple[str, ...]] = {
    FREE: (
        "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout", "Shape", "Size", "Constant", "BitCast",
        "Optional", "OptionalGetElement", "OptionalHasElement", "SequenceLength", "SequenceEmpty",
    ),
    GEMM: ("Gemm", "QGemm", "FusedGemm", "MatMulNBits"),
    DENSE_CONV: ("ConvTranspose", "DeformConv"),
    BATCHED_MATMUL: ("Einsum", "Attention", "MultiHeadAttention", "GroupQueryAttention", "LinearAttention"),
    RECURRENT: ("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"),
    POOL: (
        "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool",
        "QLinearAveragePool", "QLinearGlobalAveragePool", "MaxRoiPool",
    ),
    REDUCE: (
        "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
        "ReduceLogSumExp", "ReduceSumSquare", "ArgMax", "ArgMin", "CumSum", "CumProd", "TopK", "QLinearReduceMean",
    ),
    NORM: (
        "BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization",
        "LRN", "LpNormalization", "MeanVarianceNormalization", "SkipLayerNormalization", "SimplifiedLayerNormalization",
        "SkipSimplifiedLayerNormalization", "EmbedLayerNormalization",
    ),
    SOFTMAX: ("Softmax", "LogSoftmax", "Hardmax", "QLinearSoftmax"),
    RESIZE: ("Resize", "Upsample", "GridSample", "RoiAlign"),
    GATHER: (
        "Gather", "GatherElements", "GatherND", "Scatter", "ScatterElements", "ScatterND", "OneHot", "NonZero",
        "Compress", "NonMaxSuppression", "Unique", "MaxUnpool", "TensorScatter",
    ),
    MOVEMENT: (
        "Transpose", "Concat", "Slice", "Split", "Pad", "Expand", "Tile", "DepthToSpace", "SpaceToDepth",
        "ConstantOfShape", "Range", "Trilu", "ReverseSequence", "EyeLike", "CenterCropPad", "QLinearConcat",
        "SequenceConstruct", "SequenceInsert", "SequenceErase", "SequenceAt", "ConcatFromSequence", "SplitToSequence",
    ),
    ELEMENTWISE: (
        "Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Reciprocal", "Neg", "Abs", "Exp", "Log", "Erf", "Floor", "Ceil",
        "Round", "Sign", "Sin", "Cos", "Tan", "Tanh", "Sigmoid", "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu",
        "Gelu", "FastGelu", "QuickGelu", "BiasGelu", "BiasSplitGelu", "BiasAdd", "HardSigmoid", "HardSwish", "Swish",
        "SwiGLU", "Mish", "Softplus", "Softsign", "Shrink", "ThresholdedRelu", "Clip", "Min", "Max", "Mean", "Sum",
        "Mod", "Where", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor", "Not",
        "IsNaN", "IsInf", "Cast", "CastLike", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear",
        "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "QLinearAdd", "QLinearMul", "QLinearWhere",
        "QLinearSigmoid", "QLinearLeakyRelu", "MulInteger", "Acos", "Asin", "Atan", "Cosh", "Sinh", "Acosh", "Asinh",
        "Atanh", "RotaryEmbedding",
    ),
}  # fmt: skip
CLASS_OF_OP: dict[str, str] = {op: op_class for op_class, ops in _BY_CLASS.items() for op in ops}
