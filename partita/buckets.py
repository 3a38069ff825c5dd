"""`partita place --shapes`: one plan for each bucket of a moving size, and where the best placement changes."""

import json
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, Group, RenderableType
from rich.progress import Progress
from rich.text import Text

from partita import api
from partita import options as given
from partita.errors import OutputError
from partita.graph.plan import Plan
from partita.option_texts import parse_shapes, soc_for
from partita.reports.account import Account
from partita.reports.provenance import command_of
from partita.reports.summary import plain_table, row
from partita.reports.wording import percent_text, printable, significant
from partita.studies.buckets import Buckets, Change, Moved, Span, parse_span, place_buckets
from partita.units import ms

MOST_MOVED = 3
"""Operator types named at a change."""

out = Console(soft_wrap=False)
working = Console(stderr=True)


def run_buckets(model: str, span_text: str, placing: given.Placing, folder: str | None, *, as_json: bool) -> None:
    """Places the model at every bucket; writes a plan for each into `folder`, if one is given."""
    soc = api.soc(soc_for(model, placing.soc))
    span, wishes = parse_span(span_text), placing.wishes()
    fixed = parse_shapes(placing.shape)

    def place_at(size: int) -> Plan:
        graph = api.load(model, {**fixed, **span.shapes(size)}, random_weights=placing.random_weights)
        return api.place_as_wished(graph, soc, wishes)

    if folder is not None:
        _make(folder)
    buckets = _placed(span, place_at)
    written = _write(buckets, model, folder) if folder is not None else []
    if as_json:
        typer.echo(json.dumps(buckets_document(buckets), indent=1, allow_nan=False))
        return
    out.print(buckets_summary(buckets))
    for path in written:
        typer.echo(f"wrote {path}")


def _placed(span: Span, place_at: Any) -> Buckets:
    with Progress(console=working, disable=not working.is_terminal, transient=True) as progress:
        task = progress.add_task("placing", total=len(span.buckets))
        for done in place_buckets(span, place_at):
            if isinstance(done, Buckets):
                return done
            progress.update(task, advance=1, description=f"placed at {span.title} = {done}")
    raise AssertionError("place_buckets ends with its result")


def _make(folder: str) -> None:
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write plans to {folder!r}, which is to be a folder: {error.strerror}") from None


def _write(buckets: Buckets, model: str, folder: str) -> list[str]:
    paths = []
    for size, plan in buckets.plans.items():
        path = str(Path(folder) / f"{Path(model).stem}.{size}.plan.json")
        api.save_plan(plan, path)
        paths.append(path)
    return paths


def buckets_document(buckets: Buckets) -> dict[str, Any]:
    """`partita place --shapes --json`; described by reports/templates/buckets.schema.json."""
    return {
        "format": "partita-buckets/1",
        "names": dict(buckets.span.names),
        "buckets": [
            {
                "size": size,
                "latency_ms": ms(plan.latency_us),
                "gap": plan.proof.gap,
                "segments": len(plan.segments),
                "operators": {total.unit.name: total.operators for total in Account(plan).units},
                "ms_by_unit": {total.unit.name: ms(total.latency_us) for total in Account(plan).units},
                "command": command_of(plan),
            }
            for size, plan in buckets.plans.items()
        ],
        "changes": [
            {
                "below": change.below,
                "above": change.above,
                "moved": [{"op": m.op, "from": m.source, "to": m.target, "count": m.count} for m in change.moved],
            }
            for change in buckets.changes
        ],
    }


def buckets_summary(buckets: Buckets) -> RenderableType:
    """The table of buckets, and a sentence for each change."""
    title = printable(buckets.span.title)
    accounts = {size: Account(plan) for size, plan in buckets.plans.items()}
    units = [unit.label for unit in next(iter(accounts.values())).chip.units]
    table = plain_table(
        "Buckets: an input is filled up to the next size", title, "ms", "us each", "segments",
        *(f"on {unit}" for unit in units), numbers=4 + len(units),
    )  # fmt: skip
    for size, account in accounts.items():
        latency_us = account.plan.latency_us
        shares = (percent_text(total.latency_us / latency_us if latency_us else 0.0) for total in account.units)
        each = significant(latency_us / size) if size else ""
        row(table, str(size), f"{ms(latency_us):.3f}", each, str(len(account.plan.segments)), *shares)
    told = [Text(change_text(change, title)) for change in buckets.changes]
    same = Text(f"One placement is the best for every {title} that was tried.")
    return Group(table, Text(), *(told or [same]))


def change_text(change: Change, title: str) -> str:
    """ "Between seq = 64 and 72 the best placement changes: 12 Softmax from cpu to npu and 24 others move." """
    named = [_moved_text(moved) for moved in change.moved[:MOST_MOVED]]
    others = sum(moved.count for moved in change.moved[MOST_MOVED:])
    if others:
        named.append(f"{others} more")
    return f"Between {title} = {change.below} and {change.above} the best placement changes: {', '.join(named)}."


def _moved_text(moved: Moved) -> str:
    return f"{moved.count} {printable(moved.op)} from {moved.source} to {moved.target}"
