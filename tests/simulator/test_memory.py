"""The Soc as the simulator sees it."""

import json
from typing import Any

import pytest

from partita.devices.number import Number
from partita.devices.power import Sharing
from partita.devices.soc import Soc
from partita.simulator.memory import machine_of
from partita.simulator.run import simulate
from tests.simulator.plans import make_plan, step


def number(value: float) -> dict[str, Any]:
    return {"value": value, "kind": "estimated", "source": "made up for a test"}


def unit(name: str, kind: str, bandwidth_gb_per_s: float, **more: Any) -> dict[str, Any]:
    rates = {"peak_gmac_per_s": {"float32": number(10.0)}, "peak_gop_per_s": {"float32": number(10.0)}}
    plain = {field: number(1.0) for field in ("call_us", "dispatch_us", "layout_gb_per_s", "cast_gb_per_s", "spread")}
    return {
        "name": name, "kind": kind, "title": name, "dtypes": ["float32"], "layout": "any",
        "support": "s", "fusions": "f",
        "bandwidth_gb_per_s": number(bandwidth_gb_per_s), "utilisation": {"default": number(1.0)},
        **rates, **plain, **more,
    }  # fmt: skip


SOC = Soc.from_json(
    json.dumps(
        {
            "format": "partita-soc/1",
            "name": "toy",
            "chip": "toy",
            "runtime": "none",
            "description": "",
            "host": "cpu",
            "inference_us": number(0.0),
            "units": [unit("cpu", "cpu", 20.0), unit("npu", "npu", 40.0, weights_gb_per_s=number(50.0))],
            "links": [
                {"source": "npu", "target": "cpu", "sync_us": number(1.0), "copy_gb_per_s": number(5.0)},
                {"source": "cpu", "target": "npu", "sync_us": number(1.0), "copy_gb_per_s": number(5.0)},
            ],
            "dram": {
                "peak_gb_per_s": number(80.0),
                "share_of_one": number(0.625),
                "share_of_several": number(0.75),
            },
        }
    )
)


def test_limits_come_from_the_soc() -> None:
    machine = machine_of(SOC)
    assert (machine.name, machine.units, machine.links) == ("toy", ("cpu", "npu"), ("npu->cpu", "cpu->npu"))
    assert (machine.memory.one_gb_per_s, machine.memory.several_gb_per_s) == (50.0, 60.0)
    assert machine.memory.alone_gb_per_s == {"cpu": 20.0, "npu": 50.0}


def test_tracks_are_the_host_the_units_and_the_links_in_use_in_the_order_of_the_soc() -> None:
    plan = make_plan([step("a", "npu", "x", 1.0)], ["a"])
    assert simulate(plan, SOC).tracks == ("host", "cpu", "npu", "npu->cpu", "cpu->npu")
    assert simulate(make_plan([step("a", "cpu", "x", 1.0)], []), SOC).tracks == ("host", "cpu", "npu")


def test_units_side_by_side_take_the_slowdown_times_as_long_however_little_they_read() -> None:
    """Both read 1 KB in 100 us, which any memory gives; the first of them works on alone for its second half."""
    slowed = SOC.model_copy(update={"sharing": Sharing(law="side_by_side", slowdown=Number(**number(1.25)))})
    plan = make_plan(
        [step("a", "cpu", "x", 200.0, dram_bytes=1000), step("b", "npu", "x", 100.0, dram_bytes=1000)], ["a"]
    )
    ends_us = {span.name: span.end_ns / 1e3 for span in simulate(plan, slowed, overlap=True).spans}
    assert ends_us["b"] == pytest.approx(125.0, abs=1.5)
    assert ends_us["a"] == pytest.approx(225.0, abs=1.5)
    in_turns = simulate(plan, slowed)
    assert in_turns.latency_us == simulate(plan, SOC).latency_us
