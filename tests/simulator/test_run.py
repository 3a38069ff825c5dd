"""Timelines: schedules computed by hand, and laws that every schedule obeys."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.graph.plan import Plan
from partita.simulator.jobs import jobs_of
from partita.simulator.memory import MemoryLimits
from partita.simulator.run import simulate_on
from partita.simulator.timeline import Span, Timeline
from partita.simulator.timeline_file import timeline_bytes
from partita.units import NS_PER_US
from tests.simulator.plans import ROOMY, TIGHT, Fees, machine, make_plan, plans, step

LAWS = settings(max_examples=60, deadline=None, derandomize=True)
MEMORIES = st.sampled_from((ROOMY, TIGHT))
ROUNDING_NS = 1


def spans_of(timeline: Timeline) -> dict[tuple[str, str], tuple[float, float]]:
    """Start and end in us by track and name."""
    return {(s.track, s.name): (s.start_ns / NS_PER_US, s.end_ns / NS_PER_US) for s in timeline.spans}


def span_by_job(plan: Plan, timeline: Timeline) -> list[Span]:
    """The span of each job; equal jobs have theirs in the order of time."""
    found: list[Span] = []
    left = list(timeline.spans)
    for job in jobs_of(plan):
        span = next(
            s for s in left if (s.track, s.kind, s.name, s.segment) == (job.track, job.kind, job.name, job.segment)
        )
        left.remove(span)
        found.append(span)
    assert not left
    return found


FORK = [
    step("a", "cpu", "x", 10.0),
    step("b", "npu:float16", "a", 40.0, dispatch_us=2.0),
    step("c", "cpu", "a", 30.0),
    step("d", "cpu", "b c", 5.0),
]
FORK_FEES = Fees(inference_us=100.0, call_us=3.0, sync_us=4.0, copy_us=1.0)


def test_units_take_turns_in_the_order_of_the_plan() -> None:
    timeline = simulate_on(make_plan(FORK, ["d"], FORK_FEES), machine())
    assert spans_of(timeline) == {
        ("host", "inference"): (0, 100),
        ("cpu", "segment 0"): (100, 103),
        ("cpu", "a"): (103, 113),
        ("cpu->npu", "a"): (113, 118),
        ("npu", "segment 1"): (118, 121),
        ("npu", "b"): (121, 161),
        ("npu->cpu", "b"): (161, 166),
        ("cpu", "segment 2"): (166, 169),
        ("cpu", "c"): (169, 199),
        ("cpu", "d"): (199, 204),
    }
    assert timeline.tracks == ("host", "cpu", "gpu", "npu", "cpu->npu", "npu->cpu")


def test_with_overlap_a_segment_waits_only_for_its_unit_and_its_tensors() -> None:
    steps = [FORK[0], FORK[1], FORK[2], step("d", "npu:float16", "b c", 5.0)]
    timeline = simulate_on(make_plan(steps, [], FORK_FEES), machine(), overlap=True)
    assert spans_of(timeline) == {
        ("host", "inference"): (0, 100),
        ("cpu", "segment 0"): (100, 103),
        ("cpu", "a"): (103, 113),
        ("cpu", "segment 2"): (113, 116),
        ("cpu->npu", "a"): (113, 118),
        ("cpu", "c"): (116, 146),
        ("npu", "segment 1"): (118, 121),
        ("npu", "b"): (121, 161),
        ("cpu->npu", "c"): (146, 151),
        ("npu", "segment 3"): (161, 164),
        ("npu", "d"): (164, 169),
    }


def test_a_conversion_occupies_its_unit_right_before_the_operator_that_needs_it() -> None:
    steps = [step("a", "npu:float16", "x", 10.0), step("b", "npu", "a", 20.0)]
    timeline = simulate_on(make_plan(steps, [], Fees(convert_us=7.0)), machine(), overlap=True)
    assert [(s.kind, s.name, s.track, s.end_ns) for s in timeline.spans if s.end_ns > s.start_ns] == [
        ("operator", "a", "npu", 10_000),
        ("convert", "a", "npu", 17_000),
        ("operator", "b", "npu", 37_000),
    ]


def test_two_operators_that_run_side_by_side_share_the_memory() -> None:
    # Each asks for 40 GB/s of 50. Until 16 us both go at 5/8 and do 10 us of work: "a" is done. "b" has 10 us left.
    limits = MemoryLimits(one_gb_per_s=40.0, several_gb_per_s=50.0)
    steps = [step("a", "cpu", "x", 10.0, dram_bytes=400_000), step("b", "npu", "x", 20.0, dram_bytes=800_000)]
    timeline = simulate_on(make_plan(steps, []), machine(limits), overlap=True)
    assert spans_of(timeline)["cpu", "a"] == (0, 16)
    assert spans_of(timeline)["npu", "b"] == (0, 26)
    assert [s.waited_ns for s in timeline.spans if s.kind == "operator"] == [6_000, 6_000]
    assert [(c.name, c.points) for c in timeline.counters] == [
        ("dram", ((0, 50.0), (16_000, 40.0), (26_000, 0.0))),
        ("dram cpu", ((0, 25.0), (16_000, 0.0))),
        ("dram npu", ((0, 25.0), (16_000, 40.0), (26_000, 0.0))),
    ]


def test_dispatch_asks_nothing_of_the_memory() -> None:
    limits = MemoryLimits(one_gb_per_s=40.0, several_gb_per_s=40.0)
    steps = [
        step("a", "cpu", "x", 10.0, dram_bytes=400_000),
        step("b", "npu", "x", 30.0, dispatch_us=10.0, dram_bytes=800_000),
    ]
    timeline = simulate_on(make_plan(steps, []), machine(limits), overlap=True)
    assert [s.waited_ns for s in timeline.spans] == [0] * len(timeline.spans)


def test_a_model_of_nothing_takes_the_runtime_s_fixed_cost() -> None:
    timeline = simulate_on(make_plan([], [], Fees(inference_us=12.5)), machine(), overlap=True)
    assert timeline.latency_us == 12.5
    assert timeline.counters[0].points == ((0, 0.0),)


@LAWS
@given(plans(), MEMORIES)
def test_taking_turns_takes_exactly_what_the_plan_predicts(plan: Plan, memory: MemoryLimits) -> None:
    timeline = simulate_on(plan, machine(memory))
    assert abs(timeline.latency_us - plan.latency_us) * NS_PER_US <= ROUNDING_NS * len(timeline.spans)
    assert all(span.waited_ns == 0 for span in timeline.spans)
    ends = [span.end_ns for span in span_by_job(plan, timeline)]
    assert [span.start_ns for span in span_by_job(plan, timeline)] == [0, *ends[:-1]]


@LAWS
@given(plans(), MEMORIES, st.booleans())
def test_a_track_does_one_thing_at_a_time(plan: Plan, memory: MemoryLimits, overlap: bool) -> None:
    timeline = simulate_on(plan, machine(memory), overlap=overlap)
    for track in timeline.tracks:
        spans = [span for span in timeline.spans if span.track == track]
        assert all(a.end_ns <= b.start_ns for a, b in pairwise(spans))


@LAWS
@given(plans(), MEMORIES, st.booleans())
def test_nothing_starts_before_what_it_needs_has_ended(plan: Plan, memory: MemoryLimits, overlap: bool) -> None:
    spans = span_by_job(plan, simulate_on(plan, machine(memory), overlap=overlap))
    operators = {span.name: span for span in spans if span.kind == "operator"}
    calls = {span.segment: span for span in spans if span.kind == "call"}
    for node in plan.graph.nodes:
        placed = plan.placed[node.name]
        assert operators[node.name].start_ns >= calls[placed.segment].end_ns >= spans[0].end_ns
        for name in node.inputs:
            if name in operators:
                assert operators[node.name].start_ns >= operators[name].end_ns
            arrivals = [s for s in spans if s.name == name and s.kind == "transfer" and s.segment == placed.segment]
            assert all(calls[placed.segment].start_ns >= arrival.end_ns for arrival in arrivals)
    for job, span in zip(jobs_of(plan), spans, strict=True):
        assert all(span.start_ns >= spans[needed].end_ns for needed in job.after)


@LAWS
@given(plans(), MEMORIES, st.booleans())
def test_a_job_takes_what_it_takes_alone_plus_what_it_waits(plan: Plan, memory: MemoryLimits, overlap: bool) -> None:
    timeline = simulate_on(plan, machine(memory), overlap=overlap)
    for job, span in zip(jobs_of(plan), span_by_job(plan, timeline), strict=True):
        assert span.waited_ns >= 0
        assert span.end_ns - span.start_ns == job.alone_ns + span.waited_ns
    if memory is ROOMY:
        assert all(span.waited_ns == 0 for span in timeline.spans)


@LAWS
@given(plans(), MEMORIES)
def test_no_timeline_is_shorter_than_the_longest_chain_of_needs(plan: Plan, memory: MemoryLimits) -> None:
    ends: list[int] = []
    for job in jobs_of(plan):
        ends.append(max((ends[needed] for needed in job.after), default=0) + job.alone_ns)
    busiest = max(sum(j.alone_ns for j in jobs_of(plan) if j.track == job.track) for job in jobs_of(plan))
    assert simulate_on(plan, machine(memory), overlap=True).latency_us * NS_PER_US >= max(busiest, *ends, 0) - 1e-6


@LAWS
@given(plans())
def test_overlap_is_never_later_than_taking_turns_where_the_memory_suffices(plan: Plan) -> None:
    assert simulate_on(plan, machine(), overlap=True).latency_us <= simulate_on(plan, machine()).latency_us


@LAWS
@given(plans(), MEMORIES)
def test_with_overlap_something_runs_at_any_time_until_the_end(plan: Plan, memory: MemoryLimits) -> None:
    timeline = simulate_on(plan, machine(memory), overlap=True)
    reached_ns = 0
    for span in timeline.spans:
        assert span.start_ns <= reached_ns
        reached_ns = max(reached_ns, span.end_ns)


@LAWS
@given(plans(), MEMORIES, st.booleans())
def test_the_counters_of_the_engines_add_up_to_the_whole(plan: Plan, memory: MemoryLimits, overlap: bool) -> None:
    whole, *engines = simulate_on(plan, machine(memory), overlap=overlap).counters
    for time_ns in {time for counter in (whole, *engines) for time, _ in counter.points}:
        parts = sum(_value_at(counter.points, time_ns) for counter in engines)
        assert parts == pytest.approx(_value_at(whole.points, time_ns))
        assert 0 <= parts <= max(memory.several_gb_per_s, memory.one_gb_per_s) + 1e-6
    assert whole.points[-1][1] == 0.0


def _value_at(points: tuple[tuple[int, float], ...], time_ns: int) -> float:
    return next((value for time, value in reversed(points) if time <= time_ns), 0.0)


@LAWS
@given(plans(), MEMORIES, st.booleans())
def test_the_same_plan_gives_the_same_bytes(plan: Plan, memory: MemoryLimits, overlap: bool) -> None:
    first, second = (simulate_on(plan, machine(memory), overlap=overlap) for _ in range(2))
    assert timeline_bytes(first) == timeline_bytes(second)
