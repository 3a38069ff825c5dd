"""The plan as a document for machines and as tables for a terminal. Times are in milliseconds."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from partita.graph.plan import PlacedOperator, Plan, Proof, Shared, Transfer
from partita.reports.account import Account
from partita.reports.aim import figure, unit_text
from partita.reports.estimates import estimates_document, estimates_line, estimates_of
from partita.reports.fallbacks import Fallback, fallbacks_of
from partita.reports.memory_view import memory_document
from partita.reports.verdict import labelled_baselines, solver_text, sure_text, verdict_of
from partita.reports.wording import bytes_text, percent_at_most, percent_text, printable, shortened
from partita.simulator.timeline import Timeline
from partita.units import ms

FORMAT = "partita-report/1"
TABLE_ROWS = 12
"""Rows of the terminal's tables; the page has them all."""
NAMES_SHOWN = 30
"""Characters of a tensor's or node's name in the terminal."""


def plan_document(plan: Plan, timeline: Timeline | None = None) -> dict[str, Any]:
    """Everything about a plan that a script may want; `templates/plan.schema.json` describes it."""
    account = Account(plan)
    verdict = verdict_of(account, timeline)
    document: dict[str, Any] = {
        "format": FORMAT,
        "model": plan.graph.name,
        "model_path": plan.graph.source.path if plan.graph.source is not None else None,
        "graph_digest": plan.graph_digest,
        "soc": plan.soc_name,
        "soc_digest": plan.soc_digest,
        "verdict": verdict.sentence,
        "objective": plan.proof.objective,
        "value": figure(plan.proof.value, plan.proof),
        "bound": figure(plan.proof.bound, plan.proof),
        "bound_any_order": figure(plan.proof.any_order, plan.proof) if plan.proof.any_order is not None else None,
        "unit": unit_text(plan.proof),
        "latency_ms": ms(plan.latency_us),
        "low_ms": ms(account.low_us),
        "high_ms": ms(account.high_us),
        "bound_ms": ms(plan.bound_us) if plan.bound_us is not None else None,
        "period_ms": ms(plan.period_us),
        "energy_mj": plan.energy_mj,
        "gap": plan.proof.gap,
        "status": plan.proof.status,
        "solver": plan.proof.solver,
        "solve_s": plan.proof.solve_s,
        "options": {name: list(given) for name, given in plan.options.items()},
        "operators": account.operators,
        "kernels": len(plan.operators),
        "segments": len(plan.segments),
        "transfers": len(plan.transfers),
        "runtime_ms": ms(plan.inference_us),
        "units": {total.unit.name: _unit(account, i) for i, total in enumerate(account.units)},
        "memory": memory_document(plan),
        "evidence_ms": {evidence: ms(us) for evidence, us in account.us_by_evidence.items()},
        "uncounted": account.uncounted,
        "estimates": estimates_document(estimates_of(plan)),
        "baselines": {b.name: ms(b.latency_us) for b in plan.baselines},
        "baseline_segments": {b.name: b.segments for b in plan.baselines},
        "baseline_values": {
            b.name: figure(b.figure, plan.proof) for b in plan.baselines
        },
        "limits": [
            {"option": limit.option, "demand": limit.demand, "limit": limit.limit, "unit": limit.unit}
            for limit in plan.limits
        ],
        "states": [
            {"before": s.before, "after": s.after, "unit": s.location.unit, "dtype": s.location.dtype}
            for s in plan.states
        ],
        "alternatives": [{"node": a.node, "unit": a.unit, "extra": _extra(plan, a.extra)} for a in plan.alternatives],
        "placement": {name: _placement(account, name, operator) for name, operator in account.call_of.items()},
        "boundaries": [_boundary(transfer) for transfer in plan.transfers],
        "fallbacks": [_fallback(fallback) for fallback in fallbacks_of(account)],
        "refusals": [
            {"node": r.node, "op": r.op, "unit": r.unit, "verdict": r.verdict, "reason": r.reason, "source": r.source}
            for r in plan.refusals
        ],
    }  # fmt: skip
    if timeline is not None:
        document["timeline"] = _timeline(timeline)
    return document


