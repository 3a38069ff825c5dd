"""The study's models on its Socs as they are, side by side."""

from partita.studies.analyses.finding import Ask, Context, Finding, axis, cost, number, pairs, told
from partita.studies.change import Change
from partita.studies.charts import Bar, bars
from partita.studies.points import Point
from partita.studies.study_file import Analysis

KIND = "compare"


def points(ctx: Context, analysis: Analysis) -> list[Point]:
    return [Point(KIND, model, soc, Change()) for model, soc in pairs(ctx)]


def finding(ctx: Context, analysis: Analysis, ask: Ask) -> Finding:
    result = ctx.result(analysis)
    rows = {(point.model, point.soc): ask(point) for point in points(ctx, analysis)}
    values = {pair: number(row, result) for pair, row in rows.items()}
    wins: dict[str, int] = {}
    for model in ctx.study.models:
        known = [(cost(v, result), soc) for soc in ctx.study.socs if (v := values[model.title, soc]) is not None]
        if known:
            wins[min(known)[1]] = wins.get(min(known)[1], 0) + 1
    told_wins = ", ".join(f"{soc} for {count}" for soc, count in sorted(wins.items(), key=lambda pair: -pair[1]))
    return Finding(
        kind=KIND,
        title=f"{len(ctx.study.socs)} Socs side by side by {axis(result)}",
        sentence=f"The best {result} of {len(ctx.study.models)} models has {told_wins or 'none'}.",
        columns=("model", *ctx.study.socs),
        rows=tuple(
            (
                model.title,
                *(
                    f"{told(values[model.title, soc], result)} ({rows[model.title, soc]['operators'] or 'not placed'})"
                    for soc in ctx.study.socs
                ),
            )
            for model in ctx.study.models
        ),
        document={
            "result": result,
            "values": [{"model": model, "soc": soc, "value": value} for (model, soc), value in values.items()],
        },
        chart=bars(
            [Bar(f"{model} on {soc}", 0.0, value) for (model, soc), value in values.items() if value is not None],
            0.0,
            axis(result),
        ),
    )
