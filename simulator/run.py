"""Runs a plan through the event engine and writes down what happened."""

from collections.abc import Iterable, Sequence

from partita.devices.soc import Soc
from partita.errors import SimulationError
from partita.graph.plan import Plan
from partita.simulator.events import Events
from partita.simulator.jobs import Job, jobs_of, preceding
from partita.simulator.memory import TRANSFERS, Machine, machine_of
from partita.simulator.resources import SharedMemory, Track
from partita.simulator.timeline import HOST_TRACK, OVERLAP, SEQUENTIAL, Counter, Span, Timeline

DRAM = "dram"
"""The counter of all memory traffic; that of one engine is "dram npu", that of all transfers "dram transfers"."""


def simulate(plan: Plan, soc: Soc, *, overlap: bool = False) -> Timeline:
    """One inference of `plan` on `soc`.

    By default the plan's jobs take turns in its order, as runtimes run their partitions. With `overlap`, a segment
    starts as soon as its unit has ended the segments before it and its tensors have arrived; a tensor leaves as soon
    as the operator that makes it has ended and the link is free. Raises SimulationError for a plan that cannot run.
    """
    return simulate_on(plan, machine_of(soc), overlap=overlap)


def simulate_on(plan: Plan, machine: Machine, *, overlap: bool = False) -> Timeline:
    """`simulate` on a machine made by hand."""
    jobs = jobs_of(plan)
    _check_units(plan, machine)
    scenario = OVERLAP if overlap else SEQUENTIAL
    run = _Run(jobs, machine, scenario)
    run.go()
    tracks = _tracks(jobs, machine)
    order = {track: position for position, track in enumerate(tracks)}
    by_start = sorted(jobs, key=lambda j: (run.start_ns[j.index], order[j.track], run.end_ns[j.index], j.index))
    return Timeline(
        soc_name=machine.name,
        model_name=plan.graph.name,
        graph_digest=plan.graph_digest,
        scenario=scenario,
        tracks=tracks,
        spans=tuple(_span(job, run.start_ns[job.index], run.end_ns[job.index]) for job in by_start),
        counters=_counters(run.memory.rates, machine),
    )


class _Run:
    """One run of the jobs: what is still to come, and when each job started and ended."""

    def __init__(self, jobs: Sequence[Job], machine: Machine, scenario: str) -> None:
        self.start_ns = [0] * len(jobs)
        self.end_ns = [0] * len(jobs)
        self._jobs = jobs
        self._events = Events()
        self.memory = SharedMemory(self._events, machine.memory)
        self._tracks = _empty_tracks(jobs, machine)
        after = [preceding(job, scenario) for job in jobs]
        self._missing = [len(numbers) for numbers in after]
        self._waiting: list[list[int]] = [[] for _ in jobs]
        for job in jobs:
            for needed in after[job.index]:
                self._waiting[needed].append(job.index)

    def go(self) -> None:
        self._make_ready(job.index for job in self._jobs if self._missing[job.index] == 0)
        self._events.run()

    def _make_ready(self, ready: Iterable[int]) -> None:
        tracks: dict[str, None] = {}
        for index in ready:
            track = self._jobs[index].track
            self._tracks[track].offer(index)
            tracks[track] = None
        for track in tracks:
            self._serve(track)

    def _serve(self, track: str) -> None:
        index = self._tracks[track].take()
        if index is None:
            return
        self.start_ns[index] = self._events.now_ns
        self._events.after(self._jobs[index].fixed_ns, lambda: self._work(self._jobs[index]))

    def _work(self, job: Job) -> None:
        if job.work_ns > 0 and job.dram_bytes > 0:
            self.memory.stream(job.index, job.engine, job.work_ns, job.dram_bytes, lambda: self._end(job))
        else:
            self._events.after(job.work_ns, lambda: self._end(job))

    def _end(self, job: Job) -> None:
        self.end_ns[job.index] = self._events.now_ns
        self._tracks[job.track].release()
        for index in self._waiting[job.index]:
            self._missing[index] -= 1
        self._make_ready(index for index in self._waiting[job.index] if self._missing[index] == 0)
        self._serve(job.track)


def _empty_tracks(jobs: Sequence[Job], machine: Machine) -> dict[str, Track]:
    order: dict[str, list[int]] = {}
    for job in jobs:
        order.setdefault(job.track, []).append(job.index)
    return {name: Track(numbers, strict=name in machine.units) for name, numbers in order.items()}


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


def _span(job: Job, start_ns: int, end_ns: int) -> Span:
    return Span(
        track=job.track,
        kind=job.kind,
        name=job.name,
        start_ns=start_ns,
        end_ns=end_ns,
        segment=job.segment,
        dram_bytes=job.dram_bytes,
        waited_ns=end_ns - start_ns - job.alone_ns,
    )


def _counters(rates: Sequence[tuple[int, dict[str, float]]], machine: Machine) -> tuple[Counter, ...]:
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
