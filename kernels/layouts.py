"""Where tensors lie while a table of jobs runs: axes with borders of zeros, and shares of one arena."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from partita.kernels.arrays import Array
from partita.kernels.jobs import FLOAT_BYTES, contiguous_steps, grid

ALIGNMENT_BYTES = 64
"""A line of the cache."""
Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Laid:
    """A float32 tensor (N, C, spatial ...) in memory, channels last unless told, with a border around it."""

    slot: int
    offset: int
    shape: Sizes
    begin: Sizes
    """Border before the first element of each spatial axis; `end` after the last."""
    end: Sizes
    channels_first: bool = False

    @cached_property
    def positions(self) -> Sizes:
        """The batch and the spatial sizes, without borders."""
        return (self.shape[0], *self.shape[2:])

    @cached_property
    def padded(self) -> Sizes:
        """Sizes in memory order."""
        spatial = padded_sizes(self.shape[2:], self.begin, self.end)
        batch, channels = self.shape[:2]
        return (batch, channels, *spatial) if self.channels_first else (batch, *spatial, channels)

    @cached_property
    def steps(self) -> Sizes:
        """Bytes between neighbours, for the batch and the spatial axes."""
        steps = contiguous_steps(self.padded)
        return (steps[0], *steps[2:]) if self.channels_first else steps[:-1]

    def from_corner(self, before: Sequence[int]) -> int:
        """The offset of what lies `before` the first element (per spatial axis), within the border."""
        inside = zip(self.begin, before, self.steps[1:], strict=True)
        return self.offset + sum((border - b) * step for border, b, step in inside)

    @cached_property
    def origin(self) -> int:
        """The offset of the first element."""
        return self.from_corner((0,) * len(self.begin))

    @cached_property
    def rows(self) -> Array:
        """From the first element to each position."""
        return grid(self.positions, self.steps)

    @cached_property
    def lines(self) -> tuple[Array, int]:
        """From the first element to each contiguous run of the tensor, and the bytes of a run."""
        if self.channels_first:
            steps = contiguous_steps(self.padded)
            return grid(self.shape[:-1], steps[:-1]), FLOAT_BYTES * self.shape[-1]
        return grid(self.positions[:-1], self.steps[:-1]), FLOAT_BYTES * self.shape[-1] * self.shape[1]

    @cached_property
    def border(self) -> Array:
        """Pairs (offset, bytes) of the runs that are border."""
        return _border(self.padded, self.shape[2:], self.begin, self.channels_first)

    def with_channels_first(self) -> "Laid":
        return replace(self, channels_first=True)

    def moved_to(self, slot: int, offset: int) -> "Laid":
        return replace(self, slot=slot, offset=offset)

    @property
    def size_bytes(self) -> int:
        return FLOAT_BYTES * math.prod(self.padded)


def padded_sizes(sizes: Sequence[int], begin: Sequence[int], end: Sequence[int]) -> Sizes:
    return tuple(b + n + e for b, n, e in zip(begin, sizes, end, strict=True))


@lru_cache(maxsize=512)
def _border(padded: Sizes, sizes: Sizes, begin: Sizes, channels_first: bool) -> Array:
    first = 2 if channels_first else 1
    is_border = np.ones(padded if channels_first else padded[:-1], bool)
    inside = tuple(slice(b, b + n) for b, n in zip(begin, sizes, strict=True))
    is_border[(slice(None),) * first + inside] = False
    element_bytes = FLOAT_BYTES * (1 if channels_first else padded[-1])
    edges = np.flatnonzero(np.diff(is_border.reshape(-1), prepend=False, append=False)).reshape(-1, 2)
    return np.stack([edges[:, 0], edges[:, 1] - edges[:, 0]], axis=1).astype(np.int64) * element_bytes


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the arena, needed from the job number `first` to `last`, both included."""

    name: str
    size_bytes: int
    first: int
    last: int


def share_arena(shares: Sequence[Share]) -> tuple[dict[str, int], int]:
    """Offsets by name, so that no two shares meet that are needed at a time, and the size of the arena.

    The largest is placed first, each at the lowest offset that is free.

    >>> share_arena([Share("a", 64, 0, 1), Share("b", 64, 1, 2), Share("c", 64, 2, 3)])
    ({'a': 0, 'b': 64, 'c': 0}, 128)
    """
    placed: list[tuple[int, int, Share]] = []
    offset_of: dict[str, int] = {}
    for share in sorted(shares, key=lambda s: -s.size_bytes):
        size = -(-share.size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        offset = 0
        for start, stop, other in sorted(placed, key=lambda p: p[0]):
            if other.first <= share.last and share.first <= other.last:
                if start - offset >= size:
                    break
                offset = max(offset, stop)
        placed.append((offset, offset + size, share))
        offset_of[share.name] = offset
    return offset_of, max((stop for _, stop, _ in placed), default=0)
