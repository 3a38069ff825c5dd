"""Plans that cannot run are refused, and the message says why."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from partita.errors import SimulationError
from partita.graph.plan import Plan
from partita.simulator.jobs import jobs_of, jobs_of_spans
from partita.simulator.run import simulate_on
from tests.simulator.plans import Fees, machine, make_plan, step

STEPS = [step("a", "cpu", "x", 10.0), step("b", "npu", "a", 20.0), step("c", "cpu", "b", 5.0)]


def renumbered(plan: Plan, index_of: Mapping[int, int]) -> Plan:
    return replace(
        plan,
        segments=tuple(replace(s, index=index_of[s.index]) for s in plan.segments),
        operators=tuple(replace(o, segment=index_of[o.segment]) for o in plan.operators),
    )


def test_jobs_stand_in_the_order_of_the_plan_and_know_what_they_need() -> None:
    jobs = jobs_of(make_plan(STEPS, ["b"], Fees(inference_us=1.0)))
    assert [(job.kind, job.name, job.after) for job in jobs] == [
        ("inference", "inference", ()),
        ("call", "segment 0", (0,)),
        ("operator", "a", (0,)),
        ("transfer", "a", (2,)),
        ("call", "segment 1", (0, 3)),
        ("operator", "b", (0, 3)),
        ("transfer", "b", (5,)),
        ("call", "segment 2", (0, 6)),
        ("operator", "c", (0, 6)),
    ]


def test_segments_that_need_each_other_are_refused() -> None:
    plan = make_plan(STEPS, [])
    joined = replace(plan.segments[0], operators=("a", "c"))
    cyclic = replace(
        plan,
        segments=(joined, plan.segments[1]),
        operators=tuple(replace(o, segment=0 if o.unit == "cpu" else 1) for o in plan.operators),
    )
    with pytest.raises(SimulationError, match=r"transfer 'b' .* needs the result of operator 'b' on npu"):
        jobs_of(cyclic)


def test_segments_in_an_order_that_cannot_run_are_refused() -> None:
    with pytest.raises(SimulationError, match=r"needs the result of operator 'b' on npu .*, which the plan runs later"):
        jobs_of(renumbered(make_plan(STEPS, []), {0: 0, 1: 2, 2: 1}))


def test_a_missing_transfer_is_named() -> None:
    plan = replace(make_plan(STEPS, []), transfers=())
    with pytest.raises(SimulationError, match="needs tensor 'a' at npu:float32, but the plan has it at cpu:float32"):
        jobs_of(plan)


def test_a_tensor_that_nobody_makes_is_named() -> None:
    plan = make_plan(STEPS, [])
    graph = replace(plan.graph, inputs=())
    with pytest.raises(SimulationError, match="needs tensor 'x' at cpu:float32, but the plan has it at nowhere"):
        jobs_of(replace(plan, graph=graph))


def test_an_unknown_unit_is_named_with_those_there_are() -> None:
    with pytest.raises(SimulationError, match="uses unit 'npu', which toy does not have; it has: cpu, gpu"):
        simulate_on(make_plan(STEPS, []), machine(units=("cpu", "gpu")))


@pytest.mark.parametrize("time_us", [-1.0, float("nan"), float("inf")])
def test_times_below_0_or_not_finite_are_refused(time_us: float) -> None:
    with pytest.raises(SimulationError, match="times must be finite and not below 0"):
        jobs_of(make_plan([step("a", "cpu", "x", time_us)], []))


def test_an_operator_outside_of_every_segment_is_refused() -> None:
    plan = make_plan(STEPS, [])
    with pytest.raises(SimulationError, match=r"operator 'c' is placed in segment 2 on cpu, but .* in no segment"):
        jobs_of(replace(plan, segments=plan.segments[:2]))


def test_an_operator_in_two_segments_is_refused() -> None:
    plan = make_plan(STEPS, [])
    twice = (*plan.segments, replace(plan.segments[0], index=7))
    with pytest.raises(SimulationError, match="operator 'a' is in segments 0 and 7"):
        jobs_of(replace(plan, segments=twice))


def test_an_operator_that_is_not_placed_is_refused() -> None:
    plan = make_plan(STEPS, [])
    more = replace(plan.segments[0], operators=("a", "ghost"))
    with pytest.raises(SimulationError, match="segment 0 lists 'ghost', which is no placed operator"):
        jobs_of(replace(plan, segments=(more, *plan.segments[1:])))


def test_a_transfer_for_an_unknown_operator_is_refused() -> None:
    plan = make_plan(STEPS, [])
    lost = replace(plan.transfers[0], before="ghost")
    with pytest.raises(SimulationError, match="'ghost' is to wait for tensor 'a', but is in no segment"):
        jobs_of(replace(plan, transfers=(lost,)))


def test_a_timeline_of_another_plan_is_refused() -> None:
    plan = make_plan(STEPS, [])
    other = simulate_on(make_plan(STEPS[:1], []), machine())
    with pytest.raises(SimulationError, match="does not belong to this plan"):
        jobs_of_spans(plan, other)
