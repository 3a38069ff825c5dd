"""A simulated timeline beside a measured one: latencies, segments, types, and timelines that do not belong together."""

from dataclasses import replace

import pytest

from partita.errors import SimulationError
from partita.graph.plan import Plan
from partita.reports.comparison_figure import comparison_figure
from partita.reports.comparison_of_run import (
    RunComparison,
    run_comparison_document,
    runs_side_by_side,
    verdict_of_run,
)
from partita.reports.figures import figure_bytes
from partita.simulator.run import simulate_on
from partita.simulator.timeline import MEASURED, Timeline
from tests.simulator.plans import machine, make_plan, step

PLAN = make_plan(
    [
        step("a", "cpu", "x", 10.0),
        step("b", "cpu", "a", 20.0),
        step("c", "gpu", "b", 40.0),
        step("d", "cpu", "c", 5.0),
    ],
    ["d"],
)


def simulated(plan: Plan = PLAN) -> Timeline:
    return simulate_on(plan, machine())


def slowed(timeline: Timeline, factor: int) -> Timeline:
    spans = tuple(replace(s, start_ns=s.start_ns * factor, end_ns=s.end_ns * factor) for s in timeline.spans)
    return replace(timeline, scenario=MEASURED, spans=spans)


def test_a_run_twice_as_long_is_an_error_of_minus_a_half_everywhere() -> None:
    found = RunComparison(PLAN, simulated(), slowed(simulated(), 2))
    assert found.error == pytest.approx(-0.5)
    assert [pair.error for pair in found.segments] == pytest.approx([-0.5] * 3)
    assert [(pair.unit, pair.operators) for pair in found.segments] == [("cpu", 2), ("gpu", 1), ("cpu", 1)]
    assert "-50 %" in verdict_of_run(found)


def test_only_the_segment_that_was_slower_is_off() -> None:
    spans = tuple(
        replace(s, end_ns=s.end_ns + 40_000) if s.name == "c" and s.kind == "operator" else s for s in simulated().spans
    )
    document = run_comparison_document(RunComparison(PLAN, simulated(), replace(simulated(), spans=spans)))
    assert [each["error"] == 0 for each in document["segments"]] == [True, False, True]
    assert document["segments"][1]["measured_ms"] - document["segments"][1]["simulated_ms"] == pytest.approx(0.04)


def test_what_a_runtime_does_between_two_kernels_counts_for_the_first() -> None:
    gap_ns = 7_000
    spans = []
    for span in simulated().spans:
        late = gap_ns if span.start_ns > 0 and span.name != "a" else 0
        spans.append(replace(span, start_ns=span.start_ns + late, end_ns=span.end_ns + late))
    found = RunComparison(PLAN, simulated(), replace(simulated(), spans=tuple(spans)))
    (pair,) = (each for each in found.types if each.op == PLAN.graph.node_named["a"].op)
    assert pair.measured_us - pair.simulated_us == pytest.approx(gap_ns / 1e3)


def test_timelines_of_other_plans_are_refused() -> None:
    with pytest.raises(SimulationError, match="the measured timeline is of another model"):
        RunComparison(PLAN, simulated(), replace(simulated(), graph_digest="other"))
    without = tuple(span for span in simulated().spans if span.name != "c")
    with pytest.raises(SimulationError, match="does not hold operator 'c' of the plan"):
        RunComparison(PLAN, simulated(), replace(simulated(), spans=without))


def test_units_that_compute_at_the_same_time_run_side_by_side() -> None:
    assert not runs_side_by_side(simulated())
    spans = tuple(replace(s, start_ns=0) if s.name == "c" else s for s in simulated().spans)
    assert runs_side_by_side(replace(simulated(), spans=spans))


@pytest.mark.parametrize("dark", [False, True])
def test_both_timelines_are_drawn_the_same_each_time(dark: bool) -> None:
    units = ('{"name": "cpu", "kind": "cpu", "title": "A CPU"}', '{"name": "gpu", "kind": "gpu", "title": "A GPU"}')
    plan = replace(PLAN, soc_json=f'{{"units": [{", ".join(units)}]}}')
    found = RunComparison(plan, simulated(), slowed(simulated(), 2))
    first, second = (figure_bytes(comparison_figure(found, dark=dark), ".png") for _ in range(2))
    assert first.startswith(b"\x89PNG")
    assert first == second
