"""What an analysis asks for and what it finds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from partita.devices import Soc
from partita.simulator.scenario import Scenario
from partita.studies.charts import Chart
from partita.studies.points import Point
from partita.studies.study_file import Analysis, Study
from partita.studies.work import Row

Ask = Callable[[Point], Row]
"""The row of a point: from the table, or placed now and added to it."""


@dataclass(frozen=True, slots=True)
class Context:
    """What analyses work on."""

    study: Study
    socs: Mapping[str, Soc]
    missing: Callable[[str, Soc, str], tuple[str, ...]]
    """Operators and patterns of a model, by name, that a unit of a Soc refuses."""
    scenario: Scenario | None = None

    def result(self, analysis: Analysis) -> str:
        return analysis.result or self.study.result

    @property
    def model(self) -> str:
        return self.study.models[0].title

    @property
    def soc(self) -> str:
        return self.study.socs[0]


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer of an analysis: one sentence, a table, a chart, and the same for machines."""

    kind: str
    title: str
    sentence: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    document: Mapping[str, Any] = field(hash=False)
    chart: Chart | None = None


def number(row: Row, column: str) -> float | None:
    """A result of a row; None if there is none."""
    text = row.get(column, "")
    return float(text) if text else None


def told(value: float | None, column: str) -> str:
    """A result for people; with its unit of measure if its column names one."""
    if value is None:
        return NOTHING
    column = column.partition(":")[0]
    if column.endswith("_share"):
        return f"{100 * value:.3g} %"
    for ending, unit in UNITS.items():
        if column.endswith(ending):
            return f"{value:.4g} {unit}"
    return f"{value:.4g}"


NOTHING = "-"
"""In place of a result that there is not."""
UNITS = {
    "_ms": "ms", "_mj": "mJ", "_mb": "MB", "_gb_per_s": "GB/s", "_mm2": "mm²",
    "_per_s": "/s", "_s": "s", "_c": "°C", "_w": "W",
}  # fmt: skip
"""By the ending of a column; the longer ending first."""
MORE_IS_BETTER = ("off_host", "throughput_per_s", "lowest_clock_share", "throttled_after_s")


def cost(value: float, column: str) -> float:
    """Small if it is good."""
    return -value if column.partition(":")[0] in MORE_IS_BETTER else value


def change_text(before: float | None, after: float | None) -> str:
    """Such as "-12.5 %"."""
    if not before or after is None:
        return NOTHING
    return f"{(after / before - 1) * 100:+.1f} %"


def axis(column: str) -> str:
    """A column as an axis is titled."""
    column, _, stream = column.partition(":")
    of = f" of {stream}" if stream else ""
    for ending, unit in UNITS.items():
        if column.endswith(ending):
            return f"{column.removesuffix(ending).replace('_', ' ')}{of}, {unit}"
    return f"{column.replace('_', ' ')}{of}"


def pairs(ctx: Context) -> Sequence[tuple[str, str]]:
    """Every model on every Soc."""
    return [(model.title, soc) for model in ctx.study.models for soc in ctx.study.socs]
