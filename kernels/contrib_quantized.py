"""Quantised operators of onnxruntime's domain com.microsoft. Source of all: onnxruntime, docs/ContribOperators.md."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from partita.errors import KernelError
from partita.kernels.activation import leaky_relu, sigmoid
from partita.kernels.arrays import Array, axis_of, broadcast_shape, quiet
from partita.kernels.contrib import MICROSOFT
from partita.kernels.integers import centred, centred_weights, exact_matmul, requantized
from partita.kernels.movement import concat
from partita.kernels.pooling import average_pool
from partita.kernels.quantize import dequantize_linear, dynamic_quantize_linear, quantize_linear, quantized
from partita.kernels.registry import kernel
from partita.kernels.softmax import softmax, softmax_coerced

kernel("QuantizeLinear", domain=MICROSOFT, widen=False)(quantize_linear)
kernel("DequantizeLinear", domain=MICROSOFT, widen=False)(dequantize_linear)


def _real(x: Array, scale: Array, zero_point: Array | None) -> Array:
    """What quantised numbers stand for, per tensor, as float32."""
    return centred(x, zero_point) * scale.reshape(())


def _stored(x: Array, scale: Array, zero_point: Array | None, like: Array) -> Array:
    """Real numbers quantised again, per tensor; without a zero point, in the type of `like`."""
    zero = None if zero_point is None else zero_point.reshape(())
    return quantized(x, scale.reshape(()), zero, (like if zero_point is None else zero_point).dtype)


@kernel("QLinearAdd", domain=MICROSOFT)
def qlinear_add(
    A: Array,
    A_scale: Array,
    A_zero_point: Array | None,
    B: Array,
    B_scale: Array,
    B_zero_point: Array | None,
    C_scale: Array,
    C_zero_point: Array | None = None,
) -> Array:
    """Sum of two quantised tensors of 8 bits that broadcast.

    Each is looked up as a multiple of C_scale and the zero points are added before the one rounding, so that halves go
    to the neighbour to which onnxruntime takes them.
    """
    if A.dtype != B.dtype or A.dtype.itemsize != 1:
        raise KernelError(f"A and B must be uint8 or int8 both, are {A.dtype} and {B.dtype}")
    if A.size == 1:
        A, A_scale, A_zero_point, B, B_scale, B_zero_point = B, B_scale, B_zero_point, A, A_scale, A_zero_point
    ratio_a, ratio_b = (np.float32(scale.item()) / np.float32(C_scale.item()) for scale in (A_scale, B_scale))
    zero_a, zero_b, zero_c = (
        np.float32(0 if z is None else z.item()) for z in (A_zero_point, B_zero_point, C_zero_point)
    )
    values = np.arange(256, dtype=np.uint8).view(A.dtype).astype(np.float64)
    offset = zero_c - (ratio_a * zero_a + ratio_b * zero_b)
    if B.size == 1:
        offset = np.float32(np.float64(ratio_b) * B.item() + offset)
    first = (np.float64(ratio_a) * values + offset).astype(np.float32)
    shape = broadcast_shape(A.shape, B.shape)
    if B.size == 1:
        return _rounded_codes(first, A.dtype)[A.view(np.uint8)].reshape(shape)
    sums = first[A.view(np.uint8)] + (ratio_b * values.astype(np.float32))[B.view(np.uint8)]
    return _rounded_codes(sums, A.dtype)


def _rounded_codes(x: Array, dtype: np.dtype[Any]) -> Array:
    """`x` rounded to even and saturated, in place, as `dtype`."""
    limits = np.iinfo(dtype)
    np.rint(x, out=x)
    return np.clip(x, limits.min, limits.max, out=x).astype(dtype)


@kernel("QLinearMul", domain=MICROSOFT)
def qlinear_mul(
    A: Array,
    A_scale: Array,
    A_zero_point: Array | None,
    B: Array,
    B_scale: Array,
    B_zero_point: Array | None,
    C_scale: Array,
    C_zero_point: Array | None = None,
) -> Array:
    """Product of two quantised tensors that broadcast; the zero point is added before the rounding, as there."""
    product = np.asarray(centred(A, A_zero_point) * centred(B, B_zero_point))
    product *= np.float32(A_scale.item()) * np.float32(B_scale.item()) / np.float32(C_scale.item())
    product += np.float32(0 if C_zero_point is None else C_zero_point.item())
    return _rounded_codes(product, A.dtype)


@kernel("QLinearWhere", domain=MICROSOFT)
def qlinear_where(
    condition: Array,
    X: Array,
    x_scale: Array,
    x_zero_point: Array,
    Y: Array,
    y_scale: Array,
    y_zero_point: Array,
    z_scale: Array,
    z_zero_point: Array,
) -> Array:
    """`X` where the condition holds and `Y` elsewhere, each quantised anew."""
    chosen = np.where(condition, _real(X, x_scale, x_zero_point), _real(Y, y_scale, y_zero_point))
    return _stored(chosen, z_scale, z_zero_point, X)


@kernel("QLinearConcat", domain=MICROSOFT)
def qlinear_concat(Y_scale: Array, Y_zero_point: Array, *inputs: Array, axis: int) -> Array:
    """Join quantised tensors, given as tensor, scale and zero point in turn, along `axis`."""
    if len(inputs) % 3:
        raise KernelError(f"inputs must be tensor, scale and zero point in turn, there are {len(inputs)}")
    parts = []
    for x, scale, zero_point in zip(inputs[::3], inputs[1::3], inputs[2::3], strict=True):
        same = scale == Y_scale and zero_point == Y_zero_point
        parts.append(x if same else _stored(_real(x, scale, zero_point), Y_scale, Y_zero_point, x))
    return concat(*parts, axis=axis)


def _by_table(function: Callable[[Array], Array], x: Array, parameters: Sequence[Array | None]) -> Array:
    """`function` on quantised numbers of 8 bits, computed once for each of the 256 values.

    `parameters` are the scale and zero point of `x`, then those of the result.
    """
    x_scale, x_zero_point, y_scale, y_zero_point = parameters
    assert x_scale is not None
    assert y_scale is not None
    codes = np.arange(256, dtype=np.uint8).view(x.dtype)
    table = _stored(function(_real(codes, x_scale, x_zero_point)), y_scale, y_zero_point, x)
    return np.asarray(np.take(table, x.view(np.uint8)))


@kernel("QLinearSigmoid", domain=MICROSOFT)
def qlinear_sigmoid(
    X: Array, X_scale: Array, X_zero_point: Array | None, Y_scale: Array, Y_zero_point: Array | None = None
) -> Array:
    """Sigmoid of a quantised tensor."""
    return _by_table(sigmoid, X, (X_scale, X_zero_point, Y_scale, Y_zero_point))


@kernel("QLinearLeakyRelu", domain=MICROSOFT)
def qlinear_leaky_relu(
    X: Array,
    X_scale: Array,
    X_zero_point: Array | None,
    Y_scale: Array,
    Y_zero_point: Array | None = None,
    *,
    alpha: float = 0.01,
) -> Array:
    """LeakyRelu of a quantised tensor."""
    return _by_table(lambda x: leaky_relu(x, alpha=alpha), X, (X_scale, X_zero_point, Y_scale, Y_zero_point))


@kernel("QLinearSoftmax", domain=MICROSOFT)
def qlinear_softmax(
    X: Array,
    X_scale: Array,
    x_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array,
    *,
    axis: int = -1,
    opset: int,
) -> Array:
    """Softmax of a quantised tensor as the standard's `opset` defines it."""
    real = _real(X, X_scale, x_zero_point)
    result = softmax(real, axis=axis) if opset >= 13 else softmax_coerced(real, axis=axis)
    return _stored(result, y_scale, y_zero_point, X)


