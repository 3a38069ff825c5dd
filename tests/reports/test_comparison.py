"""Two plans under one load: the tool finds that the best changes, when, and why."""

from dataclasses import replace

from partita.devices import load_soc
from partita.graph.plan import Plan
from partita.reports.comparison import best, comparison_document, explanation
from partita.simulator.scenario import scenario_from
from partita.simulator.scenario_run import simulate_scenario
from tests.simulator.plans import make_plan, step

SOC = load_soc("sd8gen3-qnn")


def busy(unit: str, time_us: float, compute_share: float) -> Plan:
    plan = make_plan([step("a", unit, "", time_us)], [])
    operator = plan.operators[0]
    cost = replace(operator.cost, compute_us=time_us * compute_share, memory_us=time_us)
    return replace(plan, operators=(replace(operator, cost=cost),))


def test_a_plan_that_is_best_cold_and_not_after_ten_minutes_is_found_and_explained() -> None:
    asked = {"format": "partita-scenario/1", "name": "ten minutes", "duration_s": 600.0,
             "streams": [{"mode": "single_stream"}]}  # fmt: skip
    plans = [busy("cpu", 100_000.0, 1.0), busy("gpu", 120_000.0, 0.1)]
    outcomes = [simulate_scenario([plan], SOC, scenario_from(asked)) for plan in plans]
    names = ["on the CPU", "on the GPU"]
    assert (best(outcomes, "cold"), best(outcomes, "warm")) == (0, 1)
    told = " ".join(explanation(outcomes, names))
    assert "Cold, on the CPU is best: 100 ms; on the GPU: 120 ms" in told
    assert "no longer it but on the GPU is best" in told
    assert "the clocks of cpu go down" in told
    assert "of 3120 MHz" in told
    assert "on the GPU stays ahead of on the CPU" in told
    assert comparison_document(outcomes, names)["best_warm"] == "on the GPU"
