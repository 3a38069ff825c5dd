"""The loops around the compiled blocks. Imported only where numba is installed; see `jobs` for what they work on."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from partita.kernels.arrays import Array
from partita.kernels.compiled_blocks import TILE, depthwise_block, product_block
from partita.kernels.compiled_memory import add_shared, copy, let_others_run, load_long, load_shared, zero
from partita.kernels.compiled_winograd import input_block, output_block
from partita.kernels.jobs import COPY, DEPTHWISE, PRODUCT, WINOGRAD, WINOGRAD_LARGE, Job
from partita.kernels.winograd import LARGE, SMALL

Function = TypeVar("Function", bound=Callable[..., Any])
BlockArguments = tuple[int, int, int, int, int, int, int, int, int, int, int, int, int, int, Any, Any]
"""In the order of `compiled_blocks.ARGUMENTS`, for the first row."""
LANES, ROWS = TILE.lanes, TILE.rows
WIDTH = TILE.lanes * TILE.vectors
"""Columns of the output per panel of weights."""
WIDE, NARROW, CHANNELS = 0, 1, 2
"""Kinds of blocks: a whole panel of a product, at most one vector of it, channels with their own filters."""
SPINS = 2000
"""Looks at a barrier before the processor is offered to others."""

_wide_more, _wide_full, _wide_4, _wide_2, _wide_1 = (product_block(n, TILE.vectors) for n in (ROWS + 1, ROWS, 4, 2, 1))
_narrow_more, _narrow_full, _narrow_4, _narrow_2, _narrow_1 = (product_block(n, 1) for n in (ROWS + 1, ROWS, 4, 2, 1))
_depth_more, _depth_full, _depth_4, _depth_2, _depth_1 = (depthwise_block(n) for n in (ROWS + 1, ROWS, 4, 2, 1))
_small_input, _small_output = input_block(SMALL), output_block(SMALL)
_large_input, _large_output = input_block(LARGE), output_block(LARGE)

_names = {name: i for i, name in enumerate(Job._fields)}
KIND, ROW_COUNT, COLUMNS, AT_ONCE = (_names[n] for n in ("kind", "rows", "columns", "at_once"))
INPUT_SLOT, INPUT, INPUT_ROWS = (_names[n] for n in ("input_slot", "input", "input_rows"))
OUTPUT_SLOT, OUTPUT, OUTPUT_ROWS = (_names[n] for n in ("output_slot", "output", "output_rows"))
ADDEND_SLOT, ADDEND, ADDEND_ROWS = (_names[n] for n in ("addend_slot", "addend", "addend_rows"))
BIAS_SLOT, BIAS, WEIGHTS, DEPTH = (_names[n] for n in ("bias_slot", "bias", "weights", "depth"))
TAPS, TAP_COUNT, PIECES, PIECE_COUNT = (_names[n] for n in ("taps", "tap_count", "pieces", "piece_count"))
SCRATCH_SLOT, SCRATCH, SCRATCH_BYTES = (_names[n] for n in ("scratch_slot", "scratch", "scratch_bytes"))
ROW_STEP, COLUMN_STEP, EVEN_ROWS, NO_BIAS = (_names[n] for n in ("row_step", "column_step", "even_rows", "no_bias"))
ZERO_SLOT, ZEROS, ZERO_COUNT = (_names[n] for n in ("zero_slot", "zeros", "zero_count"))


def compiled(function: Function) -> Function:
    """Compile at the first call, keep the result on disk, and let other threads of Python run meanwhile."""
    return numba.njit(nogil=True, cache=True)(function)


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
def _run(kind: int, given: BlockArguments, first: int, last: int) -> None:
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
def _multiply(given: BlockArguments, pieces: int, piece_count: int, at_once: int, first: int, last: int) -> None:
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
        least, most = (low, high) if ends else (np.float32(-np.inf), np.float32(np.inf))
        for start in range(first, last, at_once):
            for j in range(0, n, WIDTH):
                panel = w + w_step * (depth * (j // WIDTH) + top)
                part = (
                    x + offset, x_rows, taps + 8 * tap, count, piece_depth, panel, w_step, bias + 4 * j,
                    addend + 4 * j if addend and ends else 0, z_rows, out + 4 * j, y_rows, begins, min(WIDTH, n - j),
                    least, most,
                )  # fmt: skip
                _run(WIDE if n - j > LANES else NARROW, part, start, min(start + at_once, last))


@compiled
def _winograd(job: Array, x: int, out: int, bias: int, addend: int, scratch: int, low: np.float32, high: np.float32,
              first: int, last: int) -> None:  # fmt: skip
    """Tiles from `first` up to `last`: transformed, multiplied plane by plane, transformed back, some at a time."""
    is_large = job[KIND] == WINOGRAD_LARGE
    planes, cells = (36, 16) if is_large else (16, 4)
    at_once, depth, n = job[AT_ONCE], job[DEPTH], job[COLUMNS]
    products = scratch + 4 * planes * at_once * depth
    in_step, out_step = 4 * at_once * depth, 4 * at_once * n
    w_bytes = 4 * WIDTH * depth * ((n + WIDTH - 1) // WIDTH)
    even = job[EVEN_ROWS]
    no_low, no_high = np.float32(-np.inf), np.float32(np.inf)
    for start in range(first, last, at_once):
        stop = min(start + at_once, last)
        for i in range(start, stop):
            source, target = x + load_long(job[INPUT_ROWS] + 8 * i), scratch + 4 * depth * (i - start)
            if is_large:
                _large_input(source, job[ROW_STEP], job[COLUMN_STEP], target, in_step, depth)
            else:
                _small_input(source, job[ROW_STEP], job[COLUMN_STEP], target, in_step, depth)
        for plane in range(planes):
            given = (
                scratch + in_step * plane, even, job[TAPS], 1, depth, job[WEIGHTS] + w_bytes * plane, 4 * WIDTH,
                job[NO_BIAS], 0, even, products + out_step * plane, even + 8 * at_once, 1, n, no_low, no_high,
            )  # fmt: skip
            _multiply(given, job[PIECES], job[PIECE_COUNT], at_once, 0, stop - start)
        for i in range(start, stop):
            source, skip = products + 4 * n * (i - start), 8 * cells * i
            to, more = job[OUTPUT_ROWS] + skip, job[ADDEND_ROWS] + skip
            if is_large:
                _large_output(source, out_step, bias, addend, more, out, to, n, low, high)
            else:
                _small_output(source, out_step, bias, addend, more, out, to, n, low, high)


@compiled
def _do(job: Array, bases: Array, low: np.float32, high: np.float32, thread: int, threads: int) -> None:
    """One thread's share of a job: whole tiles of its rows."""
    for i in range(thread, job[ZERO_COUNT], threads):
        border = job[ZEROS] + 16 * i
        zero(bases[job[ZERO_SLOT]] + load_long(border), load_long(border + 8))
    kind, m, n = job[KIND], job[ROW_COUNT], job[COLUMNS]
    grain = 1 if kind in (WINOGRAD, WINOGRAD_LARGE) else ROWS
    tiles = (m + grain - 1) // grain
    first, last = tiles * thread // threads * grain, min(m, tiles * (thread + 1) // threads * grain)
    x, out = bases[job[INPUT_SLOT]] + job[INPUT], bases[job[OUTPUT_SLOT]] + job[OUTPUT]
    bias = bases[job[BIAS_SLOT]] + job[BIAS]
    addend = bases[job[ADDEND_SLOT]] + job[ADDEND]
    x_rows, z_rows, y_rows = job[INPUT_ROWS], job[ADDEND_ROWS], job[OUTPUT_ROWS]
    if kind == PRODUCT:
        given = (x, x_rows, job[TAPS], 1, job[DEPTH], job[WEIGHTS], 4 * WIDTH, bias, addend, z_rows, out, y_rows, 1, n,
                 low, high)  # fmt: skip
        _multiply(given, job[PIECES], job[PIECE_COUNT], job[AT_ONCE], first, last)
    elif kind == DEPTHWISE:
        given = (x, x_rows, job[TAPS], job[TAP_COUNT], 1, job[WEIGHTS], 4 * n, bias, addend, z_rows, out, y_rows, 1, n,
                 low, high)  # fmt: skip
        _run(CHANNELS, given, first, last)
    elif kind == COPY:
        for i in range(first, last):
            copy(out + load_long(y_rows + 8 * i), x + load_long(x_rows + 8 * i), n)
    else:
        scratch = bases[job[SCRATCH_SLOT]] + job[SCRATCH] + job[SCRATCH_BYTES] * thread
        _winograd(job, x, out, bias, addend, scratch, low, high, first, last)


@compiled
def _wait(counter: int, wanted: int) -> None:
    looks = 0
    while load_shared(counter) < wanted:
        looks += 1
        if looks > SPINS:
            let_others_run()


@compiled
def run(jobs: Array, limits: Array, bases: Array, thread: int, threads: int, counter: Array) -> None:
    """One thread's share of every job (jobs, fields), each begun when all threads have finished the one before.

    `limits` (jobs, 2) are the least and greatest results, `bases` the addresses of the slots, `counter` one int64 at 0.
    """
    for i in range(len(jobs)):
        _do(jobs[i], bases, limits[i, 0], limits[i, 1], thread, threads)
        if threads > 1:
            add_shared(counter.ctypes.data, 1)
            _wait(counter.ctypes.data, threads * (i + 1))
