"""Plans in files (`.plan.json`): everything but the model's weights and the time the solver took.

The same placement always gives the same bytes, so the file leaves out `Proof.solve_s`.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from partita.errors import PlanError
from partita.graph.ir import Graph, Source
from partita.graph.plan import Baseline, Cost, Location, PlacedOperator, Plan, Proof, Refusal, Segment, Transfer

FORMAT = "partita-plan/1"
AGAIN = "make it again with: partita place MODEL --soc SOC -o PLAN"


def to_json(plan: Plan) -> str:
    """The plan as canonical JSON; PlanError if its graph came from no file, so that nobody could find it again."""
    source = plan.graph.source
    if source is None:
        raise PlanError("a plan can be written only for a graph that was loaded from a file")
    document = {
        "format": FORMAT,
        "model": {
            "path": source.path,
            "shapes": [list(s) for s in source.shapes],
            "random_weights": source.random_weights,
        },
        "graph_digest": plan.graph_digest,
        "soc_name": plan.soc_name,
        "soc_digest": plan.soc_digest,
        "soc": json.loads(plan.soc_json),
        "host": str(plan.host),
        "inference_us": plan.inference_us,
        "proof": {k: v for k, v in asdict(plan.proof).items() if k != "solve_s"},
        "operators": [asdict(operator) for operator in plan.operators],
        "segments": [asdict(segment) for segment in plan.segments],
        "transfers": [{**asdict(t), "source": str(t.source), "target": str(t.target)} for t in plan.transfers],
        "refusals": [asdict(refusal) for refusal in plan.refusals],
        "baselines": [asdict(baseline) for baseline in plan.baselines],
        "options": dict(plan.options),
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def read_document(path: str | Path) -> dict[str, Any]:
    """The JSON of a plan file; PlanError if it is not one."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: cannot read the plan: {getattr(error, 'strerror', None) or 'not text'}") from None
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        raise PlanError(f"{path}: not a plan, or cut short; {AGAIN}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise PlanError(f"{path}: not a plan of format {FORMAT!r}; {AGAIN}")
    return document


def source_of(document: dict[str, Any], path: str | Path) -> Source:
    """Where the plan's model is; PlanError if the document does not say."""
    try:
        model = document["model"]
        shapes = tuple((str(name), size if isinstance(size, int) else tuple(size)) for name, size in model["shapes"])
        return Source(str(model["path"]), shapes, bool(model["random_weights"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(path, error) from None


def fusions_of(document: dict[str, Any], path: str | Path) -> set[tuple[str, tuple[str, ...]]]:
    """Keys of the matches that the plan fused."""
    try:
        return {(o["kernel"], tuple(o["covers"])) for o in document["operators"] if len(o["covers"]) > 1}
    except (KeyError, TypeError) as error:
        raise _broken(path, error) from None


def from_document(document: dict[str, Any], graph: Graph, path: str | Path) -> Plan:
    """The Plan of a document, on its graph, already fused; PlanError if the two do not belong together."""
    try:
        plan = Plan(
            graph=graph,
            graph_digest=document["graph_digest"],
            soc_name=document["soc_name"],
            soc_digest=document["soc_digest"],
            soc_json=json.dumps(document["soc"], sort_keys=True, separators=(",", ":"), ensure_ascii=False),
            host=_location(document["host"]),
            inference_us=document["inference_us"],
            operators=tuple(_operator(o) for o in document["operators"]),
            segments=tuple(Segment(**{**s, "operators": tuple(s["operators"])}) for s in document["segments"]),
            transfers=tuple(_transfer(t) for t in document["transfers"]),
            proof=Proof(**document["proof"], solve_s=0.0),
            refusals=tuple(Refusal(**r) for r in document["refusals"]),
            baselines=tuple(Baseline(**b) for b in document["baselines"]),
            options=document["options"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _broken(path, error) from None
    if [operator.node for operator in plan.operators] != [node.name for node in graph.nodes]:
        raise PlanError(f"{path}: its operators are not those of the model; the plan was edited: make it again")
    return plan


def _location(text: str) -> Location:
    unit, _, dtype = text.rpartition(":")
    return Location(unit, dtype)


def _operator(fields: dict[str, Any]) -> PlacedOperator:
    return PlacedOperator(**{**fields, "covers": tuple(fields["covers"]), "cost": Cost(**fields["cost"])})


def _transfer(fields: dict[str, Any]) -> Transfer:
    return Transfer(**{**fields, "source": _location(fields["source"]), "target": _location(fields["target"])})


def _broken(path: str | Path, error: Exception) -> PlanError:
    return PlanError(f"{path}: the plan is damaged ({type(error).__name__}: {error}); {AGAIN}")
