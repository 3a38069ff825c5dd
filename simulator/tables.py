"""How long each piece of a program takes, and what it draws, at given clocks while nothing else runs.

Times are whole ns, so a slice of pieces that runs in one go takes exactly what its pieces take one after the other.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from partita.simulator.program import NO_UNIT, PART_OF, PARTS, PPM, Program
from partita.simulator.sharing import Demand

Reading = tuple[int, ...]
"""Since the first piece began: weight by unit (ppm of its active power, times ns), then host core ns, bytes of DRAM,
and the ns that each track was busy."""
Drawn = tuple[tuple[tuple[int, int], ...], int, int, tuple[tuple[int, int], ...]]
"""The same between two readings: weights by unit, host ns, bytes, ns by track; without those that are 0."""
MOST_DRAWN = 2_000
"""So many are remembered."""
Wakes = tuple[tuple[int, int], ...]
"""(piece, ns) for each time a unit wakes up."""


@dataclass(frozen=True, slots=True)
class State:
    """What the speed of a piece depends on, beside what runs at the same time."""

    steps: tuple[int, ...]
    """Clock step of each unit."""
    clocks: tuple[float, ...]
    """The clock of each step over the top clock."""
    host: int
    """The unit whose clock paces calls and hand-overs."""
    stalled: tuple[float, ...]
    """Share of the active power that each unit draws while it waits for memory."""
    loads: tuple[float, ...]
    """Share of each unit that something else takes."""
    background_speeds: tuple[float, ...]
    """Speed of each piece next to the background's memory traffic; empty if there is none."""
    tracks: int
    """How many there are."""
    polls: bool
    """Whether a core of the host spins while another unit works."""


