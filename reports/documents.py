"""What `run`, `simulate`, `report` and `soc` print: JSON documents, each with a schema in templates/, and tables.

Times are in milliseconds, sizes in bytes; a number that is not finite is null.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from partita.devices import Fact, Soc, facts
from partita.graph.plan import Plan
from partita.kernels.noise import OperatorNoise
from partita.reports.checking import Check, RunResult
from partita.reports.difference import difference_document, finite_or_none
from partita.reports.report import Report
from partita.reports.summary import NAMES_SHOWN, plain_table, row
from partita.reports.wording import bytes_text, count_text, percent_text, shortened, significant
from partita.simulator.critical_path import CriticalPath, critical_path
from partita.simulator.timeline import Timeline
from partita.units import MS_PER_S, US_PER_MS, ms


def run_document(plan: Plan, result: RunResult) -> dict[str, Any]:
    """`partita run --json`; described by templates/run.schema.json."""
    return {
        "format": "partita-run/1",
        "model": plan.graph.name,
        "soc": plan.soc_name,
        "is_right": result.is_right,
        "wall_ms": result.wall_s * MS_PER_S,
        "kernels": len(result.execution.operators),
        "transfers": result.execution.transfers,
        "transferred_bytes": result.execution.transferred_bytes,
        "wall_ms_by_unit": _wall_ms_by_unit(plan, result),
        "outputs": {
            name: {"dtype": str(array.dtype), "shape": list(array.shape)}
            for name, array in result.execution.outputs.items()
            if hasattr(array, "dtype")
        },
        "checks": {check.name: _check(check) for check in result.checks},
        "noisiest": [
            {"node": n.node, "op": n.op, "dtype": n.dtype, "snr_db": finite_or_none(n.snr_db)} for n in result.noisiest
        ],
        "notes": list(result.notes),
    }


def _wall_ms_by_unit(plan: Plan, result: RunResult) -> dict[str, float]:
    units = dict.fromkeys(segment.unit for segment in plan.segments)
    return {u: ms(sum(o.wall_us for o in result.execution.operators if o.unit == u)) for u in units}


def _check(check: Check) -> dict[str, Any]:
    return {
        "title": check.title,
        "must_agree": check.is_exact,
        "is_right": check.is_right,
        "outputs": {d.output: difference_document(d) for d in check.outputs},
    }


def run_summary(plan: Plan, result: RunResult) -> RenderableType:
    """What `partita run` prints."""
    execution = result.execution
    size = f" of {bytes_text(execution.transferred_bytes)}" if execution.transfers else ""
    moved = f"{count_text(execution.transfers, 'transfer')}{size}"
    head = (
        f"{plan.graph.name} ran as placed: {count_text(len(execution.operators), 'kernel call')} in "
        f"{count_text(len(plan.segments), 'segment')}, {moved}, "
        f"{significant(result.wall_s * MS_PER_S)} ms on this machine."
    )
    parts: list[RenderableType] = [Text(head, style="bold")]
    if result.checks:
        parts.append(_checks_table(result.checks))
    if result.noisiest:
        parts.append(_noise_table(result.noisiest))
    parts += [Text(note) for note in result.notes]
    if not result.is_right:
        parts.append(Text("The results differ where they must agree: please report this model.", style="bold red"))
    return Group(*parts)


def _checks_table(checks: Sequence[Check]) -> RenderableType:
    table = plain_table(
        "Unplaced float32 model against", "other", "output", "max error", "SNR", "top-1", "verdict", numbers=0
    )
    for check in checks:
        for d in check.outputs:
            snr = "equal" if d.snr_db == math.inf else f"{d.snr_db:.1f} dB"
            verdict = ("right" if check.is_right else "WRONG") if check.is_exact else "told"
            row(
                table,
                check.title,
                d.output,
                f"{d.max_relative:.1e}",
                snr,
                "same" if d.top1_agrees else "differs",
                verdict,
            )
    return table


def _noise_table(noisiest: Sequence[OperatorNoise]) -> RenderableType:
    table = plain_table("Noisiest operators, each by itself", "operator", "type", "dtype", "SNR", numbers=1)
    for noise in noisiest:
        row(table, shortened(noise.node, NAMES_SHOWN), noise.op, noise.dtype, f"{noise.snr_db:.1f} dB")
    return table


def simulation_document(plan: Plan, timeline: Timeline) -> dict[str, Any]:
    """`partita simulate --json`; described by templates/simulation.schema.json."""
    path = critical_path(timeline, plan)
    return {
        "format": "partita-simulation/1",
        "model": plan.graph.name,
        "soc": plan.soc_name,
        "scenario": timeline.scenario,
        "latency_ms": ms(timeline.latency_us),
        "predicted_ms": ms(plan.latency_us),
        "spans": len(timeline.spans),
        "busy_ms": {track: ms(us) for track, us in timeline.busy_us.items()},
        "utilisation": {track: _share(us, timeline.latency_us) for track, us in timeline.busy_us.items()},
        "ms_by_kind": {kind: ms(us) for kind, us in timeline.us_by_kind.items()},
        "critical_path_ms": {part: ms(us) for part, us in path.us_of.items()},
        "dram_bytes": sum(span.dram_bytes for span in timeline.spans),
    }


def _share(part_us: float, whole_us: float) -> float:
    return part_us / whole_us if whole_us > 0 else 0.0


def simulation_summary(plan: Plan, timeline: Timeline) -> RenderableType:
    """What `partita simulate` prints."""
    head = f"{plan.graph.name} on {plan.soc_name}, {timeline.scenario}: {significant(ms(timeline.latency_us))} ms"
    return Group(Text(head, style="bold"), _busy_table(timeline), _path_table(critical_path(timeline, plan)))


def _busy_table(timeline: Timeline) -> RenderableType:
    table = plain_table("Busy", "track", "ms", "share", numbers=2)
    for track, us in timeline.busy_us.items():
        row(table, track, f"{ms(us):.3f}", percent_text(_share(us, timeline.latency_us)))
    return table


def _path_table(path: CriticalPath) -> RenderableType:
    table = plain_table("What the time is made of", "part", "ms", "share", numbers=2)
    for part, us in path.us_of.items():
        if us > 0:
            row(table, part, f"{ms(us):.3f}", percent_text(_share(us, path.latency_us)))
    return table


def written_document(report: Report, paths: Sequence[str]) -> dict[str, Any]:
    """`partita report --json`; described by templates/written.schema.json."""
    return {
        "format": "partita-written/1",
        "verdict": report.verdict,
        "latency_ms": report.plan.latency_us / US_PER_MS,
        "written": list(paths),
    }


def soc_list_document(socs: Iterable[Soc]) -> dict[str, Any]:
    """`partita soc list --json`; described by templates/soc_list.schema.json."""
    return {
        "format": "partita-soc-list/1",
        "socs": [
            {"name": s.name, "chip": s.chip, "runtime": s.runtime, "units": [unit.name for unit in s.units]}
            for s in socs
        ],
    }


def soc_list_table(socs: Iterable[Soc]) -> RenderableType:
    table = plain_table("Presets", "name", "chip", "units", "runtime", numbers=0)
    for soc in socs:
        row(table, soc.name, soc.chip, ", ".join(unit.name for unit in soc.units), soc.runtime)
    return table


def soc_document(soc: Soc) -> dict[str, Any]:
    """`partita soc show --json`; described by templates/soc.schema.json."""
    return {
        "format": "partita-soc-facts/1",
        "name": soc.name,
        "chip": soc.chip,
        "runtime": soc.runtime,
        "description": soc.description,
        "digest": soc.digest,
        "host": soc.host,
        "units": {
            unit.name: {"kind": unit.kind, "title": unit.title, "dtypes": list(unit.dtypes)} for unit in soc.units
        },
        "facts": [_fact(fact) for fact in facts(soc)],
        "sources": dict(soc.sources),
    }


def _fact(fact: Fact) -> dict[str, Any]:
    return {
        "path": fact.path,
        "value": fact.value,
        "unit": fact.unit,
        "low": fact.low,
        "high": fact.high,
        "kind": fact.kind,
        "source": fact.source,
    }


def soc_table(soc: Soc) -> RenderableType:
    """Every number with its range and source, and what the sources' keys stand for."""
    table = plain_table(
        f"{soc.name}: {soc.chip}, {soc.runtime}", "number", "value", "range", "kind", "source", numbers=0
    )
    for fact in facts(soc):
        value = f"{fact.value:.6g} {fact.unit}".strip()
        low, high = (fact.value if end is None else end for end in (fact.low, fact.high))
        row(table, fact.path, value, "" if low == high else f"{low:.6g} .. {high:.6g}", fact.kind, fact.source)
    keys = plain_table("Sources", "key", "is", numbers=0)
    for key, meaning in soc.sources.items():
        row(keys, key, meaning)
    return Group(table, Text(""), keys)
