"""The event engine: plans that run on one phone, over and over, and share its units, links, memory and heat.

What cannot be disturbed runs in one go: a whole inference while it has the machine to itself, else the pieces of a
task up to the next at which another waits. Times are whole ns and a slice takes exactly what its pieces take, so going
on in one go changes no result; a slice is opened again as soon as anything could slow it or change its clocks.
"""

import heapq
import math
from collections.abc import Callable, Sequence
from typing import Any

from partita.simulator.accounts import NOTHING_LEFT_NS, Accounts, Recorder
from partita.simulator.meter import Meter
from partita.simulator.program import NO_UNIT, PART_OF, PARTS, Program
from partita.simulator.sharing import Demand, Law
from partita.simulator.speeds import BACKGROUND, Speeds
from partita.simulator.tables import State, Table
from partita.simulator.work import FIXED, SLICE, WAKING, WORKING, Frame, Lane, Run, TaskLog

QUEUE, WAKE = PART_OF["queue"], PART_OF["wake"]


class Engine:
    """One phone. Whoever drives it hands in frames and events, and is told when a frame has ended."""

    def __init__(
        self,
        tracks: Sequence[str],
        law: Law,
        meter: Meter,
        state: State,
        *,
        record: Recorder | None = None,
        in_one_go: bool = True,
    ) -> None:
        """`in_one_go` allows slices."""
        self.now_ns = 0
        self.frame_ended: Callable[[Frame], None] = lambda frame: None
        self.accounts = Accounts(meter, len(tracks), len(state.clocks), record)
        self.rates: list[tuple[int, dict[str, float]]] | None = None
        """(time in ns, GB/s by engine from then on) at every change, if it is set to a list."""
        self._law = law
        self._meter = meter
        self.speeds = Speeds(law, state)
        self._heap: list[Any] = []
        self._asked = 0
        self._lanes = [Lane() for _ in tracks]
        self._runs: list[Run] = []
        self._streams: dict[Run, Demand] = {}
        self._in_one_go = in_one_go
        self._is_calm = in_one_go
        self._may_be_calmer = False
        """Whether runs have come or gone since nothing was found to be calm."""
        self._overlap_counts = meter.counts_overlap
        self._never_short = False
        """Whether the memory suffices for everything that can ever run at the same time."""
        self._solo: Run | None = None
        self._frames = 0

    def add(self, program: Program) -> None:
        """Make a program known before its first inference."""
        self.accounts.add_program(program)
        self._look_ahead()

    # Events

    def at(self, time_ns: int, act: Callable[[Any, int], None], subject: Any = None, version: int = 0) -> None:
        """Call `act(subject, version)` at `time_ns`; calls of the same time come in the order of asking."""
        heapq.heappush(self._heap, (time_ns, self._asked, act, subject, version))
        self._asked += 1

    def run(self) -> None:
        """Go on until nothing is left to happen."""
        heap, pop = self._heap, heapq.heappop
        while heap:
            self.now_ns, _, act, subject, version = pop(heap)
            act(subject, version)

    def stop(self) -> None:
        """Nothing more happens."""
        self._heap.clear()

    @property
    def is_over(self) -> bool:
        return not self._heap

    # Frames

    def start(self, frame: Frame) -> None:
        """Begin an inference now."""
        program = frame.program
        self._frames += 1
        frame.left = len(program.tasks)
        if program.sequential and frame.scale == 1.0 and self._frames == 1 and self._in_one_go:
            wakes = self.speeds.wakes(program, self.now_ns)
            self._run_alone(frame, self.speeds.table(program, wakes))
            return
        frame.missing = list(program.missing)
        for task in program.first_tasks:
            self._offer(frame, task, NO_UNIT)
        for task in program.first_tasks:
            self._serve(program.tasks[task].track)

    def _run_alone(self, frame: Frame, table: Table) -> None:
        run = Run(frame, table, 0, 0, len(table.program.pieces), SLICE, 0.0, self.now_ns, self.now_ns)
        run.solo = True
        run.seen = table.readings[0]
        self._solo = run
        self._runs.append(run)
        self._is_calm = True
        self.at(self.now_ns + table.at_ns[-1], self._advance, run, 0)

    # Tasks

    def _offer(self, frame: Frame, task: int, cause: int) -> None:
        """`task` waits for nothing any more but its track."""
        if self._solo is not None:
            self._end_solitude()
        if not frame.program.sequential:
            frame.cause[task] = (self.now_ns, cause)
        lane = self._lanes[frame.program.tasks[task].track]
        key = (*frame.key, self.now_ns) if frame.in_turn else frame.key
        heapq.heappush(lane.waiting, (key, frame.number, task, frame, self.now_ns))

    def _serve(self, track: int) -> None:
        lane = self._lanes[track]
        if lane.run is None and lane.waiting:
            _, _, task, frame, since_ns = heapq.heappop(lane.waiting)
            self._start_task(frame, task, lane, since_ns)

    def _start_task(self, frame: Frame, task: int, lane: Lane, since_ns: int) -> None:
        program, now_ns = frame.program, self.now_ns
        found = program.tasks[task]
        run = Run(frame, self.speeds.table(program), task, found.first, found.first, FIXED, 0.0, now_ns, now_ns)
        if not program.sequential:
            ready_ns, cause = frame.cause[task]
            run.log = frame.logs[task] = TaskLog(ready_ns, now_ns, 0, cause, [0] * len(PARTS))
        elif now_ns != since_ns:
            self.accounts.open_parts[program][QUEUE] += now_ns - since_ns
        if self._overlap_counts:
            self.account()
        lane.run = run
        self._runs.append(run)
        self._may_be_calmer = True
        if self._is_calm and not self._never_short:
            self._look_around()
        woken = self.speeds.wake_ns(found.unit, now_ns) if found.unit != NO_UNIT and self.speeds.sleeps else 0
        if woken:
            run.phase, run.left = WAKING, woken
            self.accounts.parts_of(run)[WAKE] += woken
            self._schedule(run)
        else:
            self._begin(run)

    def _look_around(self) -> None:
        """Whether anybody could be slowed by what runs now; if so, nothing that uses the memory stays in one go."""
        if not self._in_one_go:
            return
        was_calm, self._may_be_calmer = self._is_calm, False
        asked = [run.table.most_asked[run.piece] for run in self._runs]
        self._is_calm = len(asked) < 2 or self.speeds.leave_alone(asked)
        if was_calm and not self._is_calm:
            for run in self._runs:
                if run.phase == SLICE and run.table.most_demand[run.piece] > 0:
                    self._open(run)

    def _look_ahead(self) -> None:
        """Whether the memory can ever be short."""
        self._never_short = self._in_one_go and self.speeds.never_short(tuple(self.accounts.open_parts))
        if self._never_short:
            self._is_calm = True

    def _begin(self, run: Run) -> None:
        """Start the piece `run.piece`: as a slice if nothing can disturb it, else by itself."""
        piece = run.piece
        table = run.table = self.speeds.table(run.table.program)
        run.begin_ns = run.mark_ns = now_ns = self.now_ns
        scale = run.frame.scale
        if self._in_one_go and scale == 1.0 and (table.most_demand[piece] == 0 or self._finds_calm()):
            end, at_ns = table.program.stop[piece], table.at_ns
            run.phase, run.end, run.offset_ns, run.seen = SLICE, end, at_ns[piece], table.readings[piece]
            run.version += 1
            self.at(now_ns + at_ns[end] - at_ns[piece], self._advance, run, run.version)
            return
        run.bytes_done, run.waited_ns = 0, 0.0
        fixed = table.fixed_ns[piece] * scale
        if fixed > 0:
            run.phase, run.left, run.speed = FIXED, fixed, 1.0
            self._schedule(run)
        else:
            self._work(run, table.free_work_ns[piece] * scale)

    def _finds_calm(self) -> bool:
        """Whether it is calm; looked at again only if that could have changed."""
        if not self._is_calm and self._may_be_calmer:
            self._look_around()
        return self._is_calm

    def _work(self, run: Run, left: float) -> None:
        run.phase, run.left, run.speed = WORKING, left, 1.0
        asked = run.table.asked[run.piece]
        if asked[1] > 0 and left > 0:
            self._streams[run] = asked
            self._divide(run)
        else:
            self._schedule(run)

    def _divide(self, new: Run | None = None) -> None:
        """Give every stream its speed anew; `new`, the last of them, is not scheduled yet."""
        asked, background = list(self._streams.values()), self.speeds.background_gb_per_s
        if background:
            rates = self._law.divide([*asked, (BACKGROUND, background)])
        elif len(asked) > 1:
            rates = self._law.divide(asked)
        else:
            rates = [demand for _, demand in asked]
        if self.rates is not None:
            self._log_rates(rates)
        if new is not None and rates[len(asked) - 1] >= asked[-1][1]:
            self._schedule(new)
        for run, (_, demand), rate in zip(self._streams, asked, rates, strict=False):
            speed = 1.0 if rate >= demand else rate / demand
            if speed != run.speed:
                self.accounts.progress(run, self.now_ns)
                run.speed = speed
                self._schedule(run)

    def _log_rates(self, rates: Sequence[float]) -> None:
        assert self.rates is not None, "called only then"
        by_engine: dict[str, float] = {}
        for (engine, _), rate in zip(self._streams.values(), rates, strict=False):
            by_engine[engine] = by_engine.get(engine, 0.0) + rate
        self.rates.append((self.now_ns, by_engine))

    def _schedule(self, run: Run) -> None:
        run.version += 1
        left, speed = run.left - NOTHING_LEFT_NS, run.speed
        wait = math.ceil(left if speed == 1.0 else left / speed) if left > 0 else 0
        heapq.heappush(self._heap, (self.now_ns + wait, self._asked, self._advance, run, run.version))
        self._asked += 1

    def _advance(self, run: Run, version: int) -> None:
        """The end of a phase."""
        if version != run.version:
            return
        phase = run.phase
        if phase == WORKING:
            self._end_piece(run)
        elif phase == SLICE:
            self._end_slice(run)
        elif phase == FIXED:
            self.accounts.progress(run, self.now_ns)
            self._work(run, run.table.free_work_ns[run.piece] * run.frame.scale)
        else:
            self._account(run)
            self._begin(run)

    def _end_slice(self, run: Run) -> None:
        self.accounts.book_slice(run, self.now_ns, overlaps=self._overlaps())
        self.accounts.count(run, run.piece, run.end)
        if run.solo:
            self._end_alone(run)
        else:
            self._after(run, run.end - 1)

    def _end_alone(self, run: Run) -> None:
        self._solo = None
        self._runs.remove(run)
        for _, unit, _, end in run.table.uses:
            self.speeds.last_end_ns[unit] = run.begin_ns + end
        self._frames -= 1
        self.frame_ended(run.frame)

    def _end_piece(self, run: Run) -> None:
        accounts, now_ns = self.accounts, self.now_ns
        accounts.progress(run, now_ns)
        run.left = 0.0
        accounts.book_piece(run, overlaps=self._overlaps())
        if self._streams.pop(run, None) is not None and (self._streams or self.rates is not None):
            self._divide()
        accounts.end_piece(run, now_ns)
        self._after(run, run.piece)

    def _after(self, run: Run, piece: int) -> None:
        """A piece has ended: tell those that wait for it, and go on with the next or give up the track."""
        frame, program = run.frame, run.table.program
        found = program.tasks[run.task]
        if piece + 1 == found.end:
            self._leave(run, found.track)
        self._release(frame, program, piece)
        if piece + 1 < found.end:
            run.piece = piece + 1
            self._begin(run)
            return
        self._serve(found.track)
        if not frame.left:
            self._frames -= 1
            self.frame_ended(frame)

    def _release(self, frame: Frame, program: Program, piece: int) -> None:
        ready = []
        for task in program.releases[piece]:
            frame.missing[task] -= 1
            if not frame.missing[task]:
                lane = self._lanes[program.tasks[task].track]
                if program.sequential and lane.run is None and not lane.waiting and self._solo is None:
                    self._start_task(frame, task, lane, self.now_ns)
                    return
                self._offer(frame, task, piece)
                ready.append(task)
        for task in ready:
            self._serve(program.tasks[task].track)

    def _leave(self, run: Run, track: int) -> None:
        if self._overlap_counts:
            self.account()
        self._runs.remove(run)
        self._lanes[track].run = None
        self._may_be_calmer = True
        run.frame.left -= 1
        unit = run.table.program.tasks[run.task].unit
        if unit != NO_UNIT:
            self.speeds.last_end_ns[unit] = self.now_ns
        if run.log is not None:
            run.log.end_ns = self.now_ns

    # Opening slices

    def _end_solitude(self) -> None:
        """Another inference begins: the one that had the machine to itself takes tracks like all others."""
        run = self._solo
        assert run is not None, "asked for only while there is one"
        piece = run.table.piece_at(self.now_ns - run.begin_ns + run.offset_ns)
        if piece >= run.end:
            return  # it ends at this very moment
        self._solo = None
        run.solo = False
        program, frame = run.table.program, run.frame
        task = program.task_of[piece]
        for _, unit, _, end in (use for use in run.table.uses if use[0] < program.tasks[task].first):
            self.speeds.last_end_ns[unit] = run.begin_ns + end
        self._open(run)
        run.task = task
        frame.left = len(program.tasks) - task
        frame.missing = list(program.missing)
        for earlier in range(program.tasks[task].first):
            for waiting in program.releases[earlier]:
                frame.missing[waiting] -= 1
        self._lanes[program.tasks[task].track].run = run

    def _open(self, run: Run) -> None:
        """Go on piece by piece from the middle of a slice."""
        table = run.table
        offset = run.offset_ns + self.now_ns - run.begin_ns
        piece = table.piece_at(offset)
        if piece >= run.end:
            return  # it ends at this very moment
        self._account(run)
        self.accounts.count(run, run.piece, piece)
        run.piece, elapsed = piece, offset - table.at_ns[piece]
        run.begin_ns = self.now_ns - elapsed
        run.waited_ns = 0.0
        self.accounts.adopt(run, piece)
        fixed, work = table.fixed_ns[piece], table.work_ns[piece]
        if elapsed < fixed:
            run.phase, run.left, run.speed = FIXED, fixed - elapsed, 1.0
            self._schedule(run)
            return
        left = table.free_work_ns[piece] * (1 - (elapsed - fixed) / work) if work else 0.0
        run.waited_ns = (elapsed - fixed) - (table.free_work_ns[piece] - left)
        self._work(run, left)

    # Accounting

    def account(self) -> None:
        """Book everything that runs, up to now."""
        for run in self._runs:
            self._account(run)

    def _account(self, run: Run) -> None:
        overlaps = self._overlaps()
        if run.phase == SLICE:
            self.accounts.book_slice(run, self.now_ns, overlaps=overlaps)
            run.mark_ns = self.now_ns
            return
        self.accounts.progress(run, self.now_ns)
        if run.phase == WAKING:
            self.accounts.book_wake(run)
        else:
            self.accounts.book_piece(run, overlaps=overlaps)

    def _overlaps(self) -> bool:
        """Whether several units are at work, and that makes a difference."""
        if not self._overlap_counts:
            return False
        return sum(run.table.program.tasks[run.task].unit != NO_UNIT for run in self._runs) > 1

    # Changes of clocks and background

    def change(self, state: State, background_gb_per_s: float) -> None:
        """Other clocks, loads or background traffic from now on; what runs goes on at its new speed."""
        self.account()
        for run in list(self._runs):
            if run.solo:
                self._end_solitude()
            elif run.phase == SLICE:
                self._open(run)
        self.speeds.change(state, background_gb_per_s)
        self._streams.clear()
        for run in self._runs:
            self._change_speed(run)
        self._look_ahead()
        self._look_around()
        self._divide()

    def _change_speed(self, run: Run) -> None:
        old, new, piece = run.table, self.speeds.table(run.table.program), run.piece
        if run.phase == SLICE:
            return  # it ends at this very moment
        run.table = new
        if run.phase == FIXED and old.fixed_ns[piece]:
            run.left *= new.fixed_ns[piece] / old.fixed_ns[piece]
        elif run.phase == WORKING:
            if old.free_work_ns[piece]:
                run.left *= new.free_work_ns[piece] / old.free_work_ns[piece]
            if new.demand_gb_per_s[piece] > 0 and run.left > 0:
                self._streams[run] = new.asked[piece]
        run.speed = 1.0
        self._schedule(run)
