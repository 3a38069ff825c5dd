"""The sums behind the reports."""

from dataclasses import replace

import pytest
from hypothesis import given

from partita.errors import PlanError
from partita.reports.account import Account
from partita.reports.chip import chip_of
from partita.reports.summary import plan_document
from tests.reports.plans import Layer, layers, mobile_layers, mobile_plan, plan_of, timeline_of


@given(layers())
def test_units_transfers_and_runtime_add_up_to_the_latency_of_the_plan(chain: list[Layer]) -> None:
    plan = plan_of(chain)
    assert Account(plan).latency_us == pytest.approx(plan.latency_us)
    assert timeline_of(plan).latency_us == pytest.approx(plan.latency_us, abs=0.5)


@given(layers())
def test_the_range_holds_the_latency(chain: list[Layer]) -> None:
    account = Account(plan_of(chain))
    assert account.low_us <= account.latency_us * (1 + 1e-9)
    assert account.latency_us <= account.high_us * (1 + 1e-9)


@given(layers())
def test_time_by_evidence_and_by_bound_are_both_the_operators_time(chain: list[Layer]) -> None:
    account = Account(plan_of(chain))
    operators_us = sum(total.operators_us for total in account.units)
    assert sum(account.us_by_evidence.values()) == pytest.approx(operators_us)
    assert sum(account.us_by_bound.values()) == pytest.approx(operators_us)


def test_operators_inside_fused_kernels_are_counted_and_keep_their_own_type() -> None:
    account = Account(mobile_plan())
    assert account.operators == len(mobile_layers())
    assert account.op_of("/features/1/Conv") == "Conv"
    assert account.op_of("/features/2/Relu") == "Relu"
    assert account.op_of("nobody") == "?"


def test_a_unit_is_called_by_its_kind_unless_there_are_two_of_them() -> None:
    plan = mobile_plan()
    two = plan.soc_json.replace('"kind": "gpu"', '"kind": "npu"')
    assert [unit.label for unit in chip_of(plan).units] == ["CPU", "GPU", "NPU"]
    assert [unit.label for unit in chip_of(replace(plan, soc_json=two)).units] == ["CPU", "gpu", "npu"]


def test_a_plan_on_a_unit_that_its_soc_lacks_is_refused_by_name() -> None:
    plan = mobile_plan()
    with pytest.raises(PlanError, match=r"uses unit 'npu'.* has: cpu, gpu, tpu"):
        plan_document(replace(plan, soc_json=plan.soc_json.replace('"name": "npu"', '"name": "tpu"')))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"units": 3}', '{"units": [{"name": "cpu"}]}', "null"])
def test_a_plan_with_a_broken_soc_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="'toy-qnn' cannot be read"):
        chip_of(replace(mobile_plan(), soc_json=text))
