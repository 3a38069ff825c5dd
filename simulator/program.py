"""A plan made ready to run many times: its jobs as pieces in a row, grouped into the tasks that occupy a track.

A task is what a track serves without interruption: a segment (its call, then its operators and conversions one after
the other), a transfer, or the runtime's fixed cost. Its pieces stand in a row, so a task is a slice of the row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from partita.graph.plan import PlacedOperator, Plan, Transfer
from partita.simulator.jobs import OUTSIDE, Job, jobs_of, preceding
from partita.simulator.memory import TRANSFERS, Machine
from partita.simulator.timeline import HOST_TRACK, SEQUENTIAL
from partita.units import ns

PARTS = (
    "compute", "memory", "dispatch", "call", "sync", "transfer", "conversion", "runtime", "wake", "queue", "contention",
    "throttling",
)  # fmt: skip
"""What the time of an inference is made of. `queue` is waiting for a busy unit or link, `contention` what the others'
memory traffic costs, `throttling` what lower clocks and background load cost."""
PART_OF = {part: index for index, part in enumerate(PARTS)}
_FIXED_PART_OF = {
    "inference": "runtime", "call": "call", "transfer": "sync", "transform": "conversion", "map": "sync",
    "pre_sync": "sync", "post_sync": "sync",
}  # fmt: skip
"""By kind of job; of all others it is dispatch."""
NO_UNIT = -1
PPM = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A job as the engine runs it."""

    kind: str
    name: str
    unit: int
    """Index of the unit that works, or NO_UNIT: then a core of the host does."""
    fixed_ns: int
    work_ns: int
    compute: float
    """Time that computing needs, as a share of the work's; the longer of compute and memory is 1."""
    memory: float
    dram_bytes: int
    engine: str
    demand_gb_per_s: float
    """At which it is not slowed, at the top clock."""
    fixed_part: int
    """Index into PARTS of its fixed time, and of its work."""
    work_part: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A slice of the pieces that one track runs without interruption."""

    track: int
    """Index into the machine's tracks."""
    unit: int
    first: int
    end: int
    segment: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Program:
    """The pieces of one plan, in the order of the plan, and who waits for whom."""

    plan: Plan | None
    """None if it was not made of one."""
    sequential: bool
    """Whether its tasks run in a row, each after the one before it."""
    pieces: tuple[Piece, ...]
    tasks: tuple[Task, ...]
    missing: tuple[int, ...]
    """How many pieces each task waits for."""
    releases: tuple[tuple[int, ...], ...]
    """The tasks that wait for each piece."""
    task_of: tuple[int, ...]
    """The task of each piece."""
    stop: tuple[int, ...]
    """For each piece, the end of the slice that can run in one go: after it somebody waits, or the task ends."""

    @property
    def first_tasks(self) -> tuple[int, ...]:
        return tuple(index for index, count in enumerate(self.missing) if count == 0)

    def scaled(self, factor: float) -> "Program":
        """The same with all times longer by a factor."""
        pieces = [
            replace(piece, fixed_ns=round(piece.fixed_ns * factor), work_ns=round(piece.work_ns * factor))
            for piece in self.pieces
        ]
        return replace(self, pieces=tuple(pieces))


def tracks_of(machine: Machine, programs: tuple[Plan, ...]) -> tuple[str, ...]:
    """The host, the units, then every link that one of the plans uses."""
    links = dict.fromkeys(job.track for plan in programs for job in jobs_of(plan) if job.kind == "transfer")
    return tuple(dict.fromkeys((HOST_TRACK, *machine.units, *links)))


def program_of(plan: Plan, machine: Machine, tracks: tuple[str, ...], *, sequential: bool) -> Program:
    """`plan` for the engine; SimulationError if it contradicts itself."""
    jobs = jobs_of(plan)
    units = {name: index for index, name in enumerate(machine.units)}
    places = {name: index for index, name in enumerate(tracks)}
    tasks = _tasks(jobs, units, places)
    task_of = tuple(index for index, task in enumerate(tasks) for _ in range(task.first, task.end))
    waits = _waits(jobs, tasks, task_of, sequential=sequential)
    pieces = tuple(_piece(job, units, machine) for job in jobs)
    in_a_row = sequential and not any(job.follows for job in jobs)
    return program_of_pieces(pieces, tasks, waits, plan=plan, sequential=in_a_row)


