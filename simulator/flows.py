"""Runs that may slow each other by their memory traffic, moved on together from change to change.

A run alternates between stretches that use the memory and times that do not. At every start and end of a stretch the
memory is divided anew; how it is divided among the same stretches is remembered. Changes come so often that they are
not events of the engine: `advance` goes through them in one loop, up to the engine's next event.
"""

from collections.abc import Callable, Sequence
from math import ceil

from partita.simulator.rows import NEVER_NS, Row, Rows
from partita.simulator.sharing import Law
from partita.simulator.speeds import BACKGROUND
from partita.simulator.work import FLOW, Run

NOTHING_LEFT_NS = 1e-6
"""Work below this is rounding."""
MOST_DIVISIONS = 100_000
"""So many are remembered."""
UNKNOWN = -1.0
"""The speed of a stretch that has just begun."""


class Flows:
    """The runs in phase FLOW."""

    def __init__(self, law: Law, tracks: int) -> None:
        self.now_ns = 0
        self.runs: list[Run] = []
        self.rows = Rows()
        self.rates: list[tuple[int, dict[str, float]]] | None = None
        """(time in ns, GB/s by engine from then on) at every change, if it is set to a list."""
        self.passes_on: Callable[[Run], bool] = lambda run: False
        """Asked when a slice ends: whether its run stays and goes on with the next slice at once."""
        self.calm = 0
        """How many slices have begun since one was slowed."""
        self._law = law
        self._background_gb_per_s = 0.0
        self._classes = [0] * tracks
        """What the run on each track asks of the memory now."""
        self._speeds_of: dict[tuple[int, ...], tuple[float, ...]] = {}
        """By such classes the speed on each track, and then the lowest of all."""

    def change(self, background_gb_per_s: float, now_ns: int) -> None:
        """Other background traffic from now on."""
        self.now_ns = now_ns
        self._background_gb_per_s = background_gb_per_s
        self._speeds_of.clear()

    def join(self, run: Run, now_ns: int) -> None:
        """Take up a run in the middle of its slice, or at its beginning."""
        row = run.row = self.rows.of.get(run.table) or self.rows.row(run.table)
        offset, index = now_ns - run.base_ns, row.first[run.piece]
        while row.ends_ns[index] <= offset:
            index += 1
        run.phase, run.stretch, run.stop_ns = FLOW, index, run.table.at_ns[run.end]
        self.now_ns = now_ns
        self.calm += 1
        self.runs.append(run)
        start = row.starts_ns[index]
        if start <= offset < run.stop_ns:
            run.left, run.mark_ns, run.speed = row.ends_ns[index] - offset, now_ns, UNKNOWN
            self._classes[run.track] = row.classes[index]
        else:
            run.speed, run.until_ns = 0.0, run.base_ns + min(start, run.stop_ns)

    def leave(self, run: Run) -> None:
        """Let go of a run."""
        self.runs.remove(run)
        run.speed, self._classes[run.track] = 0.0, 0
        if self.rates is not None and not self.runs:
            self._log_rates()

    def clear(self) -> None:
        """Let go of all."""
        for run in list(self.runs):
            self.leave(run)

    def advance(self, horizon_ns: int) -> Run | None:  # noqa: C901 -- see the docstring
        """Go on until the slice of a run ends, which is let go and returned, or no end comes by `horizon_ns`.

        One loop without calls, as it runs for every change of what anybody asks of the memory.
        """
        runs, classes, speeds_of, now_ns = self.runs, self._classes, self._speeds_of, self.now_ns
        while True:
            speeds = speeds_of.get(tuple(classes)) or self._found()
            if speeds[-1] < 1.0:
                self.calm = 0
            run, until_ns = runs[0], NEVER_NS
            for other in runs:
                before = other.speed
                if before:
                    speed = speeds[other.track]
                    if speed != before:
                        left = other.left = other.left - (now_ns - other.mark_ns) * before
                        other.speed, other.mark_ns = speed, now_ns
                        left -= NOTHING_LEFT_NS
                        other.until_ns = now_ns + ceil(left / speed) if left > 0 else now_ns
                if other.until_ns < until_ns:
                    run, until_ns = other, other.until_ns
            if self.rates is not None:
                self._log_rates()
            if until_ns > horizon_ns:
                return None
            self.now_ns = now_ns = until_ns
            track, row = run.track, run.row
            offset = now_ns - run.base_ns
            if run.speed:
                classes[track] = 0
                if offset > row.ends_ns[run.stretch]:
                    self._note_extra(run, row, offset - row.ends_ns[run.stretch])
                    offset = now_ns - run.base_ns
                run.stretch += 1
            if offset == run.stop_ns and not self.passes_on(run):
                self.leave(run)
                return run
            start_ns = row.starts_ns[run.stretch]
            if offset == start_ns < run.stop_ns:
                run.left, run.mark_ns, run.speed = row.ends_ns[run.stretch] - start_ns, now_ns, UNKNOWN
                classes[run.track] = row.classes[run.stretch]
            else:
                run.speed = 0.0
                run.until_ns = run.base_ns + (start_ns if start_ns < run.stop_ns else run.stop_ns)

    def _note_extra(self, run: Run, row: Row, extra_ns: int) -> None:
        run.base_ns += extra_ns
        run.extra_ns += extra_ns
        run.extras[row.pieces[run.stretch]] += extra_ns

    def _found(self) -> tuple[float, ...]:
        """How the memory is divided now."""
        streams = sorted((run for run in self.runs if run.speed), key=lambda run: run.track)
        asked = [run.row.asked[run.stretch] for run in streams]
        rates: Sequence[float] = [demand for _, demand in asked]
        if self._background_gb_per_s:
            rates = self._law.divide([*asked, (BACKGROUND, self._background_gb_per_s)])
        elif len(asked) > 1:
            rates = self._law.divide(asked)
        speeds = [1.0] * len(self._classes)
        for run, (_, demand), rate in zip(streams, asked, rates, strict=False):
            speeds[run.track] = min(1.0, rate / demand)
        if len(self._speeds_of) >= MOST_DIVISIONS:
            self._speeds_of.clear()
        found = self._speeds_of[tuple(self._classes)] = (*speeds, min(speeds))
        return found

    def _log_rates(self) -> None:
        assert self.rates is not None, "called only then"
        by_engine: dict[str, float] = {}
        for run in self.runs:
            if run.speed:
                engine, demand = run.row.asked[run.stretch]
                by_engine[engine] = by_engine.get(engine, 0.0) + demand * run.speed
        if by_engine != self.rates[-1][1]:
            self.rates.append((self.now_ns, by_engine))
