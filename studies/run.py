"""A study from its file to its table and its findings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from partita.devices import Soc, Unit, load_soc
from partita.devices.fusion import is_chain
from partita.errors import StudyError
from partita.graph.onnx_import import read_onnx
from partita.passes.find_matches import find_matches
from partita.passes.pipeline import prepare
from partita.reports.provenance import partita_version
from partita.studies.analyses import Context, Finding, finding_of, points_of
from partita.studies.change import SCENARIO, changed
from partita.studies.options import options_of, with_fused_nodes
from partita.studies.paths import number_paths, paths_like
from partita.studies.points import Origin, Point, design_points
from partita.studies.runner import run_jobs
from partita.studies.scenario_checks import check_scenario, load_of
from partita.studies.study_file import ModelEntry, Study
from partita.studies.table import Table
from partita.studies.work import Job, Load, Row, columns, done, file_sha256, result_columns

LARGEST_JOB = 25
JOBS_PER_PROCESS = 6
MOST_POINTS = 1_000_000
Progress = Callable[[int, int], None]
"""Told how many points are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Done:
    """A study that has been run."""

    study: Study
    columns: tuple[str, ...]
    design: tuple[tuple[Point, Row], ...]
    findings: tuple[Finding, ...]
    placed: int
    """Rows that this run added to the table."""
    resumed: int
    """Rows that were there already."""
    failed: int
    """Rows of this study that have an error in place of results."""
    load: Load | None = None

    @property
    def results(self) -> tuple[str, ...]:
        """Columns of numbers."""
        return result_columns(self.load.scenario if self.load is not None else None)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a study runs."""

    processes: int = 1
    cluster: str | None = None


def run_study(study: Study, table: str | Path, place: Place, progress: Progress = lambda done, of: None) -> Done:
    """Places (and simulates) what the table lacks, row by row onto the disk, then answers the study's questions."""
    socs = {name: load_soc(name) for name in study.socs}
    load = load_of(study)
    scenario = load.scenario if load is not None else None
    origin = _origin(study, socs, load)
    common = _Common(study, origin, load)
    context = Context(study, socs, _missing_operators(study), scenario)
    _check(study, socs)
    if scenario is not None:
        check_scenario(study, socs, scenario)
    design = design_points(study)
    asked = [*design, *(point for analysis in study.analyses for point in points_of(context, analysis))]
    by_key = {origin.key(point): point for point in reversed(asked)}
    names = columns([variable.title for variable in study.variables], scenario)
    with Table(table, names) as opened:
        resumed = sum(key in opened.rows for key in by_key)
        left = [(key, point) for key, point in reversed(by_key.items()) if key not in opened.rows]
        if load is not None:  # points that only differ in their load follow each other, and share a placement
            left.sort(key=lambda pair: (pair[1].model, pair[1].soc, pair[1].change.of_soc.to_json()))
        before, ready = len(opened.rows), resumed
        progress(ready, len(by_key))
        for rows in run_jobs(_jobs(left, common, place), processes=place.processes, cluster=place.cluster):
            opened.add(rows)
            ready += len(rows)
            progress(ready, len(by_key))
        asking = _Asking(opened, common)
        answered = tuple(finding_of(context, analysis, asking.row) for analysis in study.analyses)
        mine = [opened.rows[key] for key in by_key]
        _check_any(mine)
        return Done(
            study=study,
            columns=names,
            design=tuple((point, opened.rows[origin.key(point)]) for point in design),
            findings=answered,
            placed=len(opened.rows) - before,
            resumed=resumed,
            failed=sum(bool(row["error"]) for row in mine),
            load=load,
        )


@dataclass(frozen=True, slots=True)
class _Common:
    """What all points of a study have in common."""

    study: Study
    origin: Origin
    load: Load | None


class _Asking:
    """Looks rows up in the table; one that is missing is placed here and added."""

    def __init__(self, table: Table, common: _Common) -> None:
        self._table, self._common = table, common

    def row(self, point: Point) -> Row:
        key = self._common.origin.key(point)
        if key not in self._table.rows:
            self._table.add(done(_job([(key, point)], self._common)))
        return self._table.rows[key]


