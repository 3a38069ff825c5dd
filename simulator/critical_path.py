"""Why a timeline takes as long as it does: the chain of spans that made it so, and what they are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from partita.graph.plan import PlacedOperator, Plan
from partita.simulator.jobs import Job, jobs_of_spans, preceding
from partita.simulator.timeline import Span, Timeline
from partita.units import NS_PER_US, ns

PARTS = ("compute", "memory", "dispatch", "call", "transfer", "conversion", "inference", "waiting")
_PART_OF_KIND = {
    "call": "call", "transfer": "transfer", "convert": "conversion", "inference": "inference",
    "transform": "conversion", "map": "transfer", "pre_sync": "transfer", "post_sync": "transfer",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalPath:
    """Spans, each of which could not start before the one in front of it had ended; the last ends the timeline."""

    spans: tuple[Span, ...]
    us_of: Mapping[str, float] = field(hash=False)
    """Time by part, every one of PARTS. An operator's time after its dispatch is `compute` or `memory`, by what bounds
    it; what others cost it by using the memory at the same time is `waiting`, as are gaps between the spans."""

    @property
    def latency_us(self) -> float:
        return sum(self.us_of.values())


def critical_path(timeline: Timeline, plan: Plan) -> CriticalPath:
    """The path that ends last, followed back from each span to whichever of those it waited for ended last.

    It waits for the jobs whose results it needs and for the one before it on its track. Spans of no length are passed
    through but left out. Raises SimulationError if the timeline is not one of this plan.
    """
    jobs = jobs_of_spans(plan, timeline)
    position_of = {job.index: position for position, job in enumerate(jobs)}
    before = _before_on_track(timeline)
    parts_ns = dict.fromkeys(PARTS, 0)
    path: list[Span] = []
    position: int | None = _last(timeline, range(len(jobs)))
    while position is not None:
        job, span = jobs[position], timeline.spans[position]
        waited_for = [position_of[index] for index in preceding(job, timeline.scenario)]
        waited_for += [before[position]] if position in before else []
        position = _last(timeline, waited_for)
        gap_ns = span.start_ns - (timeline.spans[position].end_ns if position is not None else 0)
        parts_ns["waiting"] += gap_ns
        if span.end_ns > span.start_ns:
            path.append(span)
            _add_parts(parts_ns, job, span)
    return CriticalPath(spans=tuple(reversed(path)), us_of={part: t / NS_PER_US for part, t in parts_ns.items()})


def _last(timeline: Timeline, positions: Sequence[int]) -> int | None:
    """The one that ends last; of those that end together the one that starts last, then the one listed last."""
    return max(positions, key=lambda p: (timeline.spans[p].end_ns, timeline.spans[p].start_ns, p), default=None)


def _before_on_track(timeline: Timeline) -> dict[int, int]:
    before: dict[int, int] = {}
    last: dict[str, int] = {}
    for position, span in enumerate(timeline.spans):
        if span.track in last:
            before[position] = last[span.track]
        last[span.track] = position
    return before


def _add_parts(parts_ns: dict[str, int], job: Job, span: Span) -> None:
    parts_ns["waiting"] += span.waited_ns
    alone_ns = span.end_ns - span.start_ns - span.waited_ns
    if span.kind in _PART_OF_KIND or not isinstance(job.subject, PlacedOperator):
        parts_ns[_PART_OF_KIND[span.kind]] += alone_ns
        return
    cost = job.subject.cost
    dispatch_ns = min(ns(cost.dispatch_us), alone_ns)
    parts_ns["dispatch"] += dispatch_ns
    parts_ns["compute" if cost.compute_us >= cost.memory_us else "memory"] += alone_ns - dispatch_ns
