"""What a worker does: a few points of a study, each placed, as rows of the table."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from partita.devices import Soc, load_soc
from partita.errors import ModelError, PlacementError, SocError
from partita.graph.onnx_import import read_onnx
from partita.partitioner.wishes import Wishes
from partita.passes.pipeline import prepare
from partita.studies.change import changed
from partita.studies.outcome import RESULTS, operators_by_unit, placement_of, results_of
from partita.studies.placer import Placer
from partita.studies.points import Point
from partita.studies.study_file import ModelEntry

Row = dict[str, str]
"""By column, as the table holds it; empty for what is not known."""
FIRST = ("key", "part", "model", "soc")
LAST = (
    "error", "operators", "placement", "status", "solver", "solve_s", "change", "objective", "allow", "gap_asked",
    "time_limit_s", "model_path", "model_sha256", "shapes", "soc_name", "soc_digest", "partita",
)  # fmt: skip
PLACERS_AT_ONCE = 4
SIGNIFICANT = 12


@dataclass(frozen=True, slots=True)
class Job:
    """Points of one model and one Soc that a worker does in a row."""

    points: tuple[tuple[str, Point], ...]
    """Each with its key."""
    model: ModelEntry
    model_sha256: str
    soc: str
    wishes: Wishes
    version: str


def columns(variables: Sequence[str]) -> tuple[str, ...]:
    return (*FIRST, *(f"var:{title}" for title in variables), *RESULTS, *LAST)


def done(job: Job) -> list[Row]:
    """The rows of a job's points; ModelError if the model cannot be read."""
    return [_row(job, key, point) for key, point in job.points]


def _row(job: Job, key: str, point: Point) -> Row:
    shapes = job.model.shapes | point.change.shapes
    wishes = replace(job.wishes, allow=tuple(dict.fromkeys((*job.wishes.allow, *point.change.allowed))))
    row = {
        "key": key, "part": point.part, "model": point.model, "soc": point.soc,
        **{f"var:{title}": text for title, text in point.labels},
        "change": point.change.to_json(), "objective": job.wishes.objective,
        "allow": " ".join(str(location) for location in wishes.allow),
        "gap_asked": f"{job.wishes.gap_share:g}", "time_limit_s": f"{job.wishes.time_limit_s:g}",
        "model_path": job.model.path, "model_sha256": job.model_sha256, "shapes": json.dumps(shapes, sort_keys=True),
        "partita": job.version,
    }  # fmt: skip
    placer = _placer(job.model.path, job.model_sha256, tuple(sorted(shapes.items())), wishes)
    try:
        soc = changed(_soc(job.soc), point.change)
        row |= {"soc_name": soc.name, "soc_digest": soc.digest}
        plan = placer.place(soc)
    except (SocError, PlacementError) as error:
        return row | {"error": " ".join(str(error).split())}
    row |= {name: _text(value) for name, value in results_of(plan, soc).items()}
    return row | {
        "operators": operators_by_unit(plan),
        "placement": placement_of(plan),
        "status": plan.proof.status,
        "solver": plan.proof.solver,
        "solve_s": f"{plan.proof.solve_s:.4f}",
    }


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.{SIGNIFICANT}g}"


@lru_cache(maxsize=PLACERS_AT_ONCE)
def _placer(path: str, sha256: str, shapes: tuple[tuple[str, int | tuple[int, ...]], ...], wishes: Wishes) -> Placer:
    found = file_sha256(path)
    if found != sha256:
        raise ModelError(f"{path}: the model has changed while the study ran, or differs on this machine")
    graph = prepare(read_onnx(path, dict(shapes)))
    open_inputs = [name for name in graph.inputs if not graph.value(name).is_concrete]
    if open_inputs:
        raise ModelError(f"{path}: input {open_inputs[0]!r} has no fixed shape; give the model's `shapes`")
    return Placer(graph, wishes)


@lru_cache(maxsize=16)
def _soc(name: str) -> Soc:
    return load_soc(name)


def file_sha256(path: str) -> str:
    """Of the model's file; weights beside it do not count, for they do not change a placement."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
