"""What `partita calibrate` prints: what was matched, what was not, and what was written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from partita.devices.profiles import Profile
from partita.devices.profiles.matching import Matching, shares_of
from partita.devices.soc import Latency
from partita.graph.ir import Graph
from partita.reports.summary import NAMES_SHOWN, plain_table, row
from partita.reports.wording import percent_text, shortened
from partita.units import ms

ROWS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Calibration:
    """One profile put into one Soc file."""

    graph: Graph
    profile: Profile
    matching: Matching
    unit: str
    dtype: str
    entries: tuple[Latency, ...]
    written: str


def calibration_document(done: Calibration) -> dict[str, Any]:
    """`partita calibrate --json`; described by templates/calibration.schema.json."""
    profile, matching = done.profile, done.matching
    return {
        "format": "partita-calibration/1",
        "model": done.graph.name,
        "unit": done.unit,
        "dtype": done.dtype,
        "profile": {
            "format": profile.format,
            "rows": len(profile.rows),
            "runs": profile.runs,
            "sum_ms": ms(profile.sum_us),
            "whole_ms": None if profile.total_us is None else ms(profile.total_us),
            "notes": list(profile.notes),
        },
        "matched": {
            "rows": sum(len(timing.rows) for timing in matching.timings),
            "operators": sum(len(timing.nodes) for timing in matching.timings),
            "kernels": len(matching.timings),
            "by_order": sum(not timing.by_name for timing in matching.timings),
            "ms": ms(matching.matched_us),
            "share": shares_of(matching)["matched"],
        },
        "unmatched_rows": [
            {"name": r.name, "op": r.op, "ms": ms(r.duration_us or 0.0)} for r in matching.unmatched_rows
        ],
        "unmatched_share": shares_of(matching)["unmatched"],
        "unmatched_operators": [
            {"name": name, "op": done.graph.node_named[name].op} for name in matching.unmatched_nodes
        ],
        "elsewhere": len(matching.elsewhere),
        "entries": {
            "measured": sum(entry.latency_us.kind == "measured" for entry in done.entries),
            "derived": sum(entry.latency_us.kind == "derived" for entry in done.entries),
        },
        "written": done.written,
    }


def calibration_summary(done: Calibration) -> RenderableType:
    """The same for people."""
    matching, profile = done.matching, done.profile
    shares = shares_of(matching)
    operators = sum(len(timing.nodes) for timing in matching.timings)
    head = (
        f"{done.graph.name}: {operators} of {len(done.graph.nodes)} operators timed on {done.unit} ({done.dtype}) by "
        f"{sum(len(timing.rows) for timing in matching.timings)} of {len(profile.rows)} rows, "
        f"{ms(matching.matched_us):.3f} ms or {percent_text(shares['matched'])} of the time; "
        f"{len(done.entries)} entries."
    )
    parts: list[RenderableType] = [Text(head, style="bold")]
    by_order = sum(not timing.by_name for timing in matching.timings)
    if by_order:
        parts.append(Text(f"{by_order} rows were matched by order and type, not by name: check them."))
    parts += [Text(f"{note[:1].upper()}{note[1:]}.") for note in profile.notes]
    if matching.elsewhere:
        elsewhere_us = sum(each.duration_us or 0.0 for each in matching.elsewhere)
        parts.append(Text(f"{len(matching.elsewhere)} rows ran on other units ({ms(elsewhere_us):.3f} ms): left out."))
    if matching.unmatched_rows:
        parts.append(_rows_table(done, shares["unmatched"]))
    if matching.unmatched_nodes:
        parts.append(_operators_table(done))
    return Group(*parts)


def _rows_table(done: Calibration, share: float) -> RenderableType:
    rows = sorted(done.matching.unmatched_rows, key=lambda each: -(each.duration_us or 0.0))
    title = f"Rows that are no operator of the model: {len(rows)}, {percent_text(share)} of the time"
    table = plain_table(title, "row", "type", "ms", numbers=1)
    for each in rows[:ROWS_SHOWN]:
        row(table, shortened(each.name, NAMES_SHOWN), each.op, f"{ms(each.duration_us or 0.0):.4f}")
    _more(table, len(rows), columns=3)
    return table


def _operators_table(done: Calibration) -> RenderableType:
    names: Sequence[str] = done.matching.unmatched_nodes
    table = plain_table(f"Operators without a time, priced by the law: {len(names)}", "operator", "type", numbers=0)
    for name in names[:ROWS_SHOWN]:
        row(table, shortened(name, NAMES_SHOWN), done.graph.node_named[name].op)
    _more(table, len(names), columns=2)
    return table


def _more(table: Any, count: int, columns: int) -> None:
    if count > ROWS_SHOWN:
        row(table, f"and {count - ROWS_SHOWN} more", *[""] * (columns - 1))


def host_summary(document: Mapping[str, Any]) -> RenderableType:
    """What `partita calibrate --host` prints: how far the fitted law is off, by unit and class."""
    parts: list[RenderableType] = [Text(document["machine"], style="bold")]
    for preset in document["presets"]:
        units = preset["units"]
        classes = dict.fromkeys(name for unit in units.values() for name in unit["error_by_class"])
        table = plain_table(
            f"{preset['name']}: median error of the roofline on operators alone", "class", *units, numbers=len(units)
        )
        for op_class in classes:
            errors = [unit["error_by_class"].get(op_class) for unit in units.values()]
            row(table, op_class, *("" if error is None else percent_text(error) for error in errors))
        row(table, "all", *(percent_text(unit["median_error"]) for unit in units.values()))
        found = preset["networks"]
        told = f"{preset['name']}: {found['operators']} operators in {found['networks']} networks, whose latencies "
        parts += [table, Text(f"{told}their own law meets by {percent_text(found['latency_error'])} (median).")]
    return Group(*parts)
