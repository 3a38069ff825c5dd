"""The chain of spans that makes a timeline as long as it is."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.graph.plan import Plan
from partita.simulator.critical_path import PARTS, critical_path
from partita.simulator.memory import MemoryLimits
from partita.simulator.run import simulate_on
from tests.simulator.plans import ROOMY, TIGHT, Fees, machine, make_plan, plans, step

LAWS = settings(max_examples=60, deadline=None, derandomize=True)
MEMORIES = st.sampled_from((ROOMY, TIGHT))


def test_the_path_follows_the_branch_that_ends_last_and_says_what_it_is_made_of() -> None:
    # The NPU's branch takes 4 + 40 after "a"; the CPU's takes 30, so it is not on the path.
    steps = [
        step("a", "cpu", "x", 10.0),
        step("b", "npu", "a", 40.0, dispatch_us=2.0, dram_bytes=1),
        step("c", "cpu", "a", 30.0),
        step("d", "npu", "b c", 5.0),
    ]
    plan = make_plan(steps, [], Fees(inference_us=100.0, call_us=3.0, sync_us=4.0))
    path = critical_path(simulate_on(plan, machine(), overlap=True), plan)
    assert [span.name for span in path.spans] == [
        "inference",
        "segment 0",
        "a",
        "a",
        "segment 1",
        "b",
        "segment 3",
        "d",
    ]
    assert {part: time_us for part, time_us in path.us_of.items() if time_us} == {
        "inference": 100.0, "call": 9.0, "compute": 15.0, "transfer": 4.0, "dispatch": 2.0, "memory": 38.0,
    }  # fmt: skip


def test_time_lost_to_others_on_the_memory_is_waiting() -> None:
    limits = MemoryLimits(one_gb_per_s=40.0, several_gb_per_s=50.0)
    steps = [step("a", "cpu", "x", 10.0, dram_bytes=400_000), step("b", "npu", "x", 20.0, dram_bytes=800_000)]
    plan = make_plan(steps, [])
    path = critical_path(simulate_on(plan, machine(limits), overlap=True), plan)
    assert [span.name for span in path.spans] == ["b"]
    assert (path.us_of["memory"], path.us_of["waiting"]) == (20.0, 6.0)


def test_conversions_are_a_part_of_their_own() -> None:
    plan = make_plan([step("a", "cpu:float16", "x", 10.0)], ["a"], Fees(convert_us=3.0))
    path = critical_path(simulate_on(plan, machine()), plan)
    assert (path.us_of["conversion"], path.us_of["compute"], path.latency_us) == (6.0, 10.0, 16.0)


@LAWS
@given(plans(), MEMORIES, st.booleans())
def test_the_parts_of_the_path_add_up_to_the_latency(plan: Plan, memory: MemoryLimits, overlap: bool) -> None:
    timeline = simulate_on(plan, machine(memory), overlap=overlap)
    path = critical_path(timeline, plan)
    assert tuple(path.us_of) == PARTS
    assert path.latency_us == pytest.approx(timeline.latency_us)
    assert all(a.end_ns <= b.start_ns for a, b in pairwise(path.spans))


@LAWS
@given(plans(), MEMORIES, st.booleans())
def test_there_are_no_gaps_on_the_path(plan: Plan, memory: MemoryLimits, overlap: bool) -> None:
    path = critical_path(simulate_on(plan, machine(memory), overlap=overlap), plan)
    assert all(a.end_ns == b.start_ns for a, b in pairwise(path.spans))
    assert not path.spans or path.spans[0].start_ns == 0


@LAWS
@given(plans(), MEMORIES)
def test_where_units_take_turns_everything_is_on_the_path(plan: Plan, memory: MemoryLimits) -> None:
    timeline = simulate_on(plan, machine(memory))
    assert len(critical_path(timeline, plan).spans) == sum(span.end_ns > span.start_ns for span in timeline.spans)
