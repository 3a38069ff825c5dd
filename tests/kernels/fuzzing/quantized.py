"""Quantised operators of ai.onnx and com.microsoft."""

from typing import Any

import numpy as np

from tests.kernels.fuzzing.draw import Array, Case, Draw, draws, float32
from tests.kernels.fuzzing.windows import image, window

BYTES = (np.uint8, np.int8)
MICROSOFT = "com.microsoft"


def _scale(draw: Draw) -> Array:
    return np.array(draw.number(0.01, 0.1), np.float32)


def _zero(draw: Draw, dtype: Any) -> Array:
    return draw.tensor((), dtype, -5, 130 if dtype == np.uint8 else 5)


@draws("QuantizeLinear")
def quantize(draw: Draw) -> Case:
    shape, opset = draw.shape(1, 4), draw.pick(10, 13, 19, 21)
    dtype = draw.pick(*BYTES) if opset < 21 else draw.pick(*BYTES, np.int16, np.uint16)
    axis = draw.axis(len(shape))
    by_axis = opset >= 13 and draw.chance()
    size = (shape[axis],) if by_axis else ()
    scale = draw.tensor(size, np.float32, 0.05, 0.3)
    zero = draw.tensor(size, np.int64, 0, 7).astype(dtype)
    attributes = {"axis": axis} if by_axis else {}
    return Case("QuantizeLinear", (draw.tensor(shape, low=-20, high=20), scale, zero), attributes, opset)