def _extra(plan: Plan, extra: float | None) -> float | None:
    return None if extra is None else figure(extra, plan.proof)


def _unit(account: Account, index: int) -> dict[str, Any]:
    total = account.units[index]
    return {
        "kind": total.unit.kind,
        "operators": total.operators,
        "kernels": total.kernels,
        "segments": total.segments,
        "operators_ms": ms(total.operators_us),
        "calls_ms": ms(total.calls_us),
        "conversions_ms": ms(total.conversions_us),
        "dram_bytes": total.dram_bytes,
    }


def _placement(account: Account, name: str, operator: PlacedOperator) -> dict[str, Any]:
    return {
        "op": account.op_of(name),
        "unit": operator.unit,
        "dtype": operator.dtype,
        "kernel": operator.kernel,
        "call": operator.node,
        "segment": operator.segment,
        "latency_ms": ms(operator.cost.latency_us),
        "low_ms": ms(operator.cost.low_us),
        "high_ms": ms(operator.cost.high_us),
        "bound": operator.cost.bound,
        "evidence": operator.cost.evidence,
        "shared": _shared(operator.shared) if operator.shared is not None else None,
    }


def _shared(shared: Shared) -> dict[str, Any]:
    return {
        "unit": shared.unit,
        "dtype": shared.dtype,
        "channels": shared.channels,
        "end": shared.end,
        "eighths": shared.eighths,
        "first_ms": ms(shared.first.latency_us),
        "second_ms": ms(shared.second.latency_us),
        "sharing_ms": ms(shared.sharing_us),
    }


def _boundary(transfer: Transfer) -> dict[str, Any]:
    return {
        "tensor": transfer.tensor,
        "from": transfer.source.unit,
        "to": transfer.target.unit,
        "from_dtype": transfer.source.dtype,
        "to_dtype": transfer.target.dtype,
        "before": transfer.before or None,
        "bytes": transfer.size_bytes,
        "ms": ms(transfer.latency_us),
        "sync_ms": ms(transfer.sync_us),
        "copy_ms": ms(transfer.copy_us),
        "convert_ms": ms(transfer.convert_us),
    }


def _fallback(fallback: Fallback) -> dict[str, Any]:
    return {
        "op": fallback.op,
        "unit": fallback.unit.name,
        "wanted": fallback.wanted.name,
        "verdict": fallback.verdict,
        "reason": fallback.reason,
        "source": fallback.source,
        "nodes": list(fallback.nodes),
        "run_ms": ms(fallback.run_us),
        "around_ms": ms(fallback.around_us),
    }


def _timeline(timeline: Timeline) -> dict[str, Any]:
    return {
        "scenario": timeline.scenario,
        "latency_ms": ms(timeline.latency_us),
        "busy_ms": {track: ms(us) for track, us in timeline.busy_us.items()},
        "ms_by_kind": {kind: ms(us) for kind, us in timeline.us_by_kind.items()},
    }


def plan_summary(plan: Plan, timeline: Timeline | None = None) -> RenderableType:
    """The verdict and the tables behind it, for a terminal."""
    account = Account(plan)
    verdict = Text(verdict_of(account, timeline).sentence, style="bold")
    sure = Text(
        f"Predicted {ms(account.low_us):.3f} to {ms(account.high_us):.3f} ms; operators' time by evidence: "
        f"{sure_text(account)}; gap at most {percent_at_most(plan.proof.gap)}{_in_any_order(plan.proof)} "
        f"({solver_text(plan.proof)}).",
    )
    hangs_on = Text(estimates_line(estimates_of(plan)))
    parts: list[RenderableType] = [verdict, sure, hangs_on, units_table(account), baselines_table(account)]
    if any(operator.shared is not None for operator in plan.operators):
        parts.append(shared_table(plan))
    fallbacks = fallbacks_of(account)
    if fallbacks:
        parts.append(fallbacks_table(fallbacks))
    if plan.transfers:
        parts.append(boundaries_table(account))
    return Group(*(line for part in parts for line in (part, Text(""))))


