"""Compiled element-wise chains and rows: Gelu, softmax, layer normalisation. Imported only where numba is installed."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from partita.kernels.arrays import Array
from partita.kernels.functions import _ERF_LIMIT as ERF_LIMIT
from partita.kernels.functions import _ERF_POLYNOMIAL as ERF_POLYNOMIAL

Function = TypeVar("Function", bound=Callable[..., Any])
F = np.float32
LOG2_E, LN2_HIGH, LN2_LOW = F(1.4426950408889634), F(0.693359375), F(-2.12194440054690583e-4)
"""ln 2 in two parts, the first exact in 10 bits, so that n times it is exact for every n that occurs."""
EXP = tuple(F(1 / d) for d in (1, 1, 2, 6, 24, 120, 720))
"""Taylor's series of exp: for |x| <= ln(2) / 2 the first term left out, x^7 / 5040, is below 2e-7 of the result."""
LEAST_EXPONENT, GREATEST_EXPONENT = F(-127), F(128)
ERF = tuple(F(c) for c in ERF_POLYNOMIAL)
E0, E1, E2, E3, E4, E5, E6 = ERF
X0, X1, X2, X3, X4, X5, X6 = EXP
BLOCK = 1 << 10
LIMIT, HALF_ROOT = F(ERF_LIMIT), F(0.5**0.5)


def compiled(function: Function) -> Function:
    """Each operation rounded as it is written, but for products that are added to something."""
    return numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})(function)


def compiled_sums(function: Function) -> Function:
    """The same, but sums may be added in lanes; NaN and infinity keep their meaning."""
    return numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})(function)


def compiled_largest(function: Function) -> Function:
    return numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"nnan", "nsz", "reassoc"})(function)


def _generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
    return builder.bitcast(arguments[0], ir.FloatType())


def _declare(typing: Any, bits: Any) -> Any:
    return types.float32(types.int32), _generate


_float_of_bits: Any = intrinsic(_declare)
"""The float32 whose bits are those of an int32."""


@compiled
def exp(x: np.float32) -> np.float32:
    """exp of one float32, 0 where it would not be normal, infinite where it would overflow; branch-free for vectors.

    2^n exp(x - n ln 2), with n the nearest whole number to x / ln 2 and 2^n made of an exponent's bits.
    """
    wanted = np.rint(x * LOG2_E)
    n = wanted if wanted > LEAST_EXPONENT else LEAST_EXPONENT
    n = n if n < GREATEST_EXPONENT else GREATEST_EXPONENT
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    r = F(0) if wanted <= LEAST_EXPONENT or wanted >= GREATEST_EXPONENT else r  # not for NaN, which goes through
    p = X0 + r * (X1 + r * (X2 + r * (X3 + r * (X4 + r * (X5 + r * X6)))))
    return p * _float_of_bits((np.int32(n) + np.int32(127)) << np.int32(23))


@compiled
def gelu(x: Array, out: Array) -> None:
    """x (1 + erf(x / sqrt 2)) / 2 of a one-dimensional array, written to another one.

    erf(z) is tanh(z P(z^2)) with the polynomial of `functions`, and (1 + tanh u) / 2 is 1 / (1 + exp(-2 u)).
    """
    for i in range(len(x)):
        z = x[i] * HALF_ROOT
        z = LIMIT if z > LIMIT else z
        z = -LIMIT if z < -LIMIT else z
        t = z * z
        u = z * (E0 + t * (E1 + t * (E2 + t * (E3 + t * (E4 + t * (E5 + t * E6))))))
        share = F(1) / (F(1) + exp(F(-2) * F(u)))
        out[i] = x[i] * (F(0) if z <= -LIMIT else share)


@compiled
def gelu_in_place(x: Array) -> None:
    """Gelu of a one-dimensional array; block by block through another one, for no loop in place becomes vector code."""
    block = np.empty(BLOCK, np.float32)
    for start in range(0, len(x), BLOCK):
        part = x[start : start + BLOCK]
        gelu(part, block)
        part[:] = block[: len(part)]


@compiled_largest
def _largest(row: Array) -> np.float32:
    """The largest element of a row without NaN; with NaN any of them, for the row's sum will be NaN anyway."""
    largest = F(-np.inf)
    for i in range(len(row)):
        largest = row[i] if row[i] > largest else largest
    return largest


@compiled_sums
def softmax(x: Array, out: Array) -> None:
    """Rows of `x` normalised to distributions."""
    for r in range(len(x)):
        row, result = x[r], out[r]
        largest = _largest(row)
        total = F(0)
        for i in range(len(row)):
            e = exp(row[i] - largest)
            result[i] = e
            total += e
        factor = F(1) / total
        for i in range(len(row)):
            result[i] *= factor


@compiled_sums
def normalize(x: Array, scale: Array, shift: Array, epsilon: float, out: Array, means: Array, inverses: Array) -> None:
    """Rows of `x` with mean 0 and variance 1, times `scale`, plus `shift`; also the means and inverse deviations."""
    count = F(x.shape[1])
    for r in range(len(x)):
        row, result = x[r], out[r]
        total = F(0)
        for i in range(len(row)):
            total += row[i]
        mean = total / count
        square = F(0)
        for i in range(len(row)):
            square += (row[i] - mean) * (row[i] - mean)
        inverse = F(1) / np.sqrt(square / count + epsilon)
        for i in range(len(row)):
            result[i] = (row[i] - mean) * inverse * scale[i] + shift[i]
        means[r], inverses[r] = mean, inverse
