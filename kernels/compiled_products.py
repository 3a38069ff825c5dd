"""Products of packed weights in compiled code. Imported only where numba is installed."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from partita.kernels.compiled_blocks import TILE, depthwise_block, product_block
from partita.kernels.compiled_memory import load_long

Function = TypeVar("Function", bound=Callable[..., Any])
BlockArguments = tuple[int, int, int, int, int, int, int, int, int, int, int, int, int, int, Any, Any]
"""In the order of `compiled_blocks.ARGUMENTS` without the number of tiles, for the first row."""
TileArguments = tuple[int, int, int, int, int, int, int, int, int, int, int, int, int, int, int, Any, Any]
LANES, ROWS = TILE.lanes, TILE.rows
WIDTH = TILE.lanes * TILE.vectors
"""Columns of the output per panel of weights."""
WHOLE, WIDE, NARROW, HALF, CHANNELS = range(5)
"""Kinds of blocks: a panel of a product, or at most one, at most a vector, half a vector; channels with own filters.

To leave masks out is worth 7 to 13 % of products with 16 to 32 inputs (measured).
"""
NO_LOW, NO_HIGH = np.float32(-np.inf), np.float32(np.inf)


def _blocks(rows: int) -> tuple[Any, Any, Any, Any, Any]:
    """A block of each kind."""
    whole, wide = (product_block(rows, TILE.vectors, is_whole=is_whole) for is_whole in (True, False))
    return whole, wide, product_block(rows, 1), product_block(rows, 1, LANES // 2), depthwise_block(rows)


_whole_more, _wide_more, _narrow_more, _half_more, _depth_more = _blocks(ROWS + 1)
_whole_full, _wide_full, _narrow_full, _half_full, _depth_full = _blocks(ROWS)
_whole_4, _wide_4, _narrow_4, _half_4, _depth_4 = _blocks(4)
_whole_2, _wide_2, _narrow_2, _half_2, _depth_2 = _blocks(2)
_whole_1, _wide_1, _narrow_1, _half_1, _depth_1 = _blocks(1)


def compiled(function: Function) -> Function:
    """Compile at the first call, keep the result on disk, and let other threads of Python run meanwhile."""
    return numba.njit(nogil=True, cache=True, error_model="numpy")(function)


@compiled
def field(job: int, number: int) -> int:
    """A field of a job by its number; see `jobs`."""
    return load_long(job + 8 * number)


@compiled
def _more(kind: int, given: TileArguments) -> None:
    if kind == WHOLE:
        _whole_more(*given)
    elif kind == WIDE:
        _wide_more(*given)
    elif kind == NARROW:
        _narrow_more(*given)
    elif kind == HALF:
        _half_more(*given)
    else:
        _depth_more(*given)


@compiled
def _full(kind: int, given: TileArguments) -> None:
    if kind == WHOLE:
        _whole_full(*given)
    elif kind == WIDE:
        _wide_full(*given)
    elif kind == NARROW:
        _narrow_full(*given)
    elif kind == HALF:
        _half_full(*given)
    else:
        _depth_full(*given)


@compiled
def _four(kind: int, given: TileArguments) -> None:
    if kind == WHOLE:
        _whole_4(*given)
    elif kind == WIDE:
        _wide_4(*given)
    elif kind == NARROW:
        _narrow_4(*given)
    elif kind == HALF:
        _half_4(*given)
    else:
        _depth_4(*given)


@compiled
def _two(kind: int, given: TileArguments) -> None:
    if kind == WHOLE:
        _whole_2(*given)
    elif kind == WIDE:
        _wide_2(*given)
    elif kind == NARROW:
        _narrow_2(*given)
    elif kind == HALF:
        _half_2(*given)
    else:
        _depth_2(*given)


@compiled
def _one(kind: int, given: TileArguments) -> None:
    if kind == WHOLE:
        _whole_1(*given)
    elif kind == WIDE:
        _wide_1(*given)
    elif kind == NARROW:
        _narrow_1(*given)
    elif kind == HALF:
        _half_1(*given)
    else:
        _depth_1(*given)


@compiled
def _tiles(given: BlockArguments, i: int, tiles: int) -> TileArguments:
    """The arguments of a block for tiles from row `i` on."""
    x, x_rows, taps, count, depth, w, w_step, bias, addend, z_rows, out, y_rows, begins, columns, low, high = given
    return (x, x_rows + 8 * i, taps, count, depth, w, w_step, bias, addend, z_rows + 8 * i, out, y_rows + 8 * i, begins,
            columns, tiles, low, high)  # fmt: skip


@compiled
def run_rows(kind: int, given: BlockArguments, first: int, last: int) -> None:
    """Output rows from `first` up to `last`, in tiles as tall as they fit."""
    i, tiles, left = first, (last - first) // ROWS, (last - first) % ROWS
    if left == 1 and tiles > 0:  # one row alone would wait for its own sums
        tiles, left = tiles - 1, ROWS + 1
    if tiles > 0:
        _full(kind, _tiles(given, i, tiles))
        i += ROWS * tiles
    if left == ROWS + 1:
        _more(kind, _tiles(given, i, 1))
        return
    if left >= 4:
        _four(kind, _tiles(given, i, 1))
        i, left = i + 4, left - 4
    if left >= 2:
        _two(kind, _tiles(given, i, 1))
        i, left = i + 2, left - 2
    if left > 0:
        _one(kind, _tiles(given, i, 1))


@compiled
def _kind(columns: int) -> int:
    """The narrowest kind of block for so many columns of a panel."""
    if columns > LANES:
        return WHOLE if columns == WIDTH else WIDE
    return NARROW if columns > LANES // 2 else HALF


@compiled
def _columns_at_once(left: int) -> int:
    """A panel, or what is left of the columns; of a vector and at most half of one the vector first."""
    return LANES if LANES < left <= LANES + LANES // 2 else min(WIDTH, left)


@compiled
def multiply(given: BlockArguments, pieces: int, piece_count: int, at_once: int, first: int, last: int) -> None:
    """Rows of the input, or windows on it, times packed weights (panel, taps * depth, WIDTH), `at_once` at a time.

    Each of the `pieces` of the sum is (offset of the input, first tap, taps, depth, row of the weights); `depth` in
    `given` is that of a whole panel.
    """
    x, x_rows, taps, _, depth, w, w_step, bias, addend, z_rows, out, y_rows, _, n, low, high = given
    for p in range(piece_count):
        piece = pieces + 40 * p
        offset, tap, tap_count = load_long(piece), load_long(piece + 8), load_long(piece + 16)
        piece_depth, top = load_long(piece + 24), load_long(piece + 32)
        begins, ends = 1 if p == 0 else 0, p == piece_count - 1
        least, most = (low, high) if ends else (NO_LOW, NO_HIGH)
        start = first
        while start < last:
            j = 0
            while j < n:
                count = _columns_at_once(n - j)
                panel, lane = j // WIDTH, j % WIDTH
                part = (
                    x + offset, x_rows, taps + 8 * tap, tap_count, piece_depth,
                    w + w_step * (depth * panel + top) + 4 * lane, w_step,
                    bias + 4 * j, addend + 4 * j if addend and ends else 0, z_rows, out + 4 * j, y_rows, begins,
                    count, least, most,
                )  # fmt: skip
                run_rows(_kind(count), part, start, min(start + at_once, last))
                j += count
            start += at_once
