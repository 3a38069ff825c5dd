"""What compiled loops work on: a table of jobs, each a row of whole numbers.

A tensor is a slot, whose address is known when the table is run, and an offset in it; constants are in slot 0 at their
own addresses. Its rows (the channels of one position) lie at offsets from there, as a list of int64 says.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from partita.kernels.arrays import Array

PRODUCT, DEPTHWISE, COPY, WINOGRAD, WINOGRAD_LARGE, GELU, SOFTMAX, NORMALIZE, DOT, ATTENTION = range(10)
FLOAT_BYTES = 4
CONSTANTS, ARENA = 0, 1
"""Slots that every table has."""
SIDE, COUNTS, STRIDES = 3, (8, 7, 4), (1, 2)
"""Windows of depthwise convolutions for which outputs side by side are computed together, and how many."""
PIECE_DEPTH = 768
"""Rows of weights that are used at a time: 96 KiB with 32 columns, so that they stay in the second-level cache."""
CHUNK_BYTES = 1 << 19
"""Input rows that are used at a time with all weights: half of a second-level cache of 1 MiB (measured)."""


class Job(NamedTuple):
    """One job: what it reads, what it writes, and where lists of offsets, counted in bytes, lie (`*_rows` and `taps`).

    Fields that a kind of job has no use for are 0. COPY copies `columns` bytes per row.
    """

    kind: int
    rows: int
    """Rows of the output, or tiles of Winograd's."""
    columns: int
    input_slot: int
    input: int
    input_rows: int
    output_slot: int
    output: int
    output_rows: int
    """With Winograd, as many offsets per tile as it has positions, and those below 0 are left out."""
    taps: int = 0
    tap_count: int = 0
    pieces: int = 0
    """Parts of the sum as `pieces_of_depth` makes them."""
    piece_count: int = 0
    depth: int = 0
    """Rows of weights of one panel; with Winograd, the input's channels."""
    weights: int = 0
    bias_slot: int = 0
    bias: int = 0
    addend_slot: int = 0
    addend: int = 0
    addend_rows: int = 0
    at_once: int = 1
    """Rows or tiles that are worked on with all weights before the next ones."""
    zero_slot: int = 0
    zeros: int = 0
    """Pairs (offset, bytes) of what is set to 0 beside the output."""
    zero_count: int = 0
    row_step: int = 0
    """Between the rows of a tile, and `column_step` between its columns."""
    column_step: int = 0
    scratch_slot: int = 0
    scratch: int = 0
    scratch_bytes: int = 0
    """For each thread."""
    even_rows: int = 0
    """Offsets of `at_once` rows of transformed input, then those of products."""
    no_bias: int = 0
    """As many zeros as there are columns."""
    by_columns: int = 0
    """Threads share the columns of a product, in whole panels, and not its rows."""
    gelu: int = 0
    """A product ends with Gelu."""
    line: int = 0
    """Outputs of a depthwise convolution that lie side by side, of which `side_by_side` are computed together."""
    side_by_side: int = 0
    """If it is not 0, `input_rows` are the columns of a line, and each line has taps, for column 0 of its windows."""
    stride: int = 0
    input_share: int = 0
    """Bytes from what one thread reads to what the next one does, if each has a tensor of its own."""
    output_share: int = 0
    chain: int = 0
    """Jobs from this one on that run band by band, 0 for none."""
    bands: int = 0
    cuts: int = 0
    """For each band and each job of the chain the first row and the one behind the last."""


class Chain(NamedTuple):
    """GELU (in place), SOFTMAX or NORMALIZE of contiguous rows; a slot that is not needed is `CONSTANTS`.

    DOT multiplies one row by each of those in the slot of the scale, for a number per row. The lower limit of the job
    is the factor of SOFTMAX, or what NORMALIZE adds to the variance.
    """

    kind: int
    rows: int
    columns: int
    input_slot: int
    output_slot: int
    scale_slot: int = 0
    shift_slot: int = 0
    means_slot: int = 0
    inverses_slot: int = 0


