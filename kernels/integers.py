"""Exact integer products: MatMulInteger, QLinearMatMul, ConvInteger and QLinearConv.

Floating-point BLAS multiplies the integers; every sum is kept below the size up to which the float type holds each
integer, so that the results are those of integer arithmetic.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array, quiet
from partita.kernels.cast import is_float
from partita.kernels.conv_schedules import conv_im2col_last
from partita.kernels.convolution import choose_schedule
from partita.kernels.packing import packed
from partita.kernels.quantize import integer_range
from partita.kernels.registry import kernel
from partita.kernels.windows import Windows, make_windows
from partita.kernels.winograd import conv_winograd

EXACT_IN_FLOAT32 = 1 << 24
"""Every integer up to this magnitude is a float32."""


def centred(x: Array, zero_point: Array | None) -> Array:
    """x - zero point as float32, exact for integers of up to 16 bits."""
    result = x.astype(np.float32)
    if zero_point is not None:
        result -= zero_point.astype(np.float32)
    return result


def centred_weights(w: Array, zero_point: Array | None) -> Array:
    """The same for weights, remembered while the constant `w` lives, and not to be written to."""

    def make(weights: Array) -> Array:
        result = centred(weights, zero_point)
        result.flags.writeable = False
        return result

    return packed(w, f"centred {None if zero_point is None else zero_point.tobytes()!r}", make)


def largest(x: Array) -> float:
    """The largest magnitude in `x`, 0 if it is empty."""
    return max(float(x.max(initial=0)), -float(x.min(initial=0)))


def exact_matmul(a: Array, b: Array) -> Array:
    """The matrix product of integers given as float32, as int32; sums beyond 32 bits wrap."""
    depth = a.shape[-1]
    bound = max(1.0, largest(a) * packed(b, "largest", lambda weights: np.array([largest(weights)])).item())
    at_once = int(EXACT_IN_FLOAT32 / bound)
    if depth <= at_once:
        return np.asarray(np.matmul(a, b)).astype(np.int32)
    if at_once < 64:
        wide = np.matmul(a.astype(np.float64), b.astype(np.float64))
        return np.asarray(wide).astype(np.int64).astype(np.int32)
    total: Any = 0
    for start in range(0, depth, at_once):
        columns = slice(start, start + at_once)
        rows = b[columns] if b.ndim == 1 else b[..., columns, :]
        total = total + np.asarray(np.matmul(a[..., columns], rows)).astype(np.int32)
    return np.asarray(total)


def _largest_filter(w: Array) -> Array:
    """The sum of magnitudes over the filter where it is largest."""
    return np.abs(w).sum(axis=tuple(range(1, w.ndim)), dtype=np.float64).max(initial=0, keepdims=True)


def exact_conv(x: Array, w: Array, windows: Windows, group: int) -> Array:
    """The convolution of integers given as float32, as int32; not by Winograd's transforms, which round."""
    if x.ndim != w.ndim or x.shape[1] != w.shape[1] * group:
        raise KernelError(f"x {x.shape} and w {w.shape} do not fit {group} groups")
    if 0 in (x.size, w.size, *windows.outputs):
        return np.zeros((x.shape[0], w.shape[0], *windows.outputs), np.int32)
    is_deep = packed(w, "largest filter", _largest_filter).item() * largest(x) > EXACT_IN_FLOAT32
    if is_deep:
        x, w = x.astype(np.float64), w.astype(np.float64)
    schedule = choose_schedule(x, w, windows, group)
    y = (conv_im2col_last if schedule is conv_winograd else schedule)(x, w, windows, group)
    return y.astype(np.int64).astype(np.int32) if is_deep else y.astype(np.int32)


def _by_row(parameter: Array | None, a: Array) -> Array | None:
    """A scale or zero point of the left matrix: one number, or one per row."""
    if parameter is None or parameter.size == 1:
        return None if parameter is None else parameter.reshape(())
    return parameter[:, None] if parameter.ndim == 1 and a.ndim > 1 else parameter


def _by_column(parameter: Array | None) -> Array | None:
    """A scale or zero point of the right matrix: one number, or one per column."""
    return parameter.reshape(()) if parameter is not None and parameter.size == 1 else parameter


