"""Runs that may slow each other by their memory traffic, moved on together from change to change.

A run alternates between stretches that use the memory and times that do not. At every start and end of a stretch the
memory is divided anew; how it is divided among the same stretches is remembered. Changes come so often that they are
not events of the engine: `advance` goes through them in one loop, up to the engine's next event. While the memory
suffices for the most that all slices under way ever ask for, a slice is closed: one change, at its end.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from math import ceil

from partita.simulator.rows import NEVER_NS, Rows
from partita.simulator.sharing import Demand, Law
from partita.simulator.speeds import BACKGROUND
from partita.simulator.work import FLOW, Run

NOTHING_LEFT_NS = 1e-6
"""Work below this is rounding."""
MOST_DIVISIONS = 100_000
"""So many are remembered."""


class Flows:
    """The runs in phase FLOW."""

    def __init__(self, law: Law, tracks: int, *, closes: bool = True) -> None:
        """`closes` allows closed slices."""
        self.now_ns = 0
        self.runs: list[Run] = []
        self.rows = Rows()
        self.rates: list[tuple[int, dict[str, float]]] | None = None
        """(time in ns, GB/s by engine from then on) at every change, if it is set to a list."""
        self.passes_on: Callable[[Run], bool] = lambda run: False
        """Asked when a slice ends: whether its run stays and goes on with the next slice at once."""
        self.pauses: Sequence[int] = ()
        """Looked at after that: unless it is empty, `advance` returns."""
        self._law = law
        self._closes = closes
        self._background_gb_per_s = 0.0
        self._tracks = tracks
        self._asked = 0
        """Sum of the codes of all open stretches."""
        self._most_asked = 0
        """Sum of the codes of the most that each slice ever asks for."""
        self._speeds_of: dict[int, tuple[float, ...]] = {}
        """By such sums the speed on each track."""
        self._suffices_for: dict[int, bool] = {}
        """By such sums whether nobody is slowed."""

    def change(self, background_gb_per_s: float, now_ns: int) -> None:
        """Other background traffic from now on."""
        self.now_ns = now_ns
        self._background_gb_per_s = background_gb_per_s
        self._speeds_of.clear()
        self._suffices_for.clear()

    def join(self, run: Run, now_ns: int) -> None:
        """Take up a run in the middle of its slice, or at its beginning."""
        run.row = self.rows.of.get(run.table) or self.rows.row(run.table)
        run.phase = FLOW
        self.now_ns = now_ns
        self.runs.append(run)
        self._enter(run)

    def _enter(self, run: Run) -> None:
        """Begin a slice, or go on in the middle of one: closed if the memory suffices."""
        run.stop_ns = run.table.at_ns[run.end]
        code = run.row.most_codes[run.piece]
        self._most_asked += code - run.most_code
        run.most_code = code
        suffices = self._suffices_for.get(self._most_asked)
        if suffices is None:
            suffices = self._found_out()
        run.is_closed = suffices
        if suffices:
            run.until_ns = run.base_ns + run.stop_ns
            return
        for other in self.runs:
            if other.is_closed:
                self._open(other)
        self._open(run)

    def _found_out(self) -> bool:
        """Whether the memory suffices for the most that all slices ask for."""
        asked = [run.row.most_asked[run.piece] for run in self.runs]
        suffices = self._law.leaves_alone(self._with_background([demand for demand in asked if demand[1] > 0]))
        if len(self._suffices_for) >= MOST_DIVISIONS:
            self._suffices_for.clear()
        found = self._suffices_for[self._most_asked] = self._closes and suffices
        return found

    def _with_background(self, asked: list[Demand]) -> list[Demand]:
        return [*asked, (BACKGROUND, self._background_gb_per_s)] if self._background_gb_per_s else asked

    def _open(self, run: Run) -> None:
        """Look at each stretch of a slice from now on."""
        row, offset = run.row, self.now_ns - run.base_ns
        run.is_closed = False
        index = run.stretch = bisect_right(row.ends_ns, offset)
        start = row.starts_ns[index]
        if start <= offset < run.stop_ns:
            run.until_ns = run.base_ns + row.ends_ns[index]
            run.left, run.mark_ns, run.speed = row.ends_ns[index] - offset, self.now_ns, 1.0
            self._asked += row.codes[index]
        else:
            run.until_ns = run.base_ns + min(start, run.stop_ns)

    def leave(self, run: Run) -> None:
        """Let go of a run."""
        self.runs.remove(run)
        if run.speed:
            self._asked -= run.row.codes[run.stretch]
        self._most_asked -= run.most_code
        run.speed, run.is_closed, run.most_code = 0.0, False, 0
        if self.rates is not None and not self.runs:
            self._log_rates()

    def clear(self) -> None:
        """Let go of all."""
        for run in list(self.runs):
            self.leave(run)

    def advance(self, horizon_ns: int) -> Run | None:  # noqa: C901, PLR0915 -- see the docstring
        """Go on until the slice of a run ends, which is let go and returned, or no end comes by `horizon_ns`.

        One loop without calls, as it runs for every change of what anybody asks of the memory.
        """
        runs, speeds_of, asked, now_ns = self.runs, self._speeds_of, self._asked, self.now_ns
        logs_rates = self.rates is not None
        while True:
            speeds = speeds_of.get(asked) or self._found(asked)
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
                until = other.until_ns
                if until < until_ns:
                    run, until_ns = other, until
            if logs_rates:
                self.now_ns = now_ns
                self._log_rates()
            if until_ns > horizon_ns:
                self.now_ns, self._asked = now_ns, asked
                return None
            now_ns = until_ns
            row, index = run.row, run.stretch
            offset = now_ns - run.base_ns
            if run.speed:
                run.speed = 0.0
                asked -= row.codes[index]
                late_ns = offset - row.ends_ns[index]
                if late_ns > 0:
                    run.base_ns += late_ns
                    run.extra_ns += late_ns
                    run.extras[row.pieces[index]] += late_ns
                    offset -= late_ns
                index += 1
                run.stretch = index
            if offset == run.stop_ns:
                self.now_ns, self._asked = now_ns, asked
                if not self.passes_on(run):
                    self.leave(run)
                    return run
                self._enter(run)
                if self.pauses:
                    return None
                asked = self._asked
                continue
            start_ns = row.starts_ns[index]
            if offset == start_ns:
                end_ns = row.ends_ns[index]
                run.until_ns = run.base_ns + end_ns
                run.left, run.mark_ns, run.speed = end_ns - start_ns, now_ns, 1.0
                asked += row.codes[index]
            else:
                run.until_ns = run.base_ns + (start_ns if start_ns < run.stop_ns else run.stop_ns)

    def _found(self, code: int) -> tuple[float, ...]:
        """How the memory is divided now."""
        streams = sorted((run for run in self.runs if run.speed), key=lambda run: run.track)
        asked = self._with_background([run.row.asked[run.stretch] for run in streams])
        rates: Sequence[float] = [demand for _, demand in asked]
        if len(asked) > 1:
            rates = self._law.divide(asked)
        speeds = [1.0] * self._tracks
        for run, (_, demand), rate in zip(streams, asked, rates, strict=False):
            speeds[run.track] = min(1.0, rate / demand)
        if len(self._speeds_of) >= MOST_DIVISIONS:
            self._speeds_of.clear()
        found = self._speeds_of[code] = tuple(speeds)
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
