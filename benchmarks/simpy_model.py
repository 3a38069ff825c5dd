"""The simulator's model of one phone written in SimPy, as its documentation would have it, to compare speeds.

The same pieces, tracks, needs and max-min fair memory as `partita.simulator.engine`, at top clocks, without heat.
Each inference is a process, each track a resource, and a stream of memory traffic is interrupted when its rate
changes. Written to be quick too: a division of the memory is computed once and remembered, nobody is interrupted whose
rate stays, tracks are plain resources (nothing here has priorities), and totals are counted by place.
"""

import math
from collections.abc import Generator
from functools import lru_cache
from typing import Any

import simpy  # type: ignore[import-not-found]  # in the extra [benchmark]

from partita.simulator.program import Piece, Program
from partita.simulator.sharing import Law

NOTHING_LEFT_NS = 1e-6
Totals = list[float]
"""Of a piece: runs, time, and what contention cost it."""


class Stream:
    """Memory traffic of one process."""

    __slots__ = ("demand", "process", "speed")

    def __init__(self, process: Any, demand: tuple[str, float]) -> None:
        self.process, self.demand, self.speed = process, demand, 1.0


class Memory:
    """Divides the memory among streams anew at every start and end, and interrupts those whose speed changes."""

    def __init__(self, env: Any, law: Law) -> None:
        self._env = env
        self._streams: list[Stream] = []
        self._rates = lru_cache(100_000)(law.divide)

    def stream(self, demand: tuple[str, float], work_ns: int) -> Generator[Any, Any, float]:
        """A process that does work of `work_ns` at `demand`; how much longer it took than alone."""
        env, begin, left = self._env, self._env.now, float(work_ns)
        this = Stream(env.active_process, demand)
        self._streams.append(this)
        self._divide(this)
        while True:
            since, speed = env.now, this.speed
            try:
                yield env.timeout(math.ceil(left / speed - NOTHING_LEFT_NS))
                break
            except simpy.Interrupt:
                left = max(0.0, left - (env.now - since) * speed)
        self._streams.remove(this)
        if self._streams:
            self._divide(this)
        return float(env.now - begin - work_ns)

    def _divide(self, this: Stream) -> None:
        demands = tuple([stream.demand for stream in self._streams])
        for stream, rate in zip(self._streams, self._rates(demands), strict=True):
            speed = min(1.0, rate / stream.demand[1])
            if speed != stream.speed:
                stream.speed = speed
                if stream is not this:
                    stream.process.interrupt()


class Phone:
    """Programs that run on tracks, each a SimPy resource."""

    def __init__(self, tracks: int, law: Law) -> None:
        self.env = simpy.Environment()
        self.pieces = 0
        self.latencies_ns: list[int] = []
        self.busy_ns = [0] * tracks
        self.totals: dict[Program, list[Totals]] = {}
        self._memory = Memory(self.env, law)
        self._tracks = [simpy.Resource(self.env, 1) for _ in range(tracks)]

    def add_back_to_back(self, program: Program, queries: int) -> None:
        """Inferences of one program, the next when the last has ended."""
        self.totals[program] = [[0.0, 0.0, 0.0] for _ in program.pieces]
        self.env.process(self._stream(program, queries))

    def _stream(self, program: Program, queries: int) -> Generator[Any, Any, None]:
        for _ in range(queries):
            begin_ns = self.env.now
            yield from self._inference(program, self.totals[program])
            self.latencies_ns.append(self.env.now - begin_ns)

    def _inference(self, program: Program, totals: list[Totals]) -> Generator[Any, Any, None]:
        """The units take turns."""
        for task in program.tasks:
            with self._tracks[task.track].request() as request:
                yield request
                since = self.env.now
                for index in range(task.first, task.end):
                    yield from self._piece(program.pieces[index], totals[index])
                self.busy_ns[task.track] += self.env.now - since

    def _piece(self, piece: Piece, totals: Totals) -> Generator[Any, Any, None]:
        env, waited = self.env, 0.0
        since = env.now
        if piece.fixed_ns:
            yield env.timeout(piece.fixed_ns)
        if piece.demand_gb_per_s:
            waited = yield from self._memory.stream((piece.engine, piece.demand_gb_per_s), piece.work_ns)
        elif piece.work_ns:
            yield env.timeout(piece.work_ns)
        self.pieces += 1
        totals[0] += 1
        totals[1] += env.now - since
        totals[2] += waited