@quiet
def requantized(numbers: Array, scale: Array, zero_point: Array, target: np.dtype[Any]) -> Array:
    """round(numbers x scale) + zero point as the integer type `target`, saturated."""
    result = numbers.astype(np.float32)
    result *= scale
    np.rint(result, out=result)
    result += zero_point.astype(np.float32)
    return np.asarray(np.clip(result, *integer_range(target), out=result)).astype(target)


@kernel("MatMulInteger", since=10)
def matmul_integer(A: Array, B: Array, a_zero_point: Array | None = None, b_zero_point: Array | None = None) -> Array:
    """(A - a_zero_point) (B - b_zero_point) as int32, exact. Source: ONNX operators, MatMulInteger-10.

    >>> matmul_integer(np.uint8([[1, 2]]), np.int8([[3], [-4]]))
    array([[-5]], dtype=int32)
    """
    return exact_matmul(centred(A, _by_row(a_zero_point, A)), centred_weights(B, _by_column(b_zero_point)))


@kernel("QLinearMatMul", since=10, widen=False)
@quiet
def qlinear_matmul(
    a: Array,
    a_scale: Array,
    a_zero_point: Array,
    b: Array,
    b_scale: Array,
    b_zero_point: Array,
    y_scale: Array,
    y_zero_point: Array,
) -> Array:
    """Product of quantised matrices, quantised again; the sums are exact. Source: ONNX operators, QLinearMatMul-21."""
    left, right = centred(a, _by_row(a_zero_point, a)), centred_weights(b, _by_column(b_zero_point))
    scales = [np.asarray(s) for s in (_by_row(a_scale, a), _by_column(b_scale), _by_row(y_scale, a))]
    scale = scales[0].astype(np.float32) * scales[1].astype(np.float32) / scales[2].astype(np.float32)
    zero_point = np.asarray(_by_row(y_zero_point, a))
    if is_float(a.dtype):
        product = np.matmul(left, right) * scale + zero_point.astype(np.float32)
        return np.asarray(product).astype(y_zero_point.dtype)
    return requantized(exact_matmul(left, right), scale, zero_point, y_zero_point.dtype)


def _by_filter(parameter: Array | None, rank: int, axis: int) -> Array | None:
    """A parameter of the weights: one number, or one per filter, shaped to stand at `axis` of `rank` dimensions."""
    if parameter is None or parameter.size == 1:
        return None if parameter is None else parameter.reshape(())
    return parameter.reshape((1,) * axis + (-1,) + (1,) * (rank - 1 - axis))


@kernel("ConvInteger", since=10)
def conv_integer(
    x: Array,
    w: Array,
    x_zero_point: Array | None = None,
    w_zero_point: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] = (),
    group: int = 1,
    kernel_shape: Sequence[int] = (),
    pads: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Array:
    """Conv of x - x_zero_point and w - w_zero_point as int32, exact. Source: ONNX operators, ConvInteger-10."""
    windows = make_windows(x.shape[2:], w.shape[2:], strides=strides, dilations=dilations, pads=pads, auto_pad=auto_pad)
    weights = centred_weights(w, _by_filter(w_zero_point, w.ndim, 0))
    return exact_conv(centred(x, x_zero_point), weights, windows, group)


@kernel("QLinearConv", since=10)
def qlinear_conv(
    x: Array,
    x_scale: Array,
    x_zero_point: Array,
    w: Array,
    w_scale: Array,
    w_zero_point: Array,
    y_scale: Array,
    y_zero_point: Array,
    B: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] = (),
    group: int = 1,
    kernel_shape: Sequence[int] = (),
    pads: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Array:
    """Conv of quantised tensors, quantised again; `B` is int32 of scale x_scale w_scale. The sums are exact.

    Source: ONNX operators, QLinearConv-10.
    """
    if x_scale.size != 1 or y_scale.size != 1:
        raise KernelError("x_scale and y_scale must hold one number each")
    total = conv_integer(
        x,
        w,
        x_zero_point,
        w_zero_point,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    if B is not None:
        total += B.reshape((-1,) + (1,) * (x.ndim - 2))
    scale = x_scale.reshape(()) * np.asarray(_by_filter(w_scale, x.ndim, 1)) / y_scale.reshape(())
    return requantized(total, scale, y_zero_point.reshape(()), y_zero_point.dtype)
