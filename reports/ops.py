"""What `partita ops` prints: verdicts on the operators of a model, and how our rules compare with measurement.

Each document has a JSON Schema in templates/: ops, ops_matrix, ops_measured, ops_verified.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from rich.console import Group, RenderableType
from rich.text import Text

from partita.devices.load import names_in
from partita.devices.measured import Comparison, Difference, Score
from partita.devices.support import Backend, Status, Verdict, backend_named, backend_verdict
from partita.graph.ir import Graph, Node
from partita.graph.match import Match, fused_node
from partita.reports.summary import plain_table, row
from partita.reports.wording import percent_text, printable, shortened

STATUSES: tuple[Status, ...] = get_args(Status)
NAME_WIDTH = 36
REASON_WIDTH = 110
ROWS_SHOWN = 40
MARKS = {"native": "yes", "limits": "limits", "lowered": "lowered", "no": "-"}
"""How the table shows the answers of `Support.answer`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A backend's verdict on one operator of a model."""

    node: str
    op: str
    verdict: Verdict
    inside: str = ""
    """The fused operator as a part of which it is taken, if it is refused alone."""


def answers_of(graph: Graph, backend: Backend, dtype: str, matches: Sequence[Match] = ()) -> tuple[Answer, ...]:
    """The verdicts on the operators of a graph, in its order; `matches` are the patterns that occur in it."""
    inside = _taken_inside(graph, backend, dtype, matches)
    answers = []
    for node in graph.nodes:
        verdict = backend_verdict(graph, node, backend, dtype)
        pattern = "" if verdict.is_accepted else inside.get(node.name, "")
        answers.append(Answer(node.name, _name_of(node), verdict, pattern))
    return tuple(answers)


def _taken_inside(graph: Graph, backend: Backend, dtype: str, matches: Sequence[Match]) -> dict[str, str]:
    """Per operator the first pattern over it that the backend takes as one operator of ONNX; chains do not count."""
    found: dict[str, str] = {}
    for match in matches:
        if "+" in match.pattern or len(match.nodes) == 1:
            continue
        if backend_verdict(graph, fused_node(graph, match), backend, dtype).is_accepted:
            for name in match.nodes:
                found.setdefault(name, match.pattern)
    return found


def _name_of(node: Node) -> str:
    return f"{node.domain}.{node.op}" if node.domain else node.op


def ops_document(graph: Graph, unit: str, backend: Backend, dtype: str, answers: Sequence[Answer]) -> dict[str, Any]:
    """`partita ops MODEL --json`; described by templates/ops.schema.json."""
    return {
        "format": "partita-ops/1",
        "model": graph.name,
        "unit": unit,
        "backend": backend.title,
        "dtype": dtype,
        "operators": len(answers),
        "counts": _counts(answers),
        "verdicts": [
            {
                "node": answer.node,
                "op": answer.op,
                "status": answer.verdict.status,
                "reason": answer.verdict.reason,
                "limit": answer.verdict.limit,
                "found": answer.verdict.found,
                "source": answer.verdict.source,
                "inside": answer.inside,
            }
            for answer in answers
        ],
    }


def _counts(answers: Sequence[Answer]) -> dict[str, int]:
    found = Counter(answer.verdict.status for answer in answers)
    return {status: found[status] for status in STATUSES}


def ops_table(graph: Graph, backend: Backend, dtype: str, answers: Sequence[Answer]) -> RenderableType:
    """The counts, then the reasons that occur with how often, then the operators that are not taken as they are."""
    counts = _counts(answers)
    parts = ", ".join(f"{counts[status]} {status.replace('_', ' ')}" for status in STATUSES if counts[status])
    head = f"{printable(graph.name)} on {backend.title} in {dtype}: of {len(answers)} operators {parts or 'none'}"
    told = [answer for answer in answers if answer.verdict.reason]
    if not told:
        return Text(head, style="bold")
    refused = [answer for answer in told if not answer.verdict.is_accepted]
    listed = [_operators_table(refused)] if refused else []
    return Group(Text(head, style="bold"), _reasons_table(told), *listed, _sources_table(told))


def _reasons_table(told: Sequence[Answer]) -> RenderableType:
    table = plain_table("Why", "verdict", "operator", "count", "limit", "found", numbers=0)
    groups = Counter((a.verdict.status, a.op, a.verdict.limit or a.verdict.reason, a.inside) for a in told)
    samples = {(a.verdict.status, a.op, a.verdict.limit or a.verdict.reason, a.inside): a for a in reversed(told)}
    for key, count in groups.most_common():
        status, op, limit, inside = key
        found = f"taken inside {inside}" if inside else samples[key].verdict.found
        row(table, status, op, str(count), shortened(limit, REASON_WIDTH), shortened(found, NAME_WIDTH))
    return table


def _operators_table(told: Sequence[Answer]) -> RenderableType:
    table = plain_table("Operators", "operator", "verdict", "reason", numbers=0)
    for answer in told[:ROWS_SHOWN]:
        reason = shortened(printable(answer.verdict.reason), REASON_WIDTH)
        row(table, shortened(printable(answer.node), NAME_WIDTH), answer.verdict.status, reason)
    if len(told) > ROWS_SHOWN:
        row(table, f"and {len(told) - ROWS_SHOWN} more (--json has all)", "", "")
    return table


def _sources_table(told: Sequence[Answer]) -> RenderableType:
    table = plain_table("Sources", "operators", "source", numbers=0)
    for source in dict.fromkeys(answer.verdict.source for answer in told):
        ops = dict.fromkeys(answer.op for answer in told if answer.verdict.source == source)
        row(table, shortened(", ".join(ops), REASON_WIDTH), source)
    return table


