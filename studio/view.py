"""What the page shows: of a session once, of a solved placement each time, as JSON with the timeline as SVG."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from jinja2 import Environment

from partita.devices import Soc, operator_cost, verdict
from partita.reports.account import Account
from partita.reports.aim import aim_text, figure_text
from partita.reports.chip import Chip, chip_of
from partita.reports.drawing import Picture
from partita.reports.fallbacks import fallbacks_of
from partita.reports.html import css_colours, templates
from partita.reports.verdict import labelled_baselines, solver_text, verdict_of
from partita.reports.wording import count_text, ms_text, percent_text, printable, ratio_text, significant
from partita.studies.placer import UNPROVEN
from partita.studio.knobs import knobs_of
from partita.studio.session import Session, Solved
from partita.units import ms

MOST_FALLBACKS = 12
EVEN = 0.0005
"""Figures that differ by less than this share are told as equal."""


def page(session: Session) -> str:
    """The page, which then asks for all else."""
    return _environment().get_template("studio.html").render(
        model=printable(session.model.title), soc=printable(session.soc.name)
    )  # fmt: skip


def style_sheet(soc: Soc) -> str:
    """The colours of the Soc's units and of the report, then its style sheet and Studio's own."""
    kinds = [unit.kind for unit in soc.units]
    classes = "".join(f".u{i}{{--c:var(--u{i})}}" for i in range(len(kinds)))
    light, dark = css_colours(kinds, dark=False), css_colours(kinds, dark=True)
    own = f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}{classes}"
    return "\n".join((own, _source("style.css"), _source("studio.css")))


def script(name: str) -> str:
    """One of the page's scripts."""
    return _source(name)


def model_document(session: Session) -> dict[str, Any]:
    """All that stays as it is while sliders move."""
    chip = chip_of(session.preset.plan)
    drawing = session.drawing
    return {
        "model": printable(session.model.title),
        "soc": printable(session.soc.name),
        "chip": printable(chip.short_title),
        "runtime": printable(chip.runtime),
        "units": [
            {
                "name": unit.name,
                "label": printable(label.label),
                "title": printable(unit.title),
                "is_host": unit.name == session.soc.host,
                "optional_dtypes": list(unit.optional_dtypes),
            }
            for unit, label in zip(session.soc.units, chip.units, strict=True)
        ],
        "has_power": session.soc.power is not None,
        "knobs": [knob.document() for knob in knobs_of(session.soc)],
        "offers": [
            {
                "op": printable(offer.op), "unit": offer.unit, "count": offer.count, "refused": offer.refused,
                "reason": printable(offer.reason),
            }
            for offer in session.offers
        ],
        "graph": {
            "x": drawing.x,
            "y": drawing.y,
            "row": drawing.row,
            "arrows": [end for arrow in drawing.arrows for end in arrow],
            "op": [printable(node.op) for node in session.graph.nodes],
            "name": [printable(node.name) for node in session.graph.nodes],
        },
    }  # fmt: skip


def solved_document(session: Session, solved: Solved, reference: Solved | None) -> dict[str, Any]:
    """One placement, beside that on the Soc as it is."""
    account, plan = solved.account, solved.plan
    chip = account.chip
    position = {unit.name: i for i, unit in enumerate(session.soc.units)}
    kernel_of = {name: k for k, operator in enumerate(plan.operators) for name in operator.covers}
    unit_of = [position[operator.unit] for operator in plan.operators]
    return {
        "sentence": _sentence(solved),
        "value": ms_text(plan.latency_us),
        "latency_ms": ms(plan.latency_us),
        "against": _against(session, solved, reference),
        "figures": [{"label": label, "value": value, "note": note} for label, value, note in _figures(account)],
        "bars": _bars(session, solved, reference),
        "shares": _shares(account, position),
        "timeline": _timeline(solved, chip),
        "graph": {"unit": [unit_of[kernel_of[n.name]] for n in session.graph.nodes],
                  "kernel": [kernel_of[n.name] for n in session.graph.nodes]},
        "kernels": list(_kernels(account)),
        "fallbacks": [
            {
                "op": printable(fallback.op),
                "unit": printable(fallback.unit.label),
                "style": f"u{position[fallback.unit.name]}",
                "count": len(fallback.nodes),
                "cost_ms": significant(ms(fallback.cost_us)),
                "reason": printable(fallback.reason),
                "source": printable(fallback.source),
            }
            for fallback in fallbacks_of(account)[:MOST_FALLBACKS]
        ],
    }  # fmt: skip


