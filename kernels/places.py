"""Where a tensor lies between two convolutions: channels last, with a border of zeros for the one that reads it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from partita.kernels.arrays import Array
from partita.kernels.calls import Call, call, clip, copy
from partita.kernels.layouts import Laid, Sizes
from partita.kernels.products import ALL

Cut = tuple[int | slice, slice, slice, slice]
"""Images, rows, columns, and channels."""
WHOLE: Cut = (ALL, ALL, ALL, ALL)

FEW_CHANNELS = 8
"""So many channels are written one by one if they do not lie side by side: a fifth of the time with three."""


class Piece(NamedTuple):
    """Results that are computed together, by one of several threads."""

    lane: int
    cut: Cut
    shape: Sizes
    """Rows, columns and channels."""


class Place:
    """Memory (N, rows, remainders, columns, C) with zeros around an image.

    Columns are sorted by their remainder modulo the stride of a depthwise convolution that reads them, so that those
    which one of its taps meets lie side by side; for all others there is one remainder.
    """

    def __init__(self, memory: Array, begin: Sizes, sizes: Sizes) -> None:
        self.memory = memory
        (self._top, self._left), (self._height, self._width) = begin, sizes

    @classmethod
    def laid_in(cls, arena: Array, laid: Laid, stride: int = 1) -> "Place":
        """As `laid` says, in an arena of float32, where the stride divides the width with its border."""
        batch, height, width, channels = laid.padded
        start = laid.offset // arena.itemsize
        flat = arena[start : start + batch * height * width * channels]
        return cls(flat.reshape(batch, height, stride, width // stride, channels), laid.begin, laid.shape[2:])

    @property
    def is_plain(self) -> bool:
        """Whether columns lie in their order."""
        return self.memory.shape[2] == 1

    @property
    def image(self) -> Array:
        """(N, rows, columns, C), of a plain one."""
        top, left = self._top, self._left
        return self.memory[:, top : top + self._height, 0, left : left + self._width]

    def from_corner(self, before: Sizes) -> Array:
        """The memory from what lies so far before the image on; all of it where columns are sorted."""
        if not self.is_plain:
            return self.memory
        return self.memory[:, self._top - before[0] :, :, self._left - before[1] :]

    def zeros(self) -> Iterator[Call]:
        """Those that write the border."""
        inside = slice(self._top, self._top + self._height)
        yield from _zeros(self.memory[:, : inside.start])
        yield from _zeros(self.memory[:, inside.stop :])
        yield from self.side_zeros(inside)

    def side_zeros(self, rows: slice = ALL) -> Iterator[Call]:
        """Those that write the border left and right of some rows of the memory."""
        for remainder, _, columns in self._columns():
            yield from _zeros(self.memory[:, rows, remainder, : columns.start])
            yield from _zeros(self.memory[:, rows, remainder, columns.stop :])

    def row_zeros(self, first: int, last: int) -> Iterator[Call]:
        """Those that write the border in some rows, counted from the first of the image."""
        if first < last:
            yield from _zeros(self.memory[:, self._top + first : self._top + last])

    def parts(self, cut: Cut) -> Iterator[tuple[slice, Array]]:
        """The memory of what belongs to `cut`, all columns, each time (rows, some columns, C): columns and memory."""
        first, last, _ = cut[1].indices(self._height)
        if self.is_plain:
            inside = self.memory[cut[0], self._top + first : self._top + last, 0, self._left : self._left + self._width]
            yield ALL, inside[..., cut[2], cut[3]]
            return
        for remainder, source, target in self._columns():
            yield source, self.memory[cut[0], self._top + first : self._top + last, remainder, target, cut[3]]

    def write(self, part: Array, cut: Cut, low: Any = -np.inf, high: Any = np.inf) -> Iterator[Call]:
        """Those that write what belongs to `cut` of the image, within limits if there are any.

        `part`: (rows, columns, C), where the place is plain also with rows and columns each split in two axes.
        """
        for columns, memory in self.parts(cut):
            some, target = (part, memory.reshape(part.shape)) if self.is_plain else (part[..., columns, :], memory)
            if some.strides[-1] == some.itemsize or some.shape[-1] > FEW_CHANNELS:
                yield limited(some, target, low, high)
            else:
                yield from (limited(some[..., i], target[..., i], low, high) for i in range(some.shape[-1]))

    def _columns(self) -> Iterator[tuple[int, slice, slice]]:
        """Per remainder: the columns of the image that have it, and where they go."""
        stride = self.memory.shape[2]
        for remainder in range(stride):
            first = (remainder - self._left) % stride
            start = (first + self._left) // stride
            yield remainder, slice(first, None, stride), slice(start, start + len(range(first, self._width, stride)))


def _zeros(memory: Array) -> Iterator[Call]:
    if memory.size:
        yield copy(np.zeros((), np.float32), memory)


def limited(part: Array, target: Array, low: Any, high: Any) -> Call:
    """A copy within limits, infinite for none."""
    if low == -np.inf and high == np.inf:
        return copy(part, target)
    if high == np.inf:
        return call(np.maximum, part, np.array(low), out=target)
    return call(clip, part, np.array(low), np.array(high), out=target)
