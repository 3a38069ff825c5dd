"""At which value of a number a result passes a limit."""

import math
from itertools import pairwise

from partita.studies.analyses.finding import Ask, Context, Finding, axis, number, told
from partita.studies.analyses.search import at, gaps, sampled_values, searched
from partita.studies.charts import Line, lines
from partita.studies.study_file import Analysis
from partita.studies.work import Row


def finding(ctx: Context, analysis: Analysis, ask: Ask) -> Finding:
    result, path = ctx.result(analysis), analysis.path

    def is_above(value: float) -> bool | None:
        return _is_above(ctx, analysis, ask(at(ctx, analysis, value)))

    sampled = [(value, ask(at(ctx, analysis, value))) for value in sampled_values(analysis)]
    known = [(value, row) for value, row in sampled if number(row, result) is not None]
    above = [bool(_is_above(ctx, analysis, row)) for _, row in known]
    first = next((i for i in range(1, len(above)) if above[i - 1] != above[i]), None)
    ends = None
    if first is not None:
        ends = searched(is_above, known[first - 1][0], known[first][0])
    curve = [(value, y) for value, row in known if (y := number(row, result)) is not None]
    mark = math.sqrt(ends[0] * ends[1]) if ends else None
    rows = [ask(at(ctx, analysis, value)) for value in ends] if ends is not None else []
    values = [number(row, result) for row in rows]
    return Finding(
        kind=analysis.kind,
        title=f"At which {path} does {result} pass {told(analysis.limit, result)}? {ctx.model} on {ctx.soc}",
        sentence=_sentence(analysis, result, above, ends, values) + gaps(len(known), ends),
        columns=(path, result, "operators", "above the limit"),
        rows=tuple(
            (f"{value:.4g}", told(number(row, result), result), row["operators"], "yes" if passed else "no")
            for (value, row), passed in zip(known, above, strict=True)
        ),
        document={
            "path": path,
            "result": result,
            "limit": analysis.limit,
            "low": analysis.low,
            "high": analysis.high,
            "passed_between": list(ends) if ends else None,
            "values": values,
            "is_one_switch": sum(a != b for a, b in pairwise(above)) <= 1,
        },
        chart=lines(
            [Line(result, tuple(curve))],
            path,
            axis(result),
            log=True,
            mark=mark,
        ),
    )


def _is_above(ctx: Context, analysis: Analysis, row: Row) -> bool | None:
    """None if the row has no result."""
    value = number(row, ctx.result(analysis))
    return value > analysis.limit if value is not None and analysis.limit is not None else None


def _sentence(
    analysis: Analysis, result: str, above: list[bool], ends: tuple[float, float] | None, values: list[float | None]
) -> str:
    path, limit = analysis.path, told(analysis.limit, result)
    if not above:
        return f"No point between {path} = {analysis.low:g} and {analysis.high:g} has {result}."
    if ends is None:
        side = "above" if above[0] else "at or below"
        return f"{result} stays {side} {limit} from {path} = {analysis.low:g} to {analysis.high:g}."
    changes = sum(a != b for a, b in pairwise(above))
    more = "" if changes <= 1 else f" It passes {limit} {changes} times over the range; this is the first."
    return (
        f"{result} passes {limit} between {path} = {ends[0]:.4g}, where it is {told(values[0], result)}, and "
        f"{ends[1]:.4g}, where it is {told(values[1], result)}.{more}"
    )
