"""What a validation says: a document for `--json`, tables for people."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table as TextTable

from partita.studies.validation.prediction import Prediction
from partita.studies.validation.summary import Group, Summary, factor, summarise
from partita.studies.validation.validate import Validation
from partita.studies.validation.why import guess

FORMAT = "partita-validation/1"


def validation_document(validation: Validation) -> dict[str, Any]:
    """The validation as JSON; errors and shares are fractions, measurements in each row's own unit of measure."""
    summary = summarise(validation.predictions)
    return {
        "format": FORMAT,
        "table": validation.table.name,
        "path": str(validation.path),
        "rows": validation.rows,
        "predicted": len(validation.predictions),
        "unpredicted": [{"reason": reason, "rows": rows} for reason, rows in validation.unpredicted.items()],
        "groups": [asdict(group) for group in summary.groups],
        "by_class": [asdict(group) for group in summary.by_class],
        "worst": [
            _worst(row, validation.predictions) | {"times": times}
            for row, times in zip(summary.worst, summary.times, strict=True)
        ],
    }


def _worst(row: Prediction, rows: Sequence[Prediction]) -> dict[str, Any]:
    return asdict(row) | {"error": row.error, "factor": factor(row), "guess": guess(row, rows)}


def validation_texts(validation: Validation) -> Iterator[RenderableType]:
    """The summary for a terminal: groups, classes, the worst rows, what could not be predicted."""
    summary = summarise(validation.predictions)
    in_sample = sum(row.in_sample for row in validation.predictions)
    yield f"{validation.table.name}: {len(validation.predictions)} of {validation.rows} rows predicted"
    if in_sample:
        yield f"{in_sample} of them were fitted on too; the preset's fit record has the cross-validated error"
    if summary.groups:
        yield "90 %: rows inside their 90 % interval; FLOPs: MAPE of a straight line through the work"
        yield _groups("By unit, runtime and device", summary.groups)
    if len(summary.by_class) > len(summary.groups):
        yield _groups("By class of operator", summary.by_class)
    if summary.worst:
        yield _worst_table(summary, validation.predictions)
    for reason, rows in validation.unpredicted.items():
        yield f"not predicted: {rows} rows: {reason}"


def _groups(title: str, groups: Sequence[Group]) -> TextTable:
    """One line for each group: what all share stands in the title, what tells them apart in the first column."""
    rows = [_cells(group) for group in groups]
    shared = [word for word in WORDS if len({row[word] for row in rows}) == 1]
    told = ", ".join(rows[0][word] for word in shared if rows[0][word])
    table = TextTable(title=f"{title} ({told})" if told else title, title_justify="left", box=SIMPLE_HEAD,
                      padding=(0, 1, 0, 0), pad_edge=False)  # fmt: skip
    table.add_column("group", min_width=18)
    figures = [name for name in rows[0] if name not in WORDS and any(row[name] for row in rows)]
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        label = ", ".join(row[word] for word in WORDS if word not in shared and row[word])
        table.add_row(label or told, *(row[name] for name in figures))
    return table


WORDS = ("level", "unit", "runtime", "device", "precision", "class")
"""What names a group."""


def _cells(group: Group) -> dict[str, str]:
    return {
        "level": group.level,
        "unit": group.unit,
        "runtime": group.runtime,
        "device": group.device,
        "precision": group.precision,
        "class": group.op_class,
        "rows": str(group.rows),
        "MAPE": percent(group.mape),
        "median": percent(group.median_error),
        "in 10 %": percent(group.within_10pct, 0),
        "in 2x": percent(group.within_2x, 0),
        "rank": "" if group.spearman is None else f"{group.spearman:.2f}",
        "90 %": percent(group.coverage_90, 0),
        "FLOPs": percent(group.baseline_mape),
        "points": "" if group.mean_abs_error_points is None else f"{group.mean_abs_error_points:.1f}",
    }


def _worst_table(summary: Summary, rows: Sequence[Prediction]) -> TextTable:
    table = TextTable(title="The worst rows", title_justify="left")
    for name in ("row", "measured", "predicted", "a guess why"):
        table.add_column(name, overflow="fold")
    for row, times in zip(summary.worst, summary.times, strict=True):
        repeated = f", in {times} rows" if times > 1 else ""
        table.add_row(
            f"{row.name} ({row.device}{repeated})",
            f"{row.measured:.4g} {row.measure}",
            f"{row.predicted:.4g}",
            guess(row, rows),
        )
    return table


def percent(share: float | None, decimals: int = 1) -> str:
    """A fraction as text.

    >>> percent(0.0512)
    '5.1 %'
    """
    return "" if share is None else f"{100 * share:.{decimals}f} %"
