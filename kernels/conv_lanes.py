"""How the work of convolutions is cut for threads: into lanes, each of some rows or of some filters.

A product over the channels reads only those rows of its input that it writes. So where the one before it is cut by
rows, each thread goes on with its own, and the threads need not wait for each other in between.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from partita.kernels.conv_kinds import is_pointwise, matrices_of, panels_of, reach_of
from partita.kernels.conv_layout import Convolution
from partita.kernels.places import Piece
from partita.kernels.products import ALL

BLOCK_ELEMENTS = 1 << 17
"""Numbers of a block, read or written, whichever are more: 512 KiB, so that they stay in a cache."""
DEPTHWISE_ELEMENTS = 1 << 16
TILES_ELEMENTS = 1 << 18
"""Numbers of Winograd's tiles that are worked on together; each time all weights are read."""
LEAST_CHAIN_ELEMENTS = 1 << 18
"""Numbers of the tensor that a depthwise convolution reads, from which a chain gains: 1 MiB, as large as a cache."""
BAND_ELEMENTS = 300_000
"""Numbers of a band of the two tensors of a chain (measured)."""
LEAST_WORK = 1 << 21
"""Multiplications of a product from which two threads are faster than one."""
LEAST_DEPTHWISE_WORK = 1 << 18
FIXED_LANES = 4
"""Lanes of products whose bits depend on the cut: so many for any number of threads."""
MANY_WEIGHTS = 1 << 19
"""Weights of a product from which each thread had better read its own."""


