"""Activation functions, evaluated in cache-sized blocks where a function takes several passes."""

import math
from collections.abc import Callable

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array, broadcast_shape, in_blocks, limited, quiet
from partita.kernels.functions import ERF_POLYNOMIAL, polynomial
from partita.kernels.registry import kernel


@kernel("Relu")
def relu(X: Array) -> Array:
    """max(x, 0). Source: ONNX operators, Relu-14."""
    return limited(X, 0, None)


@kernel("LeakyRelu", since=6)
@quiet
def leaky_relu(X: Array, *, alpha: float = 0.01) -> Array:
    """x where it is positive, alpha x elsewhere. Source: ONNX operators, LeakyRelu-16."""
    if 0 < alpha <= 1:
        return np.asarray(np.maximum(X, X * alpha))
    return np.where(X < 0, X * alpha, X)


@kernel("PRelu", since=7)
@quiet
def prelu(X: Array, slope: Array) -> Array:
    """x where it is not negative, slope x elsewhere; `slope` broadcasts to `X`. Source: ONNX operators, PRelu-16."""
    broadcast_shape(X.shape, slope.shape)
    return np.where(X < 0, X * slope, X)


@kernel("Elu", since=6)
@quiet
def elu(X: Array, *, alpha: float = 1.0) -> Array:
    """x where it is positive, alpha (exp(x) - 1) elsewhere. Source: ONNX operators, Elu-22."""

    def step(x: Array, out: Array, scratch: Array) -> None:
        np.clip(x, -np.inf, 0, out=out)
        np.expm1(out, out=out)
        out *= alpha
        np.clip(x, 0, np.inf, out=scratch)
        out += scratch

    return in_blocks(step, X)


@kernel("Selu", since=6)
def selu(X: Array, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875) -> Array:
    """gamma times the Elu of x. Source: ONNX operators, Selu-22."""
    result = elu(X, alpha=alpha)
    result *= gamma
    return result


