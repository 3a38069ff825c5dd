"""How often the best placement changes while all numbers of the Soc move within their ranges."""

from partita.reports.wording import count_text
from partita.studies.analyses.finding import Ask, Context, Finding, axis, number, told
from partita.studies.analyses.ranges import ranged_numbers
from partita.studies.change import Change
from partita.studies.charts import Dot, scatter
from partita.studies.points import Point
from partita.studies.sobol import latin_hypercube
from partita.studies.study_file import Analysis

KIND = "robustness"


def points(ctx: Context, analysis: Analysis) -> list[Point]:
    """The Soc as it is, then a Latin hypercube over all ranges, each side of the value half the samples."""
    numbers = ranged_numbers(ctx, analysis)
    shares = latin_hypercube(analysis.samples if numbers else 0, len(numbers), analysis.seed)
    changes = [
        Change(set={n.path: _at(n.low, n.value, n.high, share) for n, share in zip(numbers, row, strict=True)})
        for row in shares.tolist()
    ]
    return [Point(KIND, ctx.model, ctx.soc, change) for change in (Change(), *changes)]


def _at(low: float, value: float, high: float, share: float) -> float:
    end, part = (low, 1 - 2 * share) if share < 0.5 else (high, 2 * share - 1)
    return float(f"{value + (end - value) * part:.9g}")


def finding(ctx: Context, analysis: Analysis, ask: Ask) -> Finding:
    result = ctx.result(analysis)
    base, *samples = (ask(point) for point in points(ctx, analysis))
    placed = [row for row in samples if row["placement"]]
    same = sum(row["placement"] == base["placement"] for row in placed)
    units = sum(row["operators"] == base["operators"] for row in placed)
    values = sorted(v for row in placed if (v := number(row, result)) is not None)
    ends = [values[round(share * (len(values) - 1))] if values else None for share in (0.05, 0.5, 0.95)]
    kinds: dict[str, int] = {}
    for row in placed:
        kinds[row["operators"]] = kinds.get(row["operators"], 0) + 1
    common = sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0]))[: analysis.top]
    middle = number(base, result)
    not_placed = len(samples) - len(placed)
    failed = f" {count_text(not_placed, 'draw').capitalize()} could not be placed." if not_placed else ""
    share = f"{100 * (1 - same / max(1, len(placed))):.0f} %"
    return Finding(
        kind=KIND,
        title=f"How sure is the placement of {ctx.model} on {ctx.soc}?",
        sentence=(
            f"In {share} of {len(placed)} draws from the Soc's ranges another placement is best; {units} draws use the "
            f"units for as many operators as now. {result}: {told(ends[0], result)} to {told(ends[2], result)} in 90 % "
            f"of the draws, {told(middle, result)} as the Soc stands.{failed}"
        ),
        columns=("operators by unit", "draws"),
        rows=tuple((operators, str(count)) for operators, count in common),
        document={
            "result": result,
            "samples": len(samples),
            "placed": len(placed),
            "same_placement": same,
            "same_units": units,
            "base": middle,
            "p5": ends[0],
            "p50": ends[1],
            "p95": ends[2],
        },
        chart=scatter(
            [Dot(v, (i + 0.5) / len(values), f"{v:.4g}", False) for i, v in enumerate(values)],
            axis(result),
            "share of draws below",
        ),
    )
