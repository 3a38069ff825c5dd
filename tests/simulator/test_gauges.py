"""Power, clocks and temperatures of one inference."""

from dataclasses import replace

import pytest

from partita.devices import load_soc
from partita.graph.plan import Plan, Shared
from partita.simulator.run import simulate
from partita.simulator.scenario import scenario_from
from partita.simulator.scenario_run import simulate_scenario
from partita.simulator.timeline import Counter, Timeline
from partita.units import NS_PER_US
from tests.simulator.plans import Fees, cost, make_plan, step

SOC = load_soc("sd8gen3-qnn")


def timeline(*, overlap: bool = False) -> Timeline:
    steps = [step("a", "cpu", "x", 400.0), step("b", "npu", "a", 600.0, dram_bytes=3_000_000)]
    return simulate(make_plan(steps, ["b"], Fees(sync_us=50.0)), SOC, overlap=overlap)


def counter(found: Timeline, name: str) -> Counter:
    return next(c for c in found.counters if c.name == name)


def mean(found: Counter, end_ns: int) -> float:
    times = [*(time for time, _ in found.points), end_ns]
    pairs = zip(found.points, times[1:], strict=True)
    return sum(value * (end - begin) for (begin, value), end in pairs) / end_ns


@pytest.mark.parametrize("overlap", [False, True])
def test_the_phone_draws_what_its_units_memory_host_and_rest_draw(overlap: bool) -> None:
    found, power = timeline(overlap=overlap), SOC.power
    assert power is not None
    end_ns = round(found.latency_us * NS_PER_US)
    units = sum(mean(counter(found, f"power {unit.name}"), end_ns) for unit in SOC.units)
    host_us = sum(s.duration_us for s in found.spans if s.kind in ("inference", "call", "transfer"))
    host_w = power.host_core_mw.value / 1e3 * host_us / found.latency_us
    dram_w = sum(s.dram_bytes for s in found.spans) * power.dram_pj_per_byte.value / 1e3 / end_ns
    whole = mean(counter(found, "power"), end_ns)
    assert whole == pytest.approx(units + power.base_mw.value / 1e3 + host_w + dram_w, rel=1e-3)


def test_a_unit_draws_most_while_it_works() -> None:
    found = timeline()
    span = next(s for s in found.spans if s.name == "b")
    points = counter(found, "power npu").points
    most = max(points, key=lambda point: point[1])
    assert span.start_ns <= most[0] < span.end_ns


def test_clocks_are_at_the_top_and_temperatures_rise_from_the_ambient() -> None:
    found, power, thermal = timeline(), SOC.power, SOC.thermal
    assert power is not None
    assert thermal is not None
    for unit in SOC.units:
        assert counter(found, f"clock {unit.name}").points == ((0, power.units[unit.name].steps.clock_mhz[-1]),)
    for node in thermal.nodes:
        points = counter(found, f"temperature {node}").points
        assert points[0] == (0, thermal.ambient_c.value)
        assert points[-1][1] >= points[0][1]
    assert any(counter(found, f"temperature {node}").points[-1][1] > thermal.ambient_c.value for node in thermal.nodes)


def split_plan() -> Plan:
    """One operator of the CPU that the GPU computes a part of."""
    plan = make_plan([step("a", "cpu", "x", 900.0, dram_bytes=4_000_000)], ["a"])
    shared = Shared(unit="gpu", dtype="float32", channels=8, end=4, eighths=4, first=cost(500.0), second=cost(400.0),
                    transform_us=20.0, map_us=30.0, pre_sync_us=40.0, post_sync_us=50.0)  # fmt: skip
    return replace(plan, operators=(replace(plan.operators[0], shared=shared),))


def test_both_units_of_a_split_operator_draw_side_by_side_and_the_memory_once() -> None:
    found = simulate(split_plan(), SOC)
    end_ns = round(found.latency_us * NS_PER_US)
    spans = {(span.kind, span.track): span for span in found.spans}
    for unit in ("cpu", "gpu"):
        span, points = spans["split", unit], counter(found, f"power {unit}").points
        most = max(points, key=lambda point: point[1])
        assert span.start_ns <= most[0] < span.end_ns
    assert mean(counter(found, "dram"), end_ns) * end_ns == pytest.approx(4_000_000, rel=1e-6)


def test_a_split_operator_draws_what_a_scenario_of_one_inference_says() -> None:
    soc = SOC.model_copy(update={"thermal": None})
    found = simulate(split_plan(), soc)
    whole_mj = mean(counter(found, "power"), round(found.latency_us * NS_PER_US)) * found.latency_us / 1e3
    stream = {"mode": "single_stream", "queries": 1}
    asked = scenario_from(
        {"format": "partita-scenario/1", "name": "one", "governor": "performance", "streams": [stream]}
    )
    outcome = simulate_scenario([split_plan()], soc, asked)
    assert outcome.energy is not None
    assert outcome.end_ns == round(found.latency_us * NS_PER_US)
    assert whole_mj == pytest.approx(outcome.energy.total_mj, rel=1e-4)


def test_a_soc_without_power_has_none_of_them() -> None:
    bare = SOC.model_copy(update={"power": None, "thermal": None})
    found = simulate(make_plan([step("a", "cpu", "x", 40.0)], []), bare)
    assert {c.name.split(" ")[0] for c in found.counters} <= {"dram"}
