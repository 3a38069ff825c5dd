"""Attention of one head after another in compiled code. Imported only where numba is installed; see `jobs.Heads`."""

import numpy as np

from partita.kernels.compiled_chains import softmax_row, transposed_tile
from partita.kernels.compiled_memory import load_long
from partita.kernels.compiled_products import LANES, NO_HIGH, NO_LOW, WIDTH, compiled, field, multiply
from partita.kernels.jobs import Heads

_names = {name: i for i, name in enumerate(Heads._fields)}
DEPTH, VALUES, QUERIES, KEYS, AT_ONCE = (_names[n] for n in ("depth", "columns", "queries", "keys", "at_once"))
Q_SLOT, K_SLOT, V_SLOT, MASK_SLOT, OUT_SLOT = (_names[f"{n}_slot"] for n in ("q", "k", "v", "mask", "out"))
Q_HEADS, K_HEADS, V_HEADS, MASK_HEADS, OUT_HEADS = (_names[f"{n}_heads"] for n in ("q", "k", "v", "mask", "out"))
Q_ROWS, OUT_ROWS, SCORE_ROWS = (_names[f"{n}_rows"] for n in ("q", "out", "score"))
K_STEP, V_STEP, MASK_STEP = (_names[f"{n}_step"] for n in ("k", "v", "mask"))
PIECES, PIECE_COUNT = _names["pieces"], _names["piece_count"]
KEY_PIECES, KEY_PIECE_COUNT = _names["key_pieces"], _names["key_piece_count"]
TAP, NO_BIAS, SCRATCH, SCRATCH_BYTES = (_names[n] for n in ("tap", "no_bias", "scratch_slot", "scratch_bytes"))


@compiled
def _of_head(job: int, bases: int, slot: int, heads: int, head: int) -> int:
    """Where a head of a tensor begins; 0 if there is no such tensor."""
    base = load_long(bases + 8 * field(job, slot))
    return base + load_long(field(job, heads) + 8 * head) if base else 0


@compiled
def _transpose_keys(job: int, keys: int, target: int) -> None:
    """The keys of a head as packed weights (panel, depth, WIDTH)."""
    count, depth, step = field(job, KEYS), field(job, DEPTH), field(job, K_STEP)
    for first in range(0, count, LANES):
        panel, lane = first // WIDTH, first % WIDTH
        for k in range(0, depth, LANES):
            place = target + 4 * (WIDTH * (panel * depth + k) + lane)
            transposed_tile(keys + step * first + 4 * k, step, min(LANES, count - first), place, 4 * WIDTH)


@compiled
def _weigh(job: int, scores: int, rows: int, values: int, target: int, target_rows: int) -> None:
    """Some rows of weights times the values, which lie as they are: one panel of columns after the other."""
    n, even = field(job, VALUES), field(job, SCORE_ROWS)
    for j in range(0, n, WIDTH):
        given = (
            scores, even, field(job, TAP), 1, field(job, KEYS), values + 4 * j, field(job, V_STEP),
            field(job, NO_BIAS), 0, even, target + 4 * j, target_rows, 1, min(WIDTH, n - j), NO_LOW, NO_HIGH,
        )  # fmt: skip
        multiply(given, field(job, KEY_PIECES), field(job, KEY_PIECE_COUNT), rows, 0, rows)


@compiled
def attend(job: int, bases: int, factor: np.float32, thread: int, first: int, last: int) -> None:
    """Heads from `first` up to `last`: scores of some queries at a time, their softmax, the sum of values."""
    queries, keys, depth, at_once = field(job, QUERIES), field(job, KEYS), field(job, DEPTH), field(job, AT_ONCE)
    scratch = load_long(bases + 8 * field(job, SCRATCH)) + field(job, SCRATCH_BYTES) * thread
    even = field(job, SCORE_ROWS)
    scores = scratch + 4 * WIDTH * depth * ((keys + WIDTH - 1) // WIDTH)
    score_step = load_long(even + 8) - load_long(even)
    for head in range(first, last):
        _transpose_keys(job, _of_head(job, bases, K_SLOT, K_HEADS, head), scratch)
        q, v = _of_head(job, bases, Q_SLOT, Q_HEADS, head), _of_head(job, bases, V_SLOT, V_HEADS, head)
        out, mask = _of_head(job, bases, OUT_SLOT, OUT_HEADS, head), _of_head(job, bases, MASK_SLOT, MASK_HEADS, head)
        for start in range(0, queries, at_once):
            rows = min(at_once, queries - start)
            given = (
                q, field(job, Q_ROWS) + 8 * start, field(job, TAP), 1, depth, scratch, 4 * WIDTH,
                field(job, NO_BIAS), 0, even, scores, even, 1, keys, NO_LOW, NO_HIGH,
            )  # fmt: skip
            multiply(given, field(job, PIECES), field(job, PIECE_COUNT), rows, 0, rows)
            for i in range(rows):
                row = scores + score_step * i
                addend = mask + field(job, MASK_STEP) * (start + i) if mask else 0
                softmax_row(row, row, addend, keys, 1, factor)
            _weigh(job, scores, rows, v, out, field(job, OUT_ROWS) + 8 * start)
