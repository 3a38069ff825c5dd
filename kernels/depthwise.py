"""Convolutions with one filter per channel, with the signature of `conv_schedules`."""

import math

import numpy as np
from numpy.lib.stride_tricks import as_strided

from partita.kernels.arrays import Array
from partita.kernels.packing import packed
from partita.kernels.threads import share
from partita.kernels.windows import (
    Windows,
    channels_last,
    channels_second,
    pad_channels_first,
    pad_channels_last,
    row_blocks,
    tap_slices,
    window_view,
)

BLOCK_ELEMENTS = 1 << 16
"""Outputs per block (measured: from half to four times as many are equally fast)."""


def conv_depthwise_first(x: Array, w: Array, windows: Windows, group: int) -> Array:
    """Channels first: a sum of shifted products in blocks of channels."""
    x = _one_input_per_filter(x, w, group)
    batch, channels, outputs = x.shape[0], w.shape[0], windows.outputs
    padded = pad_channels_first(x, windows)
    filters = w.reshape(channels, -1, *(1,) * len(outputs))
    out = np.empty((batch, channels, *outputs), np.result_type(x, w))
    for image, first, last in row_blocks(batch, channels, math.prod(outputs), BLOCK_ELEMENTS):
        block, source = out[image, first:last], padded[image, first:last]
        product = np.empty_like(block)
        for i, tap in enumerate(np.ndindex(*windows.kernel)):
            shifted = source[(slice(None), *tap_slices(windows, tap))]
            if i == 0:
                np.multiply(shifted, filters[first:last, 0], out=block)
            else:
                np.multiply(shifted, filters[first:last, i], out=product)
                block += product
    return out


def conv_depthwise_last(x: Array, w: Array, windows: Windows, group: int) -> Array:
    """Channels last: `einsum` over views of the windows in blocks of rows, with a whole row as the inner loop.

    Columns are sorted by their remainder modulo the stride. So the columns that one tap meets lie side by side, and
    with the channels they are one contiguous run, to whose length the filters are repeated. Taps with one remainder
    are one `einsum`.
    """
    x = _one_input_per_filter(x, w, group)
    batch, channels, outputs = x.shape[0], w.shape[0], windows.outputs
    stride, dilation, taps = windows.strides[-1], windows.dilations[-1], windows.kernel[-1]
    padded = _pad_by_remainder(x, windows)
    rank, run = len(outputs), outputs[-1] * channels
    out = np.empty((batch, 1, *outputs[:-1], run), np.result_type(x, w))
    o, k = "abcdefgh"[:rank], "pqrstuvw"[:rank]
    filters = packed(w, f"taps, channels times {outputs[-1]}", lambda w: _repeat_filters(w, outputs[-1]))
    parts = []
    step = math.lcm(stride, dilation) // dilation  # taps that are so far apart have one remainder
    for tap in range(min(step, taps)):
        offset, remainder = divmod(tap * dilation, stride)
        rows = window_view(padded[..., remainder, offset:, :], _without_last_axis(windows), 2)
        shape = (*rows.shape[:-2], len(range(tap, taps, step)), run)
        strides = (*rows.strides[:-2], rows.strides[-2] * (step * dilation // stride), rows.strides[-1])
        parts.append((as_strided(rows, shape, strides, writeable=False), filters[..., tap::step, :]))
    row_axis = min(rank, 2)  # one-dimensional data are one row
    terms = f"{o}{k}z,{k}z->{o}z"

    def compute(block_rows: tuple[int, int, int]) -> None:
        image, first, last = block_rows
        cut: tuple[int | slice, ...] = (image, *(slice(None),) * (row_axis - 1), slice(first, last))
        block = out[cut]
        for i, (view, factors) in enumerate(parts):
            if i == 0:
                np.einsum(terms, view[cut], factors, out=block)
            else:
                block += np.einsum(terms, view[cut], factors)

    share(compute, row_blocks(batch, out.shape[row_axis], math.prod(out.shape[row_axis + 1 :]), BLOCK_ELEMENTS))
    return channels_second(out.reshape(batch, *outputs, channels))


def _pad_by_remainder(x: Array, windows: Windows) -> Array:
    """(N, C, spatial ...) padded with zeros as (N, 1, spatial ..., stride, columns, C): columns by their remainder."""
    stride = windows.strides[-1]
    if stride == 1:
        return np.expand_dims(pad_channels_last(x, windows), (1, -3))
    last = channels_last(x)
    sizes = [max(b + n, span) for b, n, span in zip(windows.begin, windows.inputs, windows.spans, strict=True)]
    out = np.zeros((x.shape[0], 1, *sizes[:-1], stride, -(-sizes[-1] // stride), x.shape[1]), x.dtype)
    inside = [slice(b, b + n) for b, n in zip(windows.begin[:-1], windows.inputs[:-1], strict=True)]
    for remainder in range(stride):
        source = last[..., (remainder - windows.begin[-1]) % stride :: stride, :]
        start = max(0, -(-(windows.begin[-1] - remainder) // stride))
        rows: tuple[int | slice, ...] = (slice(None), 0, *inside)
        columns = out[rows][..., remainder, start : start + source.shape[-2], :]
        columns[...] = source
    return out


def _repeat_filters(w: Array, count: int) -> Array:
    """(C, 1, kernel ...) as (kernel ..., count * C)."""
    return np.tile(np.moveaxis(w[:, 0], 0, -1), (1,) * (w.ndim - 2) + (count,))


def _without_last_axis(windows: Windows) -> Windows:
    return Windows(
        kernel=windows.kernel[:-1],
        strides=windows.strides[:-1],
        dilations=windows.dilations[:-1],
        begin=windows.begin[:-1],
        end=windows.end[:-1],
        inputs=windows.inputs[:-1],
        outputs=windows.outputs[:-1],
    )


def _one_input_per_filter(x: Array, w: Array, group: int) -> Array:
    """Repeat input channels if each has several filters (a depth multiplier above 1)."""
    return x if w.shape[0] == group else np.repeat(x, w.shape[0] // group, axis=1)
