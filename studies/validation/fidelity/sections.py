"""What stands on the page about one table: a picture for each unit, groups, the worst rows, what is not predicted."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from partita.studies.validation.fidelity.pictures import chip_of, save_pictures
from partita.studies.validation.prediction import Prediction
from partita.studies.validation.report import percent
from partita.studies.validation.summary import Group, summarise
from partita.studies.validation.validate import Validation
from partita.studies.validation.why import guess

MOST_GROUPS = 40
"""More groups than this are told together, chip by chip."""


def section(validation: Validation, folder: Path) -> Iterator[str]:
    """Markdown lines; pictures are written into the folder."""
    rows = validation.predictions
    summary = summarise(rows)
    in_sample = sum(row.in_sample for row in rows)
    yield f"### `{validation.table.name}`: {validation.table.title}"
    yield ""
    yield f"{len(rows)} of {validation.rows} rows predicted" + (
        f"; {in_sample} of them were fitted on too, and for those this table is in sample." if in_sample else "."
    )
    yield ""
    for title, picture in save_pictures(validation, folder):
        yield f"![{title}: predicted against measured]({picture})"
        yield ""
    yield from table_of(_few(summary.groups, rows))
    if any(row.level == "op" for row in rows):
        yield "By class of operator:"
        yield ""
        yield from table_of(summary.by_class)
    if rows:
        yield from _worst(validation)
    yield from _unpredicted(validation)


def _few(groups: Sequence[Group], rows: Sequence[Prediction]) -> Sequence[Group]:
    """The groups; where they are too many to read, with all devices of a chip and all runtimes of a table as one."""
    if len(groups) <= MOST_GROUPS:
        return groups
    return summarise([replace(row, device=chip_of(row.device)) for row in rows]).groups


def table_of(groups: Sequence[Group]) -> Iterator[str]:
    if not groups:
        return
    yield (
        "| unit | runtime | device | precision | class | rows | MAPE | median | in 10 % | in 2x | rank | in interval "
        "| FLOPs |"
    )
    yield "|" + "---|" * 13
    for g in groups:
        rank = "" if g.spearman is None else f"{g.spearman:.2f}"
        shares = " | ".join(percent(share) for share in (g.mape, g.median_error, g.within_10pct, g.within_2x))
        yield (
            f"| {g.unit} | {g.runtime} | {g.device} | {g.precision} | {g.op_class} | {g.rows} | {shares} | {rank} | "
            f"{percent(g.coverage_90)} | {percent(g.baseline_mape)} |"
        )
    yield ""


def _worst(validation: Validation) -> Iterator[str]:
    yield "The worst rows:"
    yield ""
    yield "| row | device | measured | predicted | a guess why |"
    yield "|---|---|---|---|---|"
    summary = summarise(validation.predictions)
    for row, times in zip(summary.worst, summary.times, strict=True):
        why = guess(row, validation.predictions)
        name = f"{row.name} (in {times} rows)" if times > 1 else row.name
        yield f"| {name} | {row.device} | {row.measured:.4g} {row.measure} | {row.predicted:.4g} | {why} |"
    yield ""


def _unpredicted(validation: Validation) -> Iterator[str]:
    if not validation.unpredicted:
        return
    yield "Not predicted:"
    yield ""
    for reason, rows in validation.unpredicted.items():
        yield f"- {rows} rows: {reason}"
    yield ""
