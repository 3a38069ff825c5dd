"""The Reduce operators; axes are an attribute at first and an input later (ReduceSum-13, the others-18)."""

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from partita.kernels.arrays import Array, axes_of, highest, lowest, quiet
from partita.kernels.registry import kernel

Axes = tuple[int, ...]
Reduction = Callable[[Array, Axes], Any]
"""Reduce over the given axes and keep them with size 1; with no axes, only what the reduction does to each element."""


SHORT = 1024
"""Below so many elements per product, numpy's own sum is faster than a matrix product with ones."""


def _sum(x: Array, axes: Axes) -> Any:
    if x.dtype.kind == "f" and axes and x.size:
        run = _run_of(x.shape, x.strides, x.itemsize, axes)
        if run is not None:
            stored = x.transpose(run.order).reshape(run.shape)
            return _sum_of_run(stored).reshape(run.kept).transpose(run.back).reshape(run.result)
    return np.add.reduce(x, axis=axes, keepdims=True, dtype=x.dtype)


class _Run(NamedTuple):
    """How an array is one of (before, run, after) in memory, of which the middle is summed."""

    order: Axes
    shape: tuple[int, int, int]
    kept: tuple[int, ...]
    """Sizes of the axes that stay, in memory order; `back` brings them into their own."""
    back: Axes
    result: tuple[int, ...]


@lru_cache(maxsize=1024)
def _run_of(shape: tuple[int, ...], strides: tuple[int, ...], item_bytes: int, axes: Axes) -> _Run | None:
    """None if the axes do not lie side by side in memory."""
    order = tuple(sorted(range(len(shape)), key=lambda axis: -strides[axis]))
    sizes = [shape[axis] for axis in order]
    steps = [item_bytes * prod(sizes[i + 1 :]) for i in range(len(sizes))]
    is_contiguous = all(n == 1 or strides[axis] == s for axis, n, s in zip(order, sizes, steps, strict=True))
    places = [i for i, axis in enumerate(order) if axis in axes]
    first, last = places[0], places[-1] + 1
    if not is_contiguous or last - first != len(places):
        return None
    stay = [axis for axis in order if axis not in axes]
    return _Run(
        order=order,
        shape=(prod(sizes[:first]), prod(sizes[first:last]), prod(sizes[last:])),
        kept=tuple(shape[axis] for axis in stay),
        back=tuple(stay.index(axis) for axis in range(len(shape)) if axis not in axes),
        result=tuple(1 if axis in axes else size for axis, size in enumerate(shape)),
    )


def _sum_of_run(x: Array) -> Array:
    """Sum of contiguous (before, run, after) over the middle: BLAS adds faster than numpy, as a product with ones."""
    before, run, after = x.shape
    if after == 1 and x.size >= SHORT:
        return np.asarray(np.matmul(x.reshape(before, run), np.ones((run, 1), x.dtype)))
    if run * after >= SHORT and after > 1:
        return np.asarray(np.matmul(np.ones((1, run), x.dtype), x))
    return np.asarray(np.add.reduce(x, axis=1, dtype=x.dtype))


def _mean(x: Array, axes: Axes) -> Any:
    count = prod(x.shape[axis] for axis in axes)
    total = _sum(x, axes)
    if x.dtype.kind not in "iu":
        return total / x.dtype.type(count)
    return np.where(total < 0, -(-total // count), total // count)  # truncates as division in C does


def _prod(x: Array, axes: Axes) -> Any:
    return np.multiply.reduce(x, axis=axes, keepdims=True, dtype=x.dtype)


def _max(x: Array, axes: Axes) -> Any:
    return np.maximum.reduce(x, axis=axes, keepdims=True, initial=lowest(x.dtype))


def _min(x: Array, axes: Axes) -> Any:
    return np.minimum.reduce(x, axis=axes, keepdims=True, initial=highest(x.dtype))


def _l1(x: Array, axes: Axes) -> Any:
    return _sum(np.abs(x), axes)


def _sum_square(x: Array, axes: Axes) -> Any:
    return _sum(np.square(x), axes)


def _l2(x: Array, axes: Axes) -> Any:
    return np.sqrt(_sum_square(x, axes))


def _log_sum(x: Array, axes: Axes) -> Any:
    return np.log(_sum(x, axes))


def _log_sum_exp(x: Array, axes: Axes) -> Any:
    if x.dtype.kind in "iu":
        x = x.astype(np.float64)
    peak = _max(x, axes)
    peak = np.where(np.isfinite(peak), peak, 0).astype(x.dtype)
    return np.log(_sum(np.exp(x - peak), axes)) + peak


@quiet
def _reduce(reduction: Reduction, x: Array, axes: Axes | None, keepdims: int) -> Array:
    reduced = tuple(range(x.ndim)) if axes is None else axes_of(axes, x.ndim)
    kept = np.asarray(reduction(x, reduced)).astype(x.dtype, copy=False)
    if keepdims:
        return kept
    return kept.reshape([size for axis, size in enumerate(x.shape) if axis not in reduced])


def _with_attribute(op: str, reduction: Reduction) -> Callable[..., Array]:
    def compute(data: Array, *, axes: Axes | None = None, keepdims: int = 1) -> Array:
        return _reduce(reduction, data, axes, keepdims)

    compute.__doc__ = f"Reduce over the attribute `axes`, by default over all. Source: ONNX operators, {op}-1."
    return compute


def _with_input(op: str, reduction: Reduction) -> Callable[..., Array]:
    def compute(data: Array, axes: Array | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Array:
        chosen = None if axes is None or axes.size == 0 else tuple(axes.reshape(-1).tolist())
        if chosen is None and noop_with_empty_axes:
            chosen = ()
        return _reduce(reduction, data, chosen, keepdims)

    compute.__doc__ = f"Reduce over the input `axes`, by default over all. Source: ONNX operators, {op}."
    return compute


for _op, _input_since, _reduction in (
    ("ReduceL1", 18, _l1),
    ("ReduceL2", 18, _l2),
    ("ReduceLogSum", 18, _log_sum),
    ("ReduceLogSumExp", 18, _log_sum_exp),
    ("ReduceMax", 18, _max),
    ("ReduceMean", 18, _mean),
    ("ReduceMin", 18, _min),
    ("ReduceProd", 18, _prod),
    ("ReduceSum", 13, _sum),
    ("ReduceSumSquare", 18, _sum_square),
):
    kernel(_op)(_with_attribute(_op, _reduction))
    kernel(_op, since=_input_since)(_with_input(_op, _reduction))
