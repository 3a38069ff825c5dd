"""DeformConv: a convolution whose taps are moved by offsets."""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array
from partita.kernels.registry import kernel
from partita.kernels.windows import Windows, make_windows


@kernel("DeformConv", since=19)
def deform_conv(
    X: Array,
    W: Array,
    offset: Array,
    B: Array | None = None,
    mask: Array | None = None,
    *,
    dilations: Sequence[int] = (),
    group: int = 1,
    kernel_shape: Sequence[int] = (),
    offset_group: int = 1,
    pads: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Array:
    """Convolution of X (N, C, spatial ...) by W (M, C / group, kernel ...) at taps moved by fractions of an element.

    `offset` is (N, offset_group * taps * axes, outputs ...), `mask` a factor per tap (N, offset_group * taps, outputs
    ...). Values between elements are linear, those outside are zero. Source: ONNX operators, DeformConv-22.
    """
    windows = make_windows(X.shape[2:], W.shape[2:], strides=strides, dilations=dilations, pads=pads)
    batch, channels, rank, outputs = X.shape[0], X.shape[1], X.ndim - 2, windows.outputs
    if offset.shape != (batch, offset_group * windows.taps * rank, *outputs):
        raise KernelError(f"offset is {offset.shape}, which does not fit {windows.taps} taps and outputs {outputs}")
    if X.size == 0:
        return np.zeros((batch, W.shape[0], *outputs), X.dtype)
    moves = offset.reshape(batch, offset_group, windows.taps, rank, -1)
    factors = None if mask is None else mask.reshape(batch, offset_group, windows.taps, -1)
    images = X.reshape(batch, offset_group, channels // offset_group, -1)
    anchors = _anchors(windows)
    weights = W.reshape(group, W.shape[0] // group, -1)
    y = np.empty((batch, group, W.shape[0] // group, math.prod(outputs)), X.dtype)
    columns = np.empty((offset_group, channels // offset_group, windows.taps, math.prod(outputs)), X.dtype)
    for image in range(batch):
        for part in range(offset_group):
            places = anchors + moves[image, part].swapaxes(0, 1)
            columns[part] = _sample(images[image, part], places, windows.inputs)
            if factors is not None:
                columns[part] *= factors[image, part]
        np.matmul(weights, columns.reshape(group, weights.shape[2], -1), out=y[image])
    result = y.reshape(batch, -1, *outputs)
    if B is not None:
        result += B.reshape(-1, *(1,) * rank)
    return result


def _anchors(windows: Windows) -> Array:
    """Where each tap of each window lies without an offset: (axes, taps, positions)."""
    taps = np.indices(windows.kernel).reshape(len(windows.kernel), -1)
    positions = np.indices(windows.outputs).reshape(len(windows.outputs), -1)

    def column(values: Sequence[int]) -> Array:
        return np.array(values)[:, None]

    starts = positions * column(windows.strides) - column(windows.begin)
    return (taps * column(windows.dilations))[:, :, None] + starts[:, None]


def _sample(image: Array, places: Array, sizes: Sequence[int]) -> Array:
    """Linear interpolation of an image (C, elements) at `places` (axes, taps, positions): (C, taps, positions)."""
    below = np.floor(places)
    share = (places - below).astype(image.dtype)
    total = np.zeros((image.shape[0], *places.shape[1:]), image.dtype)
    for corner in itertools.product((0, 1), repeat=len(sizes)):
        index = np.zeros(places.shape[1:], np.int64)
        weight = np.ones(places.shape[1:], image.dtype)
        for axis, (step, size) in enumerate(zip(corner, sizes, strict=True)):
            at = below[axis] + step
            is_inside = (at >= 0) & (at < size)
            weight *= np.where(is_inside, share[axis] if step else 1 - share[axis], 0)
            index = index * size + np.where(is_inside, at, 0).astype(np.int64)
        total += image.take(index, axis=1) * weight
    return total
