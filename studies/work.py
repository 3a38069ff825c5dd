"""What a worker does: a few points of a study, each placed, as rows of the table."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from partita.devices import Soc, load_soc
from partita.errors import ModelError, PlacementError, SimulationError, SocError, StudyError
from partita.graph.onnx_import import read_onnx
from partita.graph.plan import Plan
from partita.partitioner.wishes import Wishes
from partita.passes.pipeline import prepare
from partita.simulator.scenario import Scenario
from partita.simulator.scenario_run import simulate_scenario
from partita.studies.change import changed
from partita.studies.outcome import RESULTS, operators_by_unit, placement_of, results_of
from partita.studies.placer import Placer
from partita.studies.points import Point
from partita.studies.scenario_paths import changed_scenario, stream_titles
from partita.studies.scenario_results import scenario_columns, scenario_results_of
from partita.studies.study_file import ModelEntry, OtherModel

Row = dict[str, str]
"""By column, as the table holds it; empty for what is not known."""
FIRST = ("key", "part", "model", "soc")
LAST = (
    "error", "operators", "placement", "status", "solver", "solve_s", "change", "objective", "allow", "gap_asked",
    "time_limit_s", "model_path", "model_sha256", "shapes", "soc_name", "soc_digest", "partita",
)  # fmt: skip
OF_LOAD = ("scenario_path", "scenario_digest", "other_models")
PLACERS_AT_ONCE = 4
SIGNIFICANT = 12


@dataclass(frozen=True, slots=True)
class Load:
    """What every point is simulated under."""

    scenario: Scenario
    path: str
    digest: str
    """SHA-256 of what changes results: neither names nor the window."""
    others: tuple[tuple[OtherModel, str], ...] = ()
    """Models that streams run of their own, with the SHA-256 of each file."""


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
    load: Load | None = None


def columns(variables: Sequence[str], scenario: Scenario | None = None) -> tuple[str, ...]:
    rest = LAST if scenario is None else (*LAST, *OF_LOAD)
    return (*FIRST, *(f"var:{title}" for title in variables), *result_columns(scenario), *rest)


def result_columns(scenario: Scenario | None) -> tuple[str, ...]:
    """Columns of numbers: those of a placement, then those of the scenario if there is one."""
    return (*RESULTS, *(scenario_columns(scenario) if scenario is not None else ()))


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
    if job.load is not None:
        row |= _told(job.load)
    placer = _placer(job.model.path, job.model_sha256, tuple(sorted(shapes.items())), wishes)
    try:
        soc = changed(_soc(job.soc), point.change.of_soc)
        row |= {"soc_name": soc.name, "soc_digest": soc.digest}
        plan = placer.placed(soc)
        found = results_of(plan, soc)
        if job.load is not None:
            scenario = changed_scenario(job.load.scenario, point.change)
            plans = _plans(job.load, plan, soc, wishes)
            found |= scenario_results_of(simulate_scenario(plans, soc, scenario, may_fail=True), soc)
    except (SocError, PlacementError, SimulationError, StudyError) as error:
        return row | {"error": " ".join(str(error).split())}
    row |= {name: _text(value) for name, value in found.items()}
    return row | {
        "operators": operators_by_unit(plan),
        "placement": placement_of(plan),
        "status": plan.proof.status,
        "solver": plan.proof.solver,
        "solve_s": f"{plan.proof.solve_s:.4f}",
    }


def _told(load: Load) -> Row:
    others = {model.stream: {**model.model_dump(mode="json"), "sha256": sha256} for model, sha256 in load.others}
    told = json.dumps(others, sort_keys=True)
    return {"scenario_path": load.path, "scenario_digest": load.digest, "other_models": told}


def _plans(load: Load, plan: Plan, soc: Soc, wishes: Wishes) -> list[Plan]:
    """A plan for each stream; the other models are placed with the same wishes."""
    own: dict[str, Plan] = {}
    for model, sha256 in load.others:
        own[model.stream] = _placer(model.path, sha256, tuple(sorted(model.shapes.items())), wishes).placed(soc)
    return [own.get(title, plan) for title in stream_titles(load.scenario)]


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
