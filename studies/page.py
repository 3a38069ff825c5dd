"""The page of a study: one HTML file that needs nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass

from partita.reports.html import css_colours, templates
from partita.reports.provenance import partita_version
from partita.reports.wording import count_text
from partita.studies.analyses.finding import NOTHING, axis, number, told
from partita.studies.charts import Bar, Chart, Dot, Line, bars, heat_map, lines, scatter
from partita.studies.outcome import RESULTS
from partita.studies.points import Point, grid_settings
from partita.studies.report import headline
from partita.studies.run import Done
from partita.studies.scenario_results import SCENARIO_RESULTS
from partita.studies.study_file import Variable
from partita.studies.work import Row

MOST_ROWS = 1_000
"""Of the design's table on the page; the CSV file has them all."""
MOST_BARS = 24
"""Points of a design that are drawn as bars with their names."""
SHOWN = ("latency_ms", "energy_mj", "segments", "transfers", "fallbacks", "dram_mb", "area_mm2")
SHOWN_OF_LOAD = (
    "response_p99_ms", "missed_share", "throughput_per_s", "hottest_c", "throttled_after_s", "energy_per_inference_mj",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figure:
    value: str
    label: str
    note: str


def study_page(done: Done) -> str:
    """The whole page."""
    study = done.study
    variables = [variable.title for variable in study.variables]
    shown = tuple(dict.fromkeys((study.result, *(SHOWN if done.load is None else SHOWN_OF_LOAD))))
    return (
        templates()
        .get_template("study.html")
        .render(
            study=study,
            title=study.title or study.name,
            colours_on_light=css_colours(dark=False),
            colours_on_dark=css_colours(dark=True),
            figures=tuple(_figures(done)),
            findings=done.findings,
            design_text=_design_text(done),
            design_chart=_design_chart(done),
            columns=("model", "soc", *variables, *shown, "operators"),
            rows=[_cells(point, row, variables, shown) for point, row in done.design[:MOST_ROWS]],
            provenance=tuple(_provenance(done)),
        )
    )


def _figures(done: Done) -> Iterator[Figure]:
    yield Figure(f"{len(done.design):,}", "points of the design", headline(done))
    known = [(v, point) for point, row in done.design if (v := number(row, done.study.result)) is not None]
    if not known:
        return
    least, most = min(known, key=lambda pair: pair[0]), max(known, key=lambda pair: pair[0])
    for (value, point), word in ((least, "least"), (most, "most")):
        yield Figure(told(value, done.study.result), f"{word} {done.study.result}", _named(point))
    placements = len({row["placement"] for _, row in done.design if row["placement"]})
    yield Figure(f"{placements:,}", "different placements", "who runs what, over the whole design")


def _named(point: Point) -> str:
    return ", ".join((point.model, point.soc, *(f"{title} {text}" for title, text in point.labels)))


def _cells(point: Point, row: Row, variables: list[str], shown: tuple[str, ...]) -> tuple[str, ...]:
    labels = dict(point.labels)
    values = [f"{v:.5g}" if (v := number(row, name)) is not None else NOTHING for name in shown]
    return (
        point.model,
        point.soc,
        *(labels.get(title, "") for title in variables),
        *values,
        row["error"] or row["operators"],
    )


def _design_text(done: Done) -> str:
    study = done.study
    what = ", ".join(variable.title for variable in study.variables) or "nothing varied"
    more = f" The first {MOST_ROWS:,} points are shown; the table has all." if len(done.design) > MOST_ROWS else ""
    return (
        f"{study.design.kind.replace('_', ' ')} over {what}; {count_text(len(study.models), 'model')}, "
        f"{count_text(len(study.socs), 'Soc')}; "
        f"each point is placed for the least {study.objective}{_under(done)}.{more}"
    )


def _under(done: Done) -> str:
    return "" if done.load is None else f", then simulated under the scenario {done.load.scenario.name}"


def _design_chart(done: Done) -> Chart | None:
    """Of the first model on the first Soc: a curve over one number, a map over two, else bars, dots if many."""
    study, result = done.study, done.study.result
    first = [(p, row) for p, row in done.design if (p.model, p.soc) == (study.models[0].title, study.socs[0])]
    known = [(point, value) for point, row in first if (value := number(row, result)) is not None]
    if study.design.kind == "grid" and len(study.variables) == 2:
        rows, columns = ([text for text, _ in grid_settings(variable)] for variable in study.variables)
        cells = {(point.labels[0][1], point.labels[1][1]): value for point, value in known}
        titles = " by ".join(variable.title for variable in study.variables)
        return heat_map(cells, rows, columns, f"{axis(result)}; {titles}")
    if len(study.variables) == 1 and _is_number(study.variables[0]):
        curve = sorted((float(point.labels[0][1]), value) for point, value in known if point.labels)
        log = bool(curve) and curve[0][0] > 0 and curve[-1][0] > 10 * curve[0][0]
        return lines([Line(result, tuple(curve))], study.variables[0].title, axis(result), log=log)
    if len(known) <= MOST_BARS:
        named = [(", ".join(text for _, text in point.labels) or "as it is", value) for point, value in known]
        return bars([Bar(name, 0.0, value) for name, value in named], 0.0, axis(result))
    dots = [
        Dot(i + 1.0, value, f"{_named(point)}: {told(value, result)}", False) for i, (point, value) in enumerate(known)
    ]
    return scatter(dots, "point of the design", axis(result))


def _is_number(variable: Variable) -> bool:
    return not variable.choices


def _provenance(done: Done) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for _, row in done.design:
        if row["model"] not in seen:
            seen.add(row["model"])
            yield "model", f"{row['model']}: {row['model_path']}, SHA-256 {row['model_sha256'][:16]}…"
    for name in done.study.socs:
        yield "Soc", name
    yield "solvers", ", ".join(sorted({row["solver"] for _, row in done.design if row["solver"]}))
    worst = max((v for _, row in done.design if (v := number(row, "gap")) is not None), default=0.0)
    yield "proof", f"every placement is within {100 * worst:.3g} % of the best in its order of operators"
    if done.load is not None:
        yield "scenario", f"{done.load.path}, digest {done.load.digest[:16]}…"
        for model, sha256 in done.load.others:
            yield "stream", f"{model.stream} runs {model.path}, SHA-256 {sha256[:16]}…"
    named = SHOWN_OF_LOAD if done.load is not None else ("latency_ms", "area_mm2")
    for name in dict.fromkeys((done.study.result.partition(":")[0], *named)):
        yield name, {**RESULTS, **SCENARIO_RESULTS}[name]
    yield "Partita", partita_version()
