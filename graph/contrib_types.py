"""Types of operators that ONNX does not infer: some of its own, and onnxruntime's (domain com.microsoft).

Most of the latter have the type of a standard operator on some of the inputs.
Source: ONNX Runtime, docs/ContribOperators.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from partita.errors import ModelError
from partita.graph.ir import Node, Value

MICROSOFT = "com.microsoft"
STAND_IN_OPSET = 17
TRANSPOSED_PRODUCTS = ("FusedMatMul", "TransposeMatMul")
MATRIX_RANK = 2
Dims = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class StandIn:
    """The standard operator that gives an output of the same shape, and where that output's dtype comes from."""

    op: str
    inputs: tuple[int, ...]
    """Which inputs it takes; all are taken as float32, for only their shapes matter."""
    dtype_of: int = 0
    """The input that has the output's dtype."""
    attributes: tuple[str, ...] = ()
    """The attributes that it takes over."""


_WINDOW = ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides")
STAND_INS = {
    **{op: StandIn("Identity", (0,)) for op in (
        "Gelu", "FastGelu", "BiasGelu", "QuickGelu", "BiasAdd", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax",
    )},
    "FusedConv": StandIn("Conv", (0, 1), 0, ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")),
    "FusedGemm": StandIn("Gemm", (0, 1), 0, ("transA", "transB")),
    **{op: StandIn("MatMul", (0, 1)) for op in TRANSPOSED_PRODUCTS},
    "QLinearAdd": StandIn("Add", (0, 3)),
    "QLinearMul": StandIn("Mul", (0, 3)),
    "QLinearAveragePool": StandIn("AveragePool", (0,), 0, _WINDOW),
    "QLinearGlobalAveragePool": StandIn("GlobalAveragePool", (0,)),
    "QLinearReduceMean": StandIn("ReduceMean", (0,), 0, ("axes", "keepdims")),
    "MatMulIntegerToFloat": StandIn("MatMul", (0, 1), 2),
    "DynamicQuantizeMatMul": StandIn("MatMul", (0, 1)),
}  # fmt: skip


def input_type(node: Node, types: Mapping[str, Value], index: int) -> Value:
    """The type of an input; ModelError if the node lacks it or its type is not known."""
    name = node.inputs[index] if index < len(node.inputs) else ""
    if name not in types:
        raise ModelError(f"node {node}: the type of its input {name or index!r} is not known")
    return types[name]


def stand_in(node: Node, types: Mapping[str, Value]) -> tuple[Node, dict[str, Value], str] | None:
    """A standard operator whose output has the node's shape, its inputs' types, and the dtype of the node's output."""
    rule = STAND_INS.get(node.op) if node.domain == MICROSOFT else None
    if rule is None:
        return None
    given = {f"{i}": Value("float32", _as_read(node, i, input_type(node, types, i).shape)) for i in rule.inputs}
    attributes = {name: value for name, value in node.attributes.items() if name in rule.attributes}
    standard = Node(node.name, rule.op, tuple(given), node.outputs[:1], attributes, "", STAND_IN_OPSET)
    return standard, given, input_type(node, types, rule.dtype_of).dtype


def _as_read(node: Node, index: int, shape: Dims | None) -> Dims | None:
    """The shape in which an operand of FusedMatMul enters the product; every other input's own shape.

    `transBatch` brings the first dimension behind the batch, then `trans` swaps the last two; a vector stays as it is.
    """
    if node.op not in TRANSPOSED_PRODUCTS or shape is None or len(shape) < MATRIX_RANK:
        return shape
    side = "AB"[index]
    if node.attributes.get(f"transBatch{side}", 0):
        shape = (*shape[1:-1], shape[0], shape[-1])
    return (*shape[:-2], shape[-1], shape[-2]) if node.attributes.get(f"trans{side}", 0) else shape


def _same_as_first(node: Node, types: Mapping[str, Value]) -> dict[str, Value]:
    return {node.outputs[0]: input_type(node, types, 0)}


def _skip_norm(node: Node, types: Mapping[str, Value]) -> dict[str, Value]:
    """The normalised sum, mean and inverse deviation per row, and the sum itself."""
    whole = input_type(node, types, 0)
    row = Value("float32", None if whole.shape is None else (*whole.shape[:-1], 1))
    return {name: value for name, value in zip(node.outputs, (whole, row, row, whole), strict=False) if name}


def _embedding_norm(node: Node, types: Mapping[str, Value]) -> dict[str, Value]:
    """Embeddings [batch, sequence, hidden], the last index of each mask [batch], and the sum before the norm."""
    ids, table = input_type(node, types, 0), input_type(node, types, 2)
    known = ids.shape is not None and table.shape is not None
    rows = Value(table.dtype, (*(ids.shape or ()), (table.shape or (None,))[-1]) if known else None)
    mask = Value("int32", None if ids.shape is None else ids.shape[:1])
    return {name: value for name, value in zip(node.outputs, (rows, mask, rows), strict=False) if name}


def _matmul_n_bits(node: Node, types: Mapping[str, Value]) -> dict[str, Value]:
    a = input_type(node, types, 0)
    shape = None if a.shape is None else (*a.shape[:-1], int(node.attributes["N"]))
    return {node.outputs[0]: Value(a.dtype, shape)}


def _split_gelu(node: Node, types: Mapping[str, Value]) -> dict[str, Value]:
    """One half of the last dimension gates the other."""
    x = input_type(node, types, 0)
    if x.shape is None or x.shape[-1] is None:
        return {node.outputs[0]: Value(x.dtype, x.shape)}
    return {node.outputs[0]: Value(x.dtype, (*x.shape[:-1], x.shape[-1] // 2))}


Rule = Callable[[Node, Mapping[str, Value]], dict[str, Value]]
RULES: dict[tuple[str, str], Rule] = {
    **{("", op): _same_as_first for op in ("GroupNormalization", "MeanVarianceNormalization")},
    ("", "SimplifiedLayerNormalization"): _same_as_first,
    (MICROSOFT, "SkipLayerNormalization"): _skip_norm,
    (MICROSOFT, "SkipSimplifiedLayerNormalization"): _skip_norm,
    (MICROSOFT, "EmbedLayerNormalization"): _embedding_norm,
    (MICROSOFT, "MatMulNBits"): _matmul_n_bits,
    (MICROSOFT, "BiasSplitGelu"): _split_gelu,
}
"""By domain and operator; the first two standard ones are functions, for which ONNX infers nothing by themselves."""
