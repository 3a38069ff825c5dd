"""The streams of a scenario: when queries arrive, which may start, and what became of them."""

import random
from collections import deque
from collections.abc import Iterator

from partita.simulator.engine import Engine
from partita.simulator.program import PARTS, Program
from partita.simulator.scenario import Scenario, Stream, arrivals_ns
from partita.simulator.summary import Distribution
from partita.simulator.work import Frame, Query
from partita.units import NS_PER_US, US_PER_MS

LONG_FIRST = 1e30
"""A deadline later than all others."""


class Source:
    """One stream: hands inferences to the engine, as many at a time as it may, and keeps count."""

    def __init__(self, index: int, stream: Stream, program: Program, scenario: Scenario, engine: Engine) -> None:
        self.stream = stream
        self.program = program
        self.latency = Distribution()
        self.asked = self.answered = self.dropped = self.missed = self.inferences = 0
        self.parts_ns = [0] * len(PARTS)
        """Critical paths of inferences whose units run side by side, and the time before the start of all."""
        self.waiting_ns = 0
        """Integral over time of the queries under way."""
        self._fresh = [0, 0]
        self._index = index
        self._engine = engine
        self._policy = scenario.policy
        self._duration_ns = scenario.duration_ns
        self._backlog: deque[Query] = deque()
        self._unborn = 0
        """Queries of an offline stream that wait: they all came at the start."""
        self._running = 0
        self._under_way = 0
        self._since_ns = 0
        self._deadline_ns = None if stream.deadline_ms is None else round(stream.deadline_ms * US_PER_MS * NS_PER_US)
        self._dice = random.Random(f"{scenario.seed} {index} service")
        self._expects = True
        """Whether queries are still to come by themselves."""
        self._arrivals: Iterator[int] = iter(())
        if stream.mode in ("server", "periodic"):
            self._arrivals = arrivals_ns(stream, self._duration_ns, f"{scenario.seed} {index} arrivals")

    def begin(self) -> None:
        """Ask for the first time."""
        if self.stream.mode == "offline":
            assert self.stream.queries is not None, "checked with the scenario"
            self._unborn = self.asked = self.stream.queries
            self._change_number(self.asked)
            self._expects = False
            self._fill()
        elif self.stream.mode in ("server", "periodic"):
            self._await_next()
        else:
            self._engine.at(round(self.stream.offset_ms * US_PER_MS * NS_PER_US), self._ask_first)

    @property
    def is_done(self) -> bool:
        """Whether everything is answered and nothing more will be asked."""
        return not (self._expects or self._running or self._backlog or self._unborn)

    def _await_next(self) -> None:
        time_ns = next(self._arrivals, None)
        self._expects = time_ns is not None
        if time_ns is not None:
            self._engine.at(time_ns, self._arrive)

    def _ask_first(self, *_: object) -> None:
        self._expects = False
        self._ask()

    def _arrive(self, *_: object) -> None:
        self._ask()
        self._await_next()

    def _ask(self) -> None:
        self.asked += 1
        limit = self.stream.waiting
        if limit is not None and self._running >= self.stream.in_flight and len(self._backlog) >= limit:
            self.dropped += 1
            self.missed += self._deadline_ns is not None
            return
        self._change_number(1)
        query = Query(self._engine.now_ns, self.stream.samples)
        self._backlog.extend([query] * self.stream.samples)
        self._fill()

    def _fill(self) -> None:
        while self._running < self.stream.in_flight and (self._backlog or self._unborn):
            if self._backlog:
                query = self._backlog.popleft()
            else:
                self._unborn -= 1
                query = Query(0)
            self._running += 1
            self._engine.start(self._frame(query))

    def _frame(self, query: Query) -> Frame:
        engine, number = self._engine, self.inferences + self._running - 1
        self.parts_ns[PARTS.index("queue")] += engine.now_ns - query.arrival_ns
        deadline = query.arrival_ns + self._deadline_ns if self._deadline_ns is not None else LONG_FIRST
        first = {"priority": -self.stream.priority, "fifo": 0, "edf": deadline}[self._policy]
        return Frame(
            stream=self._index,
            number=number,
            query=query,
            program=self._varied() if self.stream.variation > 0 else self.program,
            key=(first, query.arrival_ns, self._index),
            start_ns=engine.now_ns,
        )

    def _varied(self) -> Program:
        """The program of one inference that takes longer or shorter than usual."""
        shape = 1 / self.stream.variation**2
        program = self.program.scaled(self._dice.gammavariate(shape, 1 / shape))
        self._engine.accounts.add_program(program)
        return program

    def end(self, frame: Frame) -> None:
        """An inference has ended."""
        self.inferences += 1
        self._running -= 1
        if not self.program.sequential:
            self._add_path(frame)
        if frame.program is not self.program:
            self._engine.forget(frame.program, self.program)
        query = frame.query
        query.left -= 1
        if not query.left:
            self._answer(query)
        self._fill()

    def _answer(self, query: Query) -> None:
        self._change_number(-1)
        self.answered += 1
        latency_ns = self._engine.now_ns - query.arrival_ns
        self.latency.add(latency_ns)
        self._fresh[0] += latency_ns
        self._fresh[1] += 1
        if self._deadline_ns is not None and latency_ns > self._deadline_ns:
            self.missed += 1
        if self.stream.mode in ("single_stream", "multi_stream") and self._goes_on():
            self._ask()

    def _goes_on(self) -> bool:
        more = self.stream.queries is None or self.asked < self.stream.queries
        return more and (self._duration_ns is None or self._engine.now_ns < self._duration_ns)

    def _change_number(self, by: int) -> None:
        self.waiting_ns += self._under_way * (self._engine.now_ns - self._since_ns)
        self._since_ns = self._engine.now_ns
        self._under_way += by

    def fresh_latency_ns(self) -> float | None:
        """Mean of the answers since it was asked last; None if there were none."""
        total, count = self._fresh
        self._fresh = [0, 0]
        return total / count if count else None

    def settle(self) -> None:
        """Count the queries under way up to now."""
        self._change_number(0)

    def _add_path(self, frame: Frame) -> None:
        """From the task that ends last back to whichever each of them waited for last."""
        parts = self.parts_ns
        task = max(frame.logs, key=lambda t: (frame.logs[t].end_ns, t))
        until_ns, whole = frame.logs[task].end_ns, True
        while True:
            log = frame.logs[task]
            found = log.parts_ns if whole else self._parts_until(task, log.start_ns, until_ns, frame)
            for part, time_ns in enumerate(found):
                parts[part] += time_ns
            parts[PARTS.index("queue")] += log.start_ns - log.ready_ns
            if log.cause < 0:
                return
            until_ns, piece = log.ready_ns, log.cause
            task = self.program.task_of[piece]
            whole = piece + 1 == self.program.tasks[task].end

    def _parts_until(self, task: int, start_ns: int, until_ns: int, frame: Frame) -> list[int]:
        """The share of a task's time that lies before one of its pieces ended, in the proportions of the whole."""
        log = frame.logs[task]
        whole_ns = max(1, log.end_ns - start_ns)
        found = [part * (until_ns - start_ns) // whole_ns for part in log.parts_ns]
        found[0] += until_ns - start_ns - sum(found)
        return found
