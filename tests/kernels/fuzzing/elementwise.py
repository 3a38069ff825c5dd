"""Element by element, along axes, and to other dtypes."""

from typing import Any

import numpy as np
from onnx import helper

from tests.kernels.fuzzing.draw import Case, Draw, draws, int64

FLOATS = (np.float32, np.float64, np.float16)
INTS = (np.int32, np.int64, np.int8, np.uint8)
HALF_TOLERANCE = 3e-3
"""Two units in the last place of float16, and a little for what is rounded between the steps."""


def tolerance_of(dtype: object) -> float:
    return HALF_TOLERANCE if np.dtype(dtype) == np.float16 else 1e-5  # type: ignore[call-overload]


# Operator: oldest opset, lowest and highest input, attributes and the range of each.
_UNARY: dict[str, tuple[int, float, float, dict[str, tuple[float, float]]]] = {
    "Abs": (13, -9, 9, {}),
    "Acos": (7, -1, 1, {}),
    "Acosh": (9, 1, 9, {}),
    "Asin": (7, -1, 1, {}),
    "Asinh": (9, -9, 9, {}),
    "Atan": (7, -9, 9, {}),
    "Atanh": (9, -0.99, 0.99, {}),
    "Ceil": (13, -9, 9, {}),
    "Celu": (12, -4, 4, {"alpha": (0.2, 3)}),
    "Cos": (7, -9, 9, {}),
    "Cosh": (9, -4, 4, {}),
    "Elu": (7, -4, 4, {"alpha": (0.2, 3)}),
    "Erf": (13, -4, 4, {}),
    "Exp": (13, -5, 5, {}),
    "Floor": (13, -9, 9, {}),
    "Gelu": (20, -4, 4, {}),
    "HardSigmoid": (7, -9, 9, {"alpha": (0.05, 1), "beta": (-1, 1)}),
    "HardSwish": (14, -9, 9, {}),
    "LeakyRelu": (16, -9, 9, {"alpha": (-1, 1)}),
    "Log": (13, 0.01, 9, {}),
    "Mish": (18, -9, 9, {}),
    "Neg": (13, -9, 9, {}),
    "Reciprocal": (13, 0.1, 9, {}),
    "Relu": (14, -9, 9, {}),
    "Round": (11, -9, 9, {}),
    "Selu": (7, -4, 4, {"alpha": (0.5, 3), "gamma": (0.5, 3)}),
    "Shrink": (9, -2, 2, {"lambd": (0, 1), "bias": (-1, 1)}),
    "Sigmoid": (13, -9, 9, {}),
    "Sign": (13, -3, 3, {}),
    "Sin": (7, -9, 9, {}),
    "Sinh": (9, -4, 4, {}),
    "Softplus": (7, -20, 20, {}),
    "Softsign": (7, -9, 9, {}),
    "Sqrt": (13, 0, 9, {}),
    "Tan": (7, -1.4, 1.4, {}),
    "Tanh": (13, -9, 9, {}),
    "ThresholdedRelu": (10, -3, 3, {"alpha": (-1, 2)}),
}
_FLOAT16_ALSO = ("Abs", "Exp", "Floor", "Gelu", "Neg", "Relu", "Sigmoid", "Sqrt", "Tanh", "LeakyRelu", "Ceil")
_INTS_ALSO = ("Abs", "Neg", "Sign")


@draws("unary")
@draws("unary again")
@draws("unary once more")
def unary(draw: Draw) -> Case:
    op = draw.pick(*_UNARY)
    oldest, low, high, ranges = _UNARY[op]
    dtype: Any = np.float32
    if op in _FLOAT16_ALSO and draw.chance(0.2):
        dtype = np.float16
    elif op in _INTS_ALSO and draw.chance(0.3):
        dtype = draw.pick(np.int32, np.int64, np.int8)
    attributes = {name: draw.number(*limits) for name, limits in ranges.items() if draw.chance(0.7)}
    if op == "Gelu":
        attributes["approximate"] = draw.pick("none", "tanh")
    shape = (draw.integer(1, 70000),) if draw.chance(0.05) else draw.shape()
    x = draw.tensor(shape, dtype, low, high)
    return Case(op, (x,), attributes, max(oldest, draw.pick(7, 13, 17, 21)), tolerance=tolerance_of(dtype))


