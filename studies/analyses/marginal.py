"""What each operator that a unit lacks would be worth, over all models of the study."""

import math

from partita.studies.analyses.finding import Ask, Context, Finding, number, told
from partita.studies.change import Change
from partita.studies.charts import Bar, bars
from partita.studies.points import Point
from partita.studies.study_file import Analysis

KIND = "marginal"
EVERY = "all of them"
LEAST_SAVING = 1e-3
"""A model counts as quicker from this share on; less may be what the proofs leave open."""


def points(ctx: Context, analysis: Analysis) -> list[Point]:
    return [point for model in _models(ctx) for point in _points_of(ctx, analysis, model).values()]


def finding(ctx: Context, analysis: Analysis, ask: Ask) -> Finding:
    result, unit = ctx.result(analysis), analysis.unit
    saved: dict[str, dict[str, float]] = {}
    base: dict[str, float] = {}
    for model in _models(ctx):
        rows = {name: number(ask(point), result) for name, point in _points_of(ctx, analysis, model).items()}
        before = rows.pop("", None)
        if before is None:
            continue
        base[model] = before
        for name, after in rows.items():
            if after is not None:
                saved.setdefault(name, {})[model] = before - after
    ranked = sorted(saved, key=lambda name: (-_worth(saved[name], base), name))
    shown = ranked[: analysis.top]
    return Finding(
        kind=KIND,
        title=_title(analysis, ctx.soc, len(base)),
        sentence=_sentence(ranked, saved, base, result, unit),
        columns=("operator", "fleet", "models", f"{result} saved, model by model"),
        rows=tuple(
            (
                name,
                f"{-100 * _worth(saved[name], base):+.2f} %",
                str(len(_helped(saved[name], base))),
                _by_model(saved[name], base, result),
            )
            for name in shown
        ),
        document={
            "result": result,
            "unit": unit,
            "base": base,
            "operators": [{"operator": n, "fleet_share": _worth(saved[n], base), "saved": saved[n]} for n in ranked],
        },
        chart=bars([Bar(n, -100 * _worth(saved[n], base), 0.0) for n in shown], 0.0, f"{result} of the fleet, %"),
    )


def _title(analysis: Analysis, soc: str, models: int) -> str:
    without = f" without {' and '.join(analysis.without)}" if analysis.without else ""
    return f"What each operator that {analysis.unit} lacks would be worth, {models} models on {soc}{without}"


def _worth(saved: dict[str, float], base: dict[str, float]) -> float:
    """1 - geometric mean over all models of after / before, so that no model counts for being large."""
    logs = sum(math.log(max(1e-9, 1 - saved.get(model, 0.0) / before)) for model, before in base.items() if before > 0)
    return 1 - math.exp(logs / max(1, len(base)))


def _helped(saved: dict[str, float], base: dict[str, float]) -> list[tuple[str, float]]:
    found = [(model, gain) for model, gain in saved.items() if gain > LEAST_SAVING * base[model]]
    return sorted(found, key=lambda pair: -pair[1] / base[pair[0]])


def _by_model(saved: dict[str, float], base: dict[str, float], result: str) -> str:
    helped = _helped(saved, base)
    return ", ".join(f"{model} {told(gain, result)} of {told(base[model], result)}" for model, gain in helped) or "none"


def _sentence(
    ranked: list[str], saved: dict[str, dict[str, float]], base: dict[str, float], result: str, unit: str
) -> str:
    single = [name for name in ranked if name != EVERY]
    if not single:
        return f"{unit} takes every operator of these models."
    worth = ", ".join(f"{name} ({100 * _worth(saved[name], base):.2f} %)" for name in single[:3])
    every = f"; all together save {100 * _worth(saved[EVERY], base):.2f} %" if EVERY in saved else ""
    return f"Over {len(base)} models, the operators worth most to {unit} by mean {result} saved are {worth}{every}."


def _models(ctx: Context) -> list[str]:
    return [model.title for model in ctx.study.models]


def _points_of(ctx: Context, analysis: Analysis, model: str) -> dict[str, Point]:
    """The model as it is (under ""), with each operator gained, and with all."""
    missing = ctx.missing(model, ctx.socs[ctx.soc], analysis.unit)
    wanted = [name for name in missing if not analysis.operators or name in analysis.operators]
    gains = {"": (), **{name: (name,) for name in wanted}}
    if wanted:
        gains[EVERY] = tuple(wanted)
    found = {}
    for name, gained in gains.items():
        change = Change(gain_operators={analysis.unit: gained} if gained else {}, remove=analysis.without)
        found[name] = Point(KIND, model, ctx.soc, change, ((f"{analysis.unit} gains", name or "nothing"),))
    return found