def _origin(study: Study, socs: dict[str, Soc], load: Load | None) -> Origin:
    asked = study.model_dump_json(include={"objective", "allow", "gap", "time_limit_s"})
    models = {model.title: (model, file_sha256(model.path)) for model in study.models}
    facts = (
        ""
        if load is None
        else repr((load.digest, [(model.model_dump_json(), sha256) for model, sha256 in load.others]))
    )
    return Origin(models, {name: soc.digest for name, soc in socs.items()}, asked, facts)


def _jobs(left: Sequence[tuple[str, Point]], common: _Common, place: Place) -> list[Job]:
    """Points of one model and Soc that follow each other, in pieces small enough to share out."""
    most = max(1, min(LARGEST_JOB, len(left) // (place.processes * JOBS_PER_PROCESS)))
    pieces: list[list[tuple[str, Point]]] = []
    for key, point in left:
        last = pieces[-1] if pieces else []
        if last and len(last) < most and (last[-1][1].model, last[-1][1].soc) == (point.model, point.soc):
            last.append((key, point))
        else:
            pieces.append([(key, point)])
    return [_job(piece, common) for piece in pieces]


def _job(piece: Sequence[tuple[str, Point]], common: _Common) -> Job:
    first = piece[0][1]
    model, sha256 = common.origin.models[first.model]
    return Job(tuple(piece), model, sha256, first.soc, common.study.wishes, partita_version(), common.load)


def _check(study: Study, socs: dict[str, Soc]) -> None:
    """StudyError if the study names a number or unit that one of its Socs lacks, or asks for too much."""
    for name, soc in socs.items():
        known = number_paths(soc)
        paths = [variable.path for variable in study.variables if variable.path]
        paths += [path for analysis in study.analyses for path in (*analysis.paths, analysis.path) if path]
        paths += [path for analysis in study.analyses for path in analysis.ranges]
        for path in paths:
            if not path.startswith(SCENARIO):
                paths_like(name, known, path)
        units = [location.unit for location in study.allowed]
        units += [u for a in study.analyses for u in (a.unit, *a.without) if u]
        for unit in units:
            soc.unit_named(unit)
        for variable in study.variables:
            for choice in variable.choices:
                changed(soc, choice.of_soc)
    count = 1
    if study.design.kind == "grid":
        for variable in study.variables:
            numbers = variable.range or variable.scale_range
            count *= numbers.points if numbers else len(variable.values or variable.scale or variable.choices)
    if count * len(study.models) * len(socs) > MOST_POINTS:
        raise StudyError(f"the grid has {count} points for each model and Soc; draw fewer with [design]")


def _check_any(rows: Sequence[Row]) -> None:
    if rows and all(row["error"] for row in rows):
        raise StudyError(f"no point of the study could be placed; the first: {rows[0]['error']}")


def _missing_operators(study: Study) -> Callable[[str, Soc, str], tuple[str, ...]]:
    entries: dict[str, ModelEntry] = {model.title: model for model in study.models}
    known: dict[tuple[str, str, str], tuple[str, ...]] = {}

    def missing(model: str, soc: Soc, unit: str) -> tuple[str, ...]:
        key = model, soc.digest, unit
        if key not in known:
            known[key] = missing_operators(entries[model], soc.unit_named(unit))
        return known[key]

    return missing


def missing_operators(model: ModelEntry, unit: Unit) -> tuple[str, ...]:
    """Types of operators of a model, and of recognised patterns, that a unit refuses somewhere."""
    graph = prepare(read_onnx(model.path, model.shapes))
    named = [match for match in find_matches(graph) if not is_chain(match.pattern)]
    fused = with_fused_nodes(graph, named)
    found = options_of(graph, fused, unit, unit.dtypes[:1])
    taken = {option.match.key for option in found.options if option.match is not None}
    patterns = {match.pattern for match in named if match.key not in taken}
    return tuple(sorted({refusal.op for refusal in found.refusals} | patterns))
