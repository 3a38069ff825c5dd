"""QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear: per tensor, per axis and per block."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array, axis_of, dtype_of, in_blocks, quiet
from partita.kernels.cast import is_float, is_small_float, to_dtype
from partita.kernels.registry import kernel

_small_iinfo: Callable[[Any], Any] = ml_dtypes.iinfo


def integer_range(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Smallest and largest value of an integer type, those of 2 and 4 bits included.

    >>> integer_range(np.dtype(np.int8))
    (-128, 127)
    """
    limits: Any = np.iinfo(dtype) if dtype.kind in "iu" else _small_iinfo(dtype)
    return int(limits.min), int(limits.max)


def spread(parameter: Array, x: Array, axis: int, block_size: int = 0) -> Array:
    """A scale or zero point shaped to broadcast with `x`: one number, one per slice of `axis`, or one per block."""
    if parameter.size == 1 and parameter.ndim <= 1:
        return parameter.reshape(())
    along = axis_of(axis, x.ndim)
    size = x.shape[along]
    if parameter.ndim == 1 and not block_size:
        if len(parameter) != size:
            raise KernelError(f"scale has {len(parameter)} entries for {size} slices of axis {along}")
        return parameter.reshape((-1,) + (1,) * (x.ndim - 1 - along))
    if block_size <= 0 or parameter.ndim != x.ndim or -(-size // block_size) != parameter.shape[along]:
        raise KernelError(f"scale {parameter.shape} fits no blocks of {block_size} along axis {along} of {x.shape}")
    return np.repeat(parameter, block_size, axis=along)[(slice(None),) * along + (slice(0, size),)]


@quiet
def quantized(x: Array, scale: Array, zero_point: Array | None, target: np.dtype[Any], saturate: bool = True) -> Array:
    """x / scale + zero point as `target`, saturated; integers round half to even. Parameters broadcast with `x`.

    The division is in float32, as in onnxruntime, or in the dtype of `scale` if that is wider.
    """
    quotient = np.asarray(np.divide(x, scale, dtype=np.result_type(scale.dtype, np.float32), casting="unsafe"))
    if not is_float(target):
        np.rint(quotient, out=quotient)
    if zero_point is not None:
        quotient += zero_point.astype(quotient.dtype)
    if not is_float(target):
        np.clip(quotient, *integer_range(target), out=quotient)
    return to_dtype(quotient, target, saturate=saturate)


@kernel("QuantizeLinear", since=10, widen=False)
@quiet
def quantize_linear(
    x: Array,
    y_scale: Array,
    y_zero_point: Array | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
) -> Array:
    """saturate(round(x / y_scale) + y_zero_point) in the type of the zero point, else `output_dtype`, else uint8.

    Source: ONNX operators, QuantizeLinear-28.

    >>> quantize_linear(np.float32([0.5, 1.5, 9e9]), np.float32(1), np.uint8(128))
    array([128, 130, 255], dtype=uint8)
    """
    if y_zero_point is not None:
        target = np.asarray(y_zero_point).dtype
    else:
        target = dtype_of(output_dtype) if output_dtype else np.dtype(np.uint8)
    scale = spread(np.asarray(y_scale), x, axis, block_size)
    zero = None if y_zero_point is None else spread(np.asarray(y_zero_point), x, axis, block_size)
    if is_small_float(scale.dtype) or scale.dtype.kind in "iu":
        scale = scale.astype(np.float32)
    if x.dtype.kind == "V":
        x = x.astype(np.float32)
    if precision and dtype_of(precision).itemsize == 2:
        half = dtype_of(precision)
        x, scale = (x / scale).astype(half).astype(np.float32), np.asarray(np.float32(1))
    if scale.ndim:
        return quantized(x, scale, zero, target, bool(saturate))

    def step(block: Array, out: Array, scratch: Array) -> None:
        out[...] = quantized(block, scale, zero, target, bool(saturate))

    def step_in_float32(block: Array, out: Array, scratch: Array) -> None:
        np.divide(block, scale, out=scratch)
        np.rint(scratch, out=scratch)
        if zero is not None:
            np.add(scratch, float(zero), out=scratch)
        np.clip(scratch, *integer_range(target), out=scratch)
        np.copyto(out, scratch, casting="unsafe")

    is_plain = x.dtype == np.float32 and scale.dtype == np.float32 and target.kind in "iu"
    return in_blocks(step_in_float32 if is_plain else step, x, target)


@kernel("DequantizeLinear", since=10, widen=False)
@quiet
def dequantize_linear(
    x: Array,
    x_scale: Array,
    x_zero_point: Array | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Array:
    """(x - x_zero_point) x_scale in the type of the scale or in `output_dtype`.

    Source: ONNX operators, DequantizeLinear-28.

    >>> dequantize_linear(np.uint8([0, 128, 255]), np.float32(0.5), np.uint8(128))
    array([-64. ,   0. ,  63.5], dtype=float32)
    """
    x = np.asarray(x)
    scale = spread(np.asarray(x_scale), x, axis, block_size)
    target = dtype_of(output_dtype) if output_dtype else scale.dtype
    if x_zero_point is None:
        numbers = x.astype(np.float32)
    elif x.dtype.kind in "iu" and x.dtype.itemsize >= 4:
        numbers = (x.astype(np.int64) - spread(x_zero_point, x, axis, block_size)).astype(np.float32)
    else:
        numbers = x.astype(np.float32)
        numbers -= spread(np.asarray(x_zero_point), x, axis, block_size).astype(np.float32)
    numbers *= scale.astype(np.float32, copy=False)
    return to_dtype(numbers, target)


@kernel("DynamicQuantizeLinear", since=11)
@quiet
def dynamic_quantize_linear(x: Array) -> tuple[Array, Array, Array]:
    """uint8 `x` over the range that holds all of `x` and 0, with the scale and the zero point of that range.

    Source: ONNX operators, DynamicQuantizeLinear-11; the scale 1 of an all-zero tensor is onnxruntime's.
    """
    low, high = np.float32(x.min(initial=0)), np.float32(x.max(initial=0))
    scale = (high - low) / np.float32(255) if high > low else np.float32(1)
    zero_point = np.uint8(np.clip(np.rint(-low / scale), 0, 255))
    y = quantize_linear(x, np.asarray(scale), np.asarray(zero_point))
    return y, np.asarray(scale), np.asarray(zero_point)
