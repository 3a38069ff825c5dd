"""What the kernels share: the array type, ONNX dtype numbers, axes, and evaluation in cache-sized blocks."""

from collections.abc import Callable, Iterable
from typing import Any

import ml_dtypes
import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from partita.errors import KernelError

Array = np.ndarray[Any, Any]

BLOCK = 1 << 15
"""Elements per block of a long elementwise chain: 128 kB of float32, so that the temporaries stay in the L2 cache."""

quiet = np.errstate(all="ignore")
"""Decorator: NaN and infinity are results in ONNX, not warnings."""

_DTYPE_OF_CODE: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    4: np.dtype(np.uint16),
    5: np.dtype(np.int16),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    8: np.dtype(object),
    9: np.dtype(np.bool_),
    10: np.dtype(np.float16),
    11: np.dtype(np.float64),
    12: np.dtype(np.uint32),
    13: np.dtype(np.uint64),
    14: np.dtype(np.complex64),
    15: np.dtype(np.complex128),
    16: np.dtype(ml_dtypes.bfloat16),
    17: np.dtype(ml_dtypes.float8_e4m3fn),
    18: np.dtype(ml_dtypes.float8_e4m3fnuz),
    19: np.dtype(ml_dtypes.float8_e5m2),
    20: np.dtype(ml_dtypes.float8_e5m2fnuz),
    21: np.dtype(ml_dtypes.uint4),
    22: np.dtype(ml_dtypes.int4),
    23: np.dtype(ml_dtypes.float4_e2m1fn),
    24: np.dtype(ml_dtypes.float8_e8m0fnu),
    25: np.dtype(ml_dtypes.uint2),
    26: np.dtype(ml_dtypes.int2),
    27: np.dtype(ml_dtypes.float6_e2m3fn),
    28: np.dtype(ml_dtypes.float6_e3m2fn),
}


def dtype_of(code: int) -> np.dtype[Any]:
    """The numpy dtype of a number from the enum TensorProto.DataType in onnx.proto; strings are `object`.

    >>> dtype_of(1)
    dtype('float32')
    """
    if code not in _DTYPE_OF_CODE:
        raise KernelError(f"data type {code} is unknown; TensorProto.DataType goes from 1 to {max(_DTYPE_OF_CODE)}")
    return _DTYPE_OF_CODE[code]


def axis_of(axis: int, rank: int) -> int:
    """`axis` counted from the front, for a tensor of `rank` dimensions.

    >>> axis_of(-1, 4)
    3
    """
    try:
        return normalize_axis_index(int(axis), rank)
    except np.exceptions.AxisError:
        raise KernelError(f"axis {axis} is out of range: the tensor has {rank} dimensions") from None


def axes_of(axes: Iterable[int], rank: int) -> tuple[int, ...]:
    """Each of `axes` counted from the front; they must differ."""
    counted = tuple(axis_of(axis, rank) for axis in axes)
    if len(set(counted)) != len(counted):
        raise KernelError(f"axes {counted} name an axis twice")
    return counted


def scalar_of(x: Array | int, name: str) -> int:
    """The integer in an array of one element; `name` is the input's, for the error."""
    if isinstance(x, np.ndarray):
        if x.size != 1:
            raise KernelError(f"{name} must hold one number, it has the shape {x.shape}")
        x = x.item()
    return int(x)


def broadcast_shape(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of shapes broadcast together; KernelError if they do not fit."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise KernelError(f"the shapes {', '.join(map(str, shapes))} do not broadcast together") from None


def in_blocks(step: Callable[[Array, Array, Array], None], x: Array) -> Array:
    """The result of `step(x, out, scratch)` applied to blocks of `x`, in the memory layout of `x`.

    `step` sees one-dimensional arrays of equal length and dtype, fills `out` and may use `scratch` freely.
    """
    out = np.empty_like(x)
    if out.strides != x.strides:
        x, out = np.ascontiguousarray(x), np.empty(x.shape, x.dtype)
    source, target = x.ravel(order="K"), out.ravel(order="K")
    scratch = np.empty(min(BLOCK, x.size), x.dtype)
    for start in range(0, x.size, BLOCK):
        block = source[start : start + BLOCK]
        step(block, target[start : start + BLOCK], scratch[: block.size])
    return out
