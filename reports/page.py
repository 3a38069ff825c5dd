"""The report as one HTML page that needs nothing else: styles, script and pictures are inside it.

Every name that comes from a model, a Soc or a plan is escaped by the template engine, and the page forbids itself, by
its content security policy, to load anything.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment

from partita.graph.ir import Graph, Node
from partita.graph.plan import PlacedOperator, Plan
from partita.kernels.compare import Difference
from partita.reports.account import Account
from partita.reports.aim import aim_text, figure_text
from partita.reports.drawing import Picture, strip_of
from partita.reports.estimates import estimates_line, estimates_of
from partita.reports.fallbacks import fallbacks_of
from partita.reports.graph_view import GraphView
from partita.reports.html import css_colours, templates
from partita.reports.memory_view import memory_rows
from partita.reports.provenance import command_of, provenance_of
from partita.reports.rewrites import Rewrite
from partita.reports.verdict import (
    EXACT_GAP,
    Verdict,
    host_only,
    labelled_baselines,
    solver_text,
    sure_text,
    verdict_of,
)
from partita.reports.wording import (
    bytes_text,
    count_text,
    decibel_text,
    ms_text,
    percent_at_most,
    percent_text,
    printable,
    ratio_text,
    significant,
)
from partita.simulator.timeline import Timeline
from partita.units import ms

MOST_BOUNDARIES = 200
MOST_FALLBACKS = 100
MOST_NODES = 40
"""Names listed under one fallback."""
PRINTED_ROWS = 60
"""Operators on paper, the dearest, if there are more."""
SAME_TIME = 0.0005
"""Latencies that differ by less than this share are told as equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A latency beside others; `width` in percent of the longest."""

    title: str
    latency: str
    width: float
    is_plan: bool
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A part of the latency, of a unit or of a fixed cost."""

    label: str
    title: str
    style: str
    operators: int
    operators_share: float
    latency_ms: float
    latency_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRow:
    """A kernel call in the page's table."""

    name: str
    others: tuple[str, ...]
    """The other operators of the model inside a fused kernel."""
    op: str
    unit: str
    style: str
    dtype: str
    kernel: str
    segment: int
    latency_ms: float
    bound: str
    evidence: str
    shapes: str
    is_printed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One of the numbers at the top."""

    value: str
    label: str
    note: str


def page(plan: Plan, timeline: Timeline, checks: Sequence[Difference] = (), rewrites: Sequence[Rewrite] = ()) -> str:
    """The whole report of a plan as HTML."""
    account = Account(plan)
    verdict = verdict_of(account, timeline)
    fallbacks = fallbacks_of(account)
    boundaries = sorted(plan.transfers, key=lambda t: -t.latency_us)
    units = account.chip.units
    return _environment().get_template("page.html").render(
        plan=plan,
        account=account,
        verdict=verdict,
        figures=_figures(account, verdict),
        bars=_bars(account),
        bound_x=_bound_position(plan),
        shares=_shares(account),
        sure=sure_text(account),
        picture=Picture(plan, account.chip, timeline),
        strip=strip_of(plan, account.chip),
        graph=GraphView(account).json(),
        memory=memory_rows(account),
        fallbacks=fallbacks[:MOST_FALLBACKS],
        fallback_count=len(fallbacks),
        boundaries=boundaries[:MOST_BOUNDARIES],
        operators=_operator_rows(account),
        checks=checks,
        rewrites=rewrites,
        hangs_on=estimates_line(estimates_of(plan)),
        provenance=provenance_of(plan),
        command=command_of(plan),
        unit_count=len(units),
        colours_on_light=css_colours([unit.kind for unit in units], dark=False),
        colours_on_dark=css_colours([unit.kind for unit in units], dark=True),
    )  # fmt: skip


@cache
def _environment() -> Environment:
    """The templates with what this page asks of them."""
    environment = templates()
    environment.filters.update(
        bytes=bytes_text,
        percent=percent_text,
        ms=ms_text,
        number=_number,
        unbroken=_unbroken,
        decibel=decibel_text,
    )
    environment.globals.update(most_nodes=MOST_NODES, count=count_text)
    return environment


def _number(time_us: float) -> str:
    """Milliseconds with three decimals, so that columns align."""
    return f"{ms(time_us):.3f}"


def _unbroken(text: str) -> str:
    """The text with numbers tied to their units, so that no line ends between them."""
    return re.sub(r"(?<=[\d<>]) (?=%|m?s\b|dB\b|\d)", "\u00a0", text)


def _figures(account: Account, verdict: Verdict) -> tuple[Figure, ...]:
    plan = account.plan
    span = f"{significant(ms(account.low_us))} to {significant(ms(account.high_us))} ms by the predictions' own ranges"
    latency = Figure(value=ms_text(plan.latency_us), label="predicted latency", note=span)
    crossings = f"{count_text(account.crossings, 'transfer')} between units, {ms_text(account.transfers_us)}"
    kernels = f"{account.operators:,} operators in {len(plan.operators):,} kernels; {crossings}"
    segments = Figure(value=f"{len(plan.segments):,}", label=_plural(len(plan.segments), "segment"), note=kernels)
    left = _left(plan.proof.gap)
    solver = solver_text(plan.proof)
    gap = Figure(value=left, label="at most left to gain", note=solver.replace("_", " "))
    figures = (latency, _aim(plan), _speed(verdict), segments, gap)
    return tuple(figure for figure in figures if figure is not None)


def _left(gap: float) -> str:
    if gap <= EXACT_GAP:
        return "0 %"
    return percent_at_most(gap) if gap < 1 else "unknown"


def _aim(plan: Plan) -> Figure | None:
    """What the placement was chosen for, if it is not the latency."""
    if plan.proof.objective == "latency":
        return None
    return Figure(value=figure_text(plan.proof), label=f"predicted {printable(aim_text(plan.proof))}", note="")


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"


def _speed(verdict: Verdict) -> Figure | None:
    if verdict.speedup is None or verdict.reference is None:
        return None
    best = verdict.best_baseline
    note = ""
    if best is not None and best != verdict.reference:
        saved = (best.latency_us - verdict.latency_us) / best.latency_us
        note = f"{_against(saved)} the best simple rule ({best.title})"
    alone = verdict.reference.name == host_only(verdict.host_unit)
    title = f"{verdict.host} alone" if alone else verdict.reference.title
    return Figure(value=ratio_text(verdict.speedup), label=f"as fast as {title}", note=note)


def _against(saved: float) -> str:
    if abs(saved) < SAME_TIME:
        return "as quick as"
    return f"{percent_text(abs(saved))} {'less' if saved > 0 else 'more'} time than"


def _bars(account: Account) -> tuple[Bar, ...]:
    plan, longest = account.plan, _longest_us(account.plan)
    rows = [("This plan", plan.latency_us, len(plan.segments), True)]
    rows += [(b.title, b.latency_us, b.segments, False) for b in labelled_baselines(account)]
    return tuple(
        Bar(
            title=title,
            latency=f"{ms(us):,.2f}",
            width=round(us / longest * 100, 2),
            is_plan=is_plan,
            note=count_text(segments, "segment"),
        )
        for title, us, segments, is_plan in rows
    )


def _bound_position(plan: Plan) -> float:
    """Where the proven bound lies, in percent of the longest bar; 0 if nothing is proven of the latency."""
    return round((plan.bound_us or 0.0) / _longest_us(plan) * 100, 2)


def _longest_us(plan: Plan) -> float:
    return max([plan.latency_us, *(b.latency_us for b in plan.baselines)]) or 1.0


def _shares(account: Account) -> tuple[Share, ...]:
    total_us, total_operators = account.latency_us or 1.0, account.operators or 1
    rows = [
        (printable(t.unit.label), printable(t.unit.title), f"u{i}", t.operators, t.latency_us)
        for i, t in enumerate(account.units)
    ]
    rows.append(("Transfers", "between units", "link", 0, account.transfers_us))
    rows.append(("Runtime", "fixed cost of an inference", "runtime", 0, account.plan.inference_us))
    return tuple(
        Share(
            label=label,
            title=title,
            style=style,
            operators=operators,
            operators_share=operators / total_operators,
            latency_ms=ms(us),
            latency_share=us / total_us,
        )
        for label, title, style, operators, us in rows
    )


def _operator_rows(account: Account) -> tuple[OperatorRow, ...]:
    plan = account.plan
    style_of = {unit.name: f"u{i}" for i, unit in enumerate(account.chip.units)}
    label_of = {unit.name: printable(unit.label) for unit in account.chip.units}
    dearest = sorted(plan.operators, key=lambda o: -o.cost.latency_us)[:PRINTED_ROWS]
    printed = {operator.node for operator in dearest}
    return tuple(
        _operator_row(plan.graph, operator, label_of[operator.unit], style_of[operator.unit], operator.node in printed)
        for operator in plan.operators
    )


def _operator_row(graph: Graph, operator: PlacedOperator, unit: str, style: str, is_printed: bool) -> OperatorRow:
    node = graph.node_named[operator.node]
    return OperatorRow(
        name=printable(operator.node),
        others=tuple(printable(name) for name in operator.covers if name != operator.node),
        op=printable(node.op),
        unit=unit,
        style=style,
        dtype=operator.dtype,
        kernel=printable(operator.kernel),
        segment=operator.segment,
        latency_ms=ms(operator.cost.latency_us),
        bound=operator.cost.bound if operator.cost.latency_us > 0 else "",
        evidence=operator.cost.evidence,
        shapes=_shapes(graph, node),
        is_printed=is_printed,
    )


def _shapes(graph: Graph, node: Node) -> str:
    """ "1x32x56x56 → 1x64x28x28", weights left out."""
    inputs = (_shape(graph, name) for name in graph.activations(node))
    outputs = (_shape(graph, name) for name in node.present_outputs)
    return f"{', '.join(inputs)} → {', '.join(outputs)}"


def _shape(graph: Graph, name: str) -> str:
    value = graph.values.get(name)
    if value is None or value.shape is None:
        return "?"
    return "x".join("?" if d is None else str(d) for d in value.shape) or "scalar"