def program_of_pieces(
    pieces: tuple[Piece, ...],
    tasks: tuple[Task, ...],
    waits: Sequence[Sequence[int]],
    *,
    plan: Plan | None = None,
    sequential: bool = False,
) -> Program:
    """The program of pieces that stand task by task; `waits` says which pieces each task waits for."""
    task_of = tuple(index for index, task in enumerate(tasks) for _ in range(task.first, task.end))
    releases: list[list[int]] = [[] for _ in pieces]
    for index, needed in enumerate(waits):
        for piece in needed:
            releases[piece].append(index)
    ends = [tasks[index].end for index in task_of]
    stop = list(range(1, len(pieces) + 1))
    for piece in reversed(range(len(pieces) - 1)):
        if not releases[piece] and piece + 1 < ends[piece]:
            stop[piece] = stop[piece + 1]
    return Program(
        plan=plan,
        sequential=sequential,
        pieces=pieces,
        tasks=tasks,
        missing=tuple(len(needed) for needed in waits),
        releases=tuple(tuple(found) for found in releases),
        task_of=task_of,
        stop=tuple(stop),
    )


def _begins_task(job: Job, before: Job) -> bool:
    """Whether a job does not go on with what its track is doing; operators that two units share leave their track."""
    return job.kind in ("call", "transfer") or job.segment == OUTSIDE or bool(job.follows) or bool(before.follows)


def _tasks(jobs: tuple[Job, ...], units: dict[str, int], places: dict[str, int]) -> tuple[Task, ...]:
    starts = [i for i, job in enumerate(jobs) if _begins_task(job, jobs[i - 1])]
    tasks = []
    for first, end in zip(starts, [*starts[1:], len(jobs)], strict=True):
        job = jobs[first]
        unit = units.get(job.track, NO_UNIT)
        segment = job.segment if job.kind != "inference" else OUTSIDE
        tasks.append(Task(track=places[job.track], unit=unit, first=first, end=end, segment=segment))
    return tuple(tasks)


def _waits(
    jobs: tuple[Job, ...], tasks: tuple[Task, ...], task_of: tuple[int, ...], *, sequential: bool
) -> list[list[int]]:
    """The pieces that each task waits for: the one before it, or those whose results any of its pieces needs.

    A unit runs the segments of one inference in their order.
    """
    if sequential:
        return [list(preceding(jobs[task.first], SEQUENTIAL)) for task in tasks]
    waits: list[list[int]] = []
    last_on: dict[int, int] = {}
    for index, task in enumerate(tasks):
        needed = {piece for job in jobs[task.first : task.end] for piece in job.after if task_of[piece] != index}
        if task.unit != NO_UNIT:
            if task.track in last_on:
                needed.add(last_on[task.track])
            last_on[task.track] = task.end - 1
        waits.append(sorted(needed))
    return waits


def _piece(job: Job, units: dict[str, int], machine: Machine) -> Piece:
    subject = job.subject
    compute, memory = 1.0, 0.0
    work_part = "compute"
    if isinstance(subject, PlacedOperator):
        longest = max(subject.cost.compute_us, subject.cost.memory_us)
        if longest > 0:
            compute, memory = subject.cost.compute_us / longest, subject.cost.memory_us / longest
        work_part = "compute" if compute >= memory else "memory"
    elif isinstance(subject, Transfer):
        compute, memory = 0.0, 1.0
        work_part = "transfer" if job.kind == "transfer" else "conversion"
    fixed = _FIXED_PART_OF.get(job.kind, "dispatch")
    has_traffic = job.work_ns > 0 and job.dram_bytes > 0
    demand = min(job.dram_bytes / job.work_ns, machine.memory.most_gb_per_s(job.engine)) if has_traffic else 0.0
    return Piece(
        kind=job.kind,
        name=job.name,
        unit=NO_UNIT if job.kind in ("inference", "call") else units.get(job.track, NO_UNIT),
        fixed_ns=job.fixed_ns,
        work_ns=job.work_ns,
        compute=compute,
        memory=memory,
        dram_bytes=job.dram_bytes,
        engine=job.engine if job.engine in units else TRANSFERS,
        demand_gb_per_s=demand,
        fixed_part=PART_OF[fixed],
        work_part=PART_OF[work_part],
    )


def alone_us(plan: Plan) -> float:
    """How long one inference takes with everything at its best; a deadline below it cannot be met."""
    return sum(job.alone_ns for job in jobs_of(plan)) / ns(1.0)
