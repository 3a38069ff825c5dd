"""What `partita solve` shows."""

from dataclasses import dataclass
from math import isfinite
from typing import Any

from rich.table import Table

from partita.partitioner.engines.outcome import Outcome
from partita.partitioner.instance import Instance

FORMAT = "partita-solution/1"


@dataclass(frozen=True, slots=True)
class Solved:
    """An outcome, what was asked, and what it took."""

    instance: Instance
    goal: str
    outcome: Outcome
    cpu_s: float
    wall_s: float


def solution_document(solved: Solved) -> dict[str, Any]:
    """The JSON object; placement, starts and ends are by operator name."""
    instance, outcome = solved.instance, solved.outcome
    names = [operator.name for operator in instance.operators]
    units = [unit.name for unit in instance.units]
    schedule = {
        name: _span(start, end)
        for name, start, end in zip(names, outcome.starts, outcome.ends, strict=False)
        if isfinite(end)
    }
    return {
        "format": FORMAT,
        "problem": instance.name,
        "goal": solved.goal,
        "time_unit": instance.time_unit,
        "objective": outcome.objective,
        "bound": outcome.bound,
        "gap": outcome.gap,
        "status": outcome.status,
        "solver": outcome.solver,
        "cpu_s": round(solved.cpu_s, 4),
        "wall_s": round(solved.wall_s, 4),
        "placement": {name: units[unit] for name, unit in zip(names, outcome.choice, strict=True)},
        "schedule": schedule,
        "order": [names[i] for i in outcome.order],
        "copies": [
            {"producer": names[instance.tensors[c.tensor].producer], "to": units[c.unit]} | _span(c.start, c.end)
            for c in outcome.copies
        ],
        "log": list(outcome.log),
    }


def _span(start: float, end: float) -> dict[str, float]:
    return {"start": start, "end": end}


def solution_table(solved: Solved) -> Table:
    """The same in brief: the figures, and how much each unit got."""
    outcome, instance = solved.outcome, solved.instance
    table = Table(title=f"{instance.name}: {solved.goal}", show_header=False)
    for name, text in (
        ("objective", f"{outcome.objective:.6g} {instance.time_unit}"),
        ("bound", f"{outcome.bound:.6g} {instance.time_unit}"),
        ("gap", f"{outcome.gap:.4%}"),
        ("status", outcome.status.replace("_", " ")),
        ("solver", outcome.solver),
        ("CPU time, wall time", f"{solved.cpu_s:.3f} s, {solved.wall_s:.3f} s"),
    ):
        table.add_row(name, text)
    for unit, held in enumerate(instance.units):
        members = [i for i, own in enumerate(outcome.choice) if own == unit]
        work = sum(instance.operators[i].times[unit] for i in members)
        table.add_row(held.name, f"{len(members)} operators, {work:.6g} {instance.time_unit}")
    return table