@kernel("Celu", since=12)
@quiet
def celu(X: Array, *, alpha: float = 1.0) -> Array:
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1)). Source: ONNX operators, Celu-28."""
    if alpha == 0:
        raise KernelError("alpha must not be 0: Celu divides by it")
    return limited(X, 0, None) + limited(alpha * np.expm1(X / alpha), None, 0)


@kernel("ThresholdedRelu", since=10)
def thresholded_relu(X: Array, *, alpha: float = 1.0) -> Array:
    """x where it is above alpha, 0 elsewhere. Source: ONNX operators, ThresholdedRelu-22."""
    return np.where(np.greater(X, alpha), X, X.dtype.type(0))


@kernel("Shrink", since=9)
def shrink(input: Array, *, bias: float = 0.0, lambd: float = 0.5) -> Array:
    """x + bias below -lambd, x - bias above lambd, 0 between. Source: ONNX operators, Shrink-9."""
    zero = input.dtype.type(0)
    outside = np.where(input < -lambd, input + bias, np.where(input > lambd, input - bias, zero))
    return outside.astype(input.dtype, copy=False)


def sigmoid_block(x: Array, out: Array) -> None:
    """Write 1 / (1 + exp(-x)) into `out`, which may be `x`."""
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    np.reciprocal(out, out=out)


@kernel("Sigmoid", since=6)
@quiet
def sigmoid(X: Array) -> Array:
    """1 / (1 + exp(-x)). Source: ONNX operators, Sigmoid-13."""
    return in_blocks(lambda x, out, scratch: sigmoid_block(x, out), X)


@kernel("Swish", since=24)
@quiet
def swish(X: Array, *, alpha: float = 1.0) -> Array:
    """x sigmoid(alpha x). Source: ONNX operators, Swish-24."""

    def step(x: Array, out: Array, scratch: Array) -> None:
        np.multiply(x, -alpha, out=out)
        np.exp(out, out=out)
        out += 1
        np.divide(x, out, out=out)

    return in_blocks(step, X)


@kernel("SwiGLU", since=28)
def swiglu(A: Array, B: Array, *, alpha: float = 1.0) -> Array:
    """Swish of the gate `A` times `B`, both of one shape. Source: ONNX operators, SwiGLU-28."""
    if A.shape != B.shape:
        raise KernelError(f"A and B must have one shape, they have {A.shape} and {B.shape}")
    result = swish(A, alpha=alpha)
    result *= B
    return result


@kernel("HardSigmoid", since=6)
@quiet
def hard_sigmoid(X: Array, *, alpha: float = 0.2, beta: float = 0.5) -> Array:
    """alpha x + beta, limited to [0, 1]. Source: ONNX operators, HardSigmoid-22."""

    def step(x: Array, out: Array, scratch: Array) -> None:
        np.multiply(x, alpha, out=out)
        out += beta
        np.clip(out, 0, 1, out=out)

    return in_blocks(step, X)


@kernel("HardSwish", since=14)
@quiet
def hard_swish(X: Array) -> Array:
    """x times hard sigmoid(x) with alpha 1/6 and beta 1/2. Source: ONNX operators, HardSwish-22."""

    def step(x: Array, out: Array, scratch: Array) -> None:
        np.multiply(x, 1 / 6, out=out)
        out += 0.5
        np.clip(out, 0, 1, out=out)
        out *= x

    return in_blocks(step, X)


@kernel("Softplus")
@quiet
def softplus(X: Array) -> Array:
    """log(1 + exp(x)), without overflow. Source: ONNX operators, Softplus-22."""

    def step(x: Array, out: Array, scratch: Array) -> None:
        _softplus_block(x, out)
        np.clip(x, 0, np.inf, out=scratch)
        out += scratch

    return in_blocks(step, X)


def _softplus_block(x: Array, out: Array) -> None:
    np.abs(x, out=out)
    np.negative(out, out=out)
    np.exp(out, out=out)
    np.log1p(out, out=out)


@kernel("Mish", since=18)
@quiet
def mish(X: Array) -> Array:
    """x tanh(softplus(x)). Source: ONNX operators, Mish-22."""

    def step(x: Array, out: Array, scratch: Array) -> None:
        _softplus_block(x, out)
        np.clip(x, 0, np.inf, out=scratch)
        out += scratch
        np.tanh(out, out=out)
        out *= x

    return in_blocks(step, X)


@kernel("Softsign")
@quiet
def softsign(input: Array) -> Array:
    """x / (1 + |x|). Source: ONNX operators, Softsign-22."""
    return np.asarray(input / (1 + np.abs(input)))


GELU_POLYNOMIAL = tuple(c * math.sqrt(0.5) ** (2 * i + 1) for i, c in enumerate(ERF_POLYNOMIAL))
"""atanh(erf(x / sqrt 2)) / x as a polynomial in x^2, positive and growing beyond the range it was fitted for."""


def gelu_erf_block(x: Array, out: Array, scratch: Array) -> None:
    """Write x (1 + erf(x / sqrt 2)) / 2 into `out`, which may be `x`."""
    np.multiply(x, x, out=scratch)
    factor = polynomial(scratch, GELU_POLYNOMIAL)
    factor *= x
    np.tanh(factor, out=factor)
    factor += 1
    factor *= 0.5
    np.multiply(x, factor, out=out)


def gelu_tanh_block(x: Array, out: Array, scratch: Array) -> None:
    """Write x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 into `out`."""
    np.multiply(x, x, out=out)
    out *= 0.044715 * math.sqrt(2 / math.pi)
    out += math.sqrt(2 / math.pi)
    out *= x
    np.tanh(out, out=out)
    out += 1
    out *= x
    out *= 0.5


@kernel("Gelu", since=20)
@quiet
def gelu(X: Array, *, approximate: str = "none") -> Array:
    """Gaussian error linear unit, by erf or by its tanh approximation. Source: ONNX operators, Gelu-20."""
    steps: dict[str, Callable[[Array, Array, Array], None]] = {"none": gelu_erf_block, "tanh": gelu_tanh_block}
    if approximate not in steps:
        raise KernelError(f"approximate must be none or tanh, is {approximate!r}")
    return in_blocks(steps[approximate], X)
