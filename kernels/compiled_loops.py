"""The loops around the compiled blocks. Imported only where numba is installed; see `compiled` for what calls them."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from partita.kernels.arrays import Array
from partita.kernels.compiled_blocks import TILE, depthwise_block, product_block

Function = TypeVar("Function", bound=Callable[..., Any])
Job = tuple[int, int, int, int, int, int, int, int, int, int, int, int, int, Any, Any]
"""The arguments of a block, in their order, for the first row."""
LANES, ROWS = TILE.lanes, TILE.rows
WIDTH = TILE.lanes * TILE.vectors
"""Columns of the output per panel of weights."""
WIDE, NARROW, DEPTHWISE = 0, 1, 2
"""Kinds of blocks: a whole panel of a product, at most one vector of it, channels with their own filters."""

_wide_full, _wide_4, _wide_2, _wide_1 = (product_block(rows, TILE.vectors) for rows in (ROWS, 4, 2, 1))
_narrow_full, _narrow_4, _narrow_2, _narrow_1 = (product_block(rows, 1) for rows in (ROWS, 4, 2, 1))
_depth_full, _depth_4, _depth_2, _depth_1 = (depthwise_block(rows) for rows in (ROWS, 4, 2, 1))


def compiled(function: Function) -> Function:
    """Compile at the first call, keep the result on disk, and let other threads of Python run meanwhile."""
    return numba.njit(nogil=True, cache=True)(function)


@compiled
def _full(kind: int, job: Job) -> None:
    if kind == WIDE:
        _wide_full(*job)
    elif kind == NARROW:
        _narrow_full(*job)
    else:
        _depth_full(*job)


@compiled
def _four(kind: int, job: Job) -> None:
    if kind == WIDE:
        _wide_4(*job)
    elif kind == NARROW:
        _narrow_4(*job)
    else:
        _depth_4(*job)


@compiled
def _two(kind: int, job: Job) -> None:
    if kind == WIDE:
        _wide_2(*job)
    elif kind == NARROW:
        _narrow_2(*job)
    else:
        _depth_2(*job)


@compiled
def _one(kind: int, job: Job) -> None:
    if kind == WIDE:
        _wide_1(*job)
    elif kind == NARROW:
        _narrow_1(*job)
    else:
        _depth_1(*job)


@compiled
def _run(kind: int, job: Job, first: int, last: int) -> None:
    """Output rows from `first` up to `last`, in tiles as tall as they fit."""
    x, rows, taps, count, depth, w, w_step, bias, addend, out, step, begins, columns, low, high = job
    i = first
    while i < last:
        z = addend + step * i if addend else 0
        at = (x, rows + 8 * i, taps, count, depth, w, w_step, bias, z, out + step * i, step, begins, columns, low, high)
        if last - i >= ROWS:
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
def multiply(x: Array, rows: Array, taps: Array, pieces: Array, panels: Array, at_once: int, bias: Array,
             addend: Array, has_addend: bool, low: float, high: float, out: Array) -> None:  # fmt: skip
    """Rows of `x`, or windows on it, times packed weights (panel, taps * depth, WIDTH), `at_once` rows at a time.

    Each of the `pieces` of the sum is (offset of the input, first tap, taps, depth, row of the weights).
    """
    m, n = out.shape
    for p in range(len(pieces)):
        offset, tap, count, depth, top = pieces[p]
        begins, ends = 1 if p == 0 else 0, p == len(pieces) - 1
        least, most = (low, high) if ends else (np.float32(-np.inf), np.float32(np.inf))
        for first in range(0, m, at_once):
            for j in range(0, n, WIDTH):
                job = (
                    x.ctypes.data + offset, rows.ctypes.data, taps.ctypes.data + 8 * tap, count, depth,
                    panels[j // WIDTH, top:].ctypes.data, 4 * WIDTH, bias.ctypes.data + 4 * j,
                    addend.ctypes.data + 4 * j if has_addend and ends else 0, out.ctypes.data + 4 * j, 4 * n, begins,
                    min(WIDTH, n - j), least, most,
                )  # fmt: skip
                _run(WIDE if n - j > LANES else NARROW, job, first, min(first + at_once, m))


@compiled
def convolve_depthwise(x: Array, rows: Array, taps: Array, weights: Array, at_once: int, bias: Array, addend: Array,
                       has_addend: bool, low: float, high: float, out: Array) -> None:  # fmt: skip
    """Each channel of the windows on `x` with its own `weights` (taps, channels), `at_once` rows at a time."""
    m, n = out.shape
    for first in range(0, m, at_once):
        for j in range(0, n, LANES):
            job = (
                x.ctypes.data + 4 * j, rows.ctypes.data, taps.ctypes.data, len(taps), 1, weights.ctypes.data + 4 * j,
                4 * n, bias.ctypes.data + 4 * j, addend.ctypes.data + 4 * j if has_addend else 0,
                out.ctypes.data + 4 * j, 4 * n, 1, min(LANES, n - j), low, high,
            )  # fmt: skip
            _run(DEPTHWISE, job, first, min(first + at_once, m))


@compiled
def multiply_stack(x: Array, rows: Array, taps: Array, pieces: Array, panels: Array, at_once: int, bias: Array,
                   low: float, high: float, out: Array) -> None:  # fmt: skip
    """A stack of products (count, rows, columns), each with its own panels."""
    for s in range(len(x)):
        multiply(x[s], rows, taps, pieces, panels[s], at_once, bias, out[s], False, low, high, out[s])