@draws("large tensors")
def large(draw: Draw) -> Case:
    """Sizes at which work is done in blocks."""
    shape = (draw.integer(1, 9), draw.integer(1, 400), draw.pick(63, 64, 255, 257))
    op = draw.pick(
        "Softmax", "LogSoftmax", "ReduceMean", "ReduceMax", "ReduceL2", "ArgMax", "TopK", "Transpose", "CumSum"
    )
    x = draw.tensor(shape)
    axis = draw.axis(3)
    if op == "TopK":
        return Case(op, (x, int64([min(shape[axis], draw.integer(1, 9))])), {"axis": axis}, 11, 2)
    if op == "Transpose":
        return Case(op, (x,), {"perm": draw.generator.permutation(3).tolist()}, 13)
    if op == "CumSum":
        return Case(op, (x, np.array(axis, np.int64)), {}, 14, tolerance=1e-4)
    attributes = {"axes": [axis]} if op.startswith("Reduce") else {"axis": axis}
    return Case(op, (x,), attributes, 13)


@draws("binary")
@draws("binary again")
def binary(draw: Draw) -> Case:
    op = draw.pick("Add", "Sub", "Mul", "Div", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "PRelu")
    dtype = draw.pick(np.float32, np.float32, np.float64, np.int32, np.int64)
    opset = draw.pick(13, 14, 16, 17, 21)
    shape = draw.shape()
    a, b = draw.tensor(shape, dtype), draw.tensor(draw.broadcastable(shape), dtype)
    if op == "Div":
        b = np.where(b == 0, b + b.dtype.type(1), b)
    if draw.chance(0.3) and op != "PRelu":
        a, b = b, a
        if op == "Div":
            b = np.where(b == 0, b + b.dtype.type(1), b)
    return Case(op, (a, b), {}, max(opset, 16) if op in ("LessOrEqual", "GreaterOrEqual", "PRelu") else opset)


@draws("Pow")
def power(draw: Draw) -> Case:
    shape = draw.shape()
    base, exponent = draw.pick(
        (np.float32, np.float32), (np.float32, np.int64), (np.int64, np.int64), (np.int32, np.float32)
    )
    y = draw.tensor(draw.broadcastable(shape), exponent, 0, 4)
    return Case("Pow", (draw.tensor(shape, base, 0 if exponent == np.float32 else -3, 4), y), {}, draw.pick(13, 15, 17))


@draws("Mod")
def modulo(draw: Draw) -> Case:
    dtype = draw.pick(np.float32, np.int32, np.int64, np.int8, np.uint8)
    shape = draw.shape()
    b = draw.tensor(draw.broadcastable(shape), dtype, -5, 5)
    b = np.where(np.abs(b) < 1, b.dtype.type(2), b)
    fmod = 1 if np.dtype(dtype).kind == "f" else draw.integer(0, 1)
    return Case("Mod", (draw.tensor(shape, dtype, -20, 20), b), {"fmod": fmod}, draw.pick(10, 13))


@draws("variadic")
def variadic(draw: Draw) -> Case:
    op = draw.pick("Max", "Min", "Sum", "Mean")
    dtype = draw.pick(np.float32, np.float64, np.int32, np.int64) if op in ("Max", "Min") else np.float32
    shape = draw.shape()
    tensors = [draw.tensor(draw.broadcastable(shape), dtype) for _ in range(draw.integer(0, 3))]
    return Case(op, (draw.tensor(shape, dtype), *tensors), {}, 13)


@draws("logic")
def logic(draw: Draw) -> Case:
    shape = draw.shape()
    op = draw.pick("And", "Or", "Xor", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Not", "BitwiseNot")
    if op in ("And", "Or", "Xor", "Not"):
        dtype = np.bool_
    else:
        dtype = (
            draw.pick(np.uint8, np.uint32, np.uint64) if op == "BitShift" else draw.pick(np.uint8, np.int32, np.int64)
        )
    x = draw.tensor(shape, dtype, -50, 50)
    inputs = (x,) if op.endswith("Not") else (x, draw.tensor(draw.broadcastable(shape), dtype, 0, 7))
    return Case(op, inputs, {"direction": draw.pick("LEFT", "RIGHT")} if op == "BitShift" else {}, 18)


@draws("Where")
def where(draw: Draw) -> Case:
    shape, dtype = draw.shape(), draw.pick(np.float32, np.int64, np.int32, np.uint8)
    inputs = [draw.tensor(draw.broadcastable(shape), d) for d in (np.bool_, dtype, dtype)]
    return Case("Where", tuple(inputs), {}, draw.pick(9, 16))


@draws("Clip")
def clip(draw: Draw) -> Case:
    opset = draw.pick(7, 11, 12, 13)
    if opset < 11:
        attributes = {"min": draw.number(-2, 0), "max": draw.number(-1, 2)}
        return Case("Clip", (draw.tensor(draw.shape()),), {k: v for k, v in attributes.items() if draw.chance(0.8)}, 7)
    dtype = np.float32 if opset == 11 else draw.pick(np.float32, np.float64, np.int8, np.uint8, np.int64, np.float16)
    low = draw.tensor((), dtype, -2, 1) if draw.chance(0.7) else None
    high = draw.tensor((), dtype, 0, 3) if draw.chance(0.7) else None
    return Case("Clip", (draw.tensor(draw.shape(), dtype), low, high), {}, opset)


@draws("softmax family")
@draws("softmax family again")
def softmax(draw: Draw) -> Case:
    op, opset = draw.pick("Softmax", "LogSoftmax", "Hardmax"), draw.pick(7, 11, 13, 17)
    shape = draw.shape(1, 4, draw.pick(3, 9))
    attributes = {"axis": draw.integer(0, len(shape) - 1) if opset < 11 else draw.axis(len(shape))}
    x = draw.tensor(shape, low=-9, high=9)
    return Case(op, (x,), attributes if draw.chance(0.8) else {}, opset)


_REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
)  # fmt: skip


