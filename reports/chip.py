"""What reports show of the Soc that lies inside a plan: its names and its units."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from partita.errors import PlanError
from partita.graph.plan import Plan

HOST_KIND = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitLabel:
    """A unit as people are told of it."""

    name: str
    kind: str
    """`cpu`, `gpu`, `npu` or `dsp`."""
    title: str
    label: str
    """"NPU" if it is the only one of its kind, its name otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """The Soc of a plan."""

    name: str
    title: str
    """The chip's own name; the preset's if it has none."""
    runtime: str
    units: tuple[UnitLabel, ...]

    def unit(self, name: str) -> UnitLabel:
        for unit in self.units:
            if unit.name == name:
                return unit
        known = ", ".join(unit.name for unit in self.units)
        raise PlanError(f"the plan uses unit {name!r}, but its Soc {self.name!r} has: {known}")

    def labelled(self, text: str) -> str:
        """A text in which units' titles, which are long, have become their labels: "Largest partition on NPU"."""
        for unit in sorted(self.units, key=lambda unit: -len(unit.title)):
            text = text.replace(unit.title, unit.label)
        return text

    @property
    def short_title(self) -> str:
        """The title without what it has in parentheses."""
        return self.title.partition(" (")[0] or self.title

    def place(self, name: str) -> str:
        """A unit within a sentence: "the NPU", or its name if it is one of several."""
        label = self.unit(name).label
        return f"the {label}" if label != name else label


def chip_of(plan: Plan) -> Chip:
    """The Soc that the plan was made for; PlanError if the plan does not hold a readable one."""
    try:
        document = json.loads(plan.soc_json)
        units = document["units"]
        kinds = Counter(str(unit["kind"]) for unit in units)
        labels = tuple(_label(unit, kinds) for unit in units)
        return Chip(
            name=plan.soc_name,
            title=str(document.get("chip") or plan.soc_name),
            runtime=str(document.get("runtime") or ""),
            units=labels,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlanError(f"the plan's Soc {plan.soc_name!r} cannot be read ({error}); make the plan again") from None


def _label(unit: dict[str, Any], kinds: Counter[str]) -> UnitLabel:
    name, kind = str(unit["name"]), str(unit["kind"])
    return UnitLabel(
        name=name,
        kind=kind,
        title=str(unit.get("title") or name),
        label=kind.upper() if kinds[kind] == 1 else name,
    )
