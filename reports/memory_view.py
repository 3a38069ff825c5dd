"""The page's memory section: per unit, what its weights and activations take, when most lies there, and a curve."""

from dataclasses import dataclass
from typing import Any

from partita.graph.plan import Plan
from partita.reports.account import Account
from partita.reports.residency import Lying, Residency, residencies_of
from partita.reports.wording import bytes_text, printable

LARGEST = 3
"""Tensors named at the peak."""
CURVE_POINTS = 600
CURVE_HEIGHT = 100.0
CURVE_WIDTH = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRow:
    """One unit's memory as the page shows it."""

    label: str
    style: str
    weights_bytes: int
    activations_bytes: int
    peak_bytes: int
    at: str
    """The kernel call at which most lies there."""
    largest: tuple[str, ...]
    curve: str
    """An SVG path in a box of 1000 x 100, all units on one scale; weights included."""
    base_y: float
    """Top of the weights in that box."""


def memory_rows(account: Account) -> tuple[MemoryRow, ...]:
    """Units in the order of the Soc, those without anything left out."""
    found = residencies_of(account.plan)
    highest = max((residency.peak_bytes for residency in found.values()), default=0) or 1
    return tuple(
        _row(account.plan, found[unit.name], printable(unit.label), f"u{i}", highest)
        for i, unit in enumerate(account.chip.units)
        if unit.name in found and found[unit.name].peak_bytes
    )


def _row(plan: Plan, residency: Residency, label: str, style: str, highest: int) -> MemoryRow:
    return MemoryRow(
        label=label,
        style=style,
        weights_bytes=residency.weights_bytes,
        activations_bytes=residency.peak_bytes - residency.weights_bytes,
        peak_bytes=residency.peak_bytes,
        at=printable(peak_name(plan, residency)),
        largest=tuple(_told(lying) for lying in residency.largest_at_peak[:LARGEST]),
        curve=_curve(residency, highest),
        base_y=round(CURVE_HEIGHT * (1 - residency.weights_bytes / highest), 2),
    )


def peak_name(plan: Plan, residency: Residency) -> str:
    """The kernel call of a unit's peak."""
    step = residency.peak_step
    return plan.operators[step].node if step < len(plan.operators) else "outputs to the host"


def _told(lying: Lying) -> str:
    return f"{printable(lying.tensor)} {bytes_text(lying.size_bytes)}"


def _curve(residency: Residency, highest: int) -> str:
    """Steps from left to right; many steps share a point, at the largest of them."""
    sums = residency.activations_bytes
    points = min(CURVE_POINTS, len(sums))
    path = [f"M0 {CURVE_HEIGHT:g}"]
    for i in range(points):
        first, last = i * len(sums) // points, (i + 1) * len(sums) // points
        y = CURVE_HEIGHT * (1 - (residency.weights_bytes + max(sums[first:last])) / highest)
        path.append(f"L{CURVE_WIDTH * i / points:.1f} {y:.1f}H{CURVE_WIDTH * (i + 1) / points:.1f}")
    return "".join([*path, f"V{CURVE_HEIGHT:g}Z"])


def memory_document(plan: Plan) -> dict[str, Any]:
    """Per unit as `templates/plan.schema.json` has it; sizes in bytes."""
    return {
        unit: {
            "weights_bytes": residency.weights_bytes,
            "peak_bytes": residency.peak_bytes,
            "peak_at": peak_name(plan, residency),
            "largest_at_peak": [
                {"tensor": lying.tensor, "dtype": lying.location.dtype, "size_bytes": lying.size_bytes}
                for lying in residency.largest_at_peak[:LARGEST]
            ],
        }
        for unit, residency in residencies_of(plan).items()
    }
