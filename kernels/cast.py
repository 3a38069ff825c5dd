"""Cast, CastLike and BitCast between all of ONNX's types, text included."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array, dtype_of, quiet
from partita.kernels.halves import to_float16, to_float32
from partita.kernels.registry import kernel

_SATURATING = {
    np.dtype(t)
    for t in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2, ml_dtypes.float8_e5m2fnuz)
}
_finfo: Callable[[Any], Any] = ml_dtypes.finfo
_E8M0 = np.dtype(ml_dtypes.float8_e8m0fnu)
_FINITE = {
    np.dtype(t) for t in (ml_dtypes.float4_e2m1fn, ml_dtypes.float6_e2m3fn, ml_dtypes.float6_e3m2fn)
}  # these have no infinity and no NaN, so conversion to them always saturates


def is_small_float(dtype: np.dtype[Any]) -> bool:
    """Whether `dtype` is one of the floating-point types of 4, 6 or 8 bits."""
    return dtype in _SATURATING or dtype in _FINITE or dtype == _E8M0


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether `dtype` is a floating-point type of any width; the ones numpy lacks have the kind V."""
    return dtype.kind == "f" or dtype == ml_dtypes.bfloat16 or is_small_float(dtype)


def _to_text(x: Array) -> Array:
    """Shortest text that reads back as the same number, with NaN and INF as the standard spells them."""
    if x.dtype.kind == "b":
        words = ["1" if value else "0" for value in x.ravel()]
    elif is_float(x.dtype):
        wide = x if x.dtype.kind == "f" else x.astype(np.float32)
        words = [_spelled(value) for value in wide.ravel()]
    else:
        words = [str(value) for value in x.ravel()]
    return np.array(words, object).reshape(x.shape)


def _spelled(value: np.floating[Any]) -> str:
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "INF" if value > 0 else "-INF"
    return str(value).removesuffix(".0")


def _from_text(x: Array, to: np.dtype[Any]) -> Array:
    try:
        if to.kind in "iu":
            numbers = np.array([_integer(word) for word in x.ravel()], to)
        else:
            numbers = np.array([float(word) for word in x.ravel()], np.float64)
    except ValueError as problem:
        raise KernelError(f"text cannot be cast to {to}: {problem}") from None
    return to_dtype(numbers.reshape(x.shape), to)


def _integer(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        return int(float(word))


def _to_e8m0(x: Array, round_mode: str, saturate: bool) -> Array:
    """Powers of two from 2^-127 to 2^127; `up`, `down` and `nearest` (ties up) choose between neighbours."""
    if round_mode not in ("up", "down", "nearest"):
        raise KernelError(f"round_mode must be up, down or nearest, is {round_mode!r}")
    mantissa, exponent = np.frexp(x.astype(np.float64))  # mantissa in [0.5, 1)
    limit = {"up": 0.5, "down": 1.0, "nearest": 0.75 - 2.0**-53}[round_mode]
    code = exponent - 1 + (mantissa > limit) + 127
    outside = (code < 0) | (code > 254) | (x == 0)
    code = np.where(x == 0, 0, np.where(np.isinf(x), 254, np.clip(code, 0, 254)))
    invalid = np.isnan(x) if saturate else np.isnan(x) | np.isinf(x) | outside
    return np.where(invalid, 255, code).astype(np.uint8).view(_E8M0)


@quiet
def to_dtype(x: Array, to: np.dtype[Any], *, saturate: bool = True, round_mode: str = "up") -> Array:
    """`x` as `to`, by the conversion rules of Cast; `x` itself if it has that dtype.

    Small floats round to the nearest, ties to even, and saturate if asked to; integers wrap.
    """
    if x.dtype == to:
        return x
    if to.kind in "OU":
        return _to_text(x)
    if x.dtype.kind in "OU":
        return _from_text(x, to)
    if to == _E8M0:
        return _to_e8m0(x, round_mode, saturate)
    if to in _FINITE or (saturate and to in _SATURATING):
        limit = float(_finfo(to).max)
        wide = x if x.dtype.kind == "f" else x.astype(np.float32)
        return np.asarray(np.clip(wide, -limit, limit)).astype(to)
    if x.dtype == np.float32 and to == np.float16:
        return to_float16(x)
    if x.dtype == np.float16 and to == np.float32:
        return to_float32(x)
    if to.itemsize == 1 and to.kind == "V" and not is_small_float(to) and is_float(x.dtype):
        return x.astype(np.int32).astype(to)  # integers of 4 and 2 bits
    return x.astype(to)


@kernel("Cast", since=6, widen=False)
def cast(input: Array, *, to: int, saturate: int = 1, round_mode: str = "up") -> Array:
    """Convert to the type numbered `to`; same shape.

    Source: ONNX operators, Cast-28.

    >>> cast(np.array([1e9, -1.5]), to=17).astype(np.float32)
    array([448. ,  -1.5], dtype=float32)
    """
    return to_dtype(input, dtype_of(to), saturate=bool(saturate), round_mode=round_mode)


@kernel("CastLike", since=15, widen=False)
def cast_like(input: Array, target_type: Array, *, saturate: int = 1, round_mode: str = "up") -> Array:
    """Convert to the type of `target_type`. Source: ONNX operators, CastLike-25."""
    return to_dtype(input, target_type.dtype, saturate=bool(saturate), round_mode=round_mode)


@kernel("BitCast", since=26, widen=False)
def bit_cast(input: Array, *, to: int) -> Array:
    """Read the same bits as another type of the same width. Source: ONNX operators, BitCast-26."""
    target = dtype_of(to)
    if target.itemsize != input.dtype.itemsize or target.kind == "O":
        raise KernelError(f"{input.dtype} cannot be read as {target}: the widths differ")
    return np.ascontiguousarray(input).view(target).reshape(input.shape)
