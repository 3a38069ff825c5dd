"""The models of a table: their files in a folder, read once, and what a whole one costs on one unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from partita.devices import Soc
from partita.errors import ModelError
from partita.graph.ir import Graph
from partita.graph.match import Match
from partita.graph.onnx_import import read_onnx
from partita.graph.plan import Cost
from partita.partitioner.baselines import alone
from partita.partitioner.candidates import formulate
from partita.partitioner.problem import evaluate
from partita.passes.find_matches import find_matches
from partita.passes.pipeline import prepare
from partita.units import ms

MODELS_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a whole model takes on one unit, with what that unit refuses on the host."""

    latency_ms: float
    low_ms: float
    high_ms: float
    evidence: str
    is_mixed: bool
    """Whether some operator runs elsewhere, because the unit does not take it."""


def model_path(folder: Path, name: str) -> Path | None:
    """NAME.onnx in the folder or in one directly below it; None if there is none."""
    if not name or "/" in name or "\\" in name:
        return None
    for path in (folder / f"{name}.onnx", *sorted(folder.glob(f"*/{name}.onnx"))):
        if path.is_file():
            return path
    return None


@lru_cache(maxsize=MODELS_AT_ONCE)
def graph_of(path: Path) -> tuple[Graph, tuple[Match, ...]]:
    """The model, ready to be placed, with what can be fused in it; ModelError if it cannot be read."""
    graph = prepare(read_onnx(path, {}))
    open_inputs = [name for name in graph.inputs if not graph.value(name).is_concrete]
    if open_inputs:
        raise ModelError(f"{path}: input {open_inputs[0]!r} has no fixed shape")
    return graph, find_matches(graph)


def whole_model(graph: Graph, matches: Sequence[Match], soc: Soc, unit: str) -> Estimate:
    """One inference on `unit`, by the costs and the cover with which a plan's baseline "UNIT alone" is made."""
    formulation = formulate(graph, soc, matches)
    problem = formulation.problem
    index = {each.name: u for u, each in enumerate(soc.units)}
    chosen = alone(problem, index[unit], index[soc.host])
    if chosen is None:
        raise ModelError(f"model {graph.name!r} cannot run on {unit} of {soc.name!r}")
    total_us = evaluate(problem, chosen).total_us
    costs = [formulation.costs[c] for c in chosen]
    fixed_us = total_us - sum(cost.latency_us for cost in costs)
    units = {problem.unit_of_location[problem.candidates[c].location] for c in chosen}
    return Estimate(
        latency_ms=ms(total_us),
        low_ms=ms(fixed_us + sum(cost.low_us for cost in costs)),
        high_ms=ms(fixed_us + sum(cost.high_us for cost in costs)),
        evidence=_weakest(costs),
        is_mixed=units != {index[unit]},
    )


def _weakest(costs: Sequence[Cost]) -> str:
    """The weakest evidence that holds a tenth of the time or more."""
    total_us = sum(cost.latency_us for cost in costs)
    for evidence in ("roofline", "fitted", "table"):
        if sum(cost.latency_us for cost in costs if cost.evidence == evidence) >= 0.1 * total_us:
            return evidence
    return "free"
