"""What the kernels share: the array type, ONNX dtype numbers, axes, and evaluation in cache-sized blocks."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from partita.errors import KernelError, ModelError
from partita.graph.dtypes import name_of_onnx, numpy_of_name
from partita.kernels.threads import share

Array = np.ndarray[Any, Any]

BLOCK = 1 << 15
"""Elements per block of a long elementwise chain: 128 kB of float32, so that the temporaries stay in the L2 cache."""

quiet = np.errstate(all="ignore")
"""Decorator: NaN and infinity are results in ONNX, not warnings."""


def dtype_of(code: int) -> np.dtype[Any]:
    """The numpy dtype of a number from the enum TensorProto.DataType in onnx.proto; strings are `object`.

    >>> dtype_of(1)
    dtype('float32')
    """
    try:
        return numpy_of_name(name_of_onnx(code))
    except ModelError as problem:
        raise KernelError(str(problem)) from None


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


def lowest(dtype: np.dtype[Any]) -> Any:
    """The value that no other of `dtype` is below: minus infinity for a float."""
    if dtype.kind == "b":
        return False
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


def highest(dtype: np.dtype[Any]) -> Any:
    """The value that no other of `dtype` is above: infinity for a float."""
    if dtype.kind == "b":
        return True
    return np.iinfo(dtype).max if dtype.kind in "iu" else np.inf


def limited(x: Array, low: Any, high: Any) -> Array:
    """`x` between two scalars, either of them None; NaN stays NaN, and `high` wins where they cross.

    numpy's clip with two bounds takes a third of the time of its maximum or minimum with one.
    """
    low = lowest(x.dtype) if low is None else low
    high = highest(x.dtype) if high is None else high
    return np.asarray(np.clip(x, low, high))


def in_blocks(step: Callable[[Array, Array, Array], None], x: Array, dtype: np.dtype[Any] | None = None) -> Array:
    """The result of `step(x, out, scratch)` applied to blocks of `x`, in the memory layout of `x`.

    `step` sees one-dimensional arrays of equal length, fills `out`, which has the dtype asked for (by default that
    of `x`), and may use `scratch`, of the dtype of `x`, freely.
    """
    out = np.empty_like(x, dtype)
    if [stride // out.itemsize for stride in out.strides] != [stride // x.itemsize for stride in x.strides]:
        x, out = np.ascontiguousarray(x), np.empty(x.shape, out.dtype)
    source, target = x.ravel(order="K"), out.ravel(order="K")

    def compute(start: int) -> None:
        block = source[start : start + BLOCK]
        step(block, target[start : start + BLOCK], np.empty_like(block))

    share(compute, range(0, x.size, BLOCK))
    return out
