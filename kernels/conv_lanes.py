"""How the work of convolutions is cut for threads: into lanes, each of some rows or of some filters.

A product over the channels reads only those rows of its input that it writes. So where the one before it is cut by
rows, each thread goes on with its own, and the threads need not wait for each other in between.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from partita.kernels.conv_kinds import is_pointwise, matrices_of, panels_of
from partita.kernels.conv_layout import Convolution
from partita.kernels.layouts import Sizes
from partita.kernels.places import ALL, Cut

BLOCK_ELEMENTS = 1 << 17
"""Numbers of a block, read or written, whichever are more: 512 KiB, so that they stay in a cache."""
DEPTHWISE_ELEMENTS = 1 << 16
TILES_ELEMENTS = 1 << 18
"""Numbers of Winograd's tiles that are worked on together; each time all weights are read."""
LEAST_WORK = 1 << 21
"""Multiplications of a product from which two threads are faster than one."""
LEAST_DEPTHWISE_WORK = 1 << 18
MANY_WEIGHTS = 1 << 19
"""Weights of a product from which each thread had better read its own."""


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
    last = phase.convolutions[-1]
    if phase.lanes == 1 or _is_cut_by_filters(phase.convolutions[0]) or c.x != last.output:
        return False
    if not is_pointwise(c) or max(c.windows.strides) > 1 or _is_cut_by_filters(c):
        return False
    return _parts(c, phase.lanes) == _parts(last, phase.lanes)


def _is_shared(c: Convolution) -> bool:
    """Whether there is enough to do for two threads, and no bit changes with the cut."""
    least = LEAST_DEPTHWISE_WORK if c.is_depthwise else LEAST_WORK
    return math.prod(c.windows.outputs) * c.w.size >= least and (c.is_depthwise or panels_of(c).can_be_cut)


def _is_cut_by_filters(c: Convolution) -> bool:
    """Whether the weights are most of what a product reads: each thread then reads some of them."""
    if c.is_depthwise or c.w.shape[0] < max(math.prod(c.windows.outputs), 2 * panels_of(c).width):
        return False
    return panels_of(c).whole.size >= MANY_WEIGHTS


def pieces(c: Convolution, batch: int, lanes: int) -> Iterator[Piece]:
    """All results of a convolution, lane by lane."""
    (height, width), filters = c.windows.outputs, c.w.shape[0]
    blocks = _elements(c) / (DEPTHWISE_ELEMENTS if c.is_depthwise else TILES_ELEMENTS if matrices_of(c) else BLOCK_ELEMENTS)
    for image in range(batch):
        for lane, part in enumerate(_parts(c, lanes)):
            if lanes > 1 and _is_cut_by_filters(c):
                yield Piece(lane, (image, slice(0, height), ALL, part), (height, width, part.stop - part.start))
                continue
            for rows in _cut(part.stop - part.start, max(1, round(blocks / lanes)), _grain(c)):
                inside = slice(part.start + rows.start, part.start + rows.stop)
                yield Piece(lane, (image, inside, ALL, ALL), (rows.stop - rows.start, width, filters))


def _elements(c: Convolution) -> int:
    """Numbers that are read or written, whichever are more, unfolded or in tiles."""
    positions, matrices = math.prod(c.windows.outputs), matrices_of(c)
    filters, depth = c.w.shape[:2]
    if matrices is not None:
        return positions * (matrices.tile + 2) ** 2 // matrices.tile**2 * max(filters, depth)
    return positions * (filters if c.is_depthwise else max(filters, c.windows.taps * depth if c.windows.taps > 1 else 0))


def _parts(c: Convolution, lanes: int) -> list[slice]:
    """The rows or the filters of each lane."""
    if lanes == 1 or not _is_cut_by_filters(c):
        return _cut(c.windows.outputs[0], lanes, _grain(c))
    return _cut(c.w.shape[0], lanes, panels_of(c).width)


def _grain(c: Convolution) -> int:
    """Rows that stay together: those of a tile, or all where each is one position, whose product has bits of its own."""
    matrices = matrices_of(c)
    if matrices is not None:
        return matrices.tile
    return max(1, c.windows.outputs[0]) if c.windows.outputs[1] == 1 else 1


def _cut(length: int, count: int, grain: int) -> list[slice]:
    """At most `count` even parts in whole grains; the last ends with `length`.

    >>> _cut(14, 2, 4)
    [slice(0, 8, None), slice(8, 14, None)]
    """
    grains = -(-length // grain)
    count = max(1, min(count, grains))
    ends = [min(length, grain * (grains * i // count)) for i in range(count + 1)]
    return [slice(first, last) for first, last in zip(ends, ends[1:])]
