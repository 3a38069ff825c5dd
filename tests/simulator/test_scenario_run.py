"""Scenarios against queueing theory, and laws of energy and time under clocks that change all the while."""

import math
import statistics
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.devices import Soc, load_soc
from partita.errors import SimulationError
from partita.graph.plan import Plan
from partita.simulator.outcome import Outcome
from partita.simulator.scenario import Scenario, scenario_from
from partita.simulator.scenario_run import simulate_scenario
from partita.units import NS_PER_US, US_PER_MS
from tests.simulator.plans import Fees, make_plan, plans, step

SOC = load_soc("sd8gen3-qnn")
TIMES_ONLY = SOC.model_copy(update={"power": None, "thermal": None})
SERVICE_MS = 1.0
ONE_OPERATOR = make_plan([step("a", "npu", "", SERVICE_MS * US_PER_MS)], [])
T_99_PERCENT_9_DEGREES = 3.250
"""Student's t: ten independent runs, two-sided."""
LAWS = settings(max_examples=40, deadline=None, derandomize=True)


def scenario(*streams: dict[str, Any], **fields: Any) -> Scenario:
    return scenario_from({"format": "partita-scenario/1", "name": "test", "streams": list(streams), **fields})


def mean_latencies_ms(load: float, variation: float, queries: int = 3000) -> list[float]:
    """Of ten independent runs of a server with one unit."""
    stream = {"mode": "server", "rate_per_s": load * 1000 / SERVICE_MS, "queries": queries, "variation": variation}
    found = []
    for seed in range(10):
        outcome = simulate_scenario([ONE_OPERATOR], TIMES_ONLY, scenario(stream, seed=seed))
        found.append(outcome.streams[0].latency.mean_ns / NS_PER_US / US_PER_MS)
    return found


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_constant_service_waits_as_the_m_d_1_queue_does(load: float) -> None:
    found = mean_latencies_ms(load, 0.0)
    closed_form_ms = SERVICE_MS * (1 + load / (2 * (1 - load)))  # Pollaczek and Khinchine
    error = T_99_PERCENT_9_DEGREES * statistics.stdev(found) / math.sqrt(len(found))
    assert abs(statistics.mean(found) - closed_form_ms) <= error < 0.1 * closed_form_ms


@pytest.mark.parametrize("load", [0.3, 0.6])
def test_exponential_service_waits_as_the_m_m_1_queue_does(load: float) -> None:
    found = mean_latencies_ms(load, 1.0)
    closed_form_ms = SERVICE_MS / (1 - load)
    error = T_99_PERCENT_9_DEGREES * statistics.stdev(found) / math.sqrt(len(found))
    assert abs(statistics.mean(found) - closed_form_ms) <= error < 0.15 * closed_form_ms


def test_little_s_law_holds_to_the_nanosecond() -> None:
    stream = {"mode": "server", "rate_per_s": 800.0, "queries": 2000, "variation": 0.5}
    outcome = simulate_scenario([ONE_OPERATOR], TIMES_ONLY, scenario(stream))
    latency = outcome.streams[0].latency
    assert outcome.streams[0].mean_waiting * outcome.end_ns == pytest.approx(latency.total_ns, rel=1e-12)


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Plan], Soc, Scenario]:
    """One or two plans on a phone that may be too hot from the start and looks at its clocks every 2 us."""
    assert SOC.thermal is not None
    tick = SOC.thermal.step_ms.model_copy(update={"value": 0.002, "low": None, "high": None})
    limits = tuple(limit.model_copy(update={"polling_ms": tick}) for limit in SOC.thermal.limits)
    thermal = SOC.thermal.model_copy(update={"step_ms": tick, "polling_ms": tick, "limits": limits})
    streams = []
    found = draw(st.lists(plans(most_operators=5, most_gb_per_s=30), min_size=1, max_size=2))
    for _ in found:
        streams.append(
            {
                "mode": draw(st.sampled_from(("single_stream", "multi_stream", "offline"))),
                "queries": draw(st.integers(1, 4)),
                "execution": draw(st.sampled_from(("sequential", "overlap"))),
                "in_flight": draw(st.integers(1, 2)),
                "variation": draw(st.sampled_from((0.0, 0.0, 0.5))),
                "priority": draw(st.integers(0, 1)),
            }
        )
    background = [
        [],
        [{"unit": "cpu", "share": 0.4, "start_s": 2e-6, "end_s": 9e-6}],
        [{"dram_gb_per_s": 30.0, "end_s": 5e-6}],
    ]
    asked = scenario(
        *streams,
        ambient_c=draw(st.sampled_from((25.0, 85.0))),
        governor=draw(st.sampled_from(("performance", "schedutil"))),
        completion=draw(st.sampled_from(("interrupt", "poll"))),
        background=draw(st.sampled_from(background)),
        window={"length_s": 1.0},
    )
    power = SOC.power
    if draw(st.booleans()) and power is not None:
        several = power.several_share.model_copy(update={"value": 0.9, "low": None, "high": None})
        power = power.model_copy(update={"several_share": several})
    return found, SOC.model_copy(update={"thermal": thermal, "power": power}), asked


