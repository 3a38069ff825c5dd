"""Where a tensor lies between two convolutions: channels last, with a border of zeros for the one that reads it."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from partita.kernels.arrays import Array
from partita.kernels.calls import Call
from partita.kernels.layouts import Laid, Sizes

ALL = slice(None)
Cut = tuple[int | slice, slice, slice, slice]
"""Images, rows, columns, and channels."""
WHOLE: Cut = (ALL, ALL, ALL, ALL)

FEW_CHANNELS = 8
"""So many channels are written one by one if they do not lie side by side: a fifth of the time with three (measured)."""


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
        borders = [self.memory[:, : inside.start], self.memory[:, inside.stop :]]
        for remainder, _, columns in self._columns():
            borders += [self.memory[:, inside, remainder, : columns.start]]
            borders += [self.memory[:, inside, remainder, columns.stop :]]
        return (Call(np.copyto, (border, np.float32(0))) for border in borders if border.size)

    def write(self, part: Array, cut: Cut, low: Any = None, high: Any = None) -> Iterator[Call]:
        """Those that write what belongs to `cut` of the image, within limits if there are any.

        `part`: (rows, columns, C), where the place is plain also with rows and columns each split in two axes.
        """
        if self.is_plain:
            target = self.image[cut].reshape(part.shape)
            if part.strides[-1] == part.itemsize or part.shape[-1] > FEW_CHANNELS:
                yield limited(part, target, low, high)
            else:
                yield from (limited(part[..., i], target[..., i], low, high) for i in range(part.shape[-1]))
            return
        first, last, _ = cut[1].indices(self._height)
        rows = slice(self._top + first, self._top + last)
        for remainder, source, target in self._columns():
            yield limited(part[..., source, :], self.memory[cut[0], rows, remainder, target, cut[3]], low, high)

    def _columns(self) -> Iterator[tuple[int, slice, slice]]:
        """Per remainder: the columns of the image that have it, and where they go."""
        stride = self.memory.shape[2]
        for remainder in range(stride):
            first = (remainder - self._left) % stride
            start = (first + self._left) // stride
            yield remainder, slice(first, None, stride), slice(start, start + len(range(first, self._width, stride)))


def limited(part: Array, target: Array, low: Any, high: Any) -> Call:
    """A copy within limits, -inf or None for none."""
    if low is None or not np.isfinite(low) and not np.isfinite(high):
        return Call(np.copyto, (target, part))
    if high == np.inf:
        return Call(np.maximum, (part, low), target)
    return Call(part.clip, (low, high), target)
