"""Normalisation layers."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from partita.errors import KernelError
from partita.kernels import threads
from partita.kernels.arrays import Array, quiet
from partita.kernels.products import cuts
from partita.kernels.registry import kernel

BLOCK_ELEMENTS = 1 << 16
"""Rows are normalised in blocks of about this many elements, so that the temporaries stay in the cache."""
LEAST_SHARED = 1 << 18
"""With fewer elements one thread is as fast as two (measured)."""


@kernel("BatchNormalization", since=1)
@kernel("BatchNormalization", since=9)
def batch_normalization(
    X: Array,
    scale: Array,
    B: Array,
    mean: Array,
    var: Array,
    *,
    epsilon: float = 1e-5,
    is_test: int = 1,
    momentum: float = 0.9,
    spatial: int = 1,
    n_outputs: int = 1,
) -> Array | tuple[Array, ...]:
    """Scale and shift each channel of X (N, C, spatial ...) by given statistics.

    A node with more than one output trains: it takes the statistics of X, and its further outputs are the running
    mean and variance, then those of X. Without `spatial` the statistics have the shape (C, spatial ...).
    Source: ONNX operators, BatchNormalization-9 and -7.
    """
    if n_outputs == 1:
        return _scale_channels(X, scale, B, mean, var, epsilon)
    axes = (0, *range(2, X.ndim)) if spatial else (0,)
    now_mean, now_var = X.mean(axis=axes), X.var(axis=axes)
    y = _scale_channels(X, scale, B, now_mean, now_var, epsilon)
    running = [old * momentum + now * (1 - momentum) for old, now in ((mean, now_mean), (var, now_var))]
    return y, *running, now_mean, now_var


@kernel("BatchNormalization", since=14)
def batch_normalization_14(
    X: Array,
    scale: Array,
    B: Array,
    input_mean: Array,
    input_var: Array,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> tuple[Array, ...]:
    """Scale and shift each channel of X (N, C, spatial ...); with `training_mode` by the statistics of X itself.

    Source: ONNX operators, BatchNormalization-15.
    """
    if not training_mode:
        return (_scale_channels(X, scale, B, input_mean, input_var, epsilon),)
    axes = (0, *range(2, X.ndim))
    mean, var = X.mean(axis=axes), X.var(axis=axes)
    y = _scale_channels(X, scale, B, mean, var, epsilon)
    pairs = ((input_mean, mean), (input_var, var))
    return y, *((old * momentum + now * (1 - momentum)).astype(old.dtype) for old, now in pairs)


def _scale_channels(x: Array, scale: Array, bias: Array, mean: Array, var: Array, epsilon: float) -> Array:
    """`(x - mean) / sqrt(var + epsilon) * scale + bias` as one product and one sum; keeps the memory order of `x`."""
    factor = (scale / np.sqrt(var + var.dtype.type(epsilon))).astype(x.dtype)
    shift = (bias - mean * factor).astype(x.dtype)
    if x.ndim == 1:
        return x * factor + shift
    shape = (*factor.shape, *(1,) * (x.ndim - 1 - factor.ndim))
    y = x * factor.reshape(shape)
    y += shift.reshape(shape)
    return y


@kernel("InstanceNormalization", since=1)
def instance_normalization(input: Array, scale: Array, B: Array, *, epsilon: float = 1e-5) -> Array:
    """Normalise each channel of each image (N, C, spatial ...). Source: ONNX operators, InstanceNormalization-22."""
    batch, channels = input.shape[:2]
    rows = input.reshape(batch * channels, math.prod(input.shape[2:]))
    factor = np.broadcast_to(scale, (batch, channels)).reshape(-1, 1)
    shift = np.broadcast_to(B, (batch, channels)).reshape(-1, 1)
    y, _, _ = _normalize_rows(rows, epsilon, factor, shift)
    return y.reshape(input.shape)


@kernel("GroupNormalization", since=18)
def group_normalization_18(X: Array, scale: Array, bias: Array, *, epsilon: float = 1e-5, num_groups: int) -> Array:
    """Normalise groups of channels of X (N, C, spatial ...); `scale` and `bias` have an entry per group.

    Source: ONNX operators, GroupNormalization-18.
    """
    per_group = X.shape[1] // num_groups
    return group_normalization(
        X, np.repeat(scale, per_group), np.repeat(bias, per_group), epsilon=epsilon, num_groups=num_groups
    )


@kernel("GroupNormalization", since=21)
def group_normalization(
    X: Array, scale: Array, bias: Array, *, epsilon: float = 1e-5, num_groups: int, stash_type: int = 1
) -> Array:
    """Normalise groups of channels of X (N, C, spatial ...); `scale` and `bias` have an entry per channel.

    Source: ONNX operators, GroupNormalization-21.
    """
    batch, channels = X.shape[:2]
    if channels % num_groups:
        raise KernelError(f"{channels} channels do not divide into {num_groups} groups")
    y, _, _ = _normalize_rows(X.reshape(batch * num_groups, math.prod(X.shape[1:]) // num_groups), epsilon)
    y = y.reshape(X.shape)
    shape = (-1, *(1,) * (X.ndim - 2))
    y *= scale.reshape(shape)
    y += bias.reshape(shape)
    return y


@kernel("LayerNormalization", since=17, widen=False)
def layer_normalization(
    X: Array,
    Scale: Array,
    B: Array | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> tuple[Array, Array, Array]:
    """Normalise over the axes from `axis` on; also the mean and the inverse standard deviation, in float32 for halves.

    Source: ONNX operators, LayerNormalization-17.
    """
    axis %= X.ndim
    count = math.prod(X.shape[axis:])
    wide = X.astype(np.float32) if X.dtype.itemsize < 4 else X
    rows = wide.reshape(-1, count)
    factor, shift = _row_parameters(Scale, X.shape[axis:], wide.dtype), _row_parameters(B, X.shape[axis:], wide.dtype)
    y, mean, inverse = _normalize_rows(rows, epsilon, factor, shift)
    shape = (*X.shape[:axis], *(1,) * (X.ndim - axis))
    return y.reshape(X.shape).astype(X.dtype, copy=False), mean.reshape(shape), inverse.reshape(shape)


def _row_parameters(parameters: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array | None:
    """`parameters` broadcast to `shape`, as one row."""
    if parameters is None:
        return None
    return np.broadcast_to(parameters.astype(dtype, copy=False), shape).reshape(1, -1)


@quiet
def _normalize_rows(
    rows: Array, epsilon: float, factor: Array | None = None, shift: Array | None = None
) -> tuple[Array, Array, Array]:
    """Rows (n, count) with mean 0 and variance 1, times `factor`, plus `shift` (each one row or one column).

    Returns them with the means and the inverse deviations, both (n, 1).
    """
    total, count = rows.shape
    y = np.empty(rows.shape, rows.dtype)
    mean, inverse = np.empty((total, 1), rows.dtype), np.empty((total, 1), rows.dtype)
    ones = np.full((count, 1), 1 / max(count, 1), rows.dtype)
    blocks = -(-rows.size // BLOCK_ELEMENTS)

    def compute(part: slice) -> None:
        block = y[part]
        np.matmul(rows[part], ones, out=mean[part])
        np.subtract(rows[part], mean[part], out=block)
        variance = np.vecdot(block, block)[:, None] / rows.dtype.type(count)
        inverse[part] = 1 / np.sqrt(variance + rows.dtype.type(epsilon))
        block *= inverse[part]
        if factor is not None:
            block *= factor if factor.shape[0] == 1 else factor[part]
        if shift is not None:
            block += shift if shift.shape[0] == 1 else shift[part]

    if rows.size < LEAST_SHARED:
        for part in cuts(total, blocks):
            compute(part)
    else:
        threads.share(compute, cuts(total, blocks + blocks % 2))
    return y, mean, inverse


@kernel("RMSNormalization", since=23)
def rms_normalization(X: Array, scale: Array, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Array:
    """Divide by the root of the mean square over the axes from `axis` on, times `scale`.

    Source: ONNX operators, RMSNormalization-23.
    """
    axis %= X.ndim
    rows = X.reshape(-1, math.prod(X.shape[axis:]))
    square = np.vecdot(rows, rows)[:, None] / X.dtype.type(rows.shape[1])
    y = rows * (1 / np.sqrt(square + X.dtype.type(epsilon)))
    y = y.reshape(X.shape)
    y *= scale
    return y


@kernel("LRN", since=1)
def lrn(X: Array, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int) -> Array:
    """Divide X (N, C, spatial ...) by a power of the squares summed over `size` neighbouring channels.

    Source: ONNX operators, LRN-13.
    """
    channels, square = X.shape[1], np.square(X)
    total = np.zeros_like(X)
    before = (size - 1) // 2
    for offset in range(-before, size - before):
        low, high = max(0, -offset), min(channels, channels - offset)
        if low < high:
            total[:, low:high] += square[:, low + offset : high + offset]
    total *= X.dtype.type(alpha / size)
    total += X.dtype.type(bias)
    return X * _negative_power(total, beta)


def _negative_power(x: Array, beta: float) -> Array:
    """`x ** -beta`; the usual 0.75 by two square roots, five times as fast as a power."""
    if beta == 0.75:
        root = np.sqrt(x)
        return 1 / (root * np.sqrt(root))
    return x ** x.dtype.type(-beta)


@kernel("LpNormalization", since=1)
def lp_normalization(input: Array, *, axis: int = -1, p: int = 2) -> Array:
    """Divide by the 1-norm or the 2-norm along `axis`; where that is 0, the result is 0.

    Source: ONNX operators, LpNormalization-22.
    """
    if p not in (1, 2):
        raise KernelError(f"p must be 1 or 2, is {p}")
    if p == 1:
        norm = np.abs(input).sum(axis=axis, keepdims=True)
    else:
        norm = np.sqrt(np.square(input).sum(axis=axis, keepdims=True))
    return input / np.where(norm == 0, input.dtype.type(1), norm)


@kernel("MeanVarianceNormalization", since=9)
def mean_variance_normalization(X: Array, *, axes: Sequence[int] = (0, 2, 3)) -> Array:
    """Subtract the mean and divide by the standard deviation over `axes`.

    The deviation is increased by 1e-9. Source: ONNX operators, MeanVarianceNormalization-13.
    """
    centred = X - X.mean(axis=tuple(axes), keepdims=True, dtype=X.dtype)
    deviation = np.sqrt(np.square(centred).mean(axis=tuple(axes), keepdims=True, dtype=X.dtype))
    centred /= deviation + X.dtype.type(1e-9)
    return centred
