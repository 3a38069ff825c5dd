"""The simulator's model of one phone written in SimPy, as its documentation would have it, to compare speeds.

The same pieces, tracks, needs and max-min fair memory as `partita.simulator.engine`, at top clocks, without heat.
"""

import math
from collections.abc import Generator
from typing import Any

import simpy  # type: ignore[import-not-found]  # in the extra [benchmark]

from partita.simulator.program import Piece, Program
from partita.simulator.sharing import Law

NOTHING_LEFT_NS = 1e-6


class Memory:
    """Divides the memory among streams anew at every start and end, and interrupts those whose speed changes."""

    def __init__(self, env: Any, law: Law) -> None:
        self._env, self._law = env, law
        self._streams: dict[Any, list[Any]] = {}

    def stream(self, engine: str, demand: float, work_ns: float) -> Generator[Any, Any, float]:
        """A process that does work of `work_ns` at `demand` GB/s; how much longer it took than alone."""
        this, left, waited = self._env.active_process, float(work_ns), -float(work_ns)
        self._streams[this] = [engine, demand, 1.0]
        self._divide(this)
        while left > NOTHING_LEFT_NS:
            since, speed = self._env.now, self._streams[this][2]
            try:
                yield self._env.timeout(math.ceil(left / speed - NOTHING_LEFT_NS))
                left = 0.0
            except simpy.Interrupt:
                left -= (self._env.now - since) * speed
            waited += self._env.now - since
        del self._streams[this]
        self._divide(this)
        return waited

    def _divide(self, this: Any) -> None:
        streams = list(self._streams.items())
        rates = self._law.divide([(engine, demand) for _, (engine, demand, _) in streams])
        for (process, stream), rate in zip(streams, rates, strict=True):
            speed = min(1.0, rate / stream[1])
            if speed != stream[2]:
                stream[2] = speed
                if process is not this:
                    process.interrupt()


class Phone:
    """Programs that run on tracks, each a SimPy resource."""

    def __init__(self, tracks: int, law: Law) -> None:
        self.env = simpy.Environment()
        self.pieces = 0
        self.latencies_ns: list[int] = []
        self.busy_ns = [0] * tracks
        self.totals: dict[Any, list[float]] = {}
        """By piece: runs, time, and what contention cost it."""
        self._memory = Memory(self.env, law)
        self._tracks = [simpy.PriorityResource(self.env, 1) for _ in range(tracks)]

    def add_back_to_back(self, program: Program, queries: int) -> None:
        """Inferences of one program, the next when the last has ended."""
        self.env.process(self._stream(program, queries))

    def _stream(self, program: Program, queries: int) -> Generator[Any, Any, None]:
        for _ in range(queries):
            begin_ns = self.env.now
            yield self.env.process(self._inference(program))
            self.latencies_ns.append(self.env.now - begin_ns)

    def _inference(self, program: Program) -> Generator[Any, Any, None]:
        """The units take turns."""
        for task in program.tasks:
            with self._tracks[task.track].request(priority=0) as request:
                yield request
                since = self.env.now
                for piece in program.pieces[task.first : task.end]:
                    yield from self._piece(piece)
                self.busy_ns[task.track] += self.env.now - since

    def _piece(self, piece: Piece) -> Generator[Any, Any, None]:
        since, waited = self.env.now, 0.0
        if piece.fixed_ns:
            yield self.env.timeout(piece.fixed_ns)
        if piece.demand_gb_per_s:
            waited = yield from self._memory.stream(piece.engine, piece.demand_gb_per_s, piece.work_ns)
        elif piece.work_ns:
            yield self.env.timeout(piece.work_ns)
        self.pieces += 1
        totals = self.totals.setdefault(piece, [0, 0, 0.0])
        totals[0] += 1
        totals[1] += self.env.now - since
        totals[2] += waited