class Heads(NamedTuple):
    """ATTENTION: `rows` heads of queries, each with the keys and values of one head. Offsets and steps in bytes.

    `*_heads` are where lists of offsets lie, one per row of the job, and `*_rows` such lists for queries. The lower
    limit of the job is the factor of the scores. An address of 0 in the mask's slot means that there is none.
    """

    kind: int
    rows: int
    columns: int
    """Size of a value, in whole vectors."""
    depth: int
    """Size of a query, in whole vectors."""
    queries: int
    keys: int
    at_once: int
    """Queries whose scores are in scratch memory together."""
    q_slot: int
    k_slot: int
    v_slot: int
    mask_slot: int
    out_slot: int
    scratch_slot: int
    q_heads: int
    k_heads: int
    v_heads: int
    mask_heads: int
    out_heads: int
    q_rows: int
    out_rows: int
    score_rows: int
    """Offsets of `at_once` rows of scores, and one more."""
    k_step: int
    v_step: int
    mask_step: int
    pieces: int
    piece_count: int
    key_pieces: int
    key_piece_count: int
    tap: int
    """One offset of 0."""
    no_bias: int
    scratch_bytes: int
    """For each thread."""


def table_of(jobs: Sequence[Job | Chain | Heads]) -> Array:
    """Rows of whole numbers, each as long as the longest kind of job."""
    table = np.zeros((len(jobs), len(Job._fields)), np.int64)
    for row, job in zip(table, jobs, strict=True):
        row[: len(job)] = job
    return table


def address_of(array: Array) -> int:
    return array.__array_interface__["data"][0]


@lru_cache(maxsize=1024)
def pieces_of_depth(depth: int) -> Array:
    """Pieces of one tap: (bytes from the row's begin, first tap, taps, inputs, row of the weights)."""
    starts = range(0, depth, PIECE_DEPTH)
    return np.array([(FLOAT_BYTES * k, 0, 1, min(PIECE_DEPTH, depth - k), k) for k in starts], np.int64)


@lru_cache(maxsize=1024)
def pieces_of_taps(taps: int, depth: int) -> Array:
    """Pieces of as many whole taps as have about the depth of one piece."""
    count = max(1, PIECE_DEPTH // depth)
    return np.array([(0, t, min(count, taps - t), depth, t * depth) for t in range(0, taps, count)], np.int64)


def side_by_side(line: int) -> int:
    """How many outputs of a line to compute together, so that the fewest are computed twice; 0 if it is too short."""
    return min((c for c in COUNTS if c <= line), key=lambda c: -(-line // c) * c, default=0)


def rows_at_once(bytes_per_row: int, tile: int, chunk_bytes: int = CHUNK_BYTES) -> int:
    """A number of rows that fit the chunk, in whole tiles."""
    return max(1, chunk_bytes // bytes_per_row // tile) * tile


@lru_cache(maxsize=1024)
def even_rows(count: int, step_bytes: int) -> Array:
    return np.arange(count, dtype=np.int64) * step_bytes


@lru_cache(maxsize=1024)
def grid(counts: tuple[int, ...], steps: tuple[int, ...]) -> Array:
    """Offsets of the points of a grid, the last axis innermost."""
    offsets = np.zeros(1, np.int64)
    for count, step in zip(counts, steps, strict=True):
        offsets = np.add.outer(offsets, np.arange(count, dtype=np.int64) * step).reshape(-1)
    return offsets


def panels_of(b: Array, width: int) -> Array:
    """A matrix (k, n) as (panels, k, width), filled up with zeros."""
    depth, columns = b.shape
    panels = np.zeros((-(-columns // width), depth, width), np.float32)
    for p, panel in enumerate(panels):
        part = b[:, p * width : (p + 1) * width]
        panel[:, : part.shape[1]] = part
    return panels


def contiguous_steps(shape: Sequence[int]) -> tuple[int, ...]:
    """Bytes from one index of each axis to the next, for float32."""
    return tuple(FLOAT_BYTES * math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
