"""A study for machines and for a terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from partita.reports.wording import printable
from partita.studies.analyses import Finding
from partita.studies.analyses.finding import number, told
from partita.studies.run import Done
from partita.studies.work import Row

FORMAT = "partita-study-result/1"
ROWS_SHOWN = 12
OF_LOAD = ("response_p99_ms", "missed_share", "energy_per_inference_mj", "hottest_c")
"""Results that are shown of a study with a scenario."""


def study_document(done: Done, written: Sequence[str]) -> dict[str, Any]:
    """`partita study --json`; described by reports/templates/study.schema.json."""
    return {
        "format": FORMAT,
        "name": done.study.name,
        "title": done.study.title,
        "models": [model.title for model in done.study.models],
        "socs": list(done.study.socs),
        "scenario": done.load.scenario.name if done.load is not None else None,
        "points": len(done.design),
        "placed": done.placed,
        "resumed": done.resumed,
        "failed": done.failed,
        "written": list(written),
        "design": [_point(row, dict(point.labels), done.results) for point, row in done.design],
        "findings": [
            {"kind": f.kind, "title": f.title, "sentence": f.sentence, "found": dict(f.document)} for f in done.findings
        ],
    }


def _point(row: Row, labels: dict[str, str], results: Sequence[str]) -> dict[str, Any]:
    return {
        "key": row["key"],
        "model": row["model"],
        "soc": row["soc"],
        "variables": labels,
        "results": {name: float(row[name]) if row[name] else None for name in results},
        "operators": row["operators"],
        "placement": row["placement"],
        "error": row["error"],
    }


def study_texts(done: Done) -> Iterator[RenderableType]:
    """What `partita study` prints: what was done, then each finding with its first rows."""
    head = done.study.title or done.study.name
    yield Text(f"{printable(head)}: {headline(done)}", style="bold")
    if len(done.design) <= ROWS_SHOWN:
        yield _design_table(done)
    for finding in done.findings:
        yield Text("")
        yield Text(printable(finding.title), style="bold")
        yield Text(printable(finding.sentence))
        yield _table(finding)


def _design_table(done: Done) -> RichTable:
    several = len(done.study.models) > 1 or len(done.study.socs) > 1
    usual = ("latency_ms", "energy_mj", "area_mm2") if done.load is None else OF_LOAD
    results = tuple(dict.fromkeys((done.study.result, *usual)))
    table = RichTable(box=None, pad_edge=False, header_style="dim")
    for column in (*(("model", "soc") if several else ()), "point", *results, "operators"):
        table.add_column(Text(column), overflow="fold")
    for point, row in done.design:
        named = ", ".join(f"{title} {text}" for title, text in point.labels) or "as it is"
        numbers = [told(number(row, name), name) for name in results]
        where = (row["model"], row["soc"]) if several else ()
        cells = (*where, named, *numbers, row["error"] or row["operators"])
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def headline(done: Done) -> str:
    told = f"{done.placed} placed now, {done.resumed} taken from the table"
    return f"{told}, {done.failed} could not be placed" if done.failed else told


def _table(finding: Finding) -> RichTable:
    table = RichTable(box=None, pad_edge=False, header_style="dim")
    for column in finding.columns:
        table.add_column(Text(column), overflow="fold")
    for row in finding.rows[:ROWS_SHOWN]:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table
