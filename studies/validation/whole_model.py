"""What one inference of a whole model costs on one unit."""

from dataclasses import dataclass
from pathlib import Path

from partita.devices import load_soc, operator_cost
from partita.graph.plan import Cost
from partita.studies.validation.models import cover, graph_of
from partita.units import ms

EVIDENCE = ("roofline", "fitted", "interpolated", "measured")
"""The weakest first."""
LEAST_SHARE = 0.1
"""Evidence of less than this share of the time is passed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A latency and its range."""

    latency_ms: float
    low_ms: float
    high_ms: float
    evidence: str


def whole_model(path: Path, preset: str, unit_name: str) -> Estimate:
    """One inference on a unit, the host taking what it refuses; ModelError if it cannot run so."""
    soc = load_soc(preset)
    unit = soc.unit_named(unit_name)
    graph, matches = graph_of(path)
    kernels = cover(graph, matches, soc, unit_name)
    costs = [operator_cost(graph, node, unit, unit.dtypes[0]) for node in kernels.nodes] + list(kernels.elsewhere)
    return Estimate(
        latency_ms=ms(kernels.fixed_us + sum(cost.latency_us for cost in costs)),
        low_ms=ms(kernels.fixed_us + sum(cost.low_us for cost in costs)),
        high_ms=ms(kernels.fixed_us + sum(cost.high_us for cost in costs)),
        evidence=_weakest(costs),
    )


def _weakest(costs: list[Cost]) -> str:
    total_us = sum(cost.latency_us for cost in costs)
    for evidence in EVIDENCE:
        if sum(cost.latency_us for cost in costs if cost.evidence == evidence) >= LEAST_SHARE * total_us:
            return evidence
    return "free"
