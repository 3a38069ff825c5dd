"""Softmax, LogSoftmax and Hardmax; before opset 13 they work on the input coerced to two dimensions."""

from collections.abc import Callable
from math import prod

import numpy as np

from partita.kernels.arrays import BLOCK, Array, axis_of, quiet
from partita.kernels.registry import kernel
from partita.kernels.threads import share

NARROW = 80.0
"""exp(-80) is a normal float32: rows whose elements differ by less need no maximum of their own to avoid overflow."""


def _shift(x: Array, out: Array) -> None:
    """Write rows of `x` less a number that keeps their exponentials in range; softmax does not depend on it."""
    largest = x.max()
    if largest - x.min() < NARROW:
        np.subtract(x, largest, out=out)
    else:
        np.subtract(x, x.max(axis=-1, keepdims=True), out=out)


@quiet
def row_sums(x: Array) -> Array:
    """Sums along the last axis, which stays.

    OpenBLAS may look at numbers behind a small matrix, and numpy then tells of an invalid one that is not in it.
    """
    return np.matmul(x, np.ones((x.shape[-1], 1), x.dtype))


def _softmax_rows(x: Array, out: Array) -> None:
    _shift(x, out)
    np.exp(out, out=out)
    out /= row_sums(out)


def _log_softmax_rows(x: Array, out: Array) -> None:
    _shift(x, out)
    out -= np.log(row_sums(np.exp(out)))


def _hardmax_rows(x: Array, out: Array) -> None:
    out[...] = 0
    np.put_along_axis(out, x.argmax(axis=-1)[:, None], 1, axis=-1)


def _by_rows(step: Callable[[Array, Array], None], x: Array) -> Array:
    """Apply `step(rows, out)` to the rows (last axis) of a contiguous copy of `x`, some cache-sized block at a time."""
    if x.size == 0:
        return x
    length = x.shape[-1]
    rows = np.ascontiguousarray(x).reshape(-1, length)
    out = np.empty_like(rows)
    at_once = max(1, BLOCK // length)

    def compute(start: int) -> None:
        step(rows[start : start + at_once], out[start : start + at_once])

    share(compute, range(0, len(rows), at_once))
    return out.reshape(x.shape)


@quiet
def _along_axis(step: Callable[[Array, Array], None], x: Array, axis: int) -> Array:
    axis = axis_of(axis, x.ndim) if x.ndim else 0
    if axis >= x.ndim - 1:
        return _by_rows(step, x.reshape(-1)).reshape(x.shape) if x.ndim < 2 else _by_rows(step, x)
    return np.moveaxis(_by_rows(step, np.moveaxis(x, axis, -1)), -1, axis)


@quiet
def _coerced(step: Callable[[Array, Array], None], x: Array, axis: int) -> Array:
    axis = axis if axis == x.ndim else axis_of(axis, x.ndim)
    return _by_rows(step, x.reshape(prod(x.shape[:axis]), prod(x.shape[axis:]))).reshape(x.shape)


@kernel("Softmax")
def softmax_coerced(input: Array, *, axis: int = 1) -> Array:
    """Normalise each row of the input seen as (axes before `axis`, the rest). Source: ONNX operators, Softmax-11."""
    return _coerced(_softmax_rows, input, axis)


@kernel("Softmax", since=13)
def softmax(input: Array, *, axis: int = -1) -> Array:
    """Normalise to a distribution along `axis`; any shape, result in the shape of `input`.

    Source: ONNX operators, Softmax-13.

    >>> softmax(np.array([0.0, 0.0]))
    array([0.5, 0.5])
    """
    return _along_axis(_softmax_rows, input, axis)


@kernel("LogSoftmax")
def log_softmax_coerced(input: Array, *, axis: int = 1) -> Array:
    """Logarithm of Softmax-11. Source: ONNX operators, LogSoftmax-11."""
    return _coerced(_log_softmax_rows, input, axis)


@kernel("LogSoftmax", since=13)
def log_softmax(input: Array, *, axis: int = -1) -> Array:
    """Logarithm of the softmax along `axis`. Source: ONNX operators, LogSoftmax-13."""
    return _along_axis(_log_softmax_rows, input, axis)


@kernel("Hardmax")
def hardmax_coerced(input: Array, *, axis: int = 1) -> Array:
    """1 at the first maximum of each row of the coerced input, 0 elsewhere. Source: ONNX operators, Hardmax-11."""
    return _coerced(_hardmax_rows, input, axis)


@kernel("Hardmax", since=13)
def hardmax(input: Array, *, axis: int = -1) -> Array:
    """1 at the first maximum along `axis`, 0 elsewhere. Source: ONNX operators, Hardmax-13."""
    return _along_axis(_hardmax_rows, input, axis)
