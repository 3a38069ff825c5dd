"""A plan as jobs: what each needs a track for, how long it takes alone, and which jobs it waits for."""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from partita.errors import SimulationError
from partita.graph.plan import Location, PlacedOperator, Plan, Segment, Transfer
from partita.simulator.memory import TRANSFERS, link_name
from partita.simulator.timeline import HOST_TRACK, SEQUENTIAL, Timeline
from partita.units import ns

OUTSIDE = -1
"""The segment of a job that belongs to none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Something that occupies a track. Jobs are numbered as the plan runs them; job 0 is the inference's fixed cost."""

    index: int
    track: str
    kind: str
    """The kind of its span, see `Span.kind`."""
    name: str
    segment: int
    engine: str
    """Whose memory traffic it is."""
    fixed_ns: int = 0
    """Time before it touches the memory: dispatch, synchronisation, the whole of a call."""
    work_ns: int = 0
    """Time alone after that."""
    dram_bytes: int = 0
    after: tuple[int, ...] = ()
    """The jobs whose results it needs, all of a lower index; the order of a unit's jobs is not repeated here."""
    subject: PlacedOperator | Transfer | None = None
    follows: tuple[int, ...] = ()
    """Of a part of an operator that two units share: how many places before it the parts stand that it waits for."""

    @property
    def alone_ns(self) -> int:
        return self.fixed_ns + self.work_ns


def preceding(job: Job, scenario: str) -> tuple[int, ...]:
    """The jobs that `job` waits for: if units take turns, the one before it, else those whose results it needs.

    The parts of an operator that two units share run side by side in any case.
    """
    if scenario == SEQUENTIAL and not job.follows:
        return tuple(range(max(job.index - 1, 0), job.index))
    return job.after


def jobs_of(plan: Plan) -> tuple[Job, ...]:
    """The jobs of `plan` in its order; SimulationError if it contradicts itself or cannot run in that order."""
    _check_cover(plan)
    drafts = _numbered(plan)
    needs = _Needs(plan, drafts)
    return tuple(replace(job, after=_checked(job, needs.of(job), drafts)) for job in drafts)


def jobs_of_spans(plan: Plan, timeline: Timeline) -> tuple[Job, ...]:
    """The job of every span of `timeline`, which must be one of `plan`; SimulationError if it is not.

    Of several equal jobs (a tensor that goes to one unit in two dtypes) the earlier has the earlier span.
    """
    jobs = jobs_of(plan)
    waiting: dict[tuple[str, str, str, int], deque[Job]] = {}
    for job in jobs:
        waiting.setdefault((job.track, job.kind, job.name, job.segment), deque()).append(job)
    found = [waiting.get((s.track, s.kind, s.name, s.segment)) for s in timeline.spans]
    if len(found) != len(jobs) or not all(found):
        raise SimulationError(f"the timeline of {timeline.model_name!r} does not belong to this plan: simulate it anew")
    return tuple(equal.popleft() for equal in found if equal)


def _checked(job: Job, after: Iterable[int], jobs: Sequence[Job]) -> tuple[int, ...]:
    for index in after:
        if index >= job.index:
            raise SimulationError(
                f"{_described(job)} needs the result of {_described(jobs[index])}, which the plan runs later: "
                "the segments must be listed in an order in which they can run"
            )
    return tuple(sorted(set(after)))


def _described(job: Job) -> str:
    return f"{job.kind} {job.name!r} on {job.track} (segment {job.segment})"


def _numbered(plan: Plan) -> list[Job]:
    jobs = [Job(index=0, track=HOST_TRACK, kind="inference", name="inference", segment=OUTSIDE, engine=HOST_TRACK,
                fixed_ns=_whole_ns(plan.inference_us, "the inference"))]  # fmt: skip
    for segment in sorted(plan.segments, key=lambda s: s.index):
        jobs += _jobs_of_segment(plan, segment)
    jobs += [_transfer_job(transfer, OUTSIDE) for transfer in plan.transfers_before.get("", ())]
    return [replace(job, index=index) for index, job in enumerate(jobs)]


def _jobs_of_segment(plan: Plan, segment: Segment) -> list[Job]:
    before = [(name, plan.transfers_before.get(name, ())) for name in segment.operators]
    jobs = [_transfer_job(t, segment.index) for _, transfers in before for t in transfers if t.crosses_units]
    name = f"segment {segment.index}"
    jobs.append(Job(index=0, track=segment.unit, kind="call", name=name, segment=segment.index, engine=segment.unit,
                    fixed_ns=_whole_ns(segment.call_us, name)))  # fmt: skip
    for operator, transfers in before:
        jobs += [_transfer_job(t, segment.index) for t in transfers if not t.crosses_units]
        jobs += _operator_jobs(plan.placed[operator])
    return jobs


def _operator_jobs(operator: PlacedOperator) -> list[Job]:
    """One job, or those of an operator that two units share, the kinds of `Span.kind`.

    The memory traffic of both parts is booked on the first: what they cost each other is in their times already.
    """
    shared, whole = operator.shared, operator.cost
    if shared is None:
        return [_operator_job(operator)]
    own = _operator_job(replace(operator, cost=replace(shared.first, dram_bytes=whole.dram_bytes)))
    other = _operator_job(replace(operator, cost=replace(shared.second, dram_bytes=0)))
    aside = replace(own, work_ns=0, dram_bytes=0)

    def step(kind: str, unit: str, time_us: float, *follows: int) -> Job:
        return replace(aside, kind=kind, track=unit, fixed_ns=_whole_ns(time_us, operator.node), follows=follows)

    return [
        step("transform", operator.unit, shared.transform_us),
        step("map", shared.unit, shared.map_us, 1),
        step("pre_sync", shared.unit, shared.pre_sync_us, 1),
        replace(own, kind="split", follows=(1,)),
        replace(other, kind="split", track=shared.unit, engine=shared.unit, follows=(2,)),
        step("post_sync", shared.unit, shared.post_sync_us, 1, 2),
    ]


