"""Random tensors: the same attributes, `seed` included, always give the same numbers (numpy's PCG64)."""

import struct

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array, dtype_of, quiet
from partita.kernels.registry import kernel


def _generator(seed: float | None) -> np.random.Generator:
    """A generator for the bits of a float32 seed; an absent seed is 0."""
    return np.random.default_rng(int.from_bytes(struct.pack("<f", seed or 0.0), "little"))


@kernel("RandomNormal")
def random_normal(
    *, dtype: int = 1, mean: float = 0.0, scale: float = 1.0, seed: float | None = None, shape: tuple[int, ...]
) -> Array:
    """Normal numbers of the given mean and standard deviation. Source: ONNX operators, RandomNormal-22."""
    return np.asarray(_generator(seed).normal(mean, scale, shape)).astype(dtype_of(dtype))


@kernel("RandomUniform")
def random_uniform(
    *, dtype: int = 1, high: float = 1.0, low: float = 0.0, seed: float | None = None, shape: tuple[int, ...]
) -> Array:
    """Uniform numbers between `low` and `high`. Source: ONNX operators, RandomUniform-22."""
    return np.asarray(_generator(seed).uniform(low, high, shape)).astype(dtype_of(dtype))


@kernel("RandomNormalLike", widen=False)
def random_normal_like(
    input: Array, *, dtype: int | None = None, mean: float = 0.0, scale: float = 1.0, seed: float | None = None
) -> Array:
    """Normal numbers in the shape and, by default, type of `input`. Source: ONNX operators, RandomNormalLike-22."""
    target = input.dtype if dtype is None else dtype_of(dtype)
    return np.asarray(_generator(seed).normal(mean, scale, input.shape)).astype(target)


@kernel("RandomUniformLike", widen=False)
def random_uniform_like(
    input: Array, *, dtype: int | None = None, high: float = 1.0, low: float = 0.0, seed: float | None = None
) -> Array:
    """Uniform numbers in the shape and, by default, type of `input`. Source: ONNX operators, RandomUniformLike-22."""
    target = input.dtype if dtype is None else dtype_of(dtype)
    return np.asarray(_generator(seed).uniform(low, high, input.shape)).astype(target)


@kernel("Bernoulli", since=15, widen=False)
def bernoulli(input: Array, *, dtype: int | None = None, seed: float | None = None) -> Array:
    """1 with the probability that `input` says, else 0. Source: ONNX operators, Bernoulli-22."""
    drawn = _generator(seed).random(input.shape) < input.astype(np.float64)
    return np.asarray(drawn).astype(input.dtype if dtype is None else dtype_of(dtype))


@kernel("Multinomial", since=7)
@quiet
def multinomial(input: Array, *, dtype: int = 6, sample_size: int = 1, seed: float | None = None) -> Array:
    """Classes drawn from unnormalised log-probabilities (batch, classes): (batch, sample_size).

    Source: ONNX operators, Multinomial-22.
    """
    if input.ndim != 2:
        raise KernelError(f"input must have the shape (batch, classes), has {input.shape}")
    weights = np.exp(input.astype(np.float64) - input.max(axis=1, keepdims=True))
    levels = np.cumsum(weights, axis=1)
    drawn = _generator(seed).random((len(input), sample_size)) * levels[:, -1:]
    return np.asarray((drawn[:, :, None] >= levels[:, None, :]).sum(axis=2)).astype(dtype_of(dtype))
