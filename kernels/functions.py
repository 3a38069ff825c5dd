"""Mathematical functions of one tensor: trigonometry, exponentials, rounding, Erf, tests for NaN and infinity."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from partita.kernels.arrays import Array, in_blocks, quiet
from partita.kernels.registry import kernel


def _unary(op: str, ufunc: Callable[[Array], Any]) -> Callable[[Array], Array]:
    @quiet
    def compute(x: Array) -> Array:
        return np.asarray(ufunc(x))

    compute.__name__ = op.lower()
    compute.__doc__ = f"Apply {ufunc.__name__} to every element. Source: ONNX operators, {op}."
    return compute


for _op, _since, _ufunc in (
    ("Abs", 1, np.abs),
    ("Neg", 1, np.negative),
    ("Sign", 9, np.sign),
    ("Reciprocal", 1, np.reciprocal),
    ("Sqrt", 1, np.sqrt),
    ("Exp", 1, np.exp),
    ("Log", 1, np.log),
    ("Ceil", 1, np.ceil),
    ("Floor", 1, np.floor),
    ("Round", 11, np.rint),  # halves go to the even neighbour
    ("Sin", 7, np.sin),
    ("Cos", 7, np.cos),
    ("Tan", 7, np.tan),
    ("Asin", 7, np.arcsin),
    ("Acos", 7, np.arccos),
    ("Atan", 7, np.arctan),
    ("Sinh", 9, np.sinh),
    ("Cosh", 9, np.cosh),
    ("Asinh", 9, np.arcsinh),
    ("Acosh", 9, np.arccosh),
    ("Atanh", 9, np.arctanh),
    ("Tanh", 1, np.tanh),
):
    kernel(_op, since=_since)(_unary(_op, _ufunc))


@kernel("IsNaN", since=9, widen=False)
def is_nan(x: Array) -> Array:
    """Tell which elements are NaN. Source: ONNX operators, IsNaN-20."""
    return np.asarray(np.isnan(x))


@kernel("IsInf", since=10, widen=False)
def is_inf(x: Array, *, detect_negative: int = 1, detect_positive: int = 1) -> Array:
    """Tell which elements are infinite, of the signs asked for. Source: ONNX operators, IsInf-20."""
    infinite = np.asarray(np.isinf(x))
    if not detect_positive:
        infinite &= x < 0
    if not detect_negative:
        infinite &= x > 0
    return infinite


# Weighted least squares, iterated toward the minimax fit of atanh(erf(x)) / x as a polynomial in x^2 for |x| <= 3.92,
# where erf rounds to 1 in float32; fitted for this file against math.erf. At the limit below, tanh of it is exactly 1.
# In float32 arithmetic, the error of erf is below 2e-7, the relative error below 3e-7.
ERF_LIMIT = 4.25
ERF_POLYNOMIAL = (
    1.1283792630336267,
    0.10276915038990737,
    -0.00019202910661540455,
    -0.0006196261848597155,
    8.75819049813062e-05,
    -5.660022056566456e-06,
    1.4139825883648367e-07,
)


def erf_block(x: Array, out: Array, scratch: Array) -> None:
    """Write erf(x) into `out`, in place of a function that numpy lacks; float32, `out` may be `x`."""
    np.clip(x, -ERF_LIMIT, ERF_LIMIT, out=out)
    np.multiply(out, out, out=scratch)
    out *= polynomial(scratch, ERF_POLYNOMIAL)
    np.tanh(out, out=out)


def polynomial(x: Array, coefficients: Sequence[float]) -> Array:
    """The sum of coefficients[i] x^i by Horner's rule, in an array of its own."""
    result = x * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        result += coefficient
        result *= x
    result += coefficients[0]
    return result


@cache
def _erf_polynomial() -> np.polynomial.Chebyshev:
    """erf on [-6, 6] as a Chebyshev series of degree 79, which math.erf at 80 nodes determines to 1e-15."""
    values = np.vectorize(math.erf, otypes=[np.float64])
    return np.polynomial.Chebyshev.interpolate(values, 79, domain=[-6, 6])


def _erf_block_float64(x: Array, out: Array, scratch: Array) -> None:
    np.clip(x, -6, 6, out=scratch)
    np.clip(_erf_polynomial()(scratch), -1, 1, out=out)


@kernel("Erf", since=9)
@quiet
def erf(x: Array) -> Array:
    """Gauss error function of every element. Source: ONNX operators, Erf-13.

    >>> erf(np.array([0, 1, 9], np.float32))
    array([0.       , 0.8427008, 1.       ], dtype=float32)
    """
    if x.dtype == np.float32:
        return in_blocks(erf_block, x)
    return in_blocks(_erf_block_float64, x.astype(np.float64, copy=False)).astype(x.dtype, copy=False)
