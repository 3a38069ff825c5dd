"""The loops around the compiled blocks. Imported only where numba is installed; see `jobs` for what they work on."""

import numpy as np

from partita.kernels.compiled_attention import attend
from partita.kernels.compiled_chains import dot_1, dot_4, gelu_row, normal_row, softmax_row
from partita.kernels.compiled_depthwise import run_lines
from partita.kernels.compiled_memory import (
    add_shared,
    copy,
    let_others_run,
    load_float,
    load_long,
    load_shared,
    replace_shared,
    store_long,
    zero,
)
from partita.kernels.compiled_products import (
    CHANNELS,
    NO_HIGH,
    NO_LOW,
    ROWS,
    WIDTH,
    compiled,
    field,
    multiply,
    run_rows,
)
from partita.kernels.compiled_winograd import input_block, output_block
from partita.kernels.jobs import (
    ATTENTION,
    COPY,
    DEPTHWISE,
    DOT,
    GELU,
    PRODUCT,
    SOFTMAX,
    WINOGRAD,
    WINOGRAD_LARGE,
    Chain,
    Job,
)
from partita.kernels.meeting import AWAY, COUNTER, LINE, MISSING, ORDER, TOLD, WAITING
from partita.kernels.winograd import LARGE, SMALL

SPINS = 2000
"""Looks at a barrier before the processor is offered to others."""
PATIENCE = SPINS + 500
"""Looks for another table before a thread goes back to sleep: some 200 us, most of it offers to others."""

_small_input, _small_output = input_block(SMALL), output_block(SMALL)
_large_input, _large_output = input_block(LARGE), output_block(LARGE)

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
INPUT_SHARE, OUTPUT_SHARE = _names["input_share"], _names["output_share"]
CHAIN, BANDS, CUTS = (_names[n] for n in ("chain", "bands", "cuts"))
LINE_SIZE, SIDE_BY_SIDE, STRIDE = (_names[n] for n in ("line", "side_by_side", "stride"))
BY_COLUMNS, GELU_ENDS = _names["by_columns"], _names["gelu"]
_chain_names = {name: i for i, name in enumerate(Chain._fields)}
CHAIN_INPUT, CHAIN_OUTPUT = _chain_names["input_slot"], _chain_names["output_slot"]
SCALE, SHIFT, MEANS, INVERSES = (_chain_names[f"{n}_slot"] for n in ("scale", "shift", "means", "inverses"))
ZERO_SLOT, ZEROS, ZERO_COUNT = (_names[n] for n in ("zero_slot", "zeros", "zero_count"))


