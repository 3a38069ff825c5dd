"""How the work of convolutions is cut for threads: into lanes, each of some rows or of some filters.

A product over the channels reads only those rows of its input that it writes. So where the one before it is cut by
rows, each thread goes on with its own, and the threads need not wait for each other in between.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from partita.kernels.conv_layout import Convolution
from partita.kernels.layouts import Sizes
from partita.kernels.products import GRAIN

BLOCK_ELEMENTS = 1 << 18
"""Results of a product that are finished together, 1 MiB, so that they stay in a cache."""
DEPTHWISE_ELEMENTS = 1 << 16
LEAST_WORK = 1 << 22
"""Multiplications of a product from which two threads are faster than one."""
LEAST_DEPTHWISE_WORK = 1 << 19
LEAST_PIECE = 1 << 20
"""Products are not cut into pieces of fewer multiplications: OpenBLAS sums those up to a million in another order."""
ALL = slice(None)
Cut = tuple[int | slice, slice, slice, slice]
"""Images, rows, all columns, and channels."""
WHOLE: Cut = (ALL, ALL, ALL, ALL)


class Piece(NamedTuple):
    """Results that are computed together."""

    lane: int
    cut: Cut
    shape: Sizes
    """Rows, columns and filters."""


class Phase(NamedTuple):
    """Convolutions that each lane computes one after the other."""

    convolutions: list[Convolution]
    lanes: int


def is_pointwise(c: Convolution) -> bool:
    return c.windows.taps == 1 and set(c.windows.strides) == {1} and not c.windows.needs_padding


def phases(convolutions: Sequence[Convolution], threads: int) -> list[Phase]:
    """Convolutions in their order, grouped so that threads wait for each other only between groups."""
    found: list[Phase] = []
    for c in convolutions:
        if found and _goes_on(found[-1], c):
            found[-1].convolutions.append(c)
        else:
            found.append(Phase([c], len(_parts(c, threads)) if _is_shared(c) else 1))
    return found


def _goes_on(phase: Phase, c: Convolution) -> bool:
    if phase.lanes == 1 or _is_cut_by_filters(phase.convolutions[0]) or c.x != phase.convolutions[-1].output:
        return False
    return is_pointwise(c) and not _is_cut_by_filters(c) and len(_parts(c, phase.lanes)) == phase.lanes


def _is_shared(c: Convolution) -> bool:
    """Whether there is enough to do for two threads."""
    least = LEAST_DEPTHWISE_WORK if c.is_depthwise else LEAST_WORK
    return math.prod(c.windows.outputs) * c.w.size >= least


def _is_cut_by_filters(c: Convolution) -> bool:
    """Whether the weights are most of what a product reads: each thread then reads some of them."""
    return is_pointwise(c) and math.prod(c.windows.outputs) < c.w.shape[0]


def pieces(c: Convolution, batch: int, lanes: int) -> Iterator[Piece]:
    """All results of a convolution, lane by lane."""
    (height, width), filters = c.windows.outputs, c.w.shape[0]
    blocks = height * width * filters / (DEPTHWISE_ELEMENTS if c.is_depthwise else BLOCK_ELEMENTS)
    for image in range(batch):
        for lane, part in enumerate(_parts(c, lanes)):
            if lanes > 1 and _is_cut_by_filters(c):
                yield Piece(lane, (image, slice(0, height), ALL, part), (height, width, part.stop - part.start))
                continue
            for rows in _cut(part.stop - part.start, max(1, round(blocks / lanes)), _least_rows(c)):
                inside = slice(part.start + rows.start, part.start + rows.stop)
                yield Piece(lane, (image, inside, ALL, ALL), (rows.stop - rows.start, width, filters))


def _parts(c: Convolution, lanes: int) -> list[slice]:
    """The rows or the filters of each lane."""
    (height, width), filters = c.windows.outputs, c.w.shape[0]
    if lanes == 1 or not _is_cut_by_filters(c):
        return _cut(height, lanes, _least_rows(c))
    grains = -(-filters // GRAIN)
    least = 1 + LEAST_PIECE // (height * width * c.w[0].size * GRAIN)
    cut = _cut(grains, lanes, least + (filters % GRAIN > 0))
    return [slice(GRAIN * part.start, min(filters, GRAIN * part.stop)) for part in cut]


def _least_rows(c: Convolution) -> int:
    return 1 + LEAST_PIECE // (c.windows.outputs[1] * c.w.size) if is_pointwise(c) else 1


def _cut(length: int, count: int, least: int) -> list[slice]:
    """At most `count` even parts, none shorter than `least` unless it is the only one."""
    count = max(1, min(count, length // least))
    return [slice(length * i // count, length * (i + 1) // count) for i in range(count)]