@draws("DequantizeLinear")
def dequantize(draw: Draw) -> Case:
    shape, opset = draw.shape(1, 4), draw.pick(10, 13, 19, 21)
    dtypes = (*BYTES, np.int32) if opset < 21 else (*BYTES, np.int16, np.uint16, np.int32)
    dtype = draw.pick(*dtypes)
    axis, form = draw.axis(len(shape)), draw.pick("tensor", "axis", "blocks") if opset >= 13 else "tensor"
    attributes, size = ({} if form == "tensor" else {"axis": axis}), (shape[axis],) if form == "axis" else ()
    if form == "blocks" and opset == 21:
        block = draw.integer(1, 3)
        shape = tuple(n * block if i == axis % len(shape) else n for i, n in enumerate(shape))
        size = tuple(n // block if i == axis % len(shape) else n for i, n in enumerate(shape))  # type: ignore[assignment]
        attributes["block_size"] = block
    x = draw.tensor(shape, np.int64, -8, 7).clip(0 if "u" in np.dtype(dtype).name[:1] else -8).astype(dtype)
    zero = draw.tensor(size, np.int64, 0, 0 if dtype == np.int32 else 7).astype(dtype)
    scale = draw.tensor(size, np.float32, 0.05, 0.3)
    return Case("DequantizeLinear", (x, scale, zero) if draw.chance(0.8) else (x, scale), attributes, opset)


@draws("DynamicQuantizeLinear")
def dynamic(draw: Draw) -> Case:
    x = draw.tensor(draw.shape(1, 4), low=draw.number(-9, 2), high=draw.number(3, 9))
    return Case("DynamicQuantizeLinear", (x,), {}, 11, 3)


@draws("MatMulInteger")
def mat_mul_integer(draw: Draw) -> Case:
    m, k, n = draw.integers(3, 1, draw.pick(4, 40))
    batch = draw.shape(0, 2, 3)
    a, b = draw.bytes((*batch, m, k), draw.pick(*BYTES)), draw.bytes((k, n), draw.pick(*BYTES))
    zeros: list[Array | None] = []
    if draw.chance(0.7):
        zeros = [_zero(draw, a.dtype), None]
        if draw.chance(0.7):
            zeros[1] = draw.tensor((n,), b.dtype, -5, 9) if draw.chance(0.3) else _zero(draw, b.dtype)
    return Case("MatMulInteger", (a, b, *zeros), {}, 10)


@draws("ConvInteger")
def conv_integer(draw: Draw) -> Case:
    kernel, attributes = window(draw, 2)
    group, per_group = draw.pick(1, 1, 2), draw.integer(1, 4)
    x = draw.bytes(image(draw, 2, group * per_group), np.uint8)
    w = draw.bytes((group * draw.integer(1, 3), per_group, *kernel), draw.pick(*BYTES))
    zeros = (_zero(draw, np.uint8), _zero(draw, w.dtype))[: draw.integer(0, 2)]
    return Case("ConvInteger", (x, w, *zeros), {**attributes, "group": group}, 10)


@draws("QLinearConv")
@draws("QLinearConv again")
def qlinear_conv(draw: Draw) -> Case:
    kernel, attributes = window(draw, draw.pick(1, 2, 2))
    group, per_group = draw.pick(1, 1, 2), draw.integer(1, 4)
    filters = group * draw.integer(1, 3)
    dtype = draw.pick(*BYTES)
    weights = np.int8 if dtype == np.int8 else draw.pick(*BYTES)
    x = draw.bytes(image(draw, len(kernel), group * per_group), dtype)
    w = draw.bytes((filters, per_group, *kernel), weights)
    by_filter = draw.chance() and weights == np.int8
    w_scale = draw.tensor((filters,), np.float32, 0.005, 0.05) if by_filter else _scale(draw)
    w_zero = np.zeros((filters,), np.int8) if by_filter else _zero(draw, weights)
    bias = (draw.tensor((filters,), np.int32, -2000, 2000),) if draw.chance() else ()
    inputs = (x, _scale(draw), _zero(draw, dtype), w, w_scale, w_zero, float32(0.5), _zero(draw, dtype), *bias)
    given = tuple(np.asarray(each) for each in inputs)
    return Case("QLinearConv", given, {**attributes, "group": group}, 10, steps=1)


@draws("QLinearMatMul")
def qlinear_mat_mul(draw: Draw) -> Case:
    m, k, n = draw.integers(3, 1, draw.pick(4, 30))
    dtype = draw.pick(*BYTES)
    other = np.int8 if dtype == np.int8 else draw.pick(*BYTES)
    a, b = draw.bytes((*draw.shape(0, 2, 3), m, k), dtype), draw.bytes((k, n), other)
    y_scale = np.array(draw.number(0.2, 0.9), np.float32)
    zero_a, zero_b, zero_y = _zero(draw, dtype), _zero(draw, other), _zero(draw, dtype)
    return Case("QLinearMatMul", (a, _scale(draw), zero_a, b, _scale(draw), zero_b, y_scale, zero_y), {}, 10, steps=1)


@draws("QLinear of two")
def qlinear_binary(draw: Draw) -> Case:
    dtype, shape = draw.pick(*BYTES), draw.shape(1, 4)
    a, b = draw.bytes(shape, dtype), draw.bytes(draw.broadcastable(shape), dtype)
    inputs = (
        a,
        _scale(draw),
        _zero(draw, dtype),
        b,
        _scale(draw),
        _zero(draw, dtype),
        _scale(draw),
        _zero(draw, dtype),
    )
    return Case(draw.pick("QLinearAdd", "QLinearMul"), inputs, {}, 1, domain=MICROSOFT, steps=1)


@draws("QLinear of one")
def qlinear_unary(draw: Draw) -> Case:
    op = draw.pick(
        "QLinearSigmoid", "QLinearLeakyRelu", "QLinearGlobalAveragePool", "QLinearAveragePool", "QLinearSoftmax"
    )
    dtype = draw.pick(*BYTES)
    quantities = [_scale(draw), _zero(draw, dtype), _scale(draw), _zero(draw, dtype)]
    attributes: dict[str, Any] = {}
    shape = draw.shape(1, 4)
    if op == "QLinearLeakyRelu":
        attributes["alpha"] = draw.number(0, 1)
    if op == "QLinearSoftmax":
        attributes = {"axis": draw.axis(len(shape)), "opset": 13}
        quantities[2:] = [np.array(1 / 256, np.float32), np.array(0 if dtype == np.uint8 else -128, dtype)]
    if op.endswith("Pool"):
        shape = image(draw, 2, draw.integer(1, 4))
        attributes["channels_last"] = 0
    if op == "QLinearAveragePool":
        kernel, more = window(draw, 2, dilated=False)
        attributes |= {**more, "kernel_shape": kernel, "count_include_pad": draw.integer(0, 1)}
    return Case(op, (draw.bytes(shape, dtype), *quantities), attributes, 1, domain=MICROSOFT, steps=1)


@draws("QLinearConcat")
def qlinear_concat(draw: Draw) -> Case:
    dtype, shape = draw.pick(*BYTES), list(draw.shape(1, 4))
    axis = draw.axis(len(shape))
    inputs: list[Array] = [_scale(draw), _zero(draw, dtype)]
    for _ in range(draw.integer(1, 3)):
        shape[axis] = draw.integer(1, 4)
        inputs += [draw.bytes(shape, dtype), _scale(draw), _zero(draw, dtype)]
    return Case("QLinearConcat", tuple(inputs), {"axis": axis}, 1, domain=MICROSOFT, steps=1)


@draws("QGemm")
def qgemm(draw: Draw) -> Case:
    m, k, n = draw.integers(3, 1, draw.pick(4, 30))
    dtype = draw.pick(*BYTES)
    trans = draw.integer(0, 1)
    a, b = draw.bytes((m, k), dtype), draw.bytes((n, k) if trans else (k, n), np.int8)
    bias = draw.tensor((n,), np.int32, -900, 900) if draw.chance() else None
    inputs = (a, _scale(draw), _zero(draw, dtype), b, _scale(draw), np.zeros((), np.int8), bias)
    outputs = (np.array(0.5, np.float32), _zero(draw, dtype)) if draw.chance(0.7) else ()
    return Case("QGemm", (*inputs, *outputs), {"transB": trans}, 1, domain=MICROSOFT, steps=1, tolerance=1e-4)


@draws("dynamic products")
def dynamic_products(draw: Draw) -> Case:
    m, k, n = draw.integers(3, 1, 20)
    b = draw.bytes((k, n), draw.pick(*BYTES))
    b_scale = draw.tensor((n,), np.float32, 0.01, 0.1) if draw.chance(0.4) else _scale(draw)
    if draw.chance():
        inputs = (draw.tensor((m, k)), b, b_scale, np.zeros(b_scale.shape, b.dtype))
        return Case("DynamicQuantizeMatMul", inputs, {}, 1, domain=MICROSOFT, tolerance=1e-4)
    a = draw.bytes((m, k), np.uint8)
    inputs = (a, b, _scale(draw), b_scale, _zero(draw, np.uint8))  # type: ignore[assignment]
    return Case("MatMulIntegerToFloat", inputs, {}, 1, domain=MICROSOFT, tolerance=1e-4)


@draws("MatMulNBits")
def mat_mul_bits(draw: Draw) -> Case:
    n, blocks, block = draw.integer(1, 9), draw.integer(1, 3), draw.pick(16, 32)
    k = blocks * block - draw.pick(0, 0, block // 2)
    a = draw.tensor((draw.integer(1, 4), k))
    b = draw.bytes((n, blocks, block // 2), np.uint8)
    zeros = (draw.bytes((n * ((blocks + 1) // 2),), np.uint8),) if draw.chance() else ()
    scales = draw.tensor((n * blocks,), np.float32, 0.01, 0.1)
    attributes = {"K": k, "N": n, "bits": 4, "block_size": block}
    return Case("MatMulNBits", (a, b, scales, *zeros), attributes, 1, domain=MICROSOFT, tolerance=1e-4)
