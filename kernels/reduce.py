"""The Reduce operators; axes are an attribute at first and an input later (ReduceSum-13, the others-18)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from partita.kernels.arrays import Array, axes_of, quiet
from partita.kernels.registry import kernel

Axes = tuple[int, ...]
Reduction = Callable[[Array, Axes], Any]
"""Reduce over the given axes and keep them with size 1; with no axes, only what the reduction does to each element."""


def _sum(x: Array, axes: Axes) -> Any:
    return np.add.reduce(x, axis=axes, keepdims=True, dtype=x.dtype)


def _mean(x: Array, axes: Axes) -> Any:
    count = int(np.prod([x.shape[axis] for axis in axes], dtype=np.int64))
    total = _sum(x, axes)
    if x.dtype.kind not in "iu":
        return total / x.dtype.type(count)
    return np.where(total < 0, -(-total // count), total // count)  # truncates as division in C does


def _prod(x: Array, axes: Axes) -> Any:
    return np.multiply.reduce(x, axis=axes, keepdims=True, dtype=x.dtype)


def _lowest(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "b":
        return False
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


def _highest(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "b":
        return True
    return np.iinfo(dtype).max if dtype.kind in "iu" else np.inf


def _max(x: Array, axes: Axes) -> Any:
    return np.maximum.reduce(x, axis=axes, keepdims=True, initial=_lowest(x.dtype))


def _min(x: Array, axes: Axes) -> Any:
    return np.minimum.reduce(x, axis=axes, keepdims=True, initial=_highest(x.dtype))


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
