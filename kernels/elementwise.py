"""Arithmetic, comparison, logic and bits, element by element with numpy broadcasting."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array, broadcast_shape, limited, quiet
from partita.kernels.registry import kernel

LARGEST_FLOAT32 = 3.4028234663852886e38


def _binary(op: str, ufunc: Callable[[Array, Array], Any]) -> Callable[[Array, Array], Array]:
    @quiet
    def compute(a: Array, b: Array) -> Array:
        try:
            return np.asarray(ufunc(a, b))
        except ValueError:
            broadcast_shape(a.shape, b.shape)
            raise

    compute.__name__ = op.lower()
    compute.__doc__ = f"Apply {ufunc.__name__} to two tensors that broadcast. Source: ONNX operators, {op}."
    return compute


def _same(a: Array, b: Array) -> Any:
    return a == b  # unlike np.equal, gives booleans for text too


for _op, _since, _ufunc in (
    ("Add", 7, np.add),
    ("Sub", 7, np.subtract),
    ("Mul", 7, np.multiply),
    ("And", 7, np.logical_and),
    ("Or", 7, np.logical_or),
    ("Xor", 7, np.logical_xor),
    ("Equal", 7, _same),
    ("Less", 7, np.less),
    ("LessOrEqual", 12, np.less_equal),
    ("Greater", 7, np.greater),
    ("GreaterOrEqual", 12, np.greater_equal),
    ("BitwiseAnd", 18, np.bitwise_and),
    ("BitwiseOr", 18, np.bitwise_or),
    ("BitwiseXor", 18, np.bitwise_xor),
):
    kernel(_op, since=_since)(_binary(_op, _ufunc))


@kernel("Div", since=7)
@quiet
def div(a: Array, b: Array) -> Array:
    """Divide two tensors that broadcast; integers truncate toward zero.

    Source: ONNX operators, Div-14; the truncation is what C and onnxruntime do.

    >>> div(np.array([-7, 7]), np.array(2))
    array([-3,  3])
    """
    broadcast_shape(a.shape, b.shape)
    if a.dtype.kind not in "iu":
        return np.asarray(np.true_divide(a, b))
    quotient = np.asarray(np.floor_divide(a, b))
    if a.dtype.kind == "i":
        quotient += (quotient < 0) & (quotient * b != a)
    return quotient


@kernel("Pow", since=7)
@quiet
def pow_(x: Array, y: Array) -> Array:
    """Raise `x` to the power `y`, broadcasting; the result has the dtype of `x`. Source: ONNX operators, Pow-15."""
    broadcast_shape(x.shape, y.shape)
    if x.dtype.kind in "iu":
        return _integer_power(x, y)
    if y.size == 1:
        known = _known_power(x, float(y.item()))
        if known is not None:
            return known.reshape(broadcast_shape(x.shape, y.shape))
    wide = y.dtype if y.dtype.kind == "f" and y.dtype.itemsize > x.dtype.itemsize else x.dtype
    return np.asarray(np.power(x, y.astype(wide, copy=False))).astype(x.dtype, copy=False)


def _known_power(x: Array, exponent: float) -> Array | None:
    """A power by multiplication or root, which is up to a hundred times as fast as numpy's power; None for others."""
    if exponent == 0.5 and not np.isneginf(x).any():
        return np.asarray(np.sqrt(x))
    if exponent not in (-2, -1, 1, 2, 3, 4):
        return None
    result = x if abs(exponent) == 1 else np.square(x)
    if exponent == 3:
        result = result * x
    if exponent == 4:
        result = np.square(result)
    return np.asarray(np.reciprocal(result) if exponent < 0 else result)


def _integer_power(x: Array, y: Array) -> Array:
    if y.dtype.kind in "iu" and (y.dtype.kind == "u" or not (y < 0).any()):
        return np.asarray(np.power(x, y.astype(x.dtype, copy=False)))
    return np.asarray(np.power(x.astype(np.float64), y)).astype(x.dtype)