class Chain(NamedTuple):
    """A product, the only depthwise convolution that reads it, and the only product that reads that: see
    `conv_chain`."""

    expand: Convolution
    depthwise: Convolution
    project: Convolution

    @property
    def padded_width(self) -> int:
        """Columns of the tensor that the depthwise convolution reads, with their border."""
        begin, end = reach_of(self.depthwise)
        return begin[1] + self.depthwise.windows.inputs[1] + end[1]

    @property
    def band_rows(self) -> int:
        """Rows of results that are computed together."""
        windows, channels = self.depthwise.windows, len(self.depthwise.w)
        overlap = max(0, windows.extents[0] - windows.strides[0])
        row = windows.strides[0] * self.padded_width + windows.outputs[1]
        return max(1, overlap, (BAND_ELEMENTS // channels - overlap * self.padded_width) // row)


Unit = tuple[Convolution] | Chain
"""What is computed in one go: one convolution, or a chain of them."""


class Phase(NamedTuple):
    """Units that each lane computes one after the other."""

    units: list[Unit]
    lanes: int
    is_free: bool
    """Whether no bit depends on how many lanes there are."""

    @property
    def convolutions(self) -> list[Convolution]:
        return [c for unit in self.units for c in unit]


def phases(convolutions: Sequence[Convolution], outputs: Collection[str], threads: int) -> list[Phase]:
    """Convolutions in their order, grouped so that threads wait for each other only between groups.

    `outputs`: what others read of them.
    """
    read = Counter([*outputs, *(name for c in convolutions for name in (c.x, c.addend))])
    found: list[Phase] = []
    i = 0
    while i < len(convolutions):
        chain = _chain_of(convolutions[i : i + 3], read)
        unit: Unit = (convolutions[i],) if chain is None else chain
        if found and chain is None and _goes_on(found[-1], convolutions[i]):
            found[-1].units.append(unit)
        else:
            is_free = all(map(_is_free, unit))
            lanes = len(_parts(unit[-1], threads if is_free else FIXED_LANES)) if any(map(_is_shared, unit)) else 1
            found.append(Phase([unit], lanes, is_free))
        i += len(unit)
    return found


def _chain_of(convolutions: Sequence[Convolution], read: Mapping[str | None, int]) -> Chain | None:
    """Three convolutions as a chain, if they are one and bands of it gain."""
    if len(convolutions) < 3:
        return None
    chain = Chain(*convolutions)
    expand, middle, project = chain
    if expand.is_depthwise or not middle.is_depthwise or not is_pointwise(project) or expand.addend or middle.addend:
        return None
    if (middle.x, project.x) != (expand.output, middle.output) or max(read[middle.x], read[project.x]) > 1:
        return None
    if matrices_of(expand) is not None or max(project.windows.strides) > 1 or _is_cut_by_filters(project):
        return None
    if not _is_free(expand) or not _is_free(project):
        return None
    if min(expand.windows.outputs[1], project.windows.outputs[1]) == 1:  # a band may be one row
        return None
    return chain if math.prod(expand.windows.outputs) * len(expand.w) >= LEAST_CHAIN_ELEMENTS else None


def _goes_on(phase: Phase, c: Convolution) -> bool:
    last = phase.units[-1][-1]
    if phase.lanes == 1 or _is_cut_by_filters(phase.units[0][0]) or c.x != last.output:
        return False
    if not is_pointwise(c) or max(c.windows.strides) > 1 or _is_cut_by_filters(c) or phase.is_free > _is_free(c):
        return False
    return _parts(c, phase.lanes) == _parts(last, phase.lanes)


def _is_free(c: Convolution) -> bool:
    """Whether no bit of its results depends on how they are cut."""
    return c.is_depthwise or panels_of(c).can_be_cut


def _is_shared(c: Convolution) -> bool:
    """Whether there is enough to do for two threads."""
    return math.prod(c.windows.outputs) * c.w.size >= (LEAST_DEPTHWISE_WORK if c.is_depthwise else LEAST_WORK)


def _is_cut_by_filters(c: Convolution) -> bool:
    """Whether the weights are most of what a product reads: each thread then reads some of them."""
    if c.is_depthwise or c.w.shape[0] < max(math.prod(c.windows.outputs), 2 * panels_of(c).width):
        return False
    return panels_of(c).whole.size >= MANY_WEIGHTS


def pieces(unit: Unit, batch: int, lanes: int) -> Iterator[Piece]:
    """All results of a unit, lane by lane."""
    c = unit[-1]
    (height, width), filters = c.windows.outputs, c.w.shape[0]
    tiled = TILES_ELEMENTS if matrices_of(c) else BLOCK_ELEMENTS
    blocks = _elements(c) / (DEPTHWISE_ELEMENTS if c.is_depthwise else tiled)
    for image in range(batch):
        for lane, part in enumerate(_parts(c, lanes)):
            if lanes > 1 and _is_cut_by_filters(c):
                yield Piece(lane, (image, slice(0, height), ALL, part), (height, width, part.stop - part.start))
                continue
            length = part.stop - part.start
            count = -(-length // unit.band_rows) if isinstance(unit, Chain) else max(1, round(blocks / lanes))
            for rows in _cut(length, count, _grain(c)):
                inside = slice(part.start + rows.start, part.start + rows.stop)
                yield Piece(lane, (image, inside, ALL, ALL), (rows.stop - rows.start, width, filters))


def _elements(c: Convolution) -> int:
    """Numbers that are read or written, whichever are more, unfolded or in tiles."""
    positions, matrices = math.prod(c.windows.outputs), matrices_of(c)
    filters, depth = c.w.shape[:2]
    if matrices is not None:
        return positions * (matrices.tile + 2) ** 2 // matrices.tile**2 * max(filters, depth)
    return positions * max(filters, 0 if c.is_depthwise or c.windows.taps == 1 else c.windows.taps * depth)


def _parts(c: Convolution, lanes: int) -> list[slice]:
    """The rows or the filters of each lane."""
    if lanes == 1 or not _is_cut_by_filters(c):
        return _cut(c.windows.outputs[0], lanes, _grain(c))
    return _cut(c.w.shape[0], lanes, panels_of(c).width)


def _grain(c: Convolution) -> int:
    """Rows that stay together: those of a tile, or all where a row of tiles or results is one: products have two."""
    (height, width), matrices = c.windows.outputs, matrices_of(c)
    tile = 1 if matrices is None else matrices.tile
    return tile if width > tile else height


def _cut(length: int, count: int, grain: int) -> list[slice]:
    """At most `count` even parts in whole grains; the last ends with `length`.

    >>> _cut(14, 2, 4)
    [slice(0, 8, None), slice(8, 14, None)]
    """
    grains = -(-length // grain)
    count = max(1, min(count, grains))
    ends = [min(length, grain * (grains * i // count)) for i in range(count + 1)]
    return [slice(first, last) for first, last in pairwise(ends)]
