"""The loops around the compiled blocks. Imported only where numba is installed; see `jobs` for what they work on."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from partita.kernels.compiled_blocks import TILE, depthwise_block, product_block
from partita.kernels.compiled_memory import (
    add_shared,
    copy,
    let_others_run,
    load_float,
    load_long,
    load_shared,
    zero,
)
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

NO_LOW, NO_HIGH = np.float32(-np.inf), np.float32(np.inf)
FIELDS = len(Job._fields)
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
    return numba.njit(nogil=True, cache=True, error_model="numpy")(function)


@compiled
def _field(job: int, number: int) -> int:
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
                _run(WIDE if n - j > LANES else NARROW, part, start, min(start + at_once, last))
            start += at_once


@compiled
def _winograd(job: int, x: int, out: int, bias: int, addend: int, scratch: int, low: np.float32, high: np.float32,
              first: int, last: int) -> None:  # fmt: skip
    """Tiles from `first` up to `last`: transformed, multiplied plane by plane, transformed back, some at a time."""
    is_large = _field(job, KIND) == WINOGRAD_LARGE
    planes, cells = (36, 16) if is_large else (16, 4)
    at_once, depth, n = _field(job, AT_ONCE), _field(job, DEPTH), _field(job, COLUMNS)
    row_step, column_step, even = _field(job, ROW_STEP), _field(job, COLUMN_STEP), _field(job, EVEN_ROWS)
    products = scratch + 4 * planes * at_once * depth
    in_step, out_step = 4 * at_once * depth, 4 * at_once * n
    w_bytes = 4 * WIDTH * depth * ((n + WIDTH - 1) // WIDTH)
    start = first
    while start < last:
        stop = min(start + at_once, last)
        for i in range(start, stop):
            source, target = x + load_long(_field(job, INPUT_ROWS) + 8 * i), scratch + 4 * depth * (i - start)
            if is_large:
                _large_input(source, row_step, column_step, target, in_step, depth)
            else:
                _small_input(source, row_step, column_step, target, in_step, depth)
        for plane in range(planes):
            given = (
                scratch + in_step * plane, even, _field(job, TAPS), 1, depth, _field(job, WEIGHTS) + w_bytes * plane,
                4 * WIDTH, _field(job, NO_BIAS), 0, even, products + out_step * plane, even + 8 * at_once, 1, n,
                NO_LOW, NO_HIGH,
            )  # fmt: skip
            _multiply(given, _field(job, PIECES), _field(job, PIECE_COUNT), at_once, 0, stop - start)
        for i in range(start, stop):
            source, skip = products + 4 * n * (i - start), 8 * cells * i
            to, more = _field(job, OUTPUT_ROWS) + skip, _field(job, ADDEND_ROWS) + skip
            if is_large:
                _large_output(source, out_step, bias, addend, more, out, to, n, low, high)
            else:
                _small_output(source, out_step, bias, addend, more, out, to, n, low, high)
        start += at_once


@compiled
def _place(job: int, bases: int, slot: int, offset: int) -> int:
    """The address of a tensor whose slot and offset are in these fields."""
    return load_long(bases + 8 * _field(job, slot)) + _field(job, offset)


@compiled
def _do(job: int, bases: int, low: np.float32, high: np.float32, thread: int, threads: int) -> None:
    """One thread's share of a job: whole tiles of its rows."""
    i = thread
    while i < _field(job, ZERO_COUNT):
        border = _field(job, ZEROS) + 16 * i
        zero(load_long(bases + 8 * _field(job, ZERO_SLOT)) + load_long(border), load_long(border + 8))
        i += threads
    kind, m, n = _field(job, KIND), _field(job, ROW_COUNT), _field(job, COLUMNS)
    grain = 1 if kind in (WINOGRAD, WINOGRAD_LARGE) else ROWS
    tiles = (m + grain - 1) // grain
    first, last = tiles * thread // threads * grain, min(m, tiles * (thread + 1) // threads * grain)
    x, out = _place(job, bases, INPUT_SLOT, INPUT), _place(job, bases, OUTPUT_SLOT, OUTPUT)
    bias, addend = _place(job, bases, BIAS_SLOT, BIAS), _place(job, bases, ADDEND_SLOT, ADDEND)
    x_rows, z_rows, y_rows = _field(job, INPUT_ROWS), _field(job, ADDEND_ROWS), _field(job, OUTPUT_ROWS)
    taps, weights = _field(job, TAPS), _field(job, WEIGHTS)
    if kind == PRODUCT:
        given = (x, x_rows, taps, 1, _field(job, DEPTH), weights, 4 * WIDTH, bias, addend, z_rows, out, y_rows, 1, n,
                 low, high)  # fmt: skip
        _multiply(given, _field(job, PIECES), _field(job, PIECE_COUNT), _field(job, AT_ONCE), first, last)
    elif kind == DEPTHWISE:
        given = (x, x_rows, taps, _field(job, TAP_COUNT), 1, weights, 4 * n, bias, addend, z_rows, out, y_rows, 1, n,
                 low, high)  # fmt: skip
        _run(CHANNELS, given, first, last)
    elif kind == COPY:
        for row in range(first, last):
            copy(out + load_long(y_rows + 8 * row), x + load_long(x_rows + 8 * row), n)
    else:
        scratch = _place(job, bases, SCRATCH_SLOT, SCRATCH) + _field(job, SCRATCH_BYTES) * thread
        _winograd(job, x, out, bias, addend, scratch, low, high, first, last)


@compiled
def _wait(counter: int, wanted: int) -> None:
    looks = 0
    while load_shared(counter) < wanted:
        looks += 1
        if looks > SPINS:
            let_others_run()


@compiled
def run(jobs: int, count: int, limits: int, bases: int, thread: int, threads: int, counter: int) -> None:
    """One thread's share of every job, each begun when all threads have finished the one before.

    Addresses: of the jobs (count, fields), of the least and greatest results (count, 2), of the addresses of the
    slots, and of an int64 that is 0 and that all threads share.
    """
    for i in range(count):
        limit = limits + 8 * i
        _do(jobs + 8 * FIELDS * i, bases, load_float(limit), load_float(limit + 4), thread, threads)
        if threads > 1:
            add_shared(counter, 1)
            _wait(counter, threads * (i + 1))
