"""The report as short Markdown, for pull requests and notes."""

import re
from collections.abc import Sequence

from partita.graph.plan import Plan
from partita.kernels.compare import Difference
from partita.reports.account import Account
from partita.reports.estimates import estimates_line, estimates_of
from partita.reports.fallbacks import fallbacks_of
from partita.reports.memory_view import peak_name
from partita.reports.provenance import provenance_of
from partita.reports.residency import residencies_of
from partita.reports.rewrites import EVERY, Rewrite
from partita.reports.verdict import labelled_baselines, sure_text, verdict_of
from partita.reports.wording import bytes_text, count_text, decibel_text, ms_text, percent_text, printable
from partita.simulator.timeline import Timeline
from partita.units import ms

MOST_ROWS = 15


def markdown(
    plan: Plan, timeline: Timeline, checks: Sequence[Difference] = (), rewrites: Sequence[Rewrite] = ()
) -> str:
    """The verdict, and a table for each question that a reader asks next."""
    account = Account(plan)
    parts = [
        f"# {escaped(plan.graph.name)} on {escaped(account.chip.title)}",
        f"**{escaped(verdict_of(account, timeline).sentence)}**",
        f"Predicted {ms_text(account.low_us)} to {ms_text(account.high_us)}; operators' time by evidence: "
        f"{escaped(sure_text(account))}. {escaped(estimates_line(estimates_of(plan)))}",
        _units(account),
        _baselines(account),
        _rewrites(rewrites),
        _fallbacks(account),
        _boundaries(account),
        _memory(account),
        _checks(checks),
        _provenance(plan),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    r"""Text that Markdown and any HTML around it show as it is.

    >>> escaped("a|b <i> `c`")
    'a\\|b &lt;i&gt; \\`c\\`'
    """
    text = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|#~!])", r"\\\1", text)


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> str:
    """A table whose last `numbers` columns are aligned to the right; cells are escaped here."""
    rules = [":--" if i < len(heads) - numbers else "--:" for i in range(len(heads))]
    lines = [f"## {title}", "", f"| {' | '.join(heads)} |", f"|{'|'.join(rules)}|"]
    lines += [f"| {' | '.join(escaped(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _units(account: Account) -> str:
    total_us, operators = account.latency_us or 1.0, account.operators or 1
    rows = [
        (
            f"{t.unit.label} ({t.unit.title})",
            f"{t.operators:,}",
            percent_text(t.operators / operators),
            str(t.segments),
            f"{ms(t.latency_us):.3f}",
            percent_text(t.latency_us / total_us),
        )
        for t in account.units
    ]
    for label, us in (("transfers", account.transfers_us), ("runtime", account.plan.inference_us)):
        rows.append((label, "", "", "", f"{ms(us):.3f}", percent_text(us / total_us)))
    return _table("What runs where", ("unit", "operators", "share", "segments", "ms", "share"), rows, numbers=5)


def _baselines(account: Account) -> str:
    plan = account.plan
    rows = [("this plan", f"{ms(plan.latency_us):.3f}", str(len(plan.segments)))]
    rows += [(b.title, f"{ms(b.latency_us):.3f}", str(b.segments)) for b in labelled_baselines(account)]
    return _table("Against simpler rules", ("rule", "ms", "segments"), rows, numbers=2)


def _fallbacks(account: Account) -> str:
    found = fallbacks_of(account)
    rows = [
        (f.op, f.unit.label, f.reason, f.source, str(len(f.nodes)), f"{ms(f.run_us):.3f}", f"{ms(f.cost_us):.3f}")
        for f in found[:MOST_ROWS]
    ]
    heads = ("operator", "runs on", "why", "source", "count", "ms", "with calls and transfers")
    return _table("Fallbacks, the dearest first", heads, rows, numbers=3) if rows else ""


def _rewrites(rewrites: Sequence[Rewrite]) -> str:
    rows = [
        (
            "all of them" if r.op == EVERY else r.op,
            r.rewrite or "-",
            r.rewrite_source,
            str(len(r.nodes)),
            f"{ms(r.latency_us):.3f}",
            f"{ms(r.saved_us):.3f}",
        )
        for r in rewrites
    ]
    heads = ("operator", "known rewrite", "source", "count", "then, ms", "saved, ms")
    return _table("Rewrite this first", heads, rows, numbers=3) if rows else ""


def _boundaries(account: Account) -> str:
    transfers = account.plan.transfers
    dearest = sorted(transfers, key=lambda t: -t.latency_us)[:MOST_ROWS]
    rows = [
        (t.tensor, str(t.source), str(t.target), bytes_text(t.size_bytes), f"{ms(t.latency_us):.3f}") for t in dearest
    ]
    title = f"Boundaries: {count_text(len(transfers), 'transfer')}"
    return _table(title, ("tensor", "from", "to", "size", "ms"), rows, numbers=2) if rows else ""


def _memory(account: Account) -> str:
    plan = account.plan
    rows = [
        (
            account.chip.unit(unit).label,
            peak_name(plan, r),
            bytes_text(r.weights_bytes),
            bytes_text(r.peak_bytes - r.weights_bytes),
            bytes_text(r.peak_bytes),
        )
        for unit, r in residencies_of(plan).items()
    ]
    heads = ("unit", "most lies there at", "weights", "activations", "sum")
    return _table("Memory", heads, rows, numbers=3) if rows else ""


def _checks(checks: Sequence[Difference]) -> str:
    rows = [
        (c.output, "yes" if c.top1_agrees else "no", f"{c.max_relative:.2g}", decibel_text(c.snr_db)) for c in checks
    ]
    heads = ("output", "same top answer", "largest relative error", "signal to noise")
    return _table("What it does to the outputs", heads, rows, numbers=2) if rows else ""


def _provenance(plan: Plan) -> str:
    return "\n".join(["## Where this comes from", "", *(f"- {term}: {escaped(v)}" for term, v in provenance_of(plan))])
