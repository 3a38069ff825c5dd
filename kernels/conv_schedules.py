"""Ways to compute one convolution; all take (x, w, windows, group) and agree on the result.

`x` is (N, C, spatial ...), `w` is (M, C / group, kernel ...), the result is a new array (N, M, outputs ...). Its memory
order is channels first or channels last, whichever the schedule works in. A bias is the caller's.

Sizes of blocks were measured on one core with 32 KiB of first-level and 1 MiB of second-level cache.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

from partita.kernels import threads, tiles
from partita.kernels.arrays import Array
from partita.kernels.fused_tail import NO_TAIL, Tail
from partita.kernels.packing import packed
from partita.kernels.products import multiply
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

Schedule = Callable[[Array, Array, Windows, int], Array]

FEW_POSITIONS = 400
"""With so few rows to multiply, BLAS spends a noticeable part of its time on reordering the weights."""
SMALL_WEIGHTS = 1 << 19
"""Weights of at most this many elements are kept in a second order where that is faster."""
COLUMN_ELEMENTS = 1 << 18
"""A block of unfolded input holds about this many elements, so that it stays in the second-level cache."""


def conv_pointwise(x: Array, w: Array, windows: Windows, group: int, tail: Tail = NO_TAIL) -> Array:
    """Kernel of one element: a matrix product over the channels, then `tail`; keeps the memory order of `x`."""
    batch, channels, outputs = x.shape[0], w.shape[0], windows.outputs
    channels_are_innermost = x.strides[1] == x.itemsize
    if windows.needs_padding:
        x = pad_channels_first(x, windows)
    x = x[(slice(None), slice(None), *tap_slices(windows, (0,) * len(outputs)))]
    if group == 1 and channels_are_innermost and math.prod(outputs) > 1:
        rows = np.ascontiguousarray(channels_last(x)).reshape(-1, x.shape[1])
        return _pointwise_last(rows, w, (batch, *outputs, channels), tail)
    columns = x.reshape(batch, group, x.shape[1] // group, math.prod(outputs))
    return tail.finish(multiply(w.reshape(group, channels // group, -1), columns).reshape(batch, channels, *outputs))


def _pointwise_last(rows: Array, w: Array, shape: tuple[int, ...], tail: Tail) -> Array:
    """`rows` (positions, C) times the weights, for a result of `shape` (N, outputs ..., M) with its channels moved.

    Where tiles do not suit, BLAS brings both operands into an order of its own. With few positions that of the weights
    is what counts, and it is a quarter of the time when they lie transposed. So small ones are kept the other way
    round, and with large ones the product is formed transposed, which makes the result channels first (measured at 7x7
    and 14x14).
    """
    count, channels = len(rows), w.shape[0]
    weights = w.reshape(channels, -1)
    by = tiles.tiled(w, "inputs, filters", channels, lambda w, part: w[part].reshape(len(w[part]), -1).T, count)
    if by is not None:
        product = np.empty(shape, w.dtype)
        y = channels_second(product)
        tiles.multiply(rows, by, product.reshape(-1, channels), tail.on(y).finish)
        return y
    if count <= FEW_POSITIONS // 4 and shape[0] == 1 and (w.size > SMALL_WEIGHTS or w.flags.writeable):
        y = np.empty((1, channels, *shape[1:-1]), np.result_type(rows, w))
        multiply(weights, rows.T, y.reshape(channels, -1), tail.on(y).finish)
        return y
    by_input = weights.T
    if count <= FEW_POSITIONS and w.size <= SMALL_WEIGHTS and not w.flags.writeable:
        by_input = packed(w, "inputs, filters", lambda w: np.ascontiguousarray(w.reshape(channels, -1).T))
    product = np.empty(shape, np.result_type(rows, w))
    y = channels_second(product)
    multiply(rows, by_input, product.reshape(-1, channels), tail.on(y).finish)
    return y


def conv_im2col_first(x: Array, w: Array, windows: Windows, group: int) -> Array:
    """Unfold blocks of output rows to (C * taps, positions) and multiply the weights by them."""
    batch, channels, outputs = x.shape[0], w.shape[0], windows.outputs
    rank, rest = len(outputs), math.prod(outputs[1:])
    view = window_view(pad_channels_first(x, windows), windows, 2)
    view = view.transpose(0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank))
    rows_axis = 2 + rank
    weights = w.reshape(group, channels // group, -1)
    out = np.empty((batch, group, channels // group, outputs[0], rest), np.result_type(x, w))

    def compute(part: tuple[int, int, int]) -> None:
        image, first, last = part
        block = view[image][(slice(None),) * (rows_axis - 1) + (slice(first, last),)]
        columns = block.reshape(group, weights.shape[2], (last - first) * rest)
        if last - first == outputs[0]:
            multiply(weights, columns, out[image].reshape(group, channels // group, -1))
        else:
            out[image, :, :, first:last] = np.matmul(weights, columns).reshape(*weights.shape[:2], last - first, rest)

    threads.share(compute, row_blocks(batch, outputs[0], x.shape[1] * windows.taps * rest, COLUMN_ELEMENTS))
    return out.reshape(batch, channels, *outputs)


def conv_im2col_last(x: Array, w: Array, windows: Windows, group: int, tail: Tail = NO_TAIL) -> Array:
    """Unfold blocks of output rows to (positions, taps * C), multiply them by the weights, and add the `tail`."""
    batch, channels, outputs = x.shape[0], w.shape[0], windows.outputs
    rest, depth = math.prod(outputs[1:]), w.shape[1]
    view = window_view(pad_channels_last(x, windows), windows, 1)
    by = tiles.tiled(w, "taps, inputs, filters", channels, filters_by_input, rest) if group == 1 else None
    weights = packed(w, f"taps,channels per {group}", lambda w: _taps_then_channels(w, group)) if by is None else w
    out = np.empty((batch, outputs[0], rest, channels), np.result_type(x, w))
    y = channels_second(out.reshape(batch, *outputs, channels))
    finish = tail.on(y).finish

    def compute(part: tuple[int, int, int]) -> None:
        image, first, last = part
        positions = (last - first) * rest
        target = out[image, first:last].reshape(positions, channels)
        start = (image * outputs[0] + first) * rest
        if group == 1:
            rows = view[image, first:last].reshape(positions, -1)
            if positions == outputs[0] * rest * batch:
                multiply(rows, weights[0], target, finish) if by is None else tiles.multiply(rows, by, target, finish)
                return
            np.matmul(rows, weights[0], out=target) if by is None else tiles.multiply_rows(rows, by, target)
        else:
            columns = view[image, first:last].reshape(positions, windows.taps, group, depth).transpose(2, 0, 1, 3)
            products = np.matmul(columns.reshape(group, positions, -1), weights)
            target.reshape(positions, group, -1)[...] = products.transpose(1, 0, 2)
        finish(target, slice(start, start + positions))

    threads.share(compute, _blocks(batch, outputs[0], x.shape[1] * windows.taps * rest, w.size // group))
    return y


def _blocks(batch: int, rows: int, row_elements: int, weights: int) -> Iterator[tuple[int, int, int]]:
    """Blocks of rows, an even number for two threads unless there is one that mostly reads weights."""
    count = max(1, min(rows, round(rows * row_elements / COLUMN_ELEMENTS)))
    if count > 1 or rows * row_elements > max(weights, COLUMN_ELEMENTS // 2):
        count += count % 2
    return row_blocks(batch, rows, count, rows)


def conv_im2col_across(x: Array, w: Array, windows: Windows, group: int, tail: Tail = NO_TAIL) -> Array:
    """Unfold blocks of output rows to (C * taps, positions), multiply so that the result is channels last; `tail`.

    For the first convolution of an image, whose few channels make short runs if they lie last.
    """
    if group != 1:
        return tail.finish(conv_im2col_first(x, w, windows, group))
    batch, channels, outputs = x.shape[0], w.shape[0], windows.outputs
    rank, rest = len(outputs), math.prod(outputs[1:])
    view = window_view(pad_channels_first(x, windows), windows, 2)
    view = view.transpose(0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank))
    weights = w.reshape(channels, -1)
    out = np.empty((batch, outputs[0], rest, channels), np.result_type(x, w))
    y = channels_second(out.reshape(batch, *outputs, channels))
    finish = tail.on(y).finish

    def compute(part: tuple[int, int, int]) -> None:
        image, first, last = part
        columns = view[image][(slice(None),) * (1 + rank) + (slice(first, last),)].reshape(weights.shape[1], -1)
        block = out[image, first:last].reshape(-1, channels)
        np.matmul(columns.T, weights.T, out=block)
        start = image * outputs[0]
        finish(block, slice((start + first) * rest, (start + last) * rest))

    threads.share(compute, _blocks(batch, outputs[0], weights.shape[1] * rest, w.size))
    return y


def conv_shift_first(x: Array, w: Array, windows: Windows, group: int) -> Array:
    """Sum over the taps of the first axis of `W[tap] @ rows[tap]`: shifted views of an unfolding of the other axes.

    The unfolding is smaller than a full one by the kernel's size on the first axis (nothing at all is copied for
    one-dimensional data), and each product is still as deep as C times the remaining taps.
    """
    batch, channels, outputs = x.shape[0], w.shape[0], windows.outputs
    rank, rest, taps = len(outputs), math.prod(outputs[1:]), windows.kernel[0]
    stride, dilation = windows.strides[0], windows.dilations[0]
    padded = pad_channels_first(x, windows)
    weights = packed(w, f"first tap {group}", lambda w: _first_tap_outside(w, group))
    view = window_view(padded, _without_first_axis(windows), 3)
    view = view.transpose(0, 1, *range(2 + rank, 1 + 2 * rank), 2, *range(3, 2 + rank))
    out = np.empty((batch, group, channels // group, outputs[0] * rest), np.result_type(x, w))
    for image in range(batch):
        rows: dict[int, Array] = {}
        for tap in range(taps):
            offset, phase = divmod(tap * dilation, stride)
            if phase not in rows:
                unfolded = view[image][(slice(None),) * rank + (slice(phase, None, stride),)]
                rows[phase] = unfolded.reshape(group, weights.shape[3], -1)
            operand = rows[phase][:, :, offset * rest : (offset + outputs[0]) * rest]
            if tap == 0:
                multiply(weights[0], operand, out[image])
            else:
                out[image] += multiply(weights[tap], operand)
    return out.reshape(batch, channels, *outputs)


def _without_first_axis(windows: Windows) -> Windows:
    return Windows(
        kernel=windows.kernel[1:],
        strides=windows.strides[1:],
        dilations=windows.dilations[1:],
        begin=windows.begin[1:],
        end=windows.end[1:],
        inputs=windows.inputs[1:],
        outputs=windows.outputs[1:],
    )


def _taps_then_channels(w: Array, group: int) -> Array:
    """(M, C / group, kernel ...) as (group, taps * C / group, M / group)."""
    per_group = w.reshape(group, w.shape[0] // group, w.shape[1], -1)
    return per_group.transpose(0, 3, 2, 1).reshape(group, -1, w.shape[0] // group)


def filters_by_input(w: Array, part: slice) -> Array:
    """Some filters of (M, C, kernel ...) as (taps * C, M)."""
    return _taps_then_channels(w[part], 1)[0]


def _first_tap_outside(w: Array, group: int) -> Array:
    """(M, C / group, k, kernel ...) as (k, group, M / group, C / group * other taps)."""
    taps = np.moveaxis(w, 2, 0)
    return taps.reshape(w.shape[2], group, w.shape[0] // group, -1)