@draws("reduction")
@draws("reduction again")
@draws("reduction once more")
def reduction(draw: Draw) -> Case:
    op, opset = draw.pick(*_REDUCTIONS), draw.pick(7, 11, 13, 18)
    dtype = (
        np.float32
        if op in ("ReduceLogSum", "ReduceLogSumExp", "ReduceL2", "ReduceMean")
        else draw.pick(np.float32, np.float32, np.int32)
    )
    shape = draw.shape(0, 5, 5)
    if op == "ReduceMean":  # of nothing, the mean is undefined
        shape = tuple(max(size, 1) for size in shape)
    x = draw.tensor(shape, dtype, 0.5 if "Log" in op else -3, 3)
    attributes = {"keepdims": draw.integer(0, 1)} if draw.chance(0.7) else {}
    axes = draw.axes(len(shape)) if shape else []
    if opset < 11:
        axes = [axis % len(shape) for axis in axes]
    if not axes or draw.chance(0.2):
        if opset >= 18 and draw.chance():
            attributes["noop_with_empty_axes"] = 1
        return Case(op, (x,), attributes, opset)
    if opset >= 18 or (op == "ReduceSum" and opset >= 13):
        return Case(op, (x, int64(axes)), attributes, opset)
    return Case(op, (x,), {**attributes, "axes": axes}, opset)


@draws("ArgMax, ArgMin")
def arg(draw: Draw) -> Case:
    shape, opset = draw.shape(1, 4), draw.pick(7, 11, 12, 13)
    attributes = {"axis": draw.integer(0, len(shape) - 1) if opset < 11 else draw.axis(len(shape))}
    attributes["keepdims"] = draw.integer(0, 1)
    if opset >= 12 and draw.chance():
        attributes["select_last_index"] = 1
    dtype = draw.pick(np.float32, np.int32) if opset < 12 else draw.pick(np.float32, np.float64, np.int8, np.uint8)
    return Case(draw.pick("ArgMax", "ArgMin"), (draw.tensor(shape, np.int8).astype(dtype),), attributes, opset)


@draws("CumSum")
def cumulative(draw: Draw) -> Case:
    shape, dtype = draw.shape(1, 4), draw.pick(np.float32, np.float64, np.int32, np.int64)
    axis = np.array(draw.axis(len(shape)), draw.pick(np.int32, np.int64))
    attributes = {"exclusive": draw.integer(0, 1), "reverse": draw.integer(0, 1)}
    return Case("CumSum", (draw.tensor(shape, dtype), axis), attributes, draw.pick(11, 14))


_CASTS = (
    np.float32,
    np.float64,
    np.float16,
    np.int8,
    np.uint8,
    np.int16,
    np.uint16,
    np.int32,
    np.int64,
    np.uint32,
    np.uint64,
    np.bool_,
)


@draws("Cast")
def cast(draw: Draw) -> Case:
    source, target = draw.pick(*_CASTS), draw.pick(*_CASTS)
    low = 0 if np.dtype(target).kind == "u" and np.dtype(source).kind == "f" else -100
    x = draw.tensor(draw.shape(), source, low, 100)
    return Case("Cast", (x,), {"to": helper.np_dtype_to_tensor_dtype(np.dtype(target))}, draw.pick(9, 13, 19))


@draws("IsNaN, IsInf")
def not_finite(draw: Draw) -> Case:
    x = draw.tensor(draw.shape())
    x = np.where(x > 2, np.nan, np.where(x > 1, np.inf, np.where(x < -2, -np.inf, x))).astype(np.float32)
    if draw.chance():
        return Case("IsNaN", (x,), {}, 13)
    return Case("IsInf", (x,), {f"detect_{sign}": draw.integer(0, 1) for sign in ("negative", "positive")}, 10)