@dataclass(frozen=True, eq=False)
class Table:
    """One program in one state. Columns have an entry per piece."""

    program: Program
    state: State
    wakes: Wakes = ()

    @cached_property
    def fixed_ns(self) -> tuple[int, ...]:
        state, wake = self.state, dict(self.wakes)
        host_clock, host_free = state.clocks[state.host], 1 - state.loads[state.host]
        found = []
        for index, piece in enumerate(self.program.pieces):
            slower = piece.fixed_ns / (host_clock * host_free)
            found.append((piece.fixed_ns if slower == piece.fixed_ns else math.ceil(slower)) + wake.get(index, 0))
        return tuple(found)

    @cached_property
    def work_ns(self) -> tuple[int, ...]:
        """Beside the background's memory traffic."""
        speeds = self.state.background_speeds
        if not speeds:
            return self.free_work_ns
        return tuple(math.ceil(work / speed) for work, speed in zip(self.free_work_ns, speeds, strict=True))

    @cached_property
    def free_work_ns(self) -> tuple[int, ...]:
        """With the memory to itself."""
        return tuple(self._work_ns(index) for index in range(len(self.program.pieces)))

    def _work_ns(self, index: int) -> int:
        piece = self.program.pieces[index]
        if piece.unit == NO_UNIT:
            return piece.work_ns
        clock, free = self.state.clocks[piece.unit], 1 - self.state.loads[piece.unit]
        slower = piece.work_ns * max(piece.compute / clock, piece.memory) / free
        return piece.work_ns if slower == piece.work_ns else math.ceil(slower)

    @cached_property
    def demand_gb_per_s(self) -> tuple[float, ...]:
        pairs = zip(self.program.pieces, self.free_work_ns, strict=True)
        return tuple(p.demand_gb_per_s * p.work_ns / work if work else 0.0 for p, work in pairs)

    @cached_property
    def most_demand(self) -> tuple[float, ...]:
        """The largest demand in the piece's task."""
        most = [max(self.demand_gb_per_s[t.first : t.end]) for t in self.program.tasks]
        return tuple(most[task] for task in self.program.task_of)

    @cached_property
    def asked(self) -> tuple[Demand, ...]:
        """What each piece asks of the memory while it works."""
        return tuple((p.engine, demand) for p, demand in zip(self.program.pieces, self.demand_gb_per_s, strict=True))

    @cached_property
    def most_asked(self) -> tuple[Demand, ...]:
        """The most that the piece's task asks for."""
        return tuple((p.engine, demand) for p, demand in zip(self.program.pieces, self.most_demand, strict=True))

    @cached_property
    def at_ns(self) -> tuple[int, ...]:
        """When each piece starts if all run one after the other; one more entry for the end."""
        return tuple(accumulate((f + w for f, w in zip(self.fixed_ns, self.work_ns, strict=True)), initial=0))

    @cached_property
    def stalled_ppm(self) -> tuple[int, ...]:
        """Weight of a ns of work, whatever is done in it."""
        return tuple(round(self.state.stalled[p.unit] * PPM) if p.unit != NO_UNIT else 0 for p in self.program.pieces)

    @cached_property
    def computing_ppm(self) -> tuple[int, ...]:
        """Further weight of a ns of work at full speed."""
        found = []
        for piece, work, stalled in zip(self.program.pieces, self.free_work_ns, self.stalled_ppm, strict=True):
            if piece.unit == NO_UNIT or not work:
                found.append(0)
                continue
            clock, free = self.state.clocks[piece.unit], 1 - self.state.loads[piece.unit]
            share = min(1.0, piece.work_ns * piece.compute / clock / free / work)
            found.append(round((PPM - stalled) * share))
        return tuple(found)

    @cached_property
    def host_works(self) -> tuple[bool, ...]:
        """Whether a core of the host is busy during the work too: it copies, or it polls."""
        polled = self.state.polls
        return tuple(p.unit == NO_UNIT or (polled and p.unit != self.state.host) for p in self.program.pieces)

    def weight(self, piece: int, elapsed_ns: int, done: float) -> int:
        """Of a piece's first `elapsed_ns` of work, in which it got as far as `done` of it."""
        progress_ns = done * self.free_work_ns[piece]
        return self.stalled_ppm[piece] * elapsed_ns + round(self.computing_ppm[piece] * progress_ns)

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """Readings at the start of each piece, and at the end."""
        units = len(self.state.clocks)
        now = [0] * (units + 2 + self.state.tracks)
        found: list[Reading] = [tuple(now)]
        for index, piece in enumerate(self.program.pieces):
            fixed, work = self.fixed_ns[index], self.work_ns[index]
            if piece.unit != NO_UNIT:
                now[piece.unit] += self.weight(index, work, 1.0)
            now[units] += fixed + (work if self.host_works[index] else 0)
            now[units + 1] += piece.dram_bytes
            now[units + 2 + self.track(index)] += fixed + work
            found.append(tuple(now))
        return tuple(found)

    def track(self, piece: int) -> int:
        """The track that a piece runs on."""
        return self.program.tasks[self.program.task_of[piece]].track

    def reading(self, offset_ns: int) -> Reading:
        """What has been drawn after `offset_ns` of all pieces in a row."""
        index = self.piece_at(offset_ns)
        before = self.readings[index]
        if index == len(self.program.pieces) or offset_ns == self.at_ns[index]:
            return before
        units, piece, now = len(self.state.clocks), self.program.pieces[index], list(before)
        elapsed = offset_ns - self.at_ns[index]
        worked = max(0, elapsed - self.fixed_ns[index])
        now[units] += elapsed if self.host_works[index] else elapsed - worked
        now[units + 2 + self.track(index)] += elapsed
        if worked:
            done = worked / self.work_ns[index]
            now[units + 1] += int(piece.dram_bytes * done)
            if piece.unit != NO_UNIT:
                now[piece.unit] += self.weight(index, worked, done)
        return tuple(now)

    @cached_property
    def uses(self) -> tuple[tuple[int, int, int, int], ...]:
        """Of each task on a unit: its first piece, its unit, and when it starts and ends if all run in a row."""
        tasks = [task for task in self.program.tasks if task.unit != NO_UNIT]
        return tuple((task.first, task.unit, self.at_ns[task.first], self.at_ns[task.end]) for task in tasks)

    @cached_property
    def _drawn(self) -> dict[tuple[int, int], Drawn]:
        return {}

    def drawn(self, first: int, end: int) -> Drawn:
        """What the pieces from `first` up to, not including, `end` draw in all; that of the same ones is remembered."""
        found = self._drawn.get((first, end))
        if found is None:
            if len(self._drawn) >= MOST_DRAWN:
                self._drawn.clear()
            units = len(self.state.clocks)
            rest = [b - a for a, b in zip(self.readings[first], self.readings[end], strict=True)]
            weights = tuple((unit, rest[unit]) for unit in range(units) if rest[unit])
            busy = tuple((track, time_ns) for track, time_ns in enumerate(rest[units + 2 :]) if time_ns)
            found = self._drawn[first, end] = (weights, rest[units], rest[units + 1], busy)
        return found

    def piece_at(self, offset_ns: int) -> int:
        """The piece that is running after `offset_ns`; the number of pieces at the end."""
        return bisect_right(self.at_ns, offset_ns) - 1

    @cached_property
    def parts_ns(self) -> tuple[tuple[int, ...], ...]:
        """Of each piece alone: its time by PARTS."""
        found = []
        wake = dict(self.wakes)
        for index, piece in enumerate(self.program.pieces):
            parts = [0] * len(PARTS)
            parts[piece.fixed_part] += piece.fixed_ns
            parts[piece.work_part] += piece.work_ns
            parts[PART_OF["wake"]] += wake.get(index, 0)
            parts[PART_OF["contention"]] += self.work_ns[index] - self.free_work_ns[index]
            parts[PART_OF["throttling"]] += self.at_ns[index + 1] - self.at_ns[index] - sum(parts)
            found.append(tuple(parts))
        return tuple(found)

    @cached_property
    def total_parts_ns(self) -> tuple[tuple[int, ...], ...]:
        """Times by PARTS of all pieces before each piece, and of all."""
        rows = [(0,) * len(PARTS)]
        for row in self.parts_ns:
            rows.append(tuple(a + b for a, b in zip(rows[-1], row, strict=True)))
        return tuple(rows)
