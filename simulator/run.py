"""Runs a plan through the event engine and writes down what happened."""

from collections.abc import Iterable, Sequence

from partita.devices.soc import Soc
from partita.errors import SimulationError
from partita.graph.plan import Plan
from partita.simulator.engine import Engine
from partita.simulator.gauges import gauges
from partita.simulator.jobs import Job, jobs_of
from partita.simulator.memory import TRANSFERS, Machine, machine_of
from partita.simulator.meter import Meter
from partita.simulator.program import program_of, tracks_of
from partita.simulator.sharing import FairShare, Law, law_of
from partita.simulator.tables import State, Table
from partita.simulator.timeline import HOST_TRACK, OVERLAP, SEQUENTIAL, Counter, Span, Timeline
from partita.simulator.work import Frame, Query, Run

Rates = Sequence[tuple[int, dict[str, float]]]
"""(time in ns, GB/s by engine from then on)."""
DRAM = "dram"
"""The counter of all memory traffic; that of one engine is "dram npu", that of all transfers "dram transfers"."""


def simulate(plan: Plan, soc: Soc, *, overlap: bool = False) -> Timeline:
    """One inference of `plan` on `soc`.

    By default the plan's jobs take turns in its order, as runtimes run their partitions. With `overlap`, a segment
    starts as soon as its unit has ended the segments before it and its tensors have arrived; a tensor leaves as soon
    as the operator that makes it has ended and the link is free. Raises SimulationError for a plan that cannot run.
    """
    return simulate_on(plan, machine_of(soc), overlap=overlap, law=law_of(soc), soc=soc)


def simulate_on(
    plan: Plan, machine: Machine, *, overlap: bool = False, law: Law | None = None, soc: Soc | None = None
) -> Timeline:
    """`simulate` on a machine made by hand, whose memory is divided by `law`, or by fair shares.

    With `soc` the timeline has counters of power, clocks and temperatures too.
    """
    _check_units(plan, machine)
    scenario = OVERLAP if overlap else SEQUENTIAL
    spans, rates, table = _run(plan, machine, law or FairShare(machine.memory), overlap=overlap)
    tracks = _tracks(jobs_of(plan), machine)
    order = {track: position for position, track in enumerate(tracks)}
    by_start = sorted(spans, key=lambda s: (s[1].start_ns, order[s[1].track], s[1].end_ns, s[0]))
    return Timeline(
        soc_name=machine.name,
        model_name=plan.graph.name,
        graph_digest=plan.graph_digest,
        scenario=scenario,
        tracks=tracks,
        spans=tuple(span for _, span in by_start),
        counters=(*_counters(rates, machine), *(gauges(spans, table, soc) if soc is not None else ())),
    )


def _run(plan: Plan, machine: Machine, law: Law, *, overlap: bool) -> tuple[list[tuple[int, Span]], Rates, Table]:
    """The spans with the number of their job, the memory traffic by engine at every change, and what jobs take."""
    names = tracks_of(machine, (plan,))
    program = program_of(plan, machine, names, sequential=not overlap)
    spans: list[tuple[int, Span]] = []

    def record(run: Run, piece: int, start_ns: int, end_ns: int, waited_ns: float) -> None:
        found, task = program.pieces[piece], program.tasks[program.task_of[piece]]
        alone_ns = found.fixed_ns + found.work_ns
        spans.append((piece, Span(track=names[task.track], kind=found.kind, name=found.name, start_ns=start_ns,
                                  end_ns=end_ns, segment=task.segment, dram_bytes=found.dram_bytes,
                                  waited_ns=end_ns - start_ns - alone_ns)))  # fmt: skip

    meter = Meter(None, None, machine.units)
    engine = Engine(names, law, meter, unchanging(machine, len(names)),
                    record=record, in_one_go=False)  # fmt: skip
    engine.flows.rates = [(0, {})]
    engine.add(program)
    frame = Frame(0, 0, Query(0), program, (0.0,), 0)
    engine.at(0, lambda *_: engine.start(frame))
    engine.run()
    return spans, engine.flows.rates, engine.speeds.table(program)


def unchanging(machine: Machine, tracks: int) -> State:
    """Top clocks, nothing in the background."""
    count = len(machine.units)
    return State(steps=(0,) * count, clocks=(1.0,) * count, host=0, stalled=(1.0,) * count, loads=(0.0,) * count,
                 background_speeds=(), tracks=tracks, polls=False)  # fmt: skip


def _check_units(plan: Plan, machine: Machine) -> None:
    wanted = [segment.unit for segment in plan.segments]
    wanted += [unit for t in plan.transfers for unit in (t.source.unit, t.target.unit)]
    for unit in wanted:
        if unit not in machine.units:
            raise SimulationError(
                f"the plan uses unit {unit!r}, which {machine.name} does not have; it has: {', '.join(machine.units)}"
            )


def _tracks(jobs: Sequence[Job], machine: Machine) -> tuple[str, ...]:
    """The host, every unit, and the links that carry something: those the Soc lists first, in its order."""
    carrying = dict.fromkeys(job.track for job in jobs if job.kind == "transfer")
    listed = [link for link in machine.links if link in carrying]
    return tuple(dict.fromkeys((HOST_TRACK, *machine.units, *listed, *carrying)))


def _counters(rates: Rates, machine: Machine) -> tuple[Counter, ...]:
    engines = [e for e in (*machine.units, TRANSFERS) if any(e in by_engine for _, by_engine in rates)]
    counters = [_counter(DRAM, [(time_ns, sum(by_engine.values(), 0.0)) for time_ns, by_engine in rates])]
    for engine in engines:
        points = [(time_ns, by_engine.get(engine, 0.0)) for time_ns, by_engine in rates]
        counters.append(_counter(f"{DRAM} {engine}", points))
    return tuple(counters)


def _counter(name: str, points: Iterable[tuple[int, float]]) -> Counter:
    """Only the last of several values at one time counts, and only a value that differs from the one before."""
    at_time = dict(points)
    changes: list[tuple[int, float]] = []
    for time_ns, value in at_time.items():
        if not changes or value != changes[-1][1]:
            changes.append((time_ns, value))
    return Counter(name=name, unit="GB/s", points=tuple(changes))
