"""Our verdicts against measured ones: a table of what a vendor's own partitioner took, and the models it was asked.

A table is a CSV file with the columns `backend`, `onnx_op`, `dtypes`, `variant` and `result`, and perhaps `htp_arch`,
the generation. Its models lie in one folder as `OP--VARIANT--DTYPES.onnx`, characters other than letters and digits
written `_`; the operator that was asked about is named THE_NODE.
"""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from partita.devices.load import names_in
from partita.devices.support import Backend, Verdict, backend_named, backend_verdict
from partita.errors import ModelError, SocError
from partita.graph.infer import infer_types
from partita.graph.ir import Graph
from partita.graph.onnx_import import read_onnx

PROBED_NODE = "THE_NODE"
TAKEN = ("npu", "npu_inlined")
"""Results that count as taken: the operator as it is, or after the runtime has expanded it."""
FAILED = ("compile_fail", "layout_reject_error")
"""Results of operators that the partitioner took, after which the session could not be made."""
REFUSED = ("cpu",)
COLUMNS = ("backend", "onnx_op", "dtypes", "variant", "result")
_MODELS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row of a table: what a backend did with one operator of one model."""

    backend: str
    op: str
    variant: str
    dtypes: str
    result: str
    generation: str = ""

    @property
    def models(self) -> tuple[str, ...]:
        """What the file of its model may be called: a run of other characters is one `_` or as many as it is long."""
        parts = (self.op, self.variant, self.dtypes)
        short = "--".join(re.sub(r"[^A-Za-z0-9]+", "_", part).strip("_") for part in parts)
        return f"{short}.onnx", "--".join(re.sub(r"[^A-Za-z0-9]", "_", part) for part in parts) + ".onnx"

    @property
    def is_taken(self) -> bool:
        return self.result in TAKEN


@dataclass(frozen=True, slots=True)
class Score:
    """How often rules and measurement agree; a backend that takes an operator is the positive answer."""

    rows: int
    both: int
    """Taken by the rules and by the measurement."""
    only_rules: int
    only_measured: int

    @property
    def precision(self) -> float:
        """Of what the rules take, the share that was taken; 1 if they take nothing."""
        return _share(self.both, self.both + self.only_rules)

    @property
    def recall(self) -> float:
        """Of what was taken, the share that the rules take; 1 if nothing was taken."""
        return _share(self.both, self.both + self.only_measured)


@dataclass(frozen=True, slots=True)
class Difference:
    """A row on which rules and measurement do not agree, or agree that it fails but not when."""

    measurement: Measurement
    verdict: Verdict
    changes_score: bool
    """Whether one takes the operator and the other does not; else only one of them says that it fails late."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The verdicts of a whole table."""

    total: Score
    by_backend: Mapping[str, Score] = field(hash=False)
    differences: tuple[Difference, ...]
    missing: tuple[str, ...]
    """Models that the folder does not have, whose rows were left out."""


def read_table(path: str | Path) -> tuple[Measurement, ...]:
    """The rows of a CSV file; SocError, naming the file and the row, for anything that is not such a table."""
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SocError(f"{path}: cannot be read as a CSV table: {getattr(error, 'strerror', None) or error}") from None
    if not rows:
        raise SocError(f"{path}: has no rows; a table with the columns {', '.join(COLUMNS)} was expected")
    lacking = [column for column in COLUMNS if column not in rows[0]]
    if lacking:
        raise SocError(f"{path}: column {lacking[0]!r} is missing; needed are {', '.join(COLUMNS)}")
    return tuple(_measurement(row, f"{path}, line {number}") for number, row in enumerate(rows, start=2))


def _measurement(row: Mapping[str, str | None], where: str) -> Measurement:
    if any(row[column] is None for column in COLUMNS):
        raise SocError(f"{where}: the row is cut short; {len(COLUMNS)} columns and more were expected")
    result = row["result"] or ""
    if result not in (*TAKEN, *FAILED, *REFUSED):
        raise SocError(f"{where}: result {result!r} is not known; known: {', '.join((*TAKEN, *FAILED, *REFUSED))}")
    backend, op, dtypes, variant = (row[name] or "" for name in ("backend", "onnx_op", "dtypes", "variant"))
    return Measurement(backend, op, variant, dtypes, result, row.get("htp_arch") or "")


def compare(rows: Sequence[Measurement], models: str | Path) -> Comparison:
    """Asks our rules what each row's backend was asked. SocError if no model is there, or a backend has no rules."""
    folder = Path(models)
    judged: list[tuple[Measurement, Verdict]] = []
    missing: dict[str, None] = {}
    for row in sorted(rows, key=lambda row: row.models):  # so that each model is read once
        path = next((folder / name for name in row.models if (folder / name).is_file()), None)
        if path is None:
            missing[row.models[0]] = None
        else:
            judged.append((row, _verdict(row, path)))
    if not judged:
        raise SocError(
            f"{folder}: has none of the {len(missing)} models of the table, such as {next(iter(missing), '')}"
        )
    names = dict.fromkeys(row.backend for row in rows)
    return Comparison(
        total=_score(judged),
        by_backend={name: _score([each for each in judged if each[0].backend == name]) for name in names},
        differences=tuple(each for row, verdict in judged if (each := _difference(row, verdict)) is not None),
        missing=tuple(missing),
    )


def backend_of(row: Measurement) -> Backend:
    """The support file whose name the row's backend begins with, at the row's generation."""
    spelled = row.backend.replace("_", "-")
    fitting = [name for name in names_in("support") if spelled == name or spelled.startswith(f"{name}-")]
    if not fitting:
        raise SocError(f"no support file is about backend {row.backend!r}; there are: {', '.join(names_in('support'))}")
    file = max(fitting, key=len)
    return backend_named(f"{file}:{row.generation}" if row.generation else file)


def _verdict(row: Measurement, path: Path) -> Verdict:
    graph = _typed_model(path)
    node = graph.node_named.get(PROBED_NODE)
    if node is None:
        raise SocError(f"{path}: has no operator named {PROBED_NODE}")
    backend = backend_of(row)
    return backend_verdict(graph, node, backend, backend.support.dtypes[0])


@lru_cache(maxsize=_MODELS_AT_ONCE)
def _typed_model(path: Path) -> Graph:
    """The model as it is, unlike a prepared one, with the types of its tensors."""
    return with_types(read_onnx(path))


def with_types(graph: Graph) -> Graph:
    """The graph with the types that follow from its inputs, operator by operator; others stay open."""
    values = dict(graph.values)
    for node in graph.nodes:
        if any(name not in values for name in node.present_inputs):
            continue
        try:
            values.update(infer_types(node, values, graph.constants))
        except ModelError:
            continue  # its readers then have an input of unknown type, about which no rule complains
    return replace(graph, values=values)


def _score(judged: Iterable[tuple[Measurement, Verdict]]) -> Score:
    answers = [(verdict.is_accepted, row.is_taken) for row, verdict in judged]
    return Score(
        rows=len(answers),
        both=answers.count((True, True)),
        only_rules=answers.count((True, False)),
        only_measured=answers.count((False, True)),
    )


def _difference(row: Measurement, verdict: Verdict) -> Difference | None:
    changes_score = verdict.is_accepted != row.is_taken
    fails_late = verdict.status == "accepted_then_fails"
    if not changes_score and fails_late == (row.result in FAILED):
        return None
    return Difference(row, verdict, changes_score)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