def matrix_document() -> dict[str, Any]:
    """`partita ops --matrix --json`; described by templates/ops_matrix.schema.json."""
    backends = {name: backend_named(name) for name in names_in("support")}
    return {
        "format": "partita-ops-matrix/1",
        "backends": {name: backend.title for name, backend in backends.items()},
        "operators": {op: {name: backend.answer(op) for name, backend in backends.items()} for op in _all(backends)},
    }


def _all(backends: Mapping[str, Backend]) -> list[str]:
    return sorted({op for backend in backends.values() for op in backend.operators})


def matrix_table() -> RenderableType:
    """Operators by backends: yes, limits (it depends on shapes or attributes), lowered, or nothing."""
    document = matrix_document()
    table = plain_table("Operators by backend", "operator", *document["backends"], numbers=0)
    for op, answer in document["operators"].items():
        row(table, op, *(MARKS[answer[name]] for name in document["backends"]))
    return table


def measured_document(comparison: Comparison) -> dict[str, Any]:
    """`partita ops --measured --json`; described by templates/ops_measured.schema.json."""
    return {
        "format": "partita-ops-measured/1",
        **_score(comparison.total),
        "by_backend": {name: _score(score) for name, score in comparison.by_backend.items()},
        "differences": [_difference(each) for each in comparison.differences if each.changes_score],
        "late_differences": [_difference(each) for each in comparison.differences if not each.changes_score],
        "missing_models": list(comparison.missing),
    }


def _score(score: Score) -> dict[str, Any]:
    return {"rows": score.rows, "precision": score.precision, "recall": score.recall}


def _difference(difference: Difference) -> dict[str, Any]:
    measurement, verdict = difference.measurement, difference.verdict
    return {
        "backend": measurement.backend,
        "onnx_op": measurement.op,
        "variant": measurement.variant,
        "dtypes": measurement.dtypes,
        "generation": measurement.generation,
        "measured": measurement.result,
        "verdict": verdict.status,
        "reason": verdict.reason,
        "source": verdict.source,
    }


def measured_table(comparison: Comparison) -> RenderableType:
    """Precision and recall per backend, then the rows that differ."""
    table = plain_table("Rules against measurement", "backend", "rows", "precision", "recall", numbers=3)
    for name, score in (*comparison.by_backend.items(), ("all", comparison.total)):
        row(table, name, str(score.rows), percent_text(score.precision), percent_text(score.recall))
    parts: list[RenderableType] = [table]
    if comparison.differences:
        parts.append(_differences_table(comparison.differences))
    if comparison.missing:
        parts.append(Text(f"{len(comparison.missing)} models of the table are not in the folder"))
    return Group(*parts)


def _differences_table(differences: Sequence[Difference]) -> RenderableType:
    table = plain_table("Differences", "backend", "operator", "variant", "dtypes", "measured", "rules", numbers=0)
    for each in differences[:ROWS_SHOWN]:
        m = each.measurement
        row(table, m.backend, m.op, shortened(m.variant, NAME_WIDTH), m.dtypes, m.result, each.verdict.status)
    if len(differences) > ROWS_SHOWN:
        row(table, f"and {len(differences) - ROWS_SHOWN} more (--json has all)", "", "", "", "", "")
    return table


@dataclass(frozen=True, slots=True)
class Verified:
    """What the vendor's partitioner did with one operator, beside our verdict."""

    answer: Answer
    real: str
    """"npu", "cpu" or "expanded", if the runtime replaced it before it asked."""

    @property
    def agrees(self) -> bool:
        is_taken = self.answer.verdict.is_accepted or bool(self.answer.inside)
        return self.real == "expanded" or is_taken == (self.real == "npu")


def verified_document(graph: Graph, unit: str, verified: Sequence[Verified], error: str) -> dict[str, Any]:
    """`partita ops MODEL --verify --json`; described by templates/ops_verified.schema.json."""
    differing = [each for each in verified if not each.agrees]
    return {
        "format": "partita-ops-verified/1",
        "model": graph.name,
        "unit": unit,
        "error": error,
        "operators": len(verified),
        "agree": len(verified) - len(differing),
        "on_npu": sum(each.real == "npu" for each in verified),
        "differences": [
            {
                "node": each.answer.node,
                "op": each.answer.op,
                "real": each.real,
                "status": each.answer.verdict.status,
                "reason": each.answer.verdict.reason,
            }
            for each in differing
        ],
    }


def verified_table(graph: Graph, backend: Backend, verified: Sequence[Verified], error: str) -> RenderableType:
    """How many verdicts agree with the vendor's partitioner, and those that do not."""
    name = printable(graph.name)
    if error:
        return Text(f"{name} on {backend.title}: the session could not be made: {printable(error)}", style="bold")
    differing = [each for each in verified if not each.agrees]
    head = f"{name} on {backend.title}: {len(verified) - len(differing)} of {len(verified)} verdicts agree"
    if not differing:
        return Text(head, style="bold")
    table = plain_table("Differences", "operator", "type", "partitioner", "rules", "reason", numbers=0)
    for each in differing:
        answer = each.answer
        reason = shortened(printable(answer.verdict.reason), REASON_WIDTH)
        row(table, shortened(printable(answer.node), NAME_WIDTH), answer.op, each.real, answer.verdict.status, reason)
    return Group(Text(head, style="bold"), table)
