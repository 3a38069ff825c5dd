"""Plans in files (`.plan.json`): everything but the model's weights and the time the solver took.

The same placement always gives the same bytes, so the file leaves out `Proof.solve_s`.
"""

import hashlib
import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from partita.errors import PlanError
from partita.graph.ir import Graph, Source
from partita.graph.plan import (
    Alternative,
    Baseline,
    Limit,
    Location,
    PlacedOperator,
    Plan,
    Proof,
    Refusal,
    Segment,
    State,
    Transfer,
)
from partita.graph.plan_check import flaw_of

FORMAT = "partita-plan/1"
AGAIN = "make it again with: partita place MODEL --soc SOC -o PLAN"
T = TypeVar("T")
_FloatOrNone: Any = float | None


def to_json(plan: Plan, folder: str | Path = ".") -> str:
    """The plan as canonical JSON for a file in `folder`, from which the model's path is told.

    Raises PlanError if its graph came from no file, so that nobody could find it again.
    """
    if plan.graph.source is None:
        raise PlanError("a plan can be written only for a graph that was loaded from a file")
    source = replace(plan.graph.source, path=os.path.relpath(plan.graph.source.path, folder))
    document = {
        "format": FORMAT,
        "model": asdict(source),
        "graph_digest": plan.graph_digest,
        "soc_name": plan.soc_name,
        "soc_digest": plan.soc_digest,
        "soc": json.loads(plan.soc_json),
        "host": asdict(plan.host),
        "inference_us": plan.inference_us,
        "proof": {k: v for k, v in _without_none(asdict(plan.proof), "any_order").items() if k != "solve_s"},
        "operators": [_without_none(asdict(operator), "shared") for operator in plan.operators],
        "segments": [asdict(segment) for segment in plan.segments],
        "transfers": [asdict(transfer) for transfer in plan.transfers],
        "refusals": [asdict(refusal) for refusal in plan.refusals],
        "baselines": [asdict(baseline) for baseline in plan.baselines],
        "options": {name: list(given) for name, given in plan.options.items()},
        "energy_mj": plan.energy_mj,
        "limits": [asdict(limit) for limit in plan.limits],
        "alternatives": [asdict(alternative) for alternative in plan.alternatives],
        "states": [asdict(state) for state in plan.states],
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _without_none(record: dict[str, Any], field: str) -> dict[str, Any]:
    """The record, without that field if it says nothing."""
    return {name: value for name, value in record.items() if name != field or value is not None}


class PlanFile:
    """The content of a plan file; its parts are checked as they are read, with PlanError that names the file."""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise PlanError(f"{path}: cannot read the plan: {getattr(error, 'strerror', None) or 'not text'}") from None
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise PlanError(f"{path}: not a plan, or cut short; {AGAIN}") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise PlanError(f"{path}: not a plan of format {FORMAT!r}; {AGAIN}")
        self._content: dict[str, Any] = content

    @property
    def source(self) -> Source:
        """Where the plan's model is, as seen from here."""
        told = self._part("model", Source)
        return replace(told, path=os.path.normpath(os.path.join(os.path.dirname(self.path), told.path)))

    @property
    def graph_digest(self) -> str:
        return self._part("graph_digest", str)

    @property
    def operators(self) -> tuple[PlacedOperator, ...]:
        return self._part("operators", tuple[PlacedOperator, ...])

    def plan(self, graph: Graph) -> Plan:
        """The Plan on its graph, which is fused already; PlanError if the two do not belong together."""
        operators = self.operators
        if [operator.node for operator in operators] != [node.name for node in graph.nodes]:
            raise PlanError(f"{self.path}: its operators are not those of the model; {AGAIN}")
        plan = self._unchecked(graph, operators)
        units = {unit.get("name") for unit in json.loads(plan.soc_json).get("units", ()) if isinstance(unit, dict)}
        used = {plan.host.unit, *(segment.unit for segment in plan.segments)}
        used |= {operator.shared.unit for operator in operators if operator.shared is not None}
        missing = used - units
        flaw = flaw_of(plan)
        if hashlib.sha256(plan.soc_json.encode()).hexdigest() != plan.soc_digest:
            flaw = "its Soc is not the one it was made for"
        elif missing:
            flaw = f"its Soc has no unit {min(missing)!r}"
        if flaw is not None:
            raise PlanError(f"{self.path}: the plan contradicts itself: {flaw}; {AGAIN}")
        return plan

    def _unchecked(self, graph: Graph, operators: tuple[PlacedOperator, ...]) -> Plan:
        soc = self._part("soc", dict[str, Any])
        proof = {**self._part("proof", dict[str, Any]), "solve_s": 0.0}
        return Plan(
            graph=graph,
            graph_digest=self.graph_digest,
            soc_name=self._part("soc_name", str),
            soc_digest=self._part("soc_digest", str),
            soc_json=json.dumps(soc, sort_keys=True, separators=(",", ":"), ensure_ascii=False),
            host=self._part("host", Location),
            inference_us=self._part("inference_us", float),
            operators=operators,
            segments=self._part("segments", tuple[Segment, ...]),
            transfers=self._part("transfers", tuple[Transfer, ...]),
            proof=self._checked("proof", proof, Proof),
            refusals=self._part("refusals", tuple[Refusal, ...]),
            baselines=self._part("baselines", tuple[Baseline, ...]),
            options=self._part("options", dict[str, tuple[str, ...]]),
            energy_mj=self._part("energy_mj", _FloatOrNone),
            limits=self._part("limits", tuple[Limit, ...]),
            alternatives=self._part("alternatives", tuple[Alternative, ...]),
            states=self._part("states", tuple[State, ...]),
        )

    def _part(self, name: str, kind: type[T]) -> T:
        if name not in self._content:
            raise PlanError(f"{self.path}: the plan is damaged: {name} is missing; {AGAIN}")
        return self._checked(name, self._content[name], kind)

    def _checked(self, name: str, part: Any, kind: type[T]) -> T:
        try:
            return TypeAdapter(kind).validate_json(json.dumps(part), strict=True, extra="forbid")
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, (name, *first["loc"])))
            raise PlanError(f"{self.path}: the plan is damaged: {where}: {first['msg']}; {AGAIN}") from None
