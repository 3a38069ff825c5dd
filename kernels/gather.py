"""Reading and writing by index: Gather, Scatter and their relatives."""

from collections.abc import Callable
from math import prod
from typing import Any

import ml_dtypes
import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array, axis_of, quiet
from partita.kernels.registry import kernel

_REDUCTIONS: dict[str, np.ufunc] = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _out_of_range(problem: IndexError) -> KernelError:
    return KernelError(f"indices point outside the data: {problem}")


@kernel("Gather", widen=False)
def gather(data: Array, indices: Array, *, axis: int = 0) -> Array:
    """Slices of `data` along `axis`; the shape of `indices` takes the place of that axis.

    Source: ONNX operators, Gather-13.
    """
    try:
        return np.asarray(np.take(data, indices, axis=axis_of(axis, data.ndim)), data.dtype)
    except IndexError as problem:
        raise _out_of_range(problem) from None


def _element_index(indices: Array, axis: int) -> tuple[Array, ...]:
    """Open grid over the shape of `indices` with `indices` itself in the place of `axis`."""
    grid: list[Array] = list(np.ogrid[tuple(slice(size) for size in indices.shape)])
    grid[axis] = indices
    return tuple(grid)


def _flat_places(indices: Array, shape: tuple[int, ...], axis: int) -> Array:
    """Places in the flat tensor of `shape`: `indices` along `axis`, their own place in the other axes."""
    size = shape[axis]
    least = indices.min(initial=0)
    if least < -size or indices.max(initial=-1) >= size:
        raise KernelError(f"indices point outside the data: axis {axis} has the size {size}")
    if any(i > n for other, (i, n) in enumerate(zip(indices.shape, shape, strict=True)) if other != axis):
        raise KernelError(f"indices {indices.shape} are larger than data {shape} in another axis than {axis}")
    offsets = np.zeros((1,) * len(shape), np.int64)
    for other, count in enumerate(indices.shape):
        if other != axis:
            steps = np.arange(count) * prod(shape[other + 1 :])
            offsets = offsets + steps.reshape((-1,) + (1,) * (len(shape) - 1 - other))
    counted = np.where(indices < 0, indices + size, indices) if least < 0 else indices
    return np.asarray(counted * prod(shape[axis + 1 :]) + offsets)


@kernel("GatherElements", since=11, widen=False)
def gather_elements(data: Array, indices: Array, *, axis: int = 0) -> Array:
    """One element per index, from the same place in the other axes. Source: ONNX operators, GatherElements-13."""
    if data.ndim != indices.ndim:
        raise KernelError(f"data has {data.ndim} dimensions and indices {indices.ndim}: they must agree")
    places = _flat_places(indices.astype(np.int64, copy=False), data.shape, axis_of(axis, data.ndim))
    return np.take(data.reshape(-1), places, mode="clip")  # without a second search for indices out of range


@kernel("GatherND", since=11, widen=False)
def gather_nd(data: Array, indices: Array, *, batch_dims: int = 0) -> Array:
    """Slices of `data` at the index tuples in the last axis of `indices`, after `batch_dims` common dimensions.

    Source: ONNX operators, GatherND-13.
    """
    depth = indices.shape[-1]
    if batch_dims + depth > data.ndim:
        raise KernelError(f"{batch_dims} batch dimensions and {depth} indices exceed the rank of data, {data.ndim}")
    batch = tuple(
        np.arange(size).reshape((-1,) + (1,) * (indices.ndim - 2 - i)) for i, size in enumerate(data.shape[:batch_dims])
    )
    try:
        return np.asarray(data[batch + tuple(np.moveaxis(indices, -1, 0))], data.dtype)
    except IndexError as problem:
        raise _out_of_range(problem) from None


@quiet
def _scatter(data: Array, where: tuple[Array, ...], updates: Array, reduction: str) -> Array:
    """A copy of `data` with `updates` written, or combined by `reduction`, at the index arrays `where`."""
    if reduction != "none" and reduction not in _REDUCTIONS:
        raise KernelError(f"reduction must be none, {', '.join(_REDUCTIONS)}, is {reduction!r}")
    narrow = data.dtype in (np.float16, ml_dtypes.bfloat16) and reduction != "none"
    result: Array = data.astype(np.float32) if narrow else data.copy()
    try:
        if reduction == "none":
            result[where] = updates
        else:
            accumulate: Callable[..., Any] = _REDUCTIONS[reduction].at
            accumulate(result, where, updates.astype(result.dtype, copy=False))
    except IndexError as problem:
        raise _out_of_range(problem) from None
    return result.astype(data.dtype) if narrow else result


@kernel("Scatter", since=9, widen=False)
@kernel("ScatterElements", since=11, widen=False)
def scatter_elements(data: Array, indices: Array, updates: Array, *, axis: int = 0, reduction: str = "none") -> Array:
    """Write one update per index, at the same place in the other axes. Source: ONNX operators, ScatterElements-18."""
    if indices.shape != updates.shape:
        raise KernelError(f"indices and updates must have one shape, they have {indices.shape} and {updates.shape}")
    return _scatter(data, _element_index(indices, axis_of(axis, data.ndim)), updates, reduction)


@kernel("ScatterND", since=11, widen=False)
def scatter_nd(data: Array, indices: Array, updates: Array, *, reduction: str = "none") -> Array:
    """Write slices at the index tuples in the last axis of `indices`. Source: ONNX operators, ScatterND-18."""
    expected = indices.shape[:-1] + data.shape[indices.shape[-1] :]
    if updates.shape != expected:
        raise KernelError(f"updates must have the shape {expected}, have {updates.shape}")
    return _scatter(data, tuple(np.moveaxis(indices, -1, 0)), updates, reduction)


@kernel("TensorScatter", since=24, widen=False)
def tensor_scatter(
    past_cache: Array, update: Array, write_indices: Array | None = None, *, axis: int = -2, mode: str = "linear"
) -> Array:
    """A copy of the cache (batch first) with `update` written along `axis` from each sample's index on.

    Source: ONNX operators, TensorScatter-24.
    """
    if mode not in ("linear", "circular"):
        raise KernelError(f"mode must be linear or circular, is {mode!r}")
    along = axis_of(axis, past_cache.ndim)
    if along == 0:
        raise KernelError("axis must not be 0, the batch dimension")
    present = np.moveaxis(past_cache.copy(), along, 1)
    batch, length = present.shape[0], present.shape[1]
    starts = np.zeros(batch, np.int64) if write_indices is None else write_indices
    places = starts[:, None] + np.arange(update.shape[along])
    if mode == "circular":
        places %= length
    elif places.size and (places.max() >= length or places.min() < 0):
        raise KernelError(f"the update reaches from {places.min()} to {places.max()}, outside the cache of {length}")
    present[np.arange(batch)[:, None], places] = np.moveaxis(update, along, 1)
    return np.moveaxis(present, 1, along)
