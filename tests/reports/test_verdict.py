"""The sentence says what the numbers say, and no more."""

from dataclasses import replace

import pytest
from hypothesis import given

from partita.graph.plan import Plan, Shared
from partita.reports.account import Account
from partita.reports.fallbacks import fallbacks_of
from partita.reports.verdict import verdict_of
from partita.simulator.timeline import OVERLAP
from tests.reports.plans import Layer, layers, mobile_plan, plan_of, timeline_of


def sentence(plan: Plan) -> str:
    return verdict_of(Account(plan), timeline_of(plan)).sentence


def with_bound(plan: Plan, share: float, status: str = "optimal") -> Plan:
    return replace(plan, proof=replace(plan.proof, bound=plan.proof.value * share, status=status))


def test_the_verdict_of_a_mixed_plan_is_one_sentence() -> None:
    assert sentence(mobile_plan()) == (
        "6.99 ms on Toy 8 Gen 3 (toy-qnn): 2.9x faster than the CPU alone, proven within 0.1 % of the best; "
        "four operators on the CPU cost 2.8 ms."
    )


def test_a_plan_on_one_accelerator_says_so() -> None:
    text = sentence(plan_of([("Conv", "npu", "", 500.0), ("Relu", "npu", "", 20.0)]))
    assert ": all of it on the NPU, 2.9x faster than the CPU alone, proven within" in text
    assert "cost" not in text


def test_a_plan_on_the_host_alone_claims_no_gain() -> None:
    text = sentence(plan_of([("Conv", "cpu", "", 500.0)]))
    assert "the CPU alone is the quickest placement found" in text
    assert "faster" not in text


@pytest.mark.parametrize(("own", "second"), [("npu", "cpu"), ("cpu", "npu")])
def test_an_operator_that_two_units_share_is_not_told_as_ones_own(own: str, second: str) -> None:
    plan = plan_of([("Conv", own, "", 50.0), ("Relu", own, "", 20.0)])
    first, *others = plan.operators
    parts = Shared(
        unit=second, dtype="float32", channels=8, end=4, eighths=4, first=first.cost, second=first.cost,
        transform_us=1.0, map_us=1.0, pre_sync_us=1.0, post_sync_us=1.0,
    )  # fmt: skip
    text = sentence(replace(plan, operators=(replace(first, shared=parts), *others)))
    assert "all of it" not in text
    assert "alone is the quickest" not in text
    assert text.endswith("; one operator shared by two units.")


def test_accelerators_that_share_the_work_are_named_with_their_shares() -> None:
    text = sentence(plan_of([("Conv", "npu", "", 50.0), ("Conv", "npu", "", 50.0), ("Resize", "gpu", "", 20.0)]))
    assert text.endswith("; 1 of 3 operators on the GPU.")


def test_a_plan_that_is_mostly_on_the_cpu_names_what_is_not() -> None:
    text = sentence(plan_of([("Conv", "cpu", "", 50.0), ("Conv", "cpu", "", 50.0), ("Resize", "gpu", "", 20.0)]))
    assert text.endswith("; 1 of 3 operators on the GPU.")


@pytest.mark.parametrize(
    ("share", "status", "words"),
    [
        (1.0, "optimal", "proven the best"),
        (0.9993, "optimal", "proven within 0.1 % of the best"),
        (0.9989, "optimal", "proven within 0.2 % of the best"),
        (0.995, "time_limit", "proven within 0.5 % of the best"),
        (0.878, "time_limit", "stopped at the time limit: up to 13 % less may be possible"),
        (0.95, "optimal", "not proven the best: up to 5.0 % less may be possible"),
        (0.0, "time_limit", "with no proof of how good it is"),
    ],
)
def test_certainty_claims_no_more_than_the_bound(share: float, status: str, words: str) -> None:
    assert words in sentence(with_bound(mobile_plan(), share, status))


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (25.2, "25x faster than the CPU alone"),
        (1.05, "5 % faster than the CPU alone"),
        (1.001, "no faster than the CPU alone"),
        (0.5, "2.0x slower than the CPU alone"),
    ],
)
def test_the_comparison_is_honest_about_small_gains_and_losses(ratio: float, words: str) -> None:
    plan = mobile_plan()
    baseline = replace(plan.baselines[0], latency_us=plan.latency_us * ratio)
    assert words in sentence(replace(plan, baselines=(baseline,)))


def test_without_a_run_on_the_host_alone_the_quickest_rule_is_the_measure() -> None:
    plan = mobile_plan()
    assert "1.1x faster than “NPU, cpu fallback”" in sentence(replace(plan, baselines=plan.baselines[1:]))
    assert sentence(replace(plan, baselines=())).startswith("6.99 ms on Toy 8 Gen 3 (toy-qnn): proven within")


def test_a_timeline_that_overlaps_is_told_beside_the_plan() -> None:
    plan = mobile_plan()
    timeline = timeline_of(plan)
    shorter = replace(timeline, scenario=OVERLAP, spans=timeline.spans[: len(timeline.spans) // 2])
    text = verdict_of(Account(plan), shorter).sentence
    assert text.startswith("6.99 ms")
    assert text.endswith("ms when independent segments overlap.")


def test_control_characters_of_a_soc_name_do_not_reach_the_sentence() -> None:
    plan = replace(mobile_plan(), soc_name="x\x1b[2J\u202ey")
    assert "\\x1b[2J\\u202e" in sentence(plan)


@given(layers())
def test_every_plan_has_a_verdict_of_one_line(chain: list[Layer]) -> None:
    text = sentence(plan_of(chain))
    assert text.endswith(".")
    assert "\n" not in text
    assert "  " not in text


@given(layers())
def test_fallbacks_cost_no_more_than_the_whole_and_name_every_operator_once(chain: list[Layer]) -> None:
    plan = plan_of(chain)
    found = fallbacks_of(Account(plan))
    names = [name for fallback in found for name in fallback.nodes]
    assert len(names) == len(set(names))
    assert sum(fallback.cost_us for fallback in found) <= plan.latency_us * (1 + 1e-9)


def test_a_fallback_carries_its_reason_source_and_cost() -> None:
    worst, second, *chosen = fallbacks_of(Account(mobile_plan()))
    assert (worst.op, worst.reason) == ("GridSample", "GridSample is not in the list of HTP v75")
    assert worst.source == "QNN op package, HTP v75, 2.26"
    assert (worst.run_us, worst.unit.label, worst.wanted.label) == (1450.0, "CPU", "NPU")
    assert worst.around_us == (71 + 4 + 71) / 2  # its segment's transfers in and out and its call, shared with the Mul
    assert second.op == "Transpose"
    assert [(f.op, f.verdict) for f in chosen] == [("Mul", "chosen"), ("Reshape", "chosen")]
