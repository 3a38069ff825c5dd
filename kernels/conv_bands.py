"""Convolutions whose results are computed band by band, so that what lies between them stays in a cache.

Of a tensor in the middle of a chain each thread keeps only the lines that the next convolution wants, in memory of its
own. So threads do not wait for each other within a chain: each computes the lines that it wants, also the few at the
border between two threads that both want.
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from partita.kernels.arrays import Array
from partita.kernels.conv_layout import Convolution
from partita.kernels.jobs import COUNTS, FLOAT_BYTES, SIDE, STRIDES
from partita.kernels.windows import Windows

BAND_BYTES = 3 << 17
"""What lies between the convolutions of a chain for one band: it and the weights stay in a second-level cache."""
LEAST_CHAIN_BYTES = 1 << 19
"""Smaller tensors stay in that cache anyway."""
Lines = tuple[int, int]
"""The first line of a band and the one behind its last; those of the images of a batch follow each other."""


def shares_inputs(windows: Windows) -> bool:
    """Whether there is a block of depthwise outputs side by side for such windows."""
    has_block = windows.kernel == (SIDE, SIDE) and windows.strides[-1] in STRIDES and windows.dilations[-1] == 1
    return has_block and windows.outputs[-1] >= min(COUNTS)


@dataclass(frozen=True)
class Ring:
    """The lines of a tensor (N, C, H, W) that a thread keeps: line i at place i modulo `count`, and a line of zeros."""

    shape: tuple[int, ...]
    begin: int
    """Columns of zeros before a line, and `end` behind it."""
    end: int
    count: int

    @property
    def column_bytes(self) -> int:
        return FLOAT_BYTES * self.shape[1]

    @property
    def line_bytes(self) -> int:
        return self.column_bytes * (self.begin + self.shape[3] + self.end)

    @property
    def size_bytes(self) -> int:
        return self.line_bytes * (self.count + 1)

    @cached_property
    def rows(self) -> Array:
        """The offset of each position of the tensor, where it is kept."""
        batch, _, height, width = self.shape
        lines = np.arange(batch * height, dtype=np.int64) % self.count * self.line_bytes
        columns = (self.begin + np.arange(width, dtype=np.int64)) * self.column_bytes
        return np.add.outer(lines, columns).reshape(-1)

    @cached_property
    def border(self) -> Array:
        """Pairs (offset, bytes) of what is zero."""
        left, right = self.begin * self.column_bytes, self.end * self.column_bytes
        starts = self.line_bytes * np.arange(self.count, dtype=np.int64)
        pairs = [(starts, left), (starts + self.line_bytes - right, right)]
        runs = [np.stack([at, np.full_like(at, size)], axis=1) for at, size in pairs if size]
        return np.concatenate([*runs, [[self.count * self.line_bytes, self.line_bytes]]])

    def lines_of(self, windows: Windows) -> Array:
        """For each line of outputs the offsets of the lines that its windows meet, at the first column of the first."""
        batch, _, height, _ = self.shape
        (step, _), (gap, _), (before, left) = windows.strides, windows.dilations, windows.begin
        met = np.add.outer(np.arange(windows.outputs[0]) * step - before, np.arange(windows.kernel[0]) * gap)
        places = (np.arange(batch)[:, None, None] * height + met) % self.count
        places[:, (met < 0) | (met >= height)] = self.count
        return places.reshape(-1).astype(np.int64) * self.line_bytes + (self.begin - left) * self.column_bytes


@dataclass(frozen=True)
class Chain:
    """Convolutions from `first` on, one after the other for each band of lines."""

    first: int
    rings: tuple[Ring, ...]
    """Of the results of all but the last."""
    cuts: Array
    """(bands, convolutions, 2): the first position of a result and the one behind the last that a band wants."""


def chains_of(convolutions: Sequence[Convolution], kept: Collection[str], batch: int, threads: int) -> list[Chain]:
    """Chains of a depthwise convolution, perhaps with the product before it, and the product behind it.

    `kept` are tensors that others want as a whole.
    """
    readers = Counter(name for c in convolutions for name in (c.x, c.addend) if name is not None)
    whole = set(kept) | {name for name, count in readers.items() if count > 1}
    whole |= {c.addend for c in convolutions if c.addend is not None}
    chains: list[Chain] = []
    done = 0
    for i, c in enumerate(convolutions):
        if not c.is_depthwise or not shares_inputs(c.windows) or i + 1 == len(convolutions):
            continue
        if not _follows(convolutions[i + 1], c, whole) or not _is_pointwise(convolutions[i + 1]):
            continue
        has_before = i > done and _follows(c, convolutions[i - 1], whole) and _is_plain(convolutions[i - 1])
        first = i - 1 if has_before else i
        chain = _chain(first, convolutions[first : i + 2], batch, threads)
        if chain is not None:
            chains.append(chain)
            done = i + 2
    return chains


def _follows(later: Convolution, earlier: Convolution, whole: Collection[str]) -> bool:
    return later.x == earlier.output and earlier.output not in whole


def _is_plain(c: Convolution) -> bool:
    return c.group == 1 and len(c.windows.outputs) == 2


def _is_pointwise(c: Convolution) -> bool:
    return _is_plain(c) and c.windows.kernel == c.windows.strides == (1, 1) and not c.windows.needs_padding


def _chain(first: int, parts: Sequence[Convolution], batch: int, threads: int) -> Chain | None:
    """None where the tensors between are small."""
    shapes = [(batch, c.w.shape[0], *c.windows.outputs) for c in parts]
    if max(FLOAT_BYTES * math.prod(shape) for shape in shapes[:-1]) < LEAST_CHAIN_BYTES:
        return None
    height = shapes[-1][2]
    for count in range(threads, height + threads, threads):
        lines = [_lines(parts, n, start, min(start + -(-height // count), height)) for n in range(batch)
                 for start in range(0, height, -(-height // count))]  # fmt: skip
        rings = tuple(_ring(shapes[i], parts[i + 1], [band[i] for band in lines]) for i in range(len(parts) - 1))
        if sum(ring.size_bytes for ring in rings) <= BAND_BYTES or count >= height:
            break
    widths = np.array([shape[3] for shape in shapes], np.int64)[:, None]
    return Chain(first, rings, np.array(lines, np.int64) * widths)


def _ring(shape: tuple[int, ...], reader: Convolution, bands: Sequence[Lines]) -> Ring:
    begin, end = (border[1] for border in reader.reach)
    return Ring(shape, begin, end, max(last - first for first, last in bands))


def _lines(parts: Sequence[Convolution], image: int, first: int, last: int) -> list[Lines]:
    """The lines of each result that lines of the last one want."""
    wanted = [(first, last)]
    for c in parts[:0:-1]:
        windows, (first, last) = c.windows, wanted[0]
        begin = first * windows.strides[0] - windows.begin[0]
        end = (last - 1) * windows.strides[0] - windows.begin[0] + windows.extents[0]
        wanted.insert(0, (max(0, begin), min(windows.inputs[0], end)))
    heights = [c.windows.outputs[0] for c in parts]
    return [
        (image * height + first, image * height + last) for height, (first, last) in zip(heights, wanted, strict=True)
    ]