@compiled
def _winograd(job: int, x: int, out: int, bias: int, addend: int, scratch: int, low: np.float32, high: np.float32,
              first: int, last: int) -> None:  # fmt: skip
    """Tiles from `first` up to `last`: transformed, multiplied plane by plane, transformed back, some at a time."""
    is_large = field(job, KIND) == WINOGRAD_LARGE
    planes, cells = (36, 16) if is_large else (16, 4)
    at_once, depth, n = field(job, AT_ONCE), field(job, DEPTH), field(job, COLUMNS)
    row_step, column_step, even = field(job, ROW_STEP), field(job, COLUMN_STEP), field(job, EVEN_ROWS)
    products = scratch + 4 * planes * at_once * depth
    in_step, out_step = 4 * at_once * depth, 4 * at_once * n
    w_bytes = 4 * WIDTH * depth * ((n + WIDTH - 1) // WIDTH)
    start = first
    while start < last:
        stop = min(start + at_once, last)
        for i in range(start, stop):
            source, target = x + load_long(field(job, INPUT_ROWS) + 8 * i), scratch + 4 * depth * (i - start)
            if is_large:
                _large_input(source, row_step, column_step, target, in_step, depth)
            else:
                _small_input(source, row_step, column_step, target, in_step, depth)
        for plane in range(planes):
            given = (
                scratch + in_step * plane, even, field(job, TAPS), 1, depth, field(job, WEIGHTS) + w_bytes * plane,
                4 * WIDTH, field(job, NO_BIAS), 0, even, products + out_step * plane, even + 8 * at_once, 1, n,
                NO_LOW, NO_HIGH,
            )  # fmt: skip
            multiply(given, field(job, PIECES), field(job, PIECE_COUNT), at_once, 0, stop - start)
        for i in range(start, stop):
            source, skip = products + 4 * n * (i - start), 8 * cells * i
            to, more = field(job, OUTPUT_ROWS) + skip, field(job, ADDEND_ROWS) + skip
            if is_large:
                _large_output(source, out_step, bias, addend, more, out, to, n, low, high)
            else:
                _small_output(source, out_step, bias, addend, more, out, to, n, low, high)
        start += at_once


@compiled
def _place(job: int, bases: int, slot: int, offset: int) -> int:
    """The address of a tensor whose slot and offset are in these fields."""
    return load_long(bases + 8 * field(job, slot)) + field(job, offset)


@compiled
def _product(job: int, x: int, out: int, bias: int, addend: int, low: np.float32, high: np.float32, first: int,
             last: int, thread: int, threads: int) -> None:  # fmt: skip
    """Rows from `first` up to `last`, or all rows of one thread's panels."""
    n, depth, start = field(job, COLUMNS), field(job, DEPTH), 0
    if field(job, BY_COLUMNS):
        panels = (n + WIDTH - 1) // WIDTH
        start, stop = WIDTH * (panels * thread // threads), min(n, WIDTH * (panels * (thread + 1) // threads))
        first, last, n = 0, field(job, ROW_COUNT), stop - start
    if n <= 0:
        return
    given = (
        x, field(job, INPUT_ROWS), field(job, TAPS), 1, depth, field(job, WEIGHTS) + 4 * depth * start, 4 * WIDTH,
        bias + 4 * start, addend + 4 * start if addend else 0, field(job, ADDEND_ROWS), out + 4 * start,
        field(job, OUTPUT_ROWS), 1, n, low, high,
    )  # fmt: skip
    multiply(given, field(job, PIECES), field(job, PIECE_COUNT), field(job, AT_ONCE), first, last)
    if field(job, GELU_ENDS):
        for row in range(first, last):
            gelu_row(out + 4 * start + load_long(field(job, OUTPUT_ROWS) + 8 * row), n)


@compiled
def _depthwise(job: int, x: int, out: int, bias: int, addend: int, low: np.float32, high: np.float32, first: int,
               last: int) -> None:  # fmt: skip
    """Rows from `first` up to `last`: in whole lines where there is a block for such windows."""
    n, line, taps, w = field(job, COLUMNS), field(job, LINE_SIZE), field(job, TAPS), field(job, WEIGHTS)
    x_rows, z_rows, y_rows = field(job, INPUT_ROWS), field(job, ADDEND_ROWS), field(job, OUTPUT_ROWS)
    if line:
        lined = (x, x_rows, taps, field(job, COLUMN_STEP), w, 4 * n, bias, addend, z_rows, out, y_rows, n, low, high)
        run_lines(field(job, SIDE_BY_SIDE), field(job, STRIDE), line, lined, first, last)
    else:
        given = (x, x_rows, taps, field(job, TAP_COUNT), 1, w, 4 * n, bias, addend, z_rows, out, y_rows, 1, n, low,
                 high)  # fmt: skip
        run_rows(CHANNELS, given, first, last)


@compiled
def _chain(job: int, bases: int, number: np.float32, first: int, last: int) -> None:
    """Rows from `first` up to `last` of contiguous tensors."""
    kind, n = field(job, KIND), field(job, COLUMNS)
    x, out = load_long(bases + 8 * field(job, CHAIN_INPUT)), load_long(bases + 8 * field(job, CHAIN_OUTPUT))
    scale, shift = load_long(bases + 8 * field(job, SCALE)), load_long(bases + 8 * field(job, SHIFT))
    means, inverses = load_long(bases + 8 * field(job, MEANS)), load_long(bases + 8 * field(job, INVERSES))
    if kind == DOT:
        even = first + (last - first) // 4 * 4
        for i in range(first, even, 4):
            dot_4(x, scale + 4 * n * i, 4 * n, out + 4 * i, n)
        for i in range(even, last):
            dot_1(x, scale + 4 * n * i, 4 * n, out + 4 * i, n)
        return
    for i in range(first, last):
        row = 4 * n * i
        if kind == GELU:
            gelu_row(out + row, n)
        elif kind == SOFTMAX:
            softmax_row(x + row, out + row, 0, n, 0, number)
        else:
            normal_row(x + row, scale, shift, out + row, means + 4 * i, inverses + 4 * i, n, number)


@compiled
def _zero_border(job: int, bases: int, thread: int, threads: int) -> None:
    """One thread's share of what is zero beside the output, or all of it if the output is the thread's own."""
    share = field(job, OUTPUT_SHARE)
    first, step = (0, 1) if share else (thread, threads)
    base = load_long(bases + 8 * field(job, ZERO_SLOT)) + share * thread
    for i in range(first, field(job, ZERO_COUNT), step):
        border = field(job, ZEROS) + 16 * i
        zero(base + load_long(border), load_long(border + 8))


@compiled
def _do_rows(job: int, bases: int, limit: int, thread: int, threads: int, first: int, last: int) -> None:
    """Rows of a job from `first` up to `last`, or one thread's panels of a product."""
    kind, n, low, high = field(job, KIND), field(job, COLUMNS), load_float(limit), load_float(limit + 4)
    x = _place(job, bases, INPUT_SLOT, INPUT) + field(job, INPUT_SHARE) * thread
    out = _place(job, bases, OUTPUT_SLOT, OUTPUT) + field(job, OUTPUT_SHARE) * thread
    bias, addend = _place(job, bases, BIAS_SLOT, BIAS), _place(job, bases, ADDEND_SLOT, ADDEND)
    x_rows, y_rows = field(job, INPUT_ROWS), field(job, OUTPUT_ROWS)
    if kind == PRODUCT:
        _product(job, x, out, bias, addend, low, high, first, last, thread, threads)
    elif kind == DEPTHWISE:
        _depthwise(job, x, out, bias, addend, low, high, first, last)
    elif kind == COPY:
        for row in range(first, last):
            copy(out + load_long(y_rows + 8 * row), x + load_long(x_rows + 8 * row), n)
    else:
        scratch = _place(job, bases, SCRATCH_SLOT, SCRATCH) + field(job, SCRATCH_BYTES) * thread
        _winograd(job, x, out, bias, addend, scratch, low, high, first, last)


@compiled
def _do(job: int, bases: int, limit: int, thread: int, threads: int) -> None:
    """One thread's share of a job: whole tiles of its rows."""
    kind, m = field(job, KIND), field(job, ROW_COUNT)
    if kind >= GELU:
        first, last, factor = m * thread // threads, m * (thread + 1) // threads, load_float(limit)
        if kind == ATTENTION:
            attend(job, bases, factor, thread, first, last)
        else:
            _chain(job, bases, factor, first, last)
        return
    _zero_border(job, bases, thread, threads)
    grain = 1 if kind in (WINOGRAD, WINOGRAD_LARGE) else field(job, LINE_SIZE) or ROWS
    tiles = (m + grain - 1) // grain
    first, last = tiles * thread // threads * grain, min(m, tiles * (thread + 1) // threads * grain)
    _do_rows(job, bases, limit, thread, threads, first, last)


@compiled
def _do_bands(jobs: int, count: int, limits: int, bases: int, thread: int, threads: int) -> None:
    """One thread's bands of a chain of jobs; of each result only what the band before did not want already."""
    bands, cuts = field(jobs, BANDS), field(jobs, CUTS)
    for i in range(count):
        _zero_border(jobs + 8 * FIELDS * i, bases, thread, threads)
    begin = bands * thread // threads
    for band in range(begin, bands * (thread + 1) // threads):
        for i in range(count):
            cut = cuts + 16 * (count * band + i)
            first = load_long(cut) if band == begin else max(load_long(cut), load_long(cut - 16 * count + 8))
            _do_rows(jobs + 8 * FIELDS * i, bases, limits + 8 * i, thread, threads, first, load_long(cut + 8))


@compiled
def _wait(counter: int, wanted: int) -> None:
    looks = 0
    while load_shared(counter) < wanted:
        looks += 1
        if looks > SPINS:
            let_others_run()


@compiled
def _take_part(jobs: int, count: int, limits: int, bases: int, thread: int, threads: int, counter: int) -> None:
    """One thread's share of every job or chain, each begun when all threads have finished the one before.

    Only the first thread waits for the end of the last one: the others never look at the counter of a table that is
    over, which the next table, perhaps one for fewer threads, begins anew.
    """
    i = meetings = 0
    while i < count:
        job, limit = jobs + 8 * FIELDS * i, limits + 8 * i
        chained = field(job, CHAIN) if field(job, KIND) < GELU else 0
        if chained:
            _do_bands(job, chained, limit, bases, thread, threads)
            i += chained
        else:
            _do(job, bases, limit, thread, threads)
            i += 1
        if threads > 1:
            meetings += 1
            add_shared(counter, 1)
            if thread == 0 or i < count:
                _wait(counter, threads * meetings)


@compiled
def _tell(jobs: int, count: int, limits: int, bases: int, threads: int, meeting: int) -> None:
    """Give the table to the threads that wait, and note which do not."""
    for thread in range(1, threads):
        while load_shared(meeting + 8 * (ORDER + LINE * thread)) == TOLD:
            let_others_run()  # it has done its part of the last table, and will say so at once
    store_long(meeting + 8 * COUNTER, 0)
    order = meeting + 8 * ORDER
    store_long(order, jobs)
    store_long(order + 8, count)
    store_long(order + 16, limits)
    store_long(order + 24, bases)
    store_long(order + 32, threads)
    missing = 0
    for thread in range(1, threads):
        if not replace_shared(order + 8 * LINE * thread, WAITING, TOLD):
            missing |= 1 << thread
    store_long(meeting + 8 * MISSING, missing)


@compiled
def _stand_by(thread: int, meeting: int) -> None:
    """Wait for the next table, and leave if none comes for a while, or if the word says so."""
    order = meeting + 8 * ORDER
    word = order + 8 * LINE * thread
    replace_shared(word, TOLD, WAITING)
    looks = 0
    while looks < PATIENCE or not replace_shared(word, WAITING, AWAY):
        now = load_shared(word)
        if now == AWAY:
            return
        looks += 1
        if now == TOLD:
            _take_part(load_long(order), load_long(order + 8), load_long(order + 16), load_long(order + 24), thread,
                       load_long(order + 32), meeting + 8 * COUNTER)  # fmt: skip
            replace_shared(word, TOLD, WAITING)
            looks = 0
        elif looks > SPINS:
            let_others_run()


@compiled
def run(jobs: int, count: int, limits: int, bases: int, thread: int, threads: int, meeting: int) -> None:
    """One thread's share of a table; afterwards, but for thread 0, those of the tables that follow soon.

    With a thread below 0, `threads` of them are told of the table instead, as far as they wait for one.
    Addresses: of the jobs (count, fields), of the least and greatest results (count, 2), of the addresses of the
    slots, and of the words that the threads share.
    """
    if thread < 0:
        _tell(jobs, count, limits, bases, threads, meeting)
        return
    if thread > 0:
        replace_shared(meeting + 8 * (ORDER + LINE * thread), AWAY, TOLD)
    _take_part(jobs, count, limits, bases, thread, threads, meeting + 8 * COUNTER)
    if thread > 0:
        _stand_by(thread, meeting)
