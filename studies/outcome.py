"""What a study writes down about one placement."""

import hashlib
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from partita.devices import Soc
from partita.devices.soc import Unit
from partita.graph.plan import Plan
from partita.units import BITS_PER_BYTE, BYTES_PER_GB, BYTES_PER_MB, US_PER_MS, US_PER_S

RESULTS: Mapping[str, str] = {
    "latency_ms": "one inference, units taking turns",
    "energy_mj": "energy of one inference; empty if the Soc says nothing of power",
    "period_ms": "time between two pipelined frames",
    "kernels_ms": "share of the latency in which kernels run",
    "calls_ms": "share that starts segments, and the runtime's fixed cost",
    "transfers_ms": "share that hands tensors over",
    "segments": "calls of units",
    "kernels": "kernel calls",
    "transfers": "tensors handed over",
    "transfer_mb": "bytes handed over, in MB",
    "dram_mb": "memory traffic of one inference, in MB",
    "bandwidth_gb_per_s": "that traffic over the latency",
    "fallbacks": "operators that run on the host because no other unit takes them",
    "off_host": "share of the operators that run off the host",
    "gap": "what the proof leaves open: (value - bound) / value",
    "area_mm2": "area proxy: multipliers and on-chip memory of all units but CPUs, 45 nm, 1 GHz (docs/studies.md)",
}
"""The columns of numbers, and what they mean."""
UM2_PER_MM2 = 1e6
MACS_PER_CYCLE_OF_1_GMAC_PER_S = 1.0
"""At 1 GHz."""


def results_of(plan: Plan, soc: Soc) -> dict[str, float | None]:
    """The value of each of RESULTS."""
    moves_us = sum(transfer.latency_us for transfer in plan.transfers)
    kernels_us = sum(operator.cost.latency_us for operator in plan.operators)
    dram_bytes = sum(o.cost.dram_bytes for o in plan.operators) + sum(t.dram_bytes for t in plan.transfers)
    covered = [(operator.unit, len(operator.covers)) for operator in plan.operators]
    off_host = sum(count for unit, count in covered if unit != soc.host)
    seconds = plan.latency_us / US_PER_S
    return {
        "latency_ms": plan.latency_us / US_PER_MS,
        "energy_mj": plan.energy_mj,
        "period_ms": plan.period_us / US_PER_MS,
        "kernels_ms": kernels_us / US_PER_MS,
        "calls_ms": (plan.inference_us + sum(segment.call_us for segment in plan.segments)) / US_PER_MS,
        "transfers_ms": moves_us / US_PER_MS,
        "segments": len(plan.segments),
        "kernels": len(plan.operators),
        "transfers": len(plan.transfers),
        "transfer_mb": sum(transfer.size_bytes for transfer in plan.transfers) / BYTES_PER_MB,
        "dram_mb": dram_bytes / BYTES_PER_MB,
        "bandwidth_gb_per_s": dram_bytes / BYTES_PER_GB / seconds if seconds > 0 else 0.0,
        "fallbacks": _fallbacks(plan, soc),
        "off_host": off_host / max(1, sum(count for _, count in covered)),
        "gap": plan.proof.gap,
        "area_mm2": area_mm2(soc),
    }


def _fallbacks(plan: Plan, soc: Soc) -> int:
    """Operators on the host that every other unit refuses, by themselves and in every fused kernel."""
    others = {unit.name for unit in soc.units if unit.name != soc.host}
    refusing: dict[str, set[str]] = {}
    for refusal in plan.refusals:
        refusing.setdefault(refusal.node, set()).add(refusal.unit)
    at_host = [name for operator in plan.operators if operator.unit == soc.host for name in operator.covers]
    return sum(bool(others) and others <= refusing.get(name, set()) for name in at_host)


def placement_of(plan: Plan) -> str:
    """A short name for who runs what: equal for equal placements, whatever they cost."""
    told = sorted((name, str(o.location), o.kernel) for o in plan.operators for name in o.covers)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:12]


def operators_by_unit(plan: Plan) -> str:
    """Such as "npu=98 cpu=4", by falling count."""
    counts: dict[str, int] = {}
    for operator in plan.operators:
        counts[operator.unit] = counts.get(operator.unit, 0) + len(operator.covers)
    return " ".join(f"{unit}={count}" for unit, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def area_mm2(soc: Soc) -> float:
    """What the arithmetic and the on-chip memory of all units but CPUs would take; see `area.toml`."""
    return sum(_unit_area_um2(unit) for unit in soc.units if unit.kind != "cpu") / UM2_PER_MM2


def _unit_area_um2(unit: Unit) -> float:
    """One array serves all types, so the dearest of them counts."""
    facts = _area_facts()
    per_mac = facts["um2_per_mac"]
    arithmetic = max(
        rate.value * MACS_PER_CYCLE_OF_1_GMAC_PER_S * per_mac[dtype] for dtype, rate in unit.peak_gmac_per_s.items()
    )
    held_bytes = unit.on_chip_bytes.value if unit.on_chip_bytes is not None else 0.0
    return arithmetic + held_bytes * BITS_PER_BYTE * facts["sram_um2_per_bit"]


@cache
def _area_facts() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).resolve().parent / "area.toml").read_text(encoding="utf-8"))
