"""Phones for tests of the engine: made by hand, without a Soc file."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from partita.graph.plan import Plan
from partita.simulator.engine import Engine
from partita.simulator.memory import Machine
from partita.simulator.meter import Meter
from partita.simulator.program import Program, program_of, tracks_of
from partita.simulator.sharing import FairShare, Law
from partita.simulator.tables import State
from partita.simulator.work import Frame, Query, Run


@dataclass(slots=True)
class Diary:
    """What happened on a phone."""

    engine: Engine
    tracks: tuple[str, ...]
    programs: list[Program]
    intervals: list[tuple[int, str, str, str, int, int, int]] = field(default_factory=list)
    """(inference, track, kind, name, segment, start, end) in ns."""
    ended_ns: dict[int, int] = field(default_factory=dict)


def phone(
    plans: Sequence[Plan],
    machine: Machine,
    *,
    sequential: bool,
    law: Law | None = None,
    keep: bool = True,
    in_one_go: bool = True,
) -> Diary:
    """A phone whose clocks never change; each plan is one program."""
    tracks = tracks_of(machine, tuple(plans))
    state = State(
        steps=(0,) * len(machine.units),
        clocks=(1.0,) * len(machine.units),
        host=0,
        stalled=(1.0,) * len(machine.units),
        loads=(0.0,) * len(machine.units),
        background_speeds=(),
        tracks=len(tracks),
        polls=False,
    )
    diary: Diary

    def record(run: Run, piece: int, start_ns: int, end_ns: int, waited_ns: float) -> None:
        found = run.table.program
        task, what = found.tasks[found.task_of[piece]], found.pieces[piece]
        entry = (run.frame.number, tracks[task.track], what.kind, what.name, task.segment, start_ns, end_ns)
        diary.intervals.append(entry)

    meter = Meter(None, None, machine.units)
    engine = Engine(
        tracks, law or FairShare(machine.memory), meter, state, record=record if keep else None, in_one_go=in_one_go
    )
    programs = [program_of(plan, machine, tracks, sequential=sequential) for plan in plans]
    for program in programs:
        engine.add(program)
    diary = Diary(engine, tracks, programs)

    def end(frame: Frame) -> None:
        diary.ended_ns[frame.number] = engine.now_ns

    engine.frame_ended = end
    return diary


def start_at(diary: Diary, time_ns: int, number: int, program: int = 0, key: tuple[float, ...] | None = None) -> None:
    """Have an inference begin at a time."""
    first = key or (0.0, time_ns, program)
    frame = Frame(0, number, Query(time_ns), diary.programs[program], first, time_ns)
    diary.engine.at(time_ns, lambda *_: diary.engine.start(frame))
