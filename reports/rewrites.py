""" "Rewrite this first": what a plan would gain if its accelerator took an operator type that it refuses.

For every such type the placement is solved anew, with nothing else changed, at the costs that the unit's own law gives
the operator. How others have rewritten the type is data, in `rewrites.toml`, with its sources.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import BaseModel, ConfigDict

from partita.devices import Soc
from partita.devices.soc import Gains
from partita.errors import PartitaError, PlacementError
from partita.graph.plan import Location, Plan
from partita.partitioner.candidates import formulate
from partita.partitioner.place import behind, in_good_order
from partita.partitioner.placing import Placing
from partita.partitioner.quick import Again
from partita.partitioner.wishes import OfUnit, Rule, Wishes
from partita.passes.find_matches import find_matches
from partita.reports.account import Account
from partita.reports.fallbacks import fallbacks_of, wanted_accelerator
from partita.reports.unfused import unfused
from partita.units import ms

MOST_FAMILIES = 12
"""Types solved for one by one, the dearest fallbacks first."""
TIME_LIMIT_S = 10.0
"""Of each placement solved anew; one that is not proven by then counts with what it has reached."""
EVERY = "*"
"""Stands for all refused types together."""


class Known(BaseModel):
    """What people do about an operator type that a unit does not take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ops: tuple[str, ...]
    domain: str = ""
    rewrite: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """A refused operator type, and the plan with it taken. Times in microseconds."""

    op: str
    """EVERY for all of them together."""
    unit: str
    """The unit that would take it."""
    nodes: tuple[str, ...]
    """Operators of the model that it refuses now."""
    reason: str
    """Why, of the first of them."""
    source: str
    latency_us: float
    """One inference of the new placement; never more than the plan's, which is still allowed."""
    saved_us: float
    rewrite: str
    """What others do about it; empty if we know of nothing."""
    rewrite_source: str


def rewrites_of(plan: Plan) -> tuple[Rewrite, ...]:
    """The refused types by what they would save, most first; all together first of all if there are several.

    Empty for a plan without an accelerator or refusals, or one whose Soc is not there in full.
    """
    account = Account(plan)
    wanted = wanted_accelerator(account)
    device = _device(plan)
    if wanted is None or device is None or not plan.operators:
        return ()
    refused: dict[str, list[str]] = {}
    for refusal in plan.refusals:
        if refusal.unit == wanted.name and refusal.verdict != "ruled_out":
            refused.setdefault(refusal.op, []).append(refusal.node)
    if not refused:
        return ()
    dearest: dict[str, float] = {}
    for fallback in fallbacks_of(account):
        dearest[fallback.op] = dearest.get(fallback.op, 0.0) + fallback.cost_us
    ops = sorted(refused, key=lambda op: (-dearest.get(op, 0.0), op))[:MOST_FAMILIES]
    again = _again(plan, device)
    found = [_rewrite(plan, again, wanted.name, op, (op,), refused[op]) for op in ops]
    found.sort(key=lambda rewrite: (rewrite.latency_us, -dearest.get(rewrite.op, 0.0), rewrite.op))
    if len(refused) > 1:
        every = [name for names in refused.values() for name in names]
        found.insert(0, _rewrite(plan, again, wanted.name, EVERY, tuple(refused), every))
    return tuple(found)


def _device(plan: Plan) -> Soc | None:
    try:
        return Soc.from_json(plan.soc_json)
    except PartitaError:
        return None


def _rewrite(plan: Plan, again: Again, unit: str, op: str, taken: tuple[str, ...], nodes: Sequence[str]) -> Rewrite:
    latency_us = _latency_with_us(plan, again, unit, taken)
    first = next(r for r in plan.refusals if r.unit == unit and r.node == nodes[0])
    known = known_rewrite(op)
    return Rewrite(
        op=op,
        unit=unit,
        nodes=tuple(nodes),
        reason=first.reason if op != EVERY else "",
        source=first.source if op != EVERY else "",
        latency_us=latency_us,
        saved_us=plan.latency_us - latency_us,
        rewrite=known.rewrite if known is not None else "",
        rewrite_source=known.source if known is not None else "",
    )


def _again(plan: Plan, device: Soc) -> Again:
    """The plan's problem under its own rules, for the shortest latency."""
    wishes, known = _rules(plan), behind(plan)
    if known is not None:
        return Again(replace(known, wishes=wishes), plan.latency_us)
    graph = unfused(plan)
    matches = find_matches(graph)
    formulation = in_good_order(formulate(graph, device, matches, wishes), device)
    return Again(Placing(formulation, device, matches, wishes, None), plan.latency_us)


def _latency_with_us(plan: Plan, again: Again, unit: str, taken: tuple[str, ...]) -> float:
    """The best latency that was found with some types taken, under the plan's own rules."""
    device = again.placing.soc
    gaining = device.unit_named(unit).model_copy(update={"gains": Gains(operators=taken)})
    units = tuple(gaining if u.name == unit else u for u in device.units)
    try:
        return again.latency_us(device.model_copy(update={"units": units}), gaining, taken)
    except PlacementError:  # none was found in time: nothing is known to be saved
        return plan.latency_us


def _rules(plan: Plan) -> Wishes:
    """The rules and limits that the plan was made under, for the shortest latency."""
    given = plan.options

    def pairs(option: str) -> list[tuple[str, str]]:
        return [(left, right) for left, _, right in (text.rpartition("=") for text in given.get(option, ()))]

    return Wishes(
        pins=tuple(Rule(pattern, unit) for pattern, unit in pairs("pin")),
        bans=tuple(Rule(pattern, unit) for pattern, unit in pairs("ban")),
        together=given.get("together", ()),
        split="split" in given,
        allow=tuple(Location(*text.split(":", 1)) for text in given.get("allow", ())),
        states=given.get("state", ()),
        memory=tuple(OfUnit(unit, float(number)) for unit, number in pairs("memory")),
        max_segments=tuple(OfUnit(unit, float(number)) for unit, number in pairs("max-segments")),
        min_segment=tuple(OfUnit(unit, float(number)) for unit, number in pairs("min-segment")),
        time_limit_s=TIME_LIMIT_S,
    )


def known_rewrite(op: str) -> Known | None:
    """The first entry that names the type; None if there is none."""
    return next((known for known in known_rewrites() if op in known.ops), None)


@cache
def known_rewrites() -> tuple[Known, ...]:
    """The data file, checked."""
    content = tomllib.loads(files("partita.reports").joinpath("rewrites.toml").read_text(encoding="utf-8"))
    return tuple(Known.model_validate({**entry, "ops": tuple(entry["ops"])}) for entry in content["rewrites"])


def rewrite_document(rewrite: Rewrite) -> dict[str, Any]:
    """A rewrite as `templates/plan.schema.json` has it; times in milliseconds."""
    return {
        "op": rewrite.op,
        "unit": rewrite.unit,
        "nodes": list(rewrite.nodes),
        "reason": rewrite.reason,
        "source": rewrite.source,
        "latency_ms": ms(rewrite.latency_us),
        "saved_ms": ms(rewrite.saved_us),
        "rewrite": rewrite.rewrite,
        "rewrite_source": rewrite.rewrite_source,
    }
