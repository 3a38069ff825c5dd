"""Power and heat of a Soc: records that refuse nonsense, laws of the power model, energy of one kernel."""

import json
from itertools import pairwise
from typing import Any

import pytest

from partita.devices import Soc, load_soc, preset_names
from partita.devices.power import dram_energy_mj, host_energy_mj, idle_power_mw, kernel_energy_mj
from partita.errors import SocError

POWERED = tuple(name for name in preset_names() if load_soc(name).power is not None)
SOC = load_soc("sd8gen3-qnn")


def changed(path: str, value: object) -> str:
    content = json.loads(SOC.to_json())
    *folders, last = path.split(".")
    place: Any = content
    for key in folders:
        place = place[int(key) if key.isdigit() else key]
    place[last] = value
    return json.dumps(content)


def test_these_presets_know_their_power() -> None:
    assert {"sd8gen3-qnn", "sd855-tflite"} <= set(POWERED)
    assert "rk3588-rknn" not in POWERED


@pytest.mark.parametrize("name", POWERED)
def test_power_and_voltage_rise_with_the_clock(name: str) -> None:
    soc = load_soc(name)
    assert soc.power is not None
    for unit in soc.power.units.values():
        steps = range(len(unit.steps.clock_mhz))
        assert all(unit.active_at_mw(a) < unit.active_at_mw(b) for a, b in pairwise(steps))
        assert unit.active_at_mw(steps[-1]) == pytest.approx(unit.active_mw.value)
        assert unit.active_at_mw(0, leakage_factor=2.0) > unit.active_at_mw(0)
        assert unit.voltage_share(steps[-1]) == pytest.approx(1.0)


def test_dynamic_power_follows_clock_and_voltage_where_voltages_are_known() -> None:
    assert SOC.power is not None
    unit = SOC.power.units["cpu"]
    steps = unit.steps.model_copy(update={"clock_mhz": (1000.0, 2000.0), "voltage_v": (0.5, 1.0), "active_share": None})
    assert unit.model_copy(update={"steps": steps}).dynamic_share(0) == pytest.approx(0.125)


def test_a_kernel_costs_its_active_power_and_its_traffic() -> None:
    assert SOC.power is not None
    npu = SOC.power.units["npu"]
    computing = kernel_energy_mj(SOC, "npu", 1000.0, 0.0)
    waiting = kernel_energy_mj(SOC, "npu", 1000.0, 0.0, compute_us=0.0)
    traffic = kernel_energy_mj(SOC, "npu", 0.0, 1e6)
    assert computing == pytest.approx(npu.active_mw.value / 1000)
    assert waiting == pytest.approx(npu.active_mw.value / 1000 * npu.stalled_share.value)
    assert traffic == pytest.approx(dram_energy_mj(SOC.power, 1e6)) == pytest.approx(0.04)
    assert host_energy_mj(SOC, 1000.0) == pytest.approx(SOC.power.host_core_mw.value / 1000)
    idle = sum(unit.idle_mw.value for unit in SOC.power.units.values())
    assert idle_power_mw(SOC) == pytest.approx(SOC.power.base_mw.value + idle)


def test_a_soc_without_power_has_no_energy() -> None:
    soc = load_soc("rk3588-rknn")
    assert kernel_energy_mj(soc, "cpu", 1.0, 1.0) is None
    assert host_energy_mj(soc, 1.0) is None
    assert idle_power_mw(soc) is None


def test_power_is_not_taken_over_from_a_base_silently() -> None:
    assert load_soc("exynos9820-tflite").power is None
    assert load_soc("exynos9820-tflite").thermal is None


def test_a_unit_wakes_slower_the_longer_it_slept() -> None:
    assert SOC.power is not None
    npu = SOC.power.units["npu"]
    assert npu.wake_us(0.0) == npu.wake_us(99_999.0) == 0.0
    assert npu.wake_us(100_000.0) == npu.wake[0].wake_us.value > 0


BAD = [
    ("power.units.npu.steps.clock_mhz", [2.0, 1.0], "rise from step to step"),
    ("power.units.npu.steps.voltage_v", [1.0], "voltage_v has 1 entries, clock_mhz has 7"),
    ("power.units.npu.exponent", None, "exponent is missing"),
    ("power.units.gpu.stalled_share.value", 1.5, "high must hold|at most 1"),
    ("power.units.npu.active_mw.value", 0.0, "low <= value|above 0"),
    ("power.units.dsp", {}, "power.units.dsp"),
    ("thermal.nodes.ambient", {}, "thermal.nodes.ambient"),
    ("thermal.paths.0.target", "nowhere", "paths.0. names 'nowhere', which is no node"),
    ("thermal.paths.4.target", "board", "to itself|no way to the ambient"),
    ("thermal.limits.0.node", "skin", "limits.0..node is 'skin'"),
    ("thermal.limits.0.units", ["dsp"], "'dsp' is no unit"),
    ("thermal.nodes.board.heated_by", ["dram", "cpu"], "'cpu' heats two nodes"),
    ("thermal.nodes.case.heated_by", [], "'base' heats no node"),
    ("power", None, "thermal needs .power."),
    ("sharing", {"law": "three_regions"}, "sharing.regions is missing"),
    ("sharing", {"law": "fair"}, "sharing.law"),
    ("sharing", {"law": "side_by_side"}, "slowdown and the law side_by_side must be given together"),
    (
        "sharing",
        {"law": "side_by_side", "slowdown": {"value": 0.5, "kind": "measured", "source": "a test"}},
        "sharing.slowdown must be at least 1",
    ),
    ("co_execution", {"first": "gpu"}, "co_execution.second is missing"),
]


@pytest.mark.parametrize(("path", "value", "message"), BAD)
def test_wrong_power_or_heat_is_refused_in_one_line(path: str, value: object, message: str) -> None:
    with pytest.raises(SocError, match=message) as raised:
        Soc.from_json(changed(path, value))
    assert "\n" not in str(raised.value)
