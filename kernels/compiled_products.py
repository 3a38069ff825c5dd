"""Products of packed weights in compiled code. Imported only where numba is installed."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from partita.kernels.compiled_blocks import TILE, depthwise_block, product_block
from partita.kernels.compiled_memory import load_long

Function = TypeVar("Function", bound=Callable[..., Any])
BlockArguments = tuple[int, int, int, int, int, int, int, int, int, int, int, int, int, int, Any, Any]
"""In the order of `compiled_blocks.ARGUMENTS`, for the first row."""
LANES, ROWS = TILE.lanes, TILE.rows
WIDTH = TILE.lanes * TILE.vectors
"""Columns of the output per panel of weights."""
WIDE, NARROW, CHANNELS = 0, 1, 2
"""Kinds of blocks: a whole panel of a product, at most one vector of it, channels with their own filters."""
NO_LOW, NO_HIGH = np.float32(-np.inf), np.float32(np.inf)

_wide_more, _wide_full, _wide_4, _wide_2, _wide_1 = (product_block(n, TILE.vectors) for n in (ROWS + 1, ROWS, 4, 2, 1))
_narrow_more, _narrow_full, _narrow_4, _narrow_2, _narrow_1 = (product_block(n, 1) for n in (ROWS + 1, ROWS, 4, 2, 1))
_depth_more, _depth_full, _depth_4, _depth_2, _depth_1 = (depthwise_block(n) for n in (ROWS + 1, ROWS, 4, 2, 1))


def compiled(function: Function) -> Function:
    """Compile at the first call, keep the result on disk, and let other threads of Python run meanwhile."""
    return numba.njit(nogil=True, cache=True, error_model="numpy")(function)


@compiled
def field(job: int, number: int) -> int:
    """A field of a job by its number; see `jobs`."""
    return load_long(job + 8 * number)


@compiled
def _more(kind: int, given: BlockArguments) -> None:
    if kind == WIDE:
        _wide_more(*given)
    elif kind == NARROW:
        _narrow_more(*given)
    else:
        _depth_more(*given)


@compiled
def _full(kind: int, given: BlockArguments) -> None:
    if kind == WIDE:
        _wide_full(*given)
    elif kind == NARROW:
        _narrow_full(*given)
    else:
        _depth_full(*given)


@compiled
def _four(kind: int, given: BlockArguments) -> None:
    if kind == WIDE:
        _wide_4(*given)
    elif kind == NARROW:
        _narrow_4(*given)
    else:
        _depth_4(*given)


@compiled
def _two(kind: int, given: BlockArguments) -> None:
    if kind == WIDE:
        _wide_2(*given)
    elif kind == NARROW:
        _narrow_2(*given)
    else:
        _depth_2(*given)


@compiled
def _one(kind: int, given: BlockArguments) -> None:
    if kind == WIDE:
        _wide_1(*given)
    elif kind == NARROW:
        _narrow_1(*given)
    else:
        _depth_1(*given)


@compiled
def run_rows(kind: int, given: BlockArguments, first: int, last: int) -> None:
    """Output rows from `first` up to `last`, in tiles as tall as they fit."""
    x, x_rows, taps, count, depth, w, w_step, bias, addend, z_rows, out, y_rows, begins, columns, low, high = given
    i = first
    while i < last:
        skip = 8 * i
        at = (x, x_rows + skip, taps, count, depth, w, w_step, bias, addend, z_rows + skip, out, y_rows + skip, begins,
              columns, low, high)  # fmt: skip
        if last - i == ROWS + 1:  # one row alone would wait for its own sums
            _more(kind, at)
            i += ROWS + 1
        elif last - i >= ROWS:
            _full(kind, at)
            i += ROWS
        elif last - i >= 4:
            _four(kind, at)
            i += 4
        elif last - i >= 2:
            _two(kind, at)
            i += 2
        else:
            _one(kind, at)
            i += 1


@compiled
def multiply(given: BlockArguments, pieces: int, piece_count: int, at_once: int, first: int, last: int) -> None:
    """Rows of the input, or windows on it, times packed weights (panel, taps * depth, WIDTH), `at_once` at a time.

    Each of the `pieces` of the sum is (offset of the input, first tap, taps, depth, row of the weights); `depth` in
    `given` is that of a whole panel.
    """
    x, x_rows, taps, _, depth, w, w_step, bias, addend, z_rows, out, y_rows, _, n, low, high = given
    for p in range(piece_count):
        piece = pieces + 40 * p
        offset, tap, count = load_long(piece), load_long(piece + 8), load_long(piece + 16)
        piece_depth, top = load_long(piece + 24), load_long(piece + 32)
        begins, ends = 1 if p == 0 else 0, p == piece_count - 1
        least, most = (low, high) if ends else (NO_LOW, NO_HIGH)
        start = first
        while start < last:
            for panel in range((n + WIDTH - 1) // WIDTH):
                j = WIDTH * panel
                part = (
                    x + offset, x_rows, taps + 8 * tap, count, piece_depth, w + w_step * (depth * panel + top), w_step,
                    bias + 4 * j, addend + 4 * j if addend and ends else 0, z_rows, out + 4 * j, y_rows, begins,
                    min(WIDTH, n - j), least, most,
                )  # fmt: skip
                run_rows(WIDE if n - j > LANES else NARROW, part, start, min(start + at_once, last))
            start += at_once
