"""Figures of a run that may last for hours, in memory that does not grow with it."""

import math
from dataclasses import dataclass, field

MOST_EXACT = 65_536
"""So many latencies are kept as they are; beyond that they are counted in bins."""
BINS_PER_DOUBLING = 1_024
"""Bins are 0.07 % wide."""
MOST_POINTS = 2_048


@dataclass(slots=True)
class Distribution:
    """Latencies in ns: percentiles, exact for the first 65,536, then within 0.07 %."""

    count: int = 0
    total_ns: int = 0
    least_ns: int | None = None
    most_ns: int = 0
    _exact: list[int] | None = field(default_factory=list)
    _bins: dict[int, int] = field(default_factory=dict)

    @property
    def is_exact(self) -> bool:
        return self._exact is not None

    def add(self, value_ns: int) -> None:
        self.count += 1
        self.total_ns += value_ns
        self.most_ns = max(self.most_ns, value_ns)
        self.least_ns = value_ns if self.least_ns is None else min(self.least_ns, value_ns)
        if self._exact is None:
            self._count(value_ns)
            return
        self._exact.append(value_ns)
        if len(self._exact) > MOST_EXACT:
            for value in self._exact:
                self._count(value)
            self._exact = None

    def _count(self, value_ns: int) -> None:
        place = math.floor(math.log2(value_ns) * BINS_PER_DOUBLING) if value_ns > 0 else -1
        self._bins[place] = self._bins.get(place, 0) + 1

    @property
    def mean_ns(self) -> float:
        return self.total_ns / self.count if self.count else 0.0

    def percentile_ns(self, percent: float) -> float:
        """The smallest latency that `percent` of all do not exceed (nearest rank)."""
        if not self.count:
            return 0.0
        rank = max(1, math.ceil(self.count * percent / 100))
        if self._exact is not None:
            return sorted(self._exact)[rank - 1]
        for place in sorted(self._bins):
            rank -= self._bins[place]
            if rank <= 0:
                middle = 2 ** ((place + 0.5) / BINS_PER_DOUBLING) if place >= 0 else 0.0
                return min(max(middle, self.least_ns or 0), self.most_ns)
        return self.most_ns


@dataclass(slots=True)
class Curve:
    """A quantity over time in at most 2,048 stretches: when it has more, each two neighbours become their mean."""

    name: str
    unit: str
    _ends_ns: list[int] = field(default_factory=list)
    _values: list[float] = field(default_factory=list)
    _stretch: int = 1
    _held: list[tuple[int, float]] = field(default_factory=list)

    def add(self, length_ns: int, end_ns: int, value: float) -> None:
        """The mean over the `length_ns` up to `end_ns`."""
        self._held.append((length_ns, value))
        if len(self._held) < self._stretch:
            return
        self._settle(end_ns)
        if len(self._values) >= MOST_POINTS:
            self._halve()

    def _settle(self, end_ns: int) -> None:
        length = sum(part for part, _ in self._held)
        mean = sum(part * value for part, value in self._held) / length if length else self._held[-1][1]
        self._ends_ns.append(end_ns)
        self._values.append(mean)
        self._held = []

    def _halve(self) -> None:
        starts = [0, *self._ends_ns[:-1]]
        lengths = [end - start for start, end in zip(starts, self._ends_ns, strict=True)]
        pairs = range(0, len(lengths) - 1, 2)
        self._values = [
            (lengths[i] * self._values[i] + lengths[i + 1] * self._values[i + 1]) / (lengths[i] + lengths[i + 1])
            for i in pairs
        ]
        self._ends_ns = [self._ends_ns[i + 1] for i in pairs]
        self._stretch *= 2

    def points(self, end_ns: int) -> tuple[tuple[int, float], ...]:
        """(time, value from then on); the last point is the end."""
        if self._held:
            self._settle(end_ns)
        starts = [0, *self._ends_ns]
        values = [*self._values, self._values[-1]] if self._values else [0.0]
        return tuple(zip(starts, values, strict=True))