def _in_any_order(proof: Proof) -> str:
    if proof.any_order is None or not proof.value:
        return ""
    return f", {percent_at_most(max(0.0, 1 - proof.any_order / proof.value))} over all orders of the operators"


def plain_table(title: str, *columns: str, numbers: int) -> Table:
    """A plain table whose last `numbers` columns are aligned to the right."""
    table = Table(title=title, min_width=len(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    for i, column in enumerate(columns):
        is_number = i >= len(columns) - numbers
        table.add_column(column, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    return table


def row(table: Table, *cells: str) -> None:
    """Cells are plain text: names come from files and may look like markup."""
    table.add_row(*(Text(printable(cell)) for cell in cells))


def shared_table(plan: Plan) -> Table:
    """The operators that two units share, the longest first."""
    found = [(operator, operator.shared) for operator in plan.operators if operator.shared is not None]
    found.sort(key=lambda pair: -pair[0].cost.latency_us)
    title = f"Shared by two units ({len(found)})"
    table = plain_table(title, "operator", "channels", "sharing ms", "side by side ms", numbers=2)
    for operator, shared in found[:TABLE_ROWS]:
        work_us = max(shared.first.latency_us, shared.second.latency_us)
        row(table, f"{operator.kernel} {shortened(operator.node, NAMES_SHOWN)}",
            f"{shared.end} on {operator.unit}, {shared.channels - shared.end} on {shared.unit}",
            f"{ms(shared.sharing_us):.3f}", f"{ms(work_us):.3f}")  # fmt: skip
    return table


def units_table(account: Account) -> Table:
    """What runs where."""
    table = plain_table("What runs where", "unit", "operators", "share", "segments", "ms", "share", numbers=5)
    total_us = account.latency_us or 1.0
    for total in account.units:
        share = total.operators / max(account.operators, 1)
        latency = f"{ms(total.latency_us):.3f}"
        time_share = percent_text(total.latency_us / total_us)
        cells = (f"{total.operators:,}", percent_text(share), str(total.segments), latency, time_share)
        row(table, total.unit.label, *cells)
    for label, us in (("transfers", account.transfers_us), ("runtime", account.plan.inference_us)):
        row(table, label, "", "", "", f"{ms(us):.3f}", percent_text(us / total_us))
    return table


def baselines_table(account: Account) -> Table:
    """The plan beside what simpler rules reach, quickest first."""
    table = plain_table("Against simpler rules", "rule", "segments", "ms", "x this plan", numbers=3)
    plan = account.plan
    row(table, "this plan", str(len(plan.segments)), f"{ms(plan.latency_us):.3f}", "1.00")
    for baseline in labelled_baselines(account):
        ratio = f"{baseline.latency_us / plan.latency_us:.2f}" if plan.latency_us > 0 else "-"
        row(table, baseline.title, str(baseline.segments), f"{ms(baseline.latency_us):.3f}", ratio)
    return table


def fallbacks_table(fallbacks: tuple[Fallback, ...]) -> Table:
    """Why operators run away from the accelerator, dearest first."""
    table = plain_table("Fallbacks", "operator", "runs on", "why", "count", "ms", "with transfers", numbers=3)
    for fallback in fallbacks[:TABLE_ROWS]:
        numbers = (str(len(fallback.nodes)), f"{ms(fallback.run_us):.3f}", f"{ms(fallback.cost_us):.3f}")
        row(table, fallback.op, fallback.unit.label, fallback.reason, *numbers)
    return table


def boundaries_table(account: Account) -> Table:
    """The dearest transfers."""
    dearest = sorted(account.plan.transfers, key=lambda t: -t.latency_us)[:TABLE_ROWS]
    title = f"Transfers ({len(account.plan.transfers)}, the dearest first)"
    table = plain_table(title, "tensor", "from", "to", "size", "ms", numbers=2)
    for transfer in dearest:
        ends = (str(transfer.source), str(transfer.target))
        size = bytes_text(transfer.size_bytes)
        row(table, shortened(transfer.tensor, NAMES_SHOWN), *ends, size, f"{ms(transfer.latency_us):.3f}")
    return table
