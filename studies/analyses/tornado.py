"""Which number of the Soc matters most: each in turn at the low and the high end of its range."""

from collections.abc import Sequence

from partita.studies.analyses.finding import Ask, Context, Finding, axis, change_text, number, told
from partita.studies.analyses.ranges import Ranged, ranged_numbers
from partita.studies.change import Change
from partita.studies.charts import Bar, bars
from partita.studies.points import Point
from partita.studies.study_file import Analysis

KIND = "tornado"


def points(ctx: Context, analysis: Analysis) -> list[Point]:
    return [_base(ctx), *(point for each in _numbers(ctx, analysis) for point in _ends(ctx, each))]


def finding(ctx: Context, analysis: Analysis, ask: Ask) -> Finding:
    result = ctx.result(analysis)
    base = ask(_base(ctx))
    middle = number(base, result)
    found = []
    for each in _numbers(ctx, analysis):
        low, high = (ask(point) for point in _ends(ctx, each))
        ends = number(low, result), number(high, result)
        moves = any(row["placement"] not in ("", base["placement"]) for row in (low, high))
        swing = max(ends, key=lambda e: e or 0.0) or 0.0
        found.append((swing - min(e for e in (*ends, middle or 0.0) if e is not None), each, ends, moves))
    found.sort(key=lambda item: (-item[0], item[1].path))
    shown = found[: analysis.top]
    title = f"What {axis(result)} of {ctx.model} on {ctx.soc} depends on"
    return Finding(
        kind=KIND,
        title=title,
        sentence=_sentence(result, middle, shown),
        columns=("number", "low end", "high end", f"{result} at low", f"{result} at high", "placement"),
        rows=tuple(
            (
                each.path,
                f"{each.low:.4g}",
                f"{each.high:.4g}",
                _told(low, middle, result),
                _told(high, middle, result),
                "changes" if moves else "stays",
            )
            for _, each, (low, high), moves in shown
        ),
        document={
            "result": result,
            "base": middle,
            "numbers": [
                {"path": each.path, "low": each.low, "high": each.high, "at_low": low, "at_high": high, "moves": moves}
                for _, each, (low, high), moves in found
            ],
        },
        chart=bars(
            [Bar(e.path, low, high) for _, e, (low, high), _ in shown if low is not None and high is not None],
            middle or 0.0,
            axis(result),
        ),
    )


def _sentence(
    result: str, middle: float | None, shown: Sequence[tuple[float, Ranged, tuple[float | None, ...], bool]]
) -> str:
    if not shown:
        return "No number that was asked for has a range."
    _, first, (low, high), _ = shown[0]
    moving = sum(moves for *_, moves in shown)
    return (
        f"{first.path} matters most: from {told(low, result)} at {first.low:.4g} to {told(high, result)} at "
        f"{first.high:.4g}, where everything as it stands gives {told(middle, result)}; {moving} of the {len(shown)} "
        "numbers shown change the placement."
    )


def _told(value: float | None, middle: float | None, result: str) -> str:
    """With its change where a proportion means something: not of degrees, nor of a share that is told in per cent."""
    if result.partition(":")[0].endswith(("_c", "_share")):
        return told(value, result)
    return f"{told(value, result)} ({change_text(middle, value)})"


def _base(ctx: Context) -> Point:
    return Point(KIND, ctx.model, ctx.soc, Change())


def _numbers(ctx: Context, analysis: Analysis) -> list[Ranged]:
    return ranged_numbers(ctx, analysis)


def _ends(ctx: Context, each: Ranged) -> tuple[Point, Point]:
    low, high = (Point(KIND, ctx.model, ctx.soc, Change(set={each.path: end})) for end in (each.low, each.high))
    return low, high
