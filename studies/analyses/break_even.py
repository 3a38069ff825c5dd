"""At which value of a number a unit stops paying: the best placement no longer uses it."""

import math
from itertools import pairwise

from partita.studies.analyses import crossing
from partita.studies.analyses.finding import Ask, Context, Finding, axis, number, told
from partita.studies.analyses.search import at, gaps, sampled_values, searched
from partita.studies.charts import Line, lines
from partita.studies.points import Point
from partita.studies.study_file import Analysis
from partita.studies.work import Row

KIND = "break_even"


def points(ctx: Context, analysis: Analysis) -> list[Point]:
    return [at(ctx, analysis, value) for value in sampled_values(analysis)]


def finding(ctx: Context, analysis: Analysis, ask: Ask) -> Finding:
    if analysis.limit is not None:
        return crossing.finding(ctx, analysis, ask)
    result, unit = ctx.result(analysis), analysis.unit

    def is_used(value: float) -> bool | None:
        row = ask(at(ctx, analysis, value))
        return uses(row, unit) if _is_placed(row) else None

    asked = [(value, ask(at(ctx, analysis, value))) for value in sampled_values(analysis)]
    sampled = [(value, row) for value, row in asked if _is_placed(row)]
    used = [uses(row, unit) for _, row in sampled]
    switch = next((i for i in range(1, len(used)) if used[i - 1] and not used[i]), None)
    even = None
    if switch is not None:
        even = searched(is_used, sampled[switch - 1][0], sampled[switch][0])
    curve = [(value, y) for value, row in sampled if (y := number(row, result)) is not None]
    return Finding(
        kind=KIND,
        title=f"At which {analysis.path} does {unit} stop paying? {ctx.model} on {ctx.soc}",
        sentence=_sentence(analysis, used, even) + gaps(len(used), even),
        columns=(analysis.path, result, "operators", f"{unit} used"),
        rows=tuple(
            (f"{value:.4g}", told(number(row, result), result), row["operators"], "yes" if runs else "no")
            for (value, row), runs in zip(sampled, used, strict=True)
        ),
        document={
            "path": analysis.path,
            "unit": unit,
            "low": analysis.low,
            "high": analysis.high,
            "used_up_to": even[0] if even else None,
            "unused_from": even[1] if even else None,
            "is_one_switch": sum(a != b for a, b in pairwise(used)) <= 1,
        },
        chart=lines(
            [Line(result, tuple(curve))],
            analysis.path,
            axis(result),
            log=True,
            mark=math.sqrt(even[0] * even[1]) if even else None,
        ),
    )


def _is_placed(row: Row) -> bool:
    return not row["error"]


def uses(row: Row, unit: str) -> bool:
    """Whether the placement of a row runs anything on a unit."""
    return any(part.startswith(f"{unit}=") for part in row["operators"].split())


def _sentence(analysis: Analysis, used: list[bool], even: tuple[float, float] | None) -> str:
    path, unit = analysis.path, analysis.unit
    if not used:
        return f"No point between {path} = {analysis.low:g} and {analysis.high:g} can be placed."
    if even is None and all(used):
        return f"{unit} pays over the whole range: at {path} = {analysis.high:g} the best placement still uses it."
    if even is None and any(used):
        return (
            f"{unit} does not stop paying: the best placement does without it at {path} = {analysis.low:g} and uses it "
            f"at {analysis.high:g}."
        )
    if even is None:
        return (
            f"{unit} pays nowhere in the range: the best placement does without it from {path} = {analysis.low:g} on."
        )
    changes = sum(a != b for a, b in pairwise(used))
    more = "" if changes <= 1 else f" It is used again further on: the use changes {changes} times over the range."
    return f"{unit} stops paying between {path} = {even[0]:.4g} and {even[1]:.4g}.{more}"