@kernel("Mod", since=10)
@quiet
def mod(a: Array, b: Array, *, fmod: int = 0) -> Array:
    """Remainder of a / b with the sign of `b`, or with the sign of `a` if `fmod`. Source: ONNX operators, Mod-28."""
    broadcast_shape(a.shape, b.shape)
    return np.asarray(np.fmod(a, b) if fmod else np.mod(a, b))


@kernel("BitShift", since=11)
def bit_shift(x: Array, y: Array, *, direction: str) -> Array:
    """Shift the bits of `x` by `y` places, broadcasting; the right shift of signed integers keeps the sign.

    Counts below 0 or beyond the width shift every bit out. Source: ONNX operators, BitShift-28.
    """
    if direction not in ("LEFT", "RIGHT"):
        raise KernelError(f"direction must be LEFT or RIGHT, is {direction!r}")
    broadcast_shape(x.shape, y.shape)
    return np.asarray(np.left_shift(x, y) if direction == "LEFT" else np.right_shift(x, y))


@kernel("BitwiseNot", since=18)
def bitwise_not(x: Array) -> Array:
    """Flip every bit. Source: ONNX operators, BitwiseNot-18."""
    return np.asarray(np.invert(x))


@kernel("Not")
def not_(x: Array) -> Array:
    """Negate booleans. Source: ONNX operators, Not-1."""
    return np.asarray(np.logical_not(x))


@kernel("Where", since=9, widen=False)
def where(condition: Array, x: Array, y: Array) -> Array:
    """Take `x` where `condition` holds and `y` elsewhere; all three broadcast. Source: ONNX operators, Where-16."""
    broadcast_shape(condition.shape, x.shape, y.shape)
    return np.where(condition, x, y)


@kernel("Clip", since=6)
def clip_attributes(x: Array, *, min: float = -LARGEST_FLOAT32, max: float = LARGEST_FLOAT32) -> Array:
    """Limit `x` to [min, max]. Source: ONNX operators, Clip-6."""
    return np.asarray(np.clip(x, min, max))


@kernel("Clip", since=11)
def clip(x: Array, min: Array | None = None, max: Array | None = None) -> Array:
    """Limit `x` to [min, max], each a scalar; `max` wins where they cross. Source: ONNX operators, Clip-13."""
    if min is None and max is None:
        return x
    return limited(x, None if min is None else min.reshape(()), None if max is None else max.reshape(()))


def _fold(ufunc: Callable[[Array, Array], Any], xs: tuple[Array, ...]) -> Array:
    if not xs:
        raise KernelError("needs at least one input, has none")
    broadcast_shape(*(x.shape for x in xs))
    return np.asarray(reduce(ufunc, xs))


def _larger(a: Array, b: Array) -> Any:
    return limited(a, b.reshape(()), None) if b.size == 1 and b.ndim <= a.ndim else np.maximum(a, b)


def _smaller(a: Array, b: Array) -> Any:
    return limited(a, None, b.reshape(())) if b.size == 1 and b.ndim <= a.ndim else np.minimum(a, b)


@kernel("Max", since=6)
def max_(*xs: Array) -> Array:
    """Largest element over the inputs, which broadcast; NaN wins. Source: ONNX operators, Max-13."""
    return _fold(_larger, xs)


@kernel("Min", since=6)
def min_(*xs: Array) -> Array:
    """Smallest element over the inputs, which broadcast; NaN wins. Source: ONNX operators, Min-13."""
    return _fold(_smaller, xs)


@kernel("Sum", since=6)
@quiet
def sum_(*xs: Array) -> Array:
    """Sum of the inputs, which broadcast. Source: ONNX operators, Sum-13."""
    return _fold(np.add, xs)


@kernel("Mean", since=6)
@quiet
def mean(*xs: Array) -> Array:
    """Mean of the inputs, which broadcast. Source: ONNX operators, Mean-13."""
    total = _fold(np.add, xs)
    return np.asarray(total / total.dtype.type(len(xs)))
