"""Where things are: ArgMax, ArgMin, TopK, Unique, NonZero; and running sums and products."""

import math
from typing import Any

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array, axis_of, quiet, scalar_of
from partita.kernels.registry import kernel


def _arg_extreme(x: Array, axis: int, keepdims: int, last: int, *, largest: bool) -> Array:
    axis = axis_of(axis, x.ndim) if x.ndim else 0
    x = np.atleast_1d(x)
    searched = np.flip(x, axis) if last else x
    found = searched.argmax(axis) if largest else searched.argmin(axis)
    if last:
        found = x.shape[axis] - 1 - found
    found = np.asarray(found, np.int64)
    return np.expand_dims(found, axis) if keepdims else found


@kernel("ArgMax")
def arg_max(data: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Array:
    """Index of the largest element along `axis`, first or last of equals. Source: ONNX operators, ArgMax-13."""
    return _arg_extreme(data, axis, keepdims, select_last_index, largest=True)


@kernel("ArgMin")
def arg_min(data: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Array:
    """Index of the least element along `axis`, first or last of equals. Source: ONNX operators, ArgMin-13."""
    return _arg_extreme(data, axis, keepdims, select_last_index, largest=False)


def _running(ufunc: np.ufunc, x: Array, axis: Array, *, exclusive: int, reverse: int) -> Array:
    along = axis_of(scalar_of(axis, "axis"), x.ndim)
    source = np.flip(x, along) if reverse else x
    if exclusive:
        neutral = np.full_like(source[(slice(None),) * along + (slice(0, 1),)], ufunc.identity)
        source = np.concatenate([neutral, source[(slice(None),) * along + (slice(0, -1),)]], along)
    result = ufunc.accumulate(source, axis=along, dtype=x.dtype)
    return np.flip(result, along) if reverse else result


@kernel("CumSum", since=11)
@quiet
def cum_sum(x: Array, axis: Array, *, exclusive: int = 0, reverse: int = 0) -> Array:
    """Running sum along `axis`, without the element itself if `exclusive`. Source: ONNX operators, CumSum-14."""
    return _running(np.add, x, axis, exclusive=exclusive, reverse=reverse)


@kernel("CumProd", since=26)
@quiet
def cum_prod(x: Array, axis: Array, *, exclusive: int = 0, reverse: int = 0) -> Array:
    """Running product along `axis`, without the element itself if `exclusive`. Source: ONNX operators, CumProd-26."""
    return _running(np.multiply, x, axis, exclusive=exclusive, reverse=reverse)


@kernel("NonZero", since=9)
def non_zero(X: Array) -> Array:
    """Indices of the non-zero elements in row-major order, (rank, count). Source: ONNX operators, NonZero-13."""
    return np.array(np.nonzero(np.atleast_1d(X)), np.int64)


def _stable_order(rows: Array, *, largest: bool) -> Array:
    """Column indices that sort each row; equal elements stay in the order of their columns."""
    if not largest:
        return np.argsort(rows, axis=-1, kind="stable")
    return rows.shape[-1] - 1 - np.argsort(rows[:, ::-1], axis=-1, kind="stable")[:, ::-1]


def _candidates(rows: Array, k: int, *, largest: bool) -> Array:
    """Columns of the k best elements of each row, ascending; the lowest columns among elements equal to the k-th."""
    pivot = rows.shape[-1] - k if largest else k - 1
    kth = np.partition(rows, pivot, axis=-1)[:, pivot, None]
    chosen = rows >= kth if largest else rows <= kth
    if np.count_nonzero(chosen) > k * len(rows):
        equal = rows == kth
        missing = k - (chosen & ~equal).sum(axis=-1, keepdims=True)
        chosen &= ~equal | (np.cumsum(equal, axis=-1) <= missing)
    return np.nonzero(chosen)[1].reshape(len(rows), k)


def _top_k(x: Array, k: int, axis: int, *, largest: bool) -> tuple[Array, Array]:
    axis = axis_of(axis, x.ndim)
    moved = np.moveaxis(x, axis, -1)
    if not 0 <= k <= moved.shape[-1]:
        raise KernelError(f"k must be between 0 and the size of axis {axis}, {moved.shape[-1]}, is {k}")
    shape = (*moved.shape[:-1], k)
    rows = moved.reshape(math.prod(shape[:-1]), moved.shape[-1])
    if k and 8 * k < rows.shape[1] and not (x.dtype.kind == "f" and np.isnan(rows).any()):
        columns = _candidates(rows, k, largest=largest)
        order = _stable_order(np.take_along_axis(rows, columns, -1), largest=largest)
        columns = np.take_along_axis(columns, order, -1)
    else:
        columns = _stable_order(rows, largest=largest)[:, :k]
    values = np.take_along_axis(rows, columns, -1)
    indices = columns.astype(np.int64, copy=False)
    return np.moveaxis(values.reshape(shape), -1, axis), np.moveaxis(indices.reshape(shape), -1, axis)


@kernel("TopK")
def top_k_attribute(X: Array, *, k: int, axis: int = -1) -> tuple[Array, Array]:
    """The `k` largest along `axis`, descending, and their indices. Source: ONNX operators, TopK-1."""
    return _top_k(X, k, axis, largest=True)


@kernel("TopK", since=10)
def top_k(X: Array, K: Array, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> tuple[Array, Array]:
    """The `K` largest or smallest along `axis`, best first, and their indices; of equals, the lower index first.

    The order is right whether `sorted` or not. Source: ONNX operators, TopK-24.

    >>> top_k(np.array([3, 9, 9, 1]), np.array([2]))
    (array([9, 9]), array([1, 2]))
    """
    return _top_k(X, scalar_of(K, "K"), axis, largest=bool(largest))


@kernel("Unique", since=11)
def unique(X: Array, *, axis: int | None = None, sorted: int = 1) -> tuple[Array, Array, Array, Array]:
    """Distinct elements, or slices along `axis`; their first positions, the inverse and the counts.

    Source: ONNX operators, Unique-28.
    """
    if axis is not None:
        axis = axis_of(axis, X.ndim)
    found: Any = np.unique(X, return_index=True, return_inverse=True, return_counts=True, axis=axis)
    values, first, inverse, counts = found
    inverse = inverse.reshape(-1)
    if not sorted:
        order = np.argsort(first, kind="stable")
        values = np.take(values, order, axis=axis or 0)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        first, inverse, counts = first[order], rank[inverse], counts[order]
    return values, first.astype(np.int64), inverse.astype(np.int64), counts.astype(np.int64)
