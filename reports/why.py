"""Why operators run where they do, as a document and as tables."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from partita.graph.plan import Plan
from partita.partitioner.why import Elsewhere, Price, Why
from partita.reports.aim import figure, unit_text
from partita.reports.summary import plain_table, row
from partita.reports.wording import percent_text, printable, significant
from partita.units import ms

METHOD = "each figure by solving again, all other operators placed anew; prices with a limit that is 1 % wider"


def why_document(plan: Plan, answers: Sequence[Why]) -> dict[str, Any]:
    """`partita place --why --json`; described by templates/why.schema.json."""
    return {
        "format": "partita-why/1",
        "model": plan.graph.name,
        "soc": plan.soc_name,
        "objective": plan.proof.objective,
        "value": figure(plan.proof.value, plan.proof),
        "unit": unit_text(plan.proof),
        "method": METHOD,
        "operators": [_operator(plan, answer) for answer in answers],
        "limits": [_price(plan, price) for price in (answers[0].prices if answers else ())],
    }


def _operator(plan: Plan, why: Why) -> dict[str, Any]:
    return {
        "node": why.node,
        "op": why.op,
        "unit": why.unit,
        "dtype": why.dtype,
        "kernel_ms": ms(why.kernel_us),
        "elsewhere": [
            {
                "unit": e.unit,
                "extra": _figure(plan, e.extra),
                "extra_at_least": _figure(plan, e.bound),
                "reason": e.reason or None,
            }
            for e in why.elsewhere
        ],
    }


def _price(plan: Plan, price: Price) -> dict[str, Any]:
    return {
        "option": price.option,
        "demand": price.demand,
        "limit": price.limit,
        "unit": price.unit,
        "is_near": price.is_near,
        "gain_per_unit": _figure(plan, price.gain),
    }


def _figure(plan: Plan, value: float | None) -> float | None:
    return None if value is None else figure(value, plan.proof)


def why_summary(plan: Plan, answers: Sequence[Why]) -> RenderableType:
    """What `partita place --why` prints."""
    unit = unit_text(plan.proof)
    value = f"{significant(figure(plan.proof.value, plan.proof))} {unit}"
    parts: list[RenderableType] = [Text(f"{plan.graph.name} on {plan.soc_name}, {plan.proof.objective}: {value}")]
    for why in answers:
        head = f"{why.node} ({why.op}) runs on {why.unit} in {why.dtype}, its kernel takes {ms(why.kernel_us):.4f} ms"
        parts += [Text(""), Text(printable(head), style="bold"), *(_line(plan, e) for e in why.elsewhere)]
    if answers and answers[0].prices:
        parts += [Text(""), _prices(plan, answers[0].prices)]
    return Group(*parts, Text(f"\n{METHOD[0].upper()}{METHOD[1:]}."))


def _line(plan: Plan, elsewhere: Elsewhere) -> Text:
    if elsewhere.extra is None or elsewhere.bound is None:
        return Text(printable(f"  not on {elsewhere.unit}: {elsewhere.reason}"))
    share = elsewhere.extra / plan.proof.value if plan.proof.value > 0 else 0.0
    extra = f"{significant(figure(elsewhere.extra, plan.proof))} {unit_text(plan.proof)}"
    return Text(printable(f"  on {elsewhere.unit}: {extra} more in total (+{percent_text(share)})"))


def _prices(plan: Plan, prices: Sequence[Price]) -> RenderableType:
    table = plain_table("Limits", "limit", "of", "needs", "may", "a wider one gains", numbers=3)
    for price in prices:
        gain = "nothing: it does not bind" if not price.is_near else "not told"
        if price.gain is not None and price.is_near:
            gain = f"{significant(figure(price.gain, plan.proof))} {unit_text(plan.proof)} per {price.unit}"
        row(table, price.option, price.unit, f"{price.demand:.4g}", f"{price.limit:.4g}", gain)
    return table
