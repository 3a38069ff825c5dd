"""Pooling over windows, over whole images and over regions, and MaxUnpool."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array
from partita.kernels.registry import kernel
from partita.kernels.windows import Windows, make_windows

NARROW = 64
"""Rows with fewer elements are pooled with the channels innermost (measured)."""


@kernel("MaxPool", since=1)
def max_pool(
    X: Array,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] = (),
    kernel_shape: Sequence[int],
    pads: Sequence[int] = (),
    storage_order: int = 0,
    strides: Sequence[int] = (),
    n_outputs: int = 1,
) -> Array | tuple[Array, Array]:
    """Largest element of each window of X (N, C, spatial ...), and its flat index in X without padding.

    Source: ONNX operators, MaxPool-22.
    """
    windows = make_windows(
        X.shape[2:],
        kernel_shape,
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
    )
    if n_outputs > 1:
        return _max_with_indices(X, windows, storage_order)
    return _fold(X, windows, np.maximum, lowest(X.dtype))


@kernel("AveragePool", since=1)
def average_pool(
    X: Array,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Sequence[int] = (),
    kernel_shape: Sequence[int],
    pads: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Array:
    """Mean of each window of X (N, C, spatial ...), over the input only or over declared padding too.

    What a window reaches behind the declared padding (with `ceil_mode`) is never counted.
    Source: ONNX operators, AveragePool-22.
    """
    windows = make_windows(
        X.shape[2:],
        kernel_shape,
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
    )
    if windows.kernel == windows.inputs and not any(windows.begin) and windows.outputs == (1,) * len(windows.kernel):
        return global_average_pool(X)
    y = _fold(X, windows, np.add, 0)
    for axis, counts in enumerate(_counts(windows, bool(count_include_pad))):
        if counts.size and (counts == counts[0]).all():
            y *= X.dtype.type(1 / counts[0])
        else:
            y /= counts.astype(X.dtype).reshape(-1, *(1,) * (len(windows.kernel) - 1 - axis))
    return y


@kernel("LpPool", since=2)
def lp_pool(
    X: Array,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] = (),
    kernel_shape: Sequence[int],
    p: int = 2,
    pads: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Array:
    """The p-norm of each window of X (N, C, spatial ...). Source: ONNX operators, LpPool-22."""
    windows = make_windows(
        X.shape[2:],
        kernel_shape,
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
    )
    return _root(_fold(_power(X, p), windows, np.add, 0), p)


@kernel("GlobalAveragePool", since=1)
def global_average_pool(X: Array) -> Array:
    """Mean over all spatial axes of X (N, C, spatial ...), which stay with size 1."""
    return np.asarray(X.mean(axis=tuple(range(2, X.ndim)), keepdims=True, dtype=X.dtype))


@kernel("GlobalMaxPool", since=1)
def global_max_pool(X: Array) -> Array:
    """Largest element over all spatial axes of X (N, C, spatial ...), which stay with size 1."""
    return np.asarray(X.max(axis=tuple(range(2, X.ndim)), keepdims=True))


@kernel("GlobalLpPool", since=1)
def global_lp_pool(X: Array, *, p: int = 2) -> Array:
    """The p-norm over all spatial axes of X (N, C, spatial ...), which stay with size 1."""
    return _root(_power(X, p).sum(axis=tuple(range(2, X.ndim)), keepdims=True), p)


@kernel("MaxUnpool", since=9)
def max_unpool(
    X: Array,
    I: Array,  # noqa: E741  (the standard's name)
    output_shape: Array | None = None,
    *,
    kernel_shape: Sequence[int],
    pads: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Array:
    """Zeros with X (N, C, spatial ...) at the flat indices that MaxPool gave.

    The indices count in the shape that kernel, strides and pads imply; an `output_shape` larger than that adds zeros
    behind it. Source: ONNX operators, MaxUnpool-22, and its backend cases.
    """
    rank = X.ndim - 2
    strides = tuple(strides) or (1,) * rank
    pads = tuple(pads) or (0,) * (2 * rank)
    implied = (
        *X.shape[:2],
        *(
            (n - 1) * s + k - pads[i] - pads[i + rank]
            for i, (n, s, k) in enumerate(zip(X.shape[2:], strides, kernel_shape, strict=True))
        ),
    )
    y = np.zeros(implied, X.dtype)
    y.reshape(-1)[I.reshape(-1)] = X.reshape(-1)
    if output_shape is None or tuple(output_shape) == implied:
        return y
    larger = np.zeros(tuple(int(n) for n in output_shape), X.dtype)
    shared = tuple(slice(min(a, b)) for a, b in zip(implied, larger.shape, strict=True))
    larger[shared] = y[shared]
    return larger


@kernel("MaxRoiPool", since=1)
def max_roi_pool(X: Array, rois: Array, *, pooled_shape: Sequence[int], spatial_scale: float = 1.0) -> Array:
    """Largest element in each cell of a grid over each region: (regions, C, pooled_shape).

    `rois` rows are (image, x1, y1, x2, y2), both corners included; an empty cell gives 0.
    Source: ONNX operators, MaxRoiPool-22; rounding of corners and cells as in R. Girshick, Fast R-CNN, 2015.
    """
    channels, height, width = X.shape[1:]
    rows, columns = pooled_shape
    y = np.zeros((len(rois), channels, rows, columns), X.dtype)
    for region, (image, *corners) in enumerate(rois):
        # Half away from zero, as C's round.
        x1, y1, x2, y2 = (int(np.floor(abs(c) * spatial_scale + 0.5) * np.sign(c)) for c in corners)
        row_cells = _cells(y1, y2, rows, height)
        column_cells = _cells(x1, x2, columns, width)
        for i, (top, bottom) in enumerate(row_cells):
            if bottom <= top:
                continue
            strip = X[int(image), :, top:bottom].max(axis=1)
            for j, (left, right) in enumerate(column_cells):
                if right > left:
                    y[region, :, i, j] = strip[:, left:right].max(axis=1)
    return y


def _cells(first: int, last: int, count: int, limit: int) -> list[tuple[int, int]]:
    """Half-open ranges of `count` cells over the pixels first..last, cut to 0..limit."""
    size = np.float32(max(last - first + 1, 1)) / np.float32(count)
    edges = [(int(np.floor(i * size)) + first, int(np.ceil((i + 1) * size)) + first) for i in range(count)]
    return [(min(max(a, 0), limit), min(max(b, 0), limit)) for a, b in edges]


def lowest(dtype: np.dtype[Any]) -> Any:
    """The smallest value of a number type."""
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _fold(x: Array, windows: Windows, combine: np.ufunc, start: float) -> Array:
    """Combine the elements of each window, one axis after the other; padding counts as `start`.

    Each axis is a chain of `combine` over shifted slices of the whole array, so that k1 + k2 passes replace k1 * k2.
    The memory order of `x` is kept, but for overlapping windows on narrow images: their rows make short inner loops.
    """
    is_overlapping = any(k > s for k, s in zip(windows.kernel, windows.strides, strict=True))
    if is_overlapping and x.flags.c_contiguous and x.ndim > 2 and x.shape[-1] < NARROW <= 4 * x.shape[1]:
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    for i in range(len(windows.kernel)):
        x = _fold_axis(x, windows, i, combine, start)
    return x


def _fold_axis(x: Array, windows: Windows, i: int, combine: np.ufunc, start: float) -> Array:
    axis, count = i + 2, windows.outputs[i]
    ranges = [_reach(windows, i, tap) for tap in range(windows.kernel[i])]
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    whole = next((r for r in ranges if r[0] == 0 and r[1] == count), None)
    before = (slice(None),) * axis
    out = np.full_like(x, start, shape=shape) if whole is None else x[(*before, whole[2])].copy("K")
    for first, last, source in ranges:
        if first < last and (first, last, source) != whole:
            target = out[(*before, slice(first, last))]
            combine(target, x[(*before, source)], out=target)
    return out


def _reach(windows: Windows, i: int, tap: int) -> tuple[int, int, slice]:
    """The windows [first, last) whose `tap` meets the input on spatial axis `i`, and the elements that it meets."""
    stride = windows.strides[i]
    offset = tap * windows.dilations[i] - windows.begin[i]
    first = max(0, -(offset // stride))
    last = min(windows.outputs[i], (windows.inputs[i] - 1 - offset) // stride + 1)
    at = first * stride + offset
    return first, last, slice(at, at + max(0, last - first - 1) * stride + 1, stride)


def _counts(windows: Windows, with_padding: bool) -> list[Array]:
    """Per axis, the taps of each window that count for a mean; at least 1."""
    counts = []
    for i, (k, d, s) in enumerate(zip(windows.kernel, windows.dilations, windows.strides, strict=True)):
        places = np.arange(windows.outputs[i])[:, None] * s + np.arange(k) * d - windows.begin[i]
        low, high = (-windows.begin[i], windows.inputs[i] + windows.end[i]) if with_padding else (0, windows.inputs[i])
        counts.append(np.maximum(((places >= low) & (places < high)).sum(axis=1), 1))
    return counts


def _max_with_indices(x: Array, windows: Windows, storage_order: int) -> tuple[Array, Array]:
    """Maximum and flat index of the first element that has it, in row-major order of the taps."""
    rank, sizes = len(windows.kernel), windows.inputs
    shape = (*x.shape[:2], *windows.outputs)
    best = np.full(shape, lowest(x.dtype), x.dtype)
    index = np.zeros(shape, np.int64)
    unset = np.ones(shape, bool)
    places = np.arange(math.prod(sizes)).reshape(sizes, order="F" if storage_order else "C")
    for tap in np.ndindex(*windows.kernel):
        reach = [_reach(windows, i, t) for i, t in enumerate(tap)]
        if any(first >= last for first, last, _ in reach):
            continue
        target = (slice(None), slice(None), *(slice(first, last) for first, last, _ in reach))
        source = tuple(part for _, _, part in reach)
        value = x[(slice(None), slice(None), *source)]
        better = (value > best[target]) | unset[target]
        np.copyto(best[target], value, where=better)
        np.copyto(index[target], places[source], where=better)
        unset[target] = False
    images = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *(1,) * rank)
    return best, index + images * math.prod(sizes)


def _power(x: Array, p: int) -> Array:
    if p < 1:
        raise KernelError(f"p must be at least 1, is {p}")
    if p == 1:
        return np.abs(x)
    return np.square(x) if p == 2 else np.abs(x) ** x.dtype.type(p)


def _root(x: Array, p: int) -> Array:
    if p == 1:
        return x
    return np.sqrt(x) if p == 2 else x ** x.dtype.type(1 / p)
