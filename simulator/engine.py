"""The event engine: plans that run on one phone, over and over, and share its units, links, memory and heat.

What cannot be disturbed runs in one go: a whole inference while it has the machine to itself, else the pieces of a
task up to the next at which another waits. What others may slow runs in `Flows`. Times are whole ns and a slice takes
exactly what its pieces take, so going on in one go changes no result; a slice becomes a flow as soon as anything could
slow it, and goes on by another table when clocks change.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from partita.simulator.accounts import Accounts, Recorder
from partita.simulator.calm import CALM_AGAIN, Calm
from partita.simulator.flows import Flows
from partita.simulator.meter import Meter
from partita.simulator.program import NO_UNIT, PART_OF, PARTS, Program, Task
from partita.simulator.rows import NEVER_NS
from partita.simulator.sharing import Law
from partita.simulator.speeds import Speeds
from partita.simulator.tables import State, Table
from partita.simulator.work import FLOW, SLICE, WAKING, Frame, Lane, Run, TaskLog, resume

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
        """`in_one_go` allows slices that are one event."""
        self.now_ns = 0
        self.frame_ended: Callable[[Frame], None] = lambda frame: None
        self.flows = Flows(law, len(tracks))
        self.flows.passes_on = self._passes_on
        self.accounts = Accounts(meter, self.flows.rows, len(tracks), len(state.clocks), record)
        self.speeds = Speeds(law, state)
        self._heap: list[Any] = []
        self._asked = 0
        self._lanes = [Lane() for _ in tracks]
        self._runs: list[Run] = []
        self._in_one_go = in_one_go
        self._calm = Calm(self.speeds, in_one_go=in_one_go)
        self._overlap_counts = meter.counts_overlap
        self._at_work = 0
        """Units that run tasks."""
        self._solo: Run | None = None
        self._frames = 0

    def add(self, program: Program) -> None:
        """Make a program known before its first inference."""
        self.accounts.add_program(program)
        self._calm.look_ahead(tuple(self.accounts.open_parts))

    def forget(self, program: Program, whole: Program) -> None:
        """A variant of `whole` has run for the only time; what it came to counts as that of `whole`."""
        self.accounts.fold(program, whole)
        self.speeds.forget(program)

    # Events

    def at(self, time_ns: int, act: Callable[[Any, int], None], subject: Any = None, version: int = 0) -> None:
        """Call `act(subject, version)` at `time_ns`; calls of the same time come in the order of asking."""
        heapq.heappush(self._heap, (time_ns, self._asked, act, subject, version))
        self._asked += 1

    def run(self) -> None:
        """Go on until nothing is left to happen."""
        heap, pop, flows = self._heap, heapq.heappop, self.flows
        while True:
            if flows.runs:
                ended = flows.advance(heap[0][0] if heap else NEVER_NS)
                if ended is not None:
                    self.now_ns = flows.now_ns
                    self._end_slice(ended)
                    continue
            if not heap:
                return
            self.now_ns, _, act, subject, version = pop(heap)
            act(subject, version)

    def stop(self) -> None:
        """Nothing more happens."""
        self._heap.clear()
        self.flows.clear()

    @property
    def is_over(self) -> bool:
        return not self._heap and not self.flows.runs

    # Frames

    def start(self, frame: Frame) -> None:
        """Begin an inference now."""
        program = frame.program
        self._frames += 1
        if program.sequential and self._frames == 1 and self._in_one_go:
            self._run_alone(frame, self.speeds.table(program, self.speeds.wakes(program, self.now_ns)))
            return
        if not program.sequential:
            frame.left, frame.missing = len(program.tasks), list(program.missing)
        for task in program.first_tasks:
            self._offer(frame, task, NO_UNIT)
        for task in program.first_tasks:
            self._serve(program.tasks[task].track)

    def _run_alone(self, frame: Frame, table: Table) -> None:
        run = Run(frame, table, 0, table.program.tasks[0].track, 0, len(table.program.pieces))
        run.base_ns, run.seen, run.solo = self.now_ns, table.readings[0], True
        run.extras = defaultdict(int)
        self._solo = run
        self._runs.append(run)
        self._calm.is_calm = True
        self.at(self.now_ns + table.at_ns[-1], self._advance, run, 0)

    def _end_frame(self, frame: Frame) -> None:
        self._frames -= 1
        self.frame_ended(frame)

    # Tasks

    def _offer(self, frame: Frame, task: int, cause: int) -> None:
        """`task` waits for nothing any more but its track."""
        if self._solo is not None:
            self._end_solitude(self._solo)
        if not frame.program.sequential:
            frame.cause[task] = (self.now_ns, cause)
        lane = self._lanes[frame.program.tasks[task].track]
        key = (*frame.key, self.now_ns) if frame.in_turn else frame.key
        heapq.heappush(lane.waiting, (key, frame.number, task, frame, self.now_ns))

    def _serve(self, track: int) -> None:
        lane = self._lanes[track]
        if lane.run is not None or not lane.waiting:
            return
        _, _, task, frame, since_ns = heapq.heappop(lane.waiting)
        program = frame.program
        run = Run(frame, self.speeds.table(program), task, track)
        if not program.sequential:
            ready_ns, cause = frame.cause[task]
            run.log = frame.logs[task] = TaskLog(ready_ns, self.now_ns, 0, cause, [0] * len(PARTS))
        elif self.now_ns != since_ns:
            self.accounts.open_parts[program][QUEUE] += self.now_ns - since_ns
        self._start_task(run, lane, program.tasks[task])

    def _start_task(self, run: Run, lane: Lane, task: Task) -> None:
        lane.run = run
        run.piece = task.first
        if task.unit != NO_UNIT:
            self._change_at_work(1)
        self._runs.append(run)
        self._calm.may_be_calmer = True
        if self._calm.is_calm and not self._calm.never_short and self._calm.look_around(self._runs):
            self._open_all()
        woken = self.speeds.wake_ns(task.unit, self.now_ns) if task.unit != NO_UNIT and self.speeds.sleeps else 0
        if woken:
            self.accounts.parts_of(run)[WAKE] += woken
            self._wake(run, woken)
        else:
            self._begin(run)

    def _change_at_work(self, by: int) -> None:
        """What runs is booked before several units are at work, or no longer are, where that makes a difference."""
        after = self._at_work + by
        if self._overlap_counts and (after > 1) != (self._at_work > 1):
            self.account()
        self._at_work = after

    def _wake(self, run: Run, wake_ns: int) -> None:
        run.phase, run.wake_ns = WAKING, self.now_ns
        run.version += 1
        self.at(self.now_ns + wake_ns, self._advance, run, run.version)

    def _begin(self, run: Run) -> None:
        """Start a slice with the piece `run.piece`: in one go if nothing can disturb it, else as a flow."""
        piece = run.piece
        program = run.table.program
        table = run.table = self.speeds.table(program)
        goes = self._in_one_go and (table.most_demand[piece] == 0 or self._is_calm_now())
        if not goes:
            table = run.table = self.speeds.free_table(program)
        run.first, run.end, run.seen = piece, program.stop[piece], table.readings[piece]
        run.base_ns = self.now_ns - table.at_ns[piece]
        self._go(run, in_one_go=goes)

    def _is_calm_now(self) -> bool:
        return self._calm.is_found(self._runs, self.flows.calm)

    def _go(self, run: Run, *, in_one_go: bool) -> None:
        """Run a slice from where it is."""
        run.extra_ns = run.extra_seen_ns = 0
        if self.accounts.records or run.odd is not None:
            run.extras = defaultdict(int)
        if in_one_go:
            run.phase = SLICE
            run.version += 1
            self.at(run.base_ns + run.table.at_ns[run.end], self._advance, run, run.version)
            return
        self.flows.join(run, self.now_ns)
        if not self.accounts.records and run.odd is None:
            run.extras = run.row.extra_ns

    def _advance(self, run: Run, version: int) -> None:
        """The end of a slice, or of waking up."""
        if version != run.version:
            return
        if run.phase == SLICE:
            if not run.solo and self._passes_on(run):
                heapq.heappush(self._heap, (run.base_ns + run.stop_ns, self._asked, self._advance, run, version))
                self._asked += 1
            else:
                self._end_slice(run)
        else:
            self.accounts.book_wake(run, self.now_ns)
            self._begin(run)

    def _end_slice(self, run: Run) -> None:
        self.accounts.close(run, self.now_ns, overlaps=self._overlaps())
        if run.solo:
            self._end_alone(run)
        else:
            self._after(run, run.end - 1)

    def _end_alone(self, run: Run) -> None:
        self._solo = None
        self._runs.remove(run)
        for _, unit, _, end in run.table.uses:
            self.speeds.last_end_ns[unit] = run.base_ns + end
        self._end_frame(run.frame)

    def _after(self, run: Run, piece: int) -> None:
        """A piece has ended: tell those that wait for it, and go on with the next or give up the track."""
        frame, program, track = run.frame, run.table.program, run.track
        task = program.tasks[run.task]
        if piece + 1 < task.end:
            self._release(frame, program, piece)
            run.piece = piece + 1
            self._begin(run)
            return
        self._leave(run, task)
        if not program.sequential:
            frame.left -= 1
            self._release(frame, program, piece)
            is_over = not frame.left
        else:
            is_over = run.task + 1 == len(program.tasks)
            if not is_over:
                self._go_over(run, program)
        self._serve(track)
        if is_over:
            self._end_frame(frame)

    def _leave(self, run: Run, task: Task) -> None:
        if task.unit != NO_UNIT:
            self._change_at_work(-1)
            self.speeds.last_end_ns[task.unit] = self.now_ns
        self._runs.remove(run)
        self._lanes[run.track].run = None
        self._calm.may_be_calmer = True
        if run.log is not None:
            run.log.end_ns = self.now_ns

    def _go_over(self, run: Run, program: Program) -> None:
        """The next task of an inference whose units take turns."""
        task = program.tasks[run.task + 1]
        lane = self._lanes[task.track]
        if lane.run is None and not lane.waiting:
            run.task, run.track = run.task + 1, task.track
            self._start_task(run, lane, task)
        else:
            self._offer(run.frame, run.task + 1, NO_UNIT)

    def _passes_on(self, run: Run) -> bool:
        """Whether a run whose units take turns goes over to its next task without further ado; if so, it has."""
        program, following = run.table.program, run.task + 1
        if following == len(program.tasks) or not program.sequential or run.odd is not None or not self._may_pass(run):
            return False
        task, unit = program.tasks[following], program.tasks[run.task].unit
        old, new = self._lanes[run.track], self._lanes[task.track]
        if old.waiting or new.waiting or not (new.run is None or new is old):
            return False
        if task.unit != NO_UNIT and self.speeds.sleeps and self.speeds.wake_ns(task.unit, self.now_ns):
            return False
        if unit != NO_UNIT:
            self.speeds.last_end_ns[unit] = self.now_ns
        self._at_work += (task.unit != NO_UNIT) - (unit != NO_UNIT)
        if run.extra_ns != run.extra_seen_ns:
            self.accounts.draw_extra(run, run.extra_ns, overlaps=False)
        old.run, new.run = None, run
        run.task, run.track, run.piece, run.end = following, task.track, task.first, task.end
        run.stop_ns = run.table.at_ns[task.end]
        self._calm.may_be_calmer = True
        return True

    def _may_pass(self, run: Run) -> bool:
        """Whether nothing has to be looked at or booked between two tasks."""
        if self._overlap_counts or not self._in_one_go:
            return False
        if run.phase == SLICE:
            return self._calm.never_short
        self.now_ns = self.flows.now_ns
        self.flows.calm += 1
        return not self._calm.is_calm and self.flows.calm <= CALM_AGAIN

    def _release(self, frame: Frame, program: Program, piece: int) -> None:
        for task in program.releases[piece]:
            frame.missing[task] -= 1
            if not frame.missing[task]:
                self._offer(frame, task, piece)
        for task in program.releases[piece]:
            if not frame.missing[task]:
                self._serve(program.tasks[task].track)

    # In the middle of a slice

    def _end_solitude(self, run: Run) -> None:
        """Another inference begins: the one that had the machine to itself takes tracks like all others."""
        table = run.table
        piece = table.piece_at(self.now_ns - run.base_ns)
        if piece >= run.end:
            return  # it ends at this very moment
        self._solo = None
        run.solo = False
        program = table.program
        run.task = program.task_of[piece]
        task = program.tasks[run.task]
        run.track = task.track
        for _, unit, _, end in (use for use in table.uses if use[0] < task.first):
            self.speeds.last_end_ns[unit] = run.base_ns + end
        self.account()
        self._at_work += task.unit != NO_UNIT
        self.accounts.count(run, piece)
        run.first, run.piece, run.end = piece, piece, program.stop[piece]
        self._lanes[run.track].run = run
        if table.wakes:
            self._move(run)
        else:
            run.version += 1
            self.at(run.base_ns + table.at_ns[run.end], self._advance, run, run.version)

    def _open_all(self) -> None:
        for run in self._runs:
            if run.phase == SLICE and run.piece < run.end and run.table.most_demand[run.piece] > 0:
                self._open(run)

    def _open(self, run: Run) -> None:
        """Others may slow a slice from now on."""
        if run.table.at_ns[run.end] + run.base_ns == self.now_ns:
            return  # it ends at this very moment
        if run.table is self.speeds.free_table(run.table.program) and run.odd is None:
            run.version += 1
            self.flows.join(run, self.now_ns)
            if not self.accounts.records:
                run.extras = run.row.extra_ns
        else:
            self._account(run)
            self._move(run)

    def _move(self, run: Run) -> None:
        """Go on by the table that holds now, from the middle of a slice that is in the books."""
        old, now_ns = run.table, self.now_ns
        offset, _ = run.position(now_ns)
        piece = old.piece_at(offset)
        if piece >= run.end:
            return  # it ends at this very moment
        odd = self.accounts.open(run, now_ns)
        if run.odd is None:
            self.accounts.count(run, piece)
        if run.phase == FLOW:
            self.flows.leave(run)
        wake_ns = dict(old.wakes).get(piece, 0)
        into_ns = offset - old.at_ns[piece] - wake_ns
        run.version += 1
        run.first = run.piece = piece
        if into_ns < 0:
            self._wake(run, -into_ns)
            return
        run.odd = odd
        table = self.speeds.table(old.program)
        goes = self._in_one_go and (table.most_demand[piece] == 0 or self._calm.is_calm)
        if not goes:
            table = self.speeds.free_table(old.program)
        resume(run, odd, table, into_ns, wake_ns, self.now_ns)
        self._go(run, in_one_go=goes)

    # Accounting

    def account(self) -> None:
        """Book everything that runs, up to now."""
        for run in self._runs:
            self._account(run)

    def _account(self, run: Run) -> None:
        if run.phase == WAKING:
            self.accounts.book_wake(run, self.now_ns)
        else:
            self.accounts.book(run, self.now_ns, overlaps=self._overlaps())

    def _overlaps(self) -> bool:
        """Whether several units are at work, and that makes a difference."""
        return self._overlap_counts and self._at_work > 1

    # Changes of clocks and background

    def change(self, state: State, background_gb_per_s: float) -> None:
        """Other clocks, loads or background traffic from now on; what runs goes on at its new speed."""
        self.account()
        if self._solo is not None:
            self._end_solitude(self._solo)
        self.speeds.change(state, background_gb_per_s)
        self.flows.change(background_gb_per_s, self.now_ns)
        self._calm.look_ahead(tuple(self.accounts.open_parts))
        self._calm.forget()
        for run in list(self._runs):
            if run.phase != WAKING and not run.solo:
                self._move(run)