def operator_document(session: Session, solved: Solved, index: int) -> dict[str, Any]:
    """What every unit says of one operator of the model, which is asked for when somebody points at it."""
    graph, node = session.graph, session.graph.nodes[index]
    call = solved.account.call_of[node.name]
    answers = []
    for unit in solved.soc.units:
        judged = verdict(graph, node, unit, unit.dtypes[0])
        cost_ms = ms(operator_cost(graph, node, unit, unit.dtypes[0]).latency_us) if judged.is_accepted else None
        answers.append(
            {
                "unit": unit.name,
                "verdict": judged.status,
                "reason": printable(judged.reason),
                "source": printable(judged.source),
                "cost": f"{significant(cost_ms)} ms" if cost_ms is not None else "",
            }
        )
    return {"name": printable(node.name), "op": printable(node.op), "unit": call.unit, "dtype": call.dtype,
            "kernel": printable(call.kernel), "fused": len(call.covers) - 1, "cost": ms_text(call.cost.latency_us),
            "answers": answers}  # fmt: skip


def _sentence(solved: Solved) -> str:
    """The verdict without its figure, which stands above it."""
    verdict = verdict_of(solved.account, solved.timeline)
    text = verdict.sentence.removeprefix(f"{verdict.headline}: ")
    if solved.plan.proof.status == UNPROVEN:
        text = text.replace(verdict.certainty, "not yet proven the best")
    return text[:1].upper() + text[1:]


def _against(session: Session, solved: Solved, reference: Solved | None) -> dict[str, Any]:
    """How the objective's figure compares with that on the Soc as it is."""
    name = printable(session.soc.name)
    if reference is None:
        return {"text": "", "is_better": None}
    now, before = solved.plan.proof.value, reference.plan.proof.value
    told = ms_text(before) if reference.plan.proof.objective == "latency" else figure_text(reference.plan.proof)
    if abs(now - before) <= EVEN * before:
        return {"text": f"the same as {name}", "is_better": None}
    share = abs(now - before) / before
    word = "less" if now < before else "more"
    size = f"{ratio_text(now / before)}" if now > 2 * before else f"{share * 100:.1f} % {word} than"
    return {"text": f"{size} the {told} of {name}", "is_better": now < before}


def _figures(account: Account) -> Iterator[tuple[str, str, str]]:
    """(label, value, note) of the numbers beside the verdict."""
    plan = account.plan
    if plan.proof.objective != "latency":
        yield printable(aim_text(plan.proof)), figure_text(plan.proof), ""
    if plan.energy_mj is not None and plan.proof.objective != "energy":
        yield "energy", f"{significant(plan.energy_mj)} mJ", "of one inference"
    crossings = f"{count_text(account.crossings, 'transfer')}, {ms_text(account.transfers_us)}"
    yield "segments" if len(plan.segments) != 1 else "segment", f"{len(plan.segments):,}", crossings
    yield "kernels", f"{len(plan.operators):,}", f"for {account.operators:,} operators"
    gap = plan.proof.gap
    left = "0 %" if gap <= EVEN else percent_text(gap) if gap < 1 else "unknown"
    yield "left to gain", left, solver_text(plan.proof).replace("_", " ")


def _bars(session: Session, solved: Solved, reference: Solved | None) -> list[dict[str, Any]]:
    rows = [("Now", solved.plan.latency_us, "plan")]
    if reference is not None:
        rows.append((f"{printable(session.soc.name)} as it is", reference.plan.latency_us, "before"))
    rows += [(b.title, b.latency_us, "") for b in labelled_baselines(solved.account)]
    longest = max(latency_us for _, latency_us, _ in rows) or 1.0
    return [
        {"title": title, "text": ms_text(us), "width": round(us / longest * 100, 2), "style": style}
        for title, us, style in rows
    ]


def _shares(account: Account, position: dict[str, int]) -> list[dict[str, Any]]:
    total = account.latency_us or 1.0
    rows = [(t.unit.label, f"u{position[t.unit.name]}", t.operators, t.latency_us) for t in account.units]
    rows += [("Transfers", "link", 0, account.transfers_us), ("Runtime", "runtime", 0, account.plan.inference_us)]
    return [
        {"label": printable(label), "style": style, "operators": operators, "text": ms_text(us), "share": us / total}
        for label, style, operators, us in rows
        if operators or us > 0
    ]


def _timeline(solved: Solved, chip: Chip) -> str:
    picture = Picture(solved.plan, chip, solved.timeline)
    return _environment().get_template("timeline.html").render(picture=picture)


def _kernels(account: Account) -> Iterator[str]:
    """What is said of a kernel when somebody points at it."""
    for operator in account.plan.operators:
        limit = f", {operator.cost.bound} bound" if operator.cost.latency_us > 0 else ""
        fused = f" and {len(operator.covers) - 1} more" if len(operator.covers) > 1 else ""
        label = account.chip.unit(operator.unit).label
        yield (
            f"{printable(operator.node)}{fused}\n{printable(operator.kernel)} on {printable(label)} in "
            f"{operator.dtype}\n{ms_text(operator.cost.latency_us)}{limit}, from {operator.cost.evidence}"
        )


@cache
def _environment() -> Environment:
    return templates("partita.studio")


def _source(name: str) -> str:
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]