def _operator_job(operator: PlacedOperator) -> Job:
    cost = operator.cost
    total_ns = _whole_ns(cost.latency_us, operator.node)
    fixed_ns = min(_whole_ns(cost.dispatch_us, operator.node), total_ns)
    return Job(
        index=0,
        track=operator.unit,
        kind="operator",
        name=operator.node,
        segment=operator.segment,
        engine=operator.unit,
        fixed_ns=fixed_ns,
        work_ns=total_ns - fixed_ns,
        dram_bytes=cost.dram_bytes,
        subject=operator,
    )


def _transfer_job(transfer: Transfer, segment: int) -> Job:
    crosses = transfer.crosses_units
    total_ns = _whole_ns(transfer.latency_us, transfer.tensor)
    fixed_ns = min(_whole_ns(transfer.sync_us, transfer.tensor), total_ns)
    return Job(
        index=0,
        track=link_name(transfer.source.unit, transfer.target.unit) if crosses else transfer.source.unit,
        kind="transfer" if crosses else "convert",
        name=transfer.tensor,
        segment=segment,
        engine=TRANSFERS if crosses else transfer.source.unit,
        fixed_ns=fixed_ns,
        work_ns=total_ns - fixed_ns,
        dram_bytes=transfer.dram_bytes,
        subject=transfer,
    )


def _whole_ns(time_us: float, what: str) -> int:
    if not (math.isfinite(time_us) and time_us >= 0):
        raise SimulationError(f"{what!r} takes {time_us} us in this plan: times must be finite and not below 0")
    return ns(time_us)


class _Needs:
    """Where tensors come from, to tell which jobs a job waits for."""

    def __init__(self, plan: Plan, jobs: Sequence[Job]) -> None:
        self._plan = plan
        self._home: dict[str, tuple[Location, int]] = dict.fromkeys(plan.graph.inputs, (plan.host, 0))
        self._copies: dict[str, list[tuple[Location, int]]] = {}
        self._arrivals: dict[int, list[int]] = {}
        for job in jobs:
            if isinstance(job.subject, PlacedOperator):
                node = plan.graph.node_named[job.name]
                self._home.update(dict.fromkeys(node.present_outputs, (job.subject.location, job.index)))
            elif isinstance(job.subject, Transfer):
                self._copies.setdefault(job.name, []).append((job.subject.target, job.index))
            if job.kind == "transfer":
                self._arrivals.setdefault(job.segment, []).append(job.index)

    def of(self, job: Job) -> set[int]:
        if job.kind == "inference":
            return set()
        if job.kind == "call":
            return {0, *self._arrivals.get(job.segment, ())}
        if isinstance(job.subject, Transfer):
            return {self._provider(job, job.name, job.subject.source)}
        assert isinstance(job.subject, PlacedOperator), "jobs are calls, transfers or operators"
        if job.follows:
            return {job.index - places for places in job.follows}
        graph, location = self._plan.graph, job.subject.location
        return {0, *(self._provider(job, name, location) for name in graph.activations(graph.node_named[job.name]))}

    def _provider(self, job: Job, tensor: str, location: Location) -> int:
        """The job after which `tensor` lies at `location`, or, as integers have one dtype, at least on its unit."""
        places = [place for place in (self._home.get(tensor), *self._copies.get(tensor, ())) if place is not None]
        places = [(place, index) for place, index in places if index != job.index]
        for place, index in places:
            if place == location:
                return index
        for place, index in places:
            if place.unit == location.unit:
                return index
        where = ", ".join(str(place) for place, _ in places) or "nowhere"
        raise SimulationError(
            f"{_described(job)} needs tensor {tensor!r} at {location}, but the plan has it at {where}: "
            "a transfer is missing"
        )


def _check_cover(plan: Plan) -> None:
    """Every operator is in one segment, of its own unit, and every transfer waits for one of them."""
    segment_of: dict[str, Segment] = {}
    for segment in plan.segments:
        for name in segment.operators:
            if name in segment_of:
                raise SimulationError(f"operator {name!r} is in segments {segment_of[name].index} and {segment.index}")
            segment_of[name] = segment
    for operator in plan.operators:
        found = segment_of.get(operator.node)
        if found is None or (found.index, found.unit) != (operator.segment, operator.unit):
            there = "no segment" if found is None else f"segment {found.index} on {found.unit}"
            raise SimulationError(
                f"operator {operator.node!r} is placed in segment {operator.segment} on {operator.unit}, "
                f"but the plan lists it in {there}"
            )
    for name in sorted(segment_of):
        if name not in plan.placed or name not in plan.graph.node_named:
            raise SimulationError(f"segment {segment_of[name].index} lists {name!r}, which is no placed operator")
    for transfer in plan.transfers:
        if transfer.before and transfer.before not in segment_of:
            raise SimulationError(
                f"{transfer.before!r} is to wait for tensor {transfer.tensor!r}, but is in no segment"
            )