@LAWS
@given(runs())
def test_energy_and_time_add_up_whatever_the_clocks_do(run: tuple[list[Plan], Soc, Scenario]) -> None:
    outcome = simulate_scenario(*run)
    check_energy(outcome)
    check_times(outcome)
    check_tracks(outcome)


def check_energy(outcome: Outcome) -> None:
    energy = outcome.energy
    assert energy is not None
    assert energy.rest_quanta == 0
    parts = [energy.base_mj, energy.host_mj, energy.dram_mj, energy.together_mj, energy.background_mj]
    for by_unit in (energy.idle_mj, energy.dynamic_mj, energy.leakage_mj):
        parts += by_unit.values()
    assert sum(parts) == pytest.approx(energy.total_mj, rel=1e-9)
    charged = sum(stream.energy_mj for stream in outcome.streams) + energy.wake_mj
    drawn = sum(energy.dynamic_mj.values()) + energy.host_mj + energy.dram_mj
    assert charged == pytest.approx(drawn, rel=1e-9, abs=1e-12)
    power = outcome.curve("power")
    if power is not None:
        curve_mj = sum(watts * (end - start) for (start, watts), (end, _) in pairwise(power.points)) * 1e-6
        assert curve_mj == pytest.approx(energy.total_mj, rel=1e-9)


def test_work_that_takes_no_time_is_booked_once() -> None:
    assert SOC.power is not None
    several = SOC.power.several_share.model_copy(update={"value": 0.9, "low": None, "high": None})
    soc = SOC.model_copy(update={"power": SOC.power.model_copy(update={"several_share": several}), "thermal": None})
    short = make_plan([step("a", "cpu", "x", 1.0)], [])
    at_once = make_plan([step("a", "gpu", "x", 0.0), step("b", "cpu", "a", 0.0)], [], Fees(dram_bytes=1))
    stream = {"mode": "single_stream", "queries": 1}
    check_energy(simulate_scenario([short, at_once], soc, scenario(stream, stream)))


def test_clocks_that_change_as_a_slice_ends_hold_for_what_follows() -> None:
    assert SOC.thermal is not None
    tick = SOC.thermal.step_ms.model_copy(update={"value": 0.002, "low": None, "high": None})
    soc = SOC.model_copy(update={"thermal": SOC.thermal.model_copy(update={"step_ms": tick, "polling_ms": tick})})
    nothing = make_plan([], [])
    until_tick = replace(make_plan([step("a", "cpu", "x", 0.01)], []), inference_us=2.0)
    stream = {"mode": "single_stream", "queries": 1, "execution": "sequential"}
    asked = scenario(stream, stream, governor="schedutil", window={"length_s": 1.0})
    check_energy(simulate_scenario([nothing, until_tick], soc, asked))


def check_times(outcome: Outcome) -> None:
    """What the path of an inference is made of adds up to its latency, and no part is below 0."""
    for stream, asked in zip(outcome.streams, outcome.scenario.streams, strict=True):
        assert stream.answered == stream.asked == asked.queries
        assert all(us >= -0.01 or part == "throttling" for part, us in stream.parts_us.items())
        pieces = len(stream.operators)
        whole_us = stream.latency.mean_ns / NS_PER_US
        assert sum(stream.parts_us.values()) == pytest.approx(whole_us, abs=0.002 * (pieces + 1))
        assert all(operator.count == stream.inferences for operator in stream.operators)


def check_tracks(outcome: Outcome) -> None:
    for track in outcome.tracks:
        spans = sorted((i.start_ns, i.end_ns) for i in outcome.intervals if i.track == track)
        assert all(a[1] <= b[0] for a, b in pairwise(spans))


@LAWS
@given(runs())
def test_the_same_run_gives_the_same_outcome(run: tuple[list[Plan], Soc, Scenario]) -> None:
    first, second = simulate_scenario(*run), simulate_scenario(*run)
    assert (first.end_ns, first.energy, first.curves, first.intervals) == (
        second.end_ns,
        second.energy,
        second.curves,
        second.intervals,
    )


def test_a_camera_drops_what_it_has_no_time_for() -> None:
    stream = {"mode": "periodic", "period_ms": 0.4, "waiting": 0, "deadline_ms": 2.0}
    outcome = simulate_scenario([ONE_OPERATOR], TIMES_ONLY, scenario(stream, duration_s=0.012))
    found = outcome.streams[0]
    assert (found.asked, found.answered, found.dropped, found.missed) == (30, 10, 20, 20)
    assert outcome.notes == ("sd8gen3-qnn has no [power]: only times are simulated, without energy, clocks or heat",)


