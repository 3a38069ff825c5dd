"""Types of the outputs of onnxruntime's own operators (domain com.microsoft), which ONNX cannot infer.

Most are those of a standard operator on some of the inputs. Source: ONNX Runtime, docs/ContribOperators.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from partita.errors import ModelError
from partita.graph.ir import Node, Value

MICROSOFT = "com.microsoft"
STAND_IN_OPSET = 17


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
    "QLinearAdd": StandIn("Add", (0, 3)),
    "QLinearMul": StandIn("Mul", (0, 3)),
    "QLinearAveragePool": StandIn("AveragePool", (0,), 0, _WINDOW),
    "QLinearGlobalAveragePool": StandIn("GlobalAveragePool", (0,)),
    "QLinearReduceMean": StandIn("ReduceMean", (0,), 0, ("axes", "keepdims")),
    "MatMulIntegerToFloat": StandIn("MatMul", (0, 1), 2),
    "DynamicQuantizeMatMul": StandIn("MatMul", (0, 1)),
}  # fmt: skip


class _Inputs(NamedTuple):
    node: Node
    types: Mapping[str, Value]

    def __getitem__(self, index: int) -> Value:  # type: ignore[override]
        return input_type(self.node, self.types, index)


def input_type(node: Node, types: Mapping[str, Value], index: int) -> Value:
    """The type of an input; ModelError if the node lacks it or its type is not known."""
    name = node.inputs[index] if index < len(node.inputs) else ""
    if name not in types:
        raise ModelError(f"node {node}: the type of its input {name or index!r} is not known")
    return types[name]
