"""Chains of steps on a machine's units: what the event engine runs when no plan of operators is at hand.

Measurements are often published as times of groups of layers, or of whole operators. A chain is one network made of
such steps; chains that run at the same time share units and memory by the same engine and the same laws as plans do.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from partita.simulator.engine import Engine
from partita.simulator.memory import Machine
from partita.simulator.meter import Meter
from partita.simulator.program import PART_OF, Piece, Program, Task, program_of_pieces
from partita.simulator.run import unchanging
from partita.simulator.sharing import Law
from partita.simulator.timeline import Span
from partita.simulator.work import Frame, Query, Run
from partita.units import NS_PER_US, ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that occupies a unit."""

    unit: str
    name: str
    work_us: float
    """Time alone, slowed by others' memory traffic."""
    fixed_us: float = 0.0
    """Time before that, which nothing slows."""
    gb_per_s: float = 0.0
    """Memory traffic of the work."""
    kind: str = "operator"
    """Of its span, see `Span.kind`."""
    after: tuple[int, ...] = ()
    """The steps of its chain that it waits for, all earlier ones."""


Chain = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class ChainRun:
    """How one chain ran: (start, end) of each repetition in us, and the spans of the first."""

    times_us: tuple[tuple[float, float], ...]
    spans: tuple[Span, ...]

    @property
    def mean_latency_us(self) -> float:
        """Of all repetitions."""
        return sum(end - start for start, end in self.times_us) / len(self.times_us)


def in_a_row(steps: Sequence[Step]) -> Chain:
    """Each step waits for the one before it."""
    return tuple(replace(step, after=(i - 1,) if i else ()) for i, step in enumerate(steps))


def joined(steps: Iterable[Step]) -> Iterator[Step]:
    """Steps that follow each other on one unit, with the same traffic and nothing fixed between them, as one."""
    last: Step | None = None
    for step in steps:
        if last is not None and (step.unit, step.gb_per_s, step.fixed_us) == (last.unit, last.gb_per_s, 0.0):
            last = replace(last, work_us=last.work_us + step.work_us)
            continue
        if last is not None:
            yield last
        last = step
    if last is not None:
        yield last


def sliced(steps: Sequence[Step], slice_us: float) -> Iterator[Step]:
    """The steps in slices of equal length, after each of which a unit may turn to another network."""
    for step in steps:
        count = max(1, round(step.work_us / slice_us))
        for index in range(count):
            yield replace(step, work_us=step.work_us / count, fixed_us=0.0 if index else step.fixed_us)


def run_chains(
    chains: Sequence[Chain], machine: Machine, law: Law, *, repetitions: int | None = None, in_turn: bool = False
) -> tuple[ChainRun, ...]:
    """All chains from time 0 on: each once, or each over and over until every one has run `repetitions` times.

    `in_turn`: who waits longest for a unit gets it; else the frame that began first does.
    """
    return _Chains(chains, machine, law, repetitions or 0, in_turn=in_turn).go()


class _Chains:
    """The frames of several chains, and when they ended."""

    def __init__(self, chains: Sequence[Chain], machine: Machine, law: Law, repetitions: int, *, in_turn: bool) -> None:
        self._units = machine.units
        self._programs = [_program(chain, machine) for chain in chains]
        self._repetitions, self._in_turn = repetitions, in_turn
        self._times: list[list[tuple[float, float]]] = [[] for _ in chains]
        self._spans: list[list[Span]] = [[] for _ in chains]
        state = unchanging(machine, len(machine.units))
        meter = Meter(None, None, machine.units)
        self._engine = Engine(machine.units, law, meter, state, record=self._record, in_one_go=False)
        self._engine.frame_ended = self._end

    def go(self) -> tuple[ChainRun, ...]:
        for index, program in enumerate(self._programs):
            self._engine.add(program)
            self._start(index)
        self._engine.run()
        return tuple(ChainRun(tuple(t), tuple(s)) for t, s in zip(self._times, self._spans, strict=True))

    def _start(self, chain: int) -> None:
        now, number = self._engine.now_ns, len(self._times[chain])
        key = (0.0,) if self._in_turn else (float(now), float(chain))
        frame = Frame(chain, number, Query(now), self._programs[chain], key, now, in_turn=self._in_turn)
        self._engine.at(now, lambda *_: self._engine.start(frame))

    def _end(self, frame: Frame) -> None:
        self._times[frame.stream].append((frame.start_ns / NS_PER_US, self._engine.now_ns / NS_PER_US))
        if min(len(times) for times in self._times) < self._repetitions:
            self._start(frame.stream)

    def _record(self, run: Run, piece: int, start_ns: int, end_ns: int, waited_ns: float) -> None:
        if run.frame.number == 0:
            found, task = run.table.program.pieces[piece], run.table.program.tasks[run.task]
            self._spans[run.frame.stream].append(Span(
                track=self._units[task.unit], kind=found.kind, name=found.name, start_ns=start_ns, end_ns=end_ns,
                segment=task.segment, dram_bytes=found.dram_bytes, waited_ns=round(waited_ns)))  # fmt: skip


def _program(chain: Chain, machine: Machine) -> Program:
    units = {name: index for index, name in enumerate(machine.units)}
    tasks = tuple(
        Task(track=units[step.unit], unit=units[step.unit], first=index, end=index + 1, segment=index)
        for index, step in enumerate(chain)
    )
    pieces = tuple(_piece(step, units[step.unit]) for step in chain)
    return program_of_pieces(pieces, tasks, [step.after for step in chain])


def _piece(step: Step, unit: int) -> Piece:
    work_ns = ns(step.work_us)
    return Piece(
        kind=step.kind,
        name=step.name,
        unit=unit,
        fixed_ns=ns(step.fixed_us),
        work_ns=work_ns,
        compute=1.0,
        memory=1.0,
        dram_bytes=round(step.gb_per_s * work_ns),
        engine=step.unit,
        demand_gb_per_s=step.gb_per_s if work_ns else 0.0,
        fixed_part=PART_OF["dispatch"],
        work_part=PART_OF["compute"],
    )
