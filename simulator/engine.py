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
from partita.simulator.events import Act, Events
from partita.simulator.flows import Flows
from partita.simulator.meter import Meter
from partita.simulator.program import NO_UNIT, PART_OF, PARTS, Program, Task
from partita.simulator.rows import NEVER_NS
from partita.simulator.sharing import Law
from partita.simulator.slices import Slices
from partita.simulator.speeds import Speeds
from partita.simulator.tables import State, Table
from partita.simulator.work import FLOW, SLICE, Frame, Lane, Run, TaskLog

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
        self.frame_ended: Callable[[Frame], None] = lambda frame: None
        self.events = Events()
        self.flows = Flows(law, len(tracks), closes=in_one_go)
        self.accounts = Accounts(meter, self.flows.rows, len(tracks), len(state.clocks), record)
        self.speeds = Speeds(law, state)
        self._slices = Slices(self.events, self.flows, self.speeds, self.accounts, in_one_go=in_one_go)
        self._lanes = [Lane() for _ in tracks]
        self._vacated: list[int] = []
        """The track, if others wait for it, that a run has left which went over to its next task."""
        self._in_one_go = in_one_go
        self._looks_between = meter.counts_overlap or not in_one_go
        """Whether something has to be looked at or booked between two tasks."""
        self._solo: Run | None = None
        self._frames = 0
        self._slices.ended = self._advance
        self.flows.passes_on, self.flows.pauses = self._passes_on, self._vacated

    def add(self, program: Program) -> None:
        """Make a program known before its first inference."""
        self.accounts.add_program(program)
        self._slices.look_ahead()

    def forget(self, program: Program, whole: Program) -> None:
        """A variant of `whole` has run for the only time; what it came to counts as that of `whole`."""
        self.accounts.fold(program, whole)
        self.speeds.forget(program)

    # Events

    @property
    def now_ns(self) -> int:
        return self.events.now_ns

    def at(self, time_ns: int, act: Act, subject: Any = None) -> None:
        """Call `act(subject, 0)` at `time_ns`; calls of the same time come in the order of asking."""
        self.events.at(time_ns, act, subject)

    def run(self) -> None:
        """Go on until nothing is left to happen."""
        events, heap, pop, flows = self.events, self.events.heap, heapq.heappop, self.flows
        while True:
            if flows.runs:
                ended = flows.advance(heap[0][0] if heap else NEVER_NS)
                if ended is not None or self._vacated:
                    events.now_ns = flows.now_ns
                    if ended is not None:
                        self._end_slice(ended)
                    else:
                        self._serve(self._vacated.pop())
                    continue
            if not heap:
                return
            events.now_ns, _, act, subject, version = pop(heap)
            act(subject, version)

    def stop(self) -> None:
        """Nothing more happens."""
        self.events.heap.clear()
        self.flows.clear()

    @property
    def is_over(self) -> bool:
        return not self.events.heap and not self.flows.runs

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
        self._slices.runs.append(run)
        self.at(self.now_ns + table.at_ns[-1], self._advance, run)

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
        run = frame.run or Run(frame, self.speeds.table(program), task, track)
        run.task, run.track = task, track
        if not program.sequential:
            ready_ns, cause = frame.cause[task]
            run.log = frame.logs[task] = TaskLog(ready_ns, self.now_ns, 0, cause, [0] * len(PARTS))
        elif self.now_ns != since_ns:
            self.accounts.open_parts[program][QUEUE] += self.now_ns - since_ns
        self._start_task(run, lane, program.tasks[task])

    def _start_task(self, run: Run, lane: Lane, task: Task) -> None:
        lane.run = run
        run.piece = task.first
        if self._slices.counts_overlap and task.unit != NO_UNIT:
            self._slices.count_at_work(1)
        self._slices.runs.append(run)
        woken = self.speeds.wake_ns(task.unit, self.now_ns) if task.unit != NO_UNIT and self.speeds.sleeps else 0
        if woken:
            self.accounts.parts_of(run)[WAKE] += woken
            self._slices.wake(run, woken)
        else:
            self._slices.begin(run)

    def _advance(self, run: Run, version: int) -> None:
        """The end of a slice, or of waking up."""
        if version != run.version:
            return
        if run.phase == SLICE:
            if not run.solo and self._passes_on(run):
                self.events.at(run.base_ns + run.stop_ns, self._advance, run, version)
                if self._vacated:
                    self._serve(self._vacated.pop())
            else:
                self._end_slice(run)
        else:
            self.accounts.book_wake(run, self.now_ns)
            self._slices.begin(run)

    def _end_slice(self, run: Run) -> None:
        self._slices.close(run)
        if run.solo:
            self._end_alone(run)
        else:
            self._after(run, run.end - 1)

    def _end_alone(self, run: Run) -> None:
        self._solo = None
        self._slices.runs.remove(run)
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
            self._slices.begin(run)
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
        self._slices.runs.remove(run)
        if task.unit != NO_UNIT:
            self.speeds.last_end_ns[task.unit] = self.now_ns
            if self._slices.counts_overlap:
                self._slices.count_at_work(-1)
        self._lanes[run.track].run = None
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
            run.frame.run = run
            self._offer(run.frame, run.task + 1, NO_UNIT)

    def _passes_on(self, run: Run) -> bool:
        """Whether a run whose units take turns goes over to its next task without further ado; if so, it has."""
        program, following = run.table.program, run.task + 1
        tasks = program.tasks
        if self._looks_between or following == len(tasks) or not program.sequential:
            return False
        if run.odd is not None or not (run.phase == FLOW or self._slices.never_short):
            return False
        task = tasks[following]
        old, new = self._lanes[run.track], self._lanes[task.track]
        if new.waiting or not (new.run is None or new is old) or not self._slices.is_current(run):
            return False
        if self.speeds.sleeps and not self._stays_awake(run, tasks[run.task].unit, task.unit):
            return False
        if run.extra_ns != run.extra_seen_ns:
            self.accounts.draw_extra(run, run.extra_ns, overlaps=False)
        if old.waiting:
            self._vacated.append(run.track)
        old.run, new.run = None, run
        run.task, run.track, run.piece, run.end = following, task.track, task.first, task.end
        run.stop_ns = run.table.at_ns[task.end]
        return True

    def _stays_awake(self, run: Run, unit: int, following: int) -> bool:
        """Whether the next unit starts without waking up; if so, the first one is done."""
        now_ns = self.flows.now_ns if run.phase == FLOW else self.now_ns
        if following != NO_UNIT and self.speeds.wake_ns(following, now_ns):
            return False
        if unit != NO_UNIT:
            self.speeds.last_end_ns[unit] = now_ns
        return True

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
        self._slices.account()
        self._slices.at_work += task.unit != NO_UNIT
        self._lanes[run.track].run = run
        self._slices.narrow(run, piece)

    # Changes of clocks and background

    def change(self, state: State, background_gb_per_s: float) -> None:
        """Other clocks, loads or background traffic from now on; what runs goes on at its new speed."""
        self._slices.account()
        if self._solo is not None:
            self._end_solitude(self._solo)
        self._slices.change(state, background_gb_per_s)

    def account(self) -> None:
        """Book everything that runs, up to now."""
        self._slices.account()