@kernel("QLinearGlobalAveragePool", domain=MICROSOFT)
def qlinear_global_average_pool(
    X: Array, x_scale: Array, x_zero_point: Array, y_scale: Array, y_zero_point: Array, *, channels_last: int = 0
) -> Array:
    """Mean over the spatial axes of a quantised tensor; the sums are exact."""
    axes = tuple(range(1, X.ndim - 1) if channels_last else range(2, X.ndim))
    count = int(np.prod([X.shape[axis] for axis in axes]))
    total = X.sum(axis=axes, keepdims=True, dtype=np.int32) - count * x_zero_point.astype(np.int32).reshape(())
    scale = x_scale.reshape(()) / (y_scale.reshape(()) * np.float32(count))
    return requantized(np.asarray(total), np.asarray(scale), y_zero_point.reshape(()), y_zero_point.dtype)


@kernel("QLinearAveragePool", domain=MICROSOFT)
def qlinear_average_pool(
    X: Array,
    x_scale: Array,
    x_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    channels_last: int = 0,
    count_include_pad: int = 0,
    kernel_shape: Sequence[int],
    pads: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Array:
    """AveragePool of a quantised tensor, channels second or last."""
    real = _real(X, x_scale, x_zero_point)
    pooled = average_pool(
        np.moveaxis(real, -1, 1) if channels_last else real,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    return _stored(np.moveaxis(pooled, 1, -1) if channels_last else pooled, y_scale, y_zero_point, X)


@kernel("QLinearReduceMean", domain=MICROSOFT)
def qlinear_reduce_mean(
    data: Array,
    data_scale: Array,
    data_zero_point: Array | None,
    reduced_scale: Array,
    reduced_zero_point: Array | None = None,
    *,
    axes: Sequence[int] = (),
    keepdims: int = 1,
) -> Array:
    """Mean of a quantised tensor over `axes`, by default over all."""
    reduced = tuple(axis_of(axis, data.ndim) for axis in axes) or tuple(range(data.ndim))
    mean = np.asarray(_real(data, data_scale, data_zero_point).mean(axis=reduced, keepdims=True))
    mean = mean if keepdims else mean.squeeze(reduced)
    return _stored(mean, reduced_scale, reduced_zero_point, data)


@kernel("MulInteger", domain=MICROSOFT)
def mul_integer(A: Array, A_zero_point: Array | None, B: Array, B_zero_point: Array | None = None) -> Array:
    """(A - A_zero_point) (B - B_zero_point) as int32; the tensors broadcast."""
    left, right = (centred(x, zero).astype(np.int32) for x, zero in ((A, A_zero_point), (B, B_zero_point)))
    return np.asarray(left * right)


@kernel("QGemm", domain=MICROSOFT)
@quiet
def qgemm(
    A: Array,
    a_scale: Array,
    a_zero_point: Array,
    B: Array,
    b_scale: Array,
    b_zero_point: Array,
    C: Array | None = None,
    y_scale: Array | None = None,
    y_zero_point: Array | None = None,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Array:
    """Gemm of quantised matrices with an int32 bias `C` of scale alpha a_scale b_scale; float32 without `y_scale`."""
    left = centred(A.T if transA else A, a_zero_point.reshape(()))
    zeros, scales = (p[:, None] if transB and p.size > 1 else p for p in (b_zero_point, b_scale))
    right = centred(B, zeros if zeros.size > 1 else zeros.reshape(()))
    total = exact_matmul(left, right.T if transB else right)
    if C is not None:
        total = total + C
    scale = np.float32(alpha) * a_scale.reshape(()) * (scales.reshape(-1) if scales.size > 1 else scales.reshape(()))
    if y_scale is None:
        return np.asarray(total.astype(np.float32) * scale)
    zero_point = np.zeros((), A.dtype) if y_zero_point is None else y_zero_point.reshape(())
    return requantized(total, np.asarray(scale / y_scale.reshape(())), zero_point, zero_point.dtype)


@kernel("MatMulIntegerToFloat", domain=MICROSOFT)
def matmul_integer_to_float(
    A: Array,
    B: Array,
    a_scale: Array,
    b_scale: Array,
    a_zero_point: Array | None = None,
    b_zero_point: Array | None = None,
    bias: Array | None = None,
) -> Array:
    """The exact product of quantised matrices as float32, with a scale and zero point per column of `B`; plus bias."""
    scale = a_scale * _columns(b_scale)
    y = exact_matmul(centred(A, a_zero_point), centred_weights(B, _columns(b_zero_point))) * np.asarray(
        scale, np.float32
    )
    return np.asarray(y if bias is None else y + bias, np.float32)


def _columns(parameter: Any) -> Any:
    """A parameter per column, (N) or (..., N), shaped to broadcast with matrices (..., K, N)."""
    if parameter is None or parameter.ndim < 2:
        return parameter
    return parameter[..., None, :]


@kernel("DynamicQuantizeMatMul", domain=MICROSOFT)
def dynamic_quantize_matmul(
    A: Array, B: Array, b_scale: Array, b_zero_point: Array | None = None, bias: Array | None = None
) -> Array:
    """`A`, quantised to uint8 over its own range, times the quantised `B`, as float32; plus bias."""
    quantised, scale, zero_point = dynamic_quantize_linear(A)
    return matmul_integer_to_float(quantised, B, scale, b_scale, zero_point, b_zero_point, bias)