def test_lower_clocks_stretch_computing_and_cost_less_power() -> None:
    computing = make_plan([step("a", "npu", "", 1000.0)], [])
    streaming = make_plan([step("a", "npu", "", 1000.0, dram_bytes=1_000_000)], [])
    fixed = {"governor": "fixed", "clocks_mhz": {"npu": 1200.0}}
    stream = {"mode": "single_stream", "queries": 20}
    for plan, stretched in ((computing, 1940 / 1200), (streaming, 1.0)):
        outcome = simulate_scenario([plan], SOC, scenario(stream, **fixed))
        top = simulate_scenario([plan], SOC, scenario(stream))
        assert outcome.streams[0].latency.mean_ns == pytest.approx(stretched * top.streams[0].latency.mean_ns, rel=1e-5)
        assert outcome.energy is not None
        assert top.energy is not None
        assert outcome.energy.dynamic_mj["npu"] < top.energy.dynamic_mj["npu"]


def test_a_clock_that_falls_within_an_operator_changes_its_rate_from_then_on() -> None:
    # 30 ms of work. After 10 ms the NPU has too little of itself left: half its speed. The rest takes 40 ms, not 20.
    plan = make_plan([step("a", "npu", "", 30_000.0)], [])
    background = [{"unit": "npu", "share": 0.5, "start_s": 0.01}]
    outcome = simulate_scenario([plan], SOC, scenario({"mode": "single_stream", "queries": 1}, background=background))
    assert outcome.streams[0].latency.mean_ns == pytest.approx(50e6, rel=1e-6)
    assert outcome.streams[0].parts_us["throttling"] == pytest.approx(20_000, rel=1e-6)


def test_a_unit_that_has_slept_wakes_up_first_unless_the_host_polls() -> None:
    plan = make_plan([step("a", "cpu", "", 1000.0)], [])
    stream = {"mode": "periodic", "period_ms": 50.0}
    for completion, wake_us in (("interrupt", 370.0), ("poll", 0.0)):
        outcome = simulate_scenario([plan], SOC, scenario(stream, duration_s=1.0, completion=completion))
        parts = outcome.streams[0].parts_us
        assert parts["wake"] == pytest.approx(wake_us * 19 / 20)
        assert sum(parts.values()) == pytest.approx(outcome.streams[0].latency.mean_ns / NS_PER_US)


def test_background_traffic_slows_what_streams_and_not_what_computes() -> None:
    streaming = make_plan([step("a", "npu", "", 1000.0, dram_bytes=50_000_000)], [])
    computing = make_plan([step("a", "npu", "", 1000.0, dram_bytes=1_000)], [])
    background = [{"dram_gb_per_s": 40.0}]
    for plan, slowed in ((streaming, True), (computing, False)):
        asked = scenario({"mode": "single_stream", "queries": 3}, background=background)
        parts = simulate_scenario([plan], SOC, asked).streams[0].parts_us
        assert (parts["contention"] > 100) == slowed


def test_frames_pipeline_across_units() -> None:
    steps = [step("a", "cpu", "x", 1000.0), step("b", "npu", "a", 1000.0)]
    plan = make_plan(steps, [], Fees(sync_us=1.0))
    stream = {"mode": "offline", "queries": 50}
    one = simulate_scenario([plan], TIMES_ONLY, scenario({**stream, "in_flight": 1}))
    two = simulate_scenario([plan], TIMES_ONLY, scenario({**stream, "in_flight": 3}))
    assert one.end_ns == 50 * 2_001_000
    assert two.end_ns == 51 * 1_000_000 + 1_000


def test_memory_does_not_grow_with_simulated_time() -> None:
    stream = {"mode": "server", "rate_per_s": 500.0}
    long = simulate_scenario([ONE_OPERATOR], SOC, scenario(stream, duration_s=150.0))
    assert long.inferences > 70_000
    assert not long.streams[0].latency.is_exact
    assert all(len(curve.points) <= 2_049 for curve in long.curves)
    exact = simulate_scenario([ONE_OPERATOR], SOC, scenario(stream, duration_s=100.0)).streams[0].latency
    assert exact.is_exact
    assert long.streams[0].latency.percentile_ns(90) == pytest.approx(exact.percentile_ns(90), rel=0.1)


def test_plans_and_streams_must_match() -> None:
    with pytest.raises(SimulationError, match="has 1 streams, but 2 plans"):
        simulate_scenario([ONE_OPERATOR] * 2, SOC, scenario({"mode": "single_stream", "queries": 1}))


def test_a_plan_for_another_phone_is_refused() -> None:
    with pytest.raises(SimulationError, match="unit 'npu', which sd855-tflite does not have"):
        simulate_scenario([ONE_OPERATOR], load_soc("sd855-tflite"), scenario({"mode": "single_stream", "queries": 1}))
