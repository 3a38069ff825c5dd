"""Links that carry one tensor at a time: when does a copy arrive?"""

from bisect import bisect_right
from dataclasses import dataclass, field

LinkTable = tuple[tuple[int, ...], ...]
"""[from][to]: the number of the link between two units, -1 for none."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A tensor on its way to another unit."""

    tensor: int
    unit: int
    start: float
    end: float


@dataclass(slots=True)
class _Busy:
    """When a link carries something: spans one after the other."""

    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)

    def take(self, ready: float, time: float) -> float:
        """The start of the first gap that is long enough, not before `ready`; from now on it is taken."""
        place = bisect_right(self.ends, ready)
        start = ready
        while place < len(self.starts) and self.starts[place] < start + time:
            start = max(start, self.ends[place])
            place += 1
        self.starts.insert(place, start)
        self.ends.insert(place, start + time)
        return start


class Carrying:
    """The copies of one schedule. Each tensor is carried to a unit once, in the first gap that is long enough."""

    def __init__(self, links: LinkTable) -> None:
        self._links = links
        self._busy = [_Busy() for _ in range(1 + max((link for row in links for link in row), default=-1))]
        self._copies: dict[tuple[int, int], Copy] = {}

    def arrival(self, tensor: int, source: int, unit: int, made: float, time: float) -> float:
        """When what was made on `source` at `made` is on `unit`, to which carrying it takes `time`."""
        if source == unit:
            return made
        link = self._links[source][unit]
        if link < 0 or time <= 0:
            return made + time
        copy = self._copies.get((tensor, unit))
        if copy is None:
            start = self._busy[link].take(made, time)
            copy = self._copies[tensor, unit] = Copy(tensor, unit, start, start + time)
        return copy.end

    @property
    def copies(self) -> tuple[Copy, ...]:
        """By start."""
        return tuple(sorted(self._copies.values(), key=lambda copy: (copy.start, copy.end, copy.tensor, copy.unit)))
