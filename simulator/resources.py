"""What jobs compete for: tracks (units and links) that serve one job at a time, and the memory that all share."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from partita.simulator.events import Callback, Events
from partita.simulator.memory import MemoryLimits, fair_shares

_NOTHING_LEFT_NS = 1e-6
"""Work below this is rounding: a stream that has no more is done."""


class Track:
    """A unit or a link. It serves the jobs of `order` one at a time, by their number.

    A unit is strict: it waits for the next job of its order. A link takes whichever ready job stands first.
    """

    def __init__(self, order: Sequence[int], *, strict: bool) -> None:
        self._expected = order if strict else ()
        self._served = 0
        self._ready: list[int] = []
        self._busy = False

    def offer(self, job: int) -> None:
        """Say that everything `job` waits for has happened."""
        heapq.heappush(self._ready, job)

    def take(self) -> int | None:
        """The job to start now, if there is one; the track is busy from then on until `release`."""
        if self._busy or not self._ready:
            return None
        if self._expected and self._ready[0] != self._expected[self._served]:
            return None
        self._busy = True
        self._served += 1
        return heapq.heappop(self._ready)

    def release(self) -> None:
        self._busy = False


@dataclass(slots=True, eq=False)
class _Stream:
    """Work that reads and writes memory while it runs."""

    engine: str
    demand: float
    """GB/s with which it ends on time."""
    weight: float
    remaining_ns: float
    """At full speed."""
    done: Callback
    rate: float = 0.0
    """GB/s that it gets now."""

    @property
    def speed(self) -> float:
        return 1.0 if self.rate >= self.demand else self.rate / self.demand


class SharedMemory:
    """Divides the memory among the streams that run, anew at every start and every end.

    A stream that runs alone is never slowed: the time it takes then contains what the memory costs it. Several get
    weighted max-min fair shares of what the memory gives to several engines; a stream that gets less than it needs to
    end on time takes longer in that proportion, so one that is bound by computing slows later than one that streams.
    """

    def __init__(self, events: Events, limits: MemoryLimits) -> None:
        self.rates: list[tuple[int, dict[str, float]]] = [(0, {})]
        """(time in ns, GB/s by engine from then on), at every change."""
        self._events = events
        self._limits = limits
        self._streams: dict[int, _Stream] = {}
        self._divided_ns = 0
        self._division = 0

    def stream(self, job: int, engine: str, work_ns: int, size_bytes: int, done: Callback) -> None:
        """Run work of `work_ns` that moves `size_bytes`, and call `done` when it has ended.

        Bytes beyond what the engine can stream alone in that time did not reach the memory: caches kept them.
        """
        demand = min(size_bytes / work_ns, self._limits.most_gb_per_s(engine))
        weight = self._limits.weight_of.get(engine, 1.0)
        self._progress()
        self._streams[job] = _Stream(engine, demand, weight, work_ns, done)
        self._divide()

    def _progress(self) -> None:
        elapsed_ns = self._events.now_ns - self._divided_ns
        for stream in self._streams.values():
            stream.remaining_ns -= elapsed_ns * stream.speed
        self._divided_ns = self._events.now_ns

    def _divide(self) -> None:
        streams = list(self._streams.values())
        capacity = self._limits.several_gb_per_s if len(streams) > 1 else math.inf
        shares = fair_shares([(stream.demand, stream.weight) for stream in streams], capacity)
        rates: dict[str, float] = {}
        for stream, share in zip(streams, shares, strict=True):
            stream.rate = share
            rates[stream.engine] = rates.get(stream.engine, 0.0) + share
        self.rates.append((self._events.now_ns, rates))
        self._division += 1
        if streams:
            division = self._division
            wait_ns = min(math.ceil(s.remaining_ns / s.speed - _NOTHING_LEFT_NS) for s in streams)
            self._events.after(max(wait_ns, 0), lambda: self._end_streams(division))

    def _end_streams(self, division: int) -> None:
        if division != self._division:
            return  # the memory has been divided anew since, and a later call was asked for
        self._progress()
        ended = [job for job, stream in self._streams.items() if stream.remaining_ns <= _NOTHING_LEFT_NS]
        callbacks = [self._streams.pop(job).done for job in sorted(ended)]
        self._divide()
        for callback in callbacks:
            callback()
