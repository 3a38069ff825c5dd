"""The graph of a placed model for the page: where each kernel call is drawn, its arrows, and who says what of it.

Depths run from left to right and, like lines of text, go on beneath when a row is full, so that a deep network fills a
screen as well as a wide one.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from partita.devices import Soc, Unit, operator_cost, verdict
from partita.errors import PartitaError
from partita.graph.ir import Node
from partita.graph.plan import PlacedOperator, Plan, Refusal
from partita.reports.account import Account
from partita.reports.depth import depths_of
from partita.reports.wording import printable
from partita.units import ms

COLUMN = 168
"""Width that a depth takes, in pixels at zoom 1; the page's script draws in the same units."""
SLOT = 46
"""Height that an operator takes."""
ROW_GAP = 40
"""Between two rows of depths."""
ASPECT = 2.2
"""Width by height that the whole drawing is to have, near that of the page's canvas."""
HTML_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a kernel call is drawn: its depth counted within a row of depths, and its top, in slots and row gaps."""

    row: int
    column: int
    slot: int


@dataclass(frozen=True, eq=False)
class GraphView:
    """What the page draws of a plan's graph."""

    account: Account

    @property
    def plan(self) -> Plan:
        return self.account.plan

    @cached_property
    def _index_of(self) -> dict[str, int]:
        """Rows in the page's table of operators, by the name of the node."""
        return {operator.node: i for i, operator in enumerate(self.plan.operators)}

    @cached_property
    def _nodes(self) -> tuple[Node, ...]:
        """In the order of the operators."""
        return tuple(self.plan.graph.node_named[operator.node] for operator in self.plan.operators)

    @cached_property
    def arrows(self) -> tuple[tuple[int, int], ...]:
        """(giver, reader) by their rows in the table, each pair once."""
        found = {
            (self._index_of[producer.name], self._index_of[node.name]): None
            for node in self._nodes
            for name in self.plan.graph.reads(node)
            if (producer := self.plan.graph.producer_of.get(name)) is not None and producer.name in self._index_of
        }
        return tuple(found)

    @cached_property
    def _slots(self) -> tuple[tuple[int, int], ...]:
        """(depth, slot) of each operator: beside the first that it reads from if that slot is free, else near it."""
        depth_of = depths_of(self.plan)
        before: dict[int, int] = {}
        for giver, reader in self.arrows:
            before.setdefault(reader, giver)
        taken: dict[int, set[int]] = {}
        slots: dict[int, tuple[int, int]] = {}
        order = sorted(range(len(self._nodes)), key=lambda i: depth_of[self._nodes[i].name])
        for i in order:
            depth = depth_of[self._nodes[i].name]
            wanted = slots[before[i]][1] if i in before else 0
            slot = _nearest_free(wanted, taken.setdefault(depth, set()))
            taken[depth].add(slot)
            slots[i] = depth, slot
        return tuple(slots[i] for i in range(len(self._nodes)))

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """One per operator."""
        per_row = self._columns
        return tuple(Place(depth // per_row, depth % per_row, slot) for depth, slot in self._slots)

    @cached_property
    def _heights(self) -> tuple[int, ...]:
        """Slots that each depth needs."""
        heights: dict[int, int] = {}
        for depth, slot in self._slots:
            heights[depth] = max(heights.get(depth, 0), slot + 1)
        return tuple(heights.get(depth, 0) for depth in range(max(heights, default=-1) + 1))

    @cached_property
    def _columns(self) -> int:
        """Depths in a row, so that the drawing comes nearest to the canvas's shape."""
        levels = len(self._heights)
        best, miss = max(levels, 1), float("inf")
        columns = 4
        while columns < levels * 1.1 + 4:
            width, height = min(columns, levels) * COLUMN, sum(self._row_heights(columns))
            aspect = width / height
            if max(aspect / ASPECT, ASPECT / aspect) < miss:
                best, miss = columns, max(aspect / ASPECT, ASPECT / aspect)
            columns = max(columns + 1, int(columns * 1.05))
        return best

    def _row_heights(self, columns: int) -> list[int]:
        levels = range(0, len(self._heights), columns)
        return [max(self._heights[first : first + columns]) * SLOT + ROW_GAP for first in levels]

    @cached_property
    def tops(self) -> tuple[int, ...]:
        """Where each row of depths begins."""
        tops = [0]
        for height in self._row_heights(self._columns):
            tops.append(tops[-1] + height)
        return tuple(tops[:-1])

    @cached_property
    def answers(self) -> "Answers":
        return Answers(self.account)

    def document(self) -> dict[str, Any]:
        """The drawing in numbers, operators in the order of the table; the page's script reads it."""
        unit_index = {unit.name: u for u, unit in enumerate(self.account.chip.units)}
        told = [self.answers.of(operator) for operator in self.plan.operators]
        texts: dict[tuple[str, str, str], int] = {}
        rows = [[[u, texts.setdefault(text, len(texts)), cost] for u, text, cost in answers] for answers in told]
        return {
            "x": [place.column * COLUMN for place in self.places],
            "y": [self.tops[place.row] + place.slot * SLOT for place in self.places],
            "row": [place.row for place in self.places],
            "unit": [unit_index[operator.unit] for operator in self.plan.operators],
            "arrows": [end for arrow in self.arrows for end in arrow],
            "answers": rows,
            "texts": [list(text) for text in texts],
        }

    def json(self) -> str:
        """The document as text that may stand in a script element of any page."""
        text = json.dumps(self.document(), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return "".join(HTML_ESCAPES.get(c, c) for c in text) if any(c in text for c in HTML_ESCAPES) else text


def _nearest_free(wanted: int, taken: Iterable[int]) -> int:
    """The free slot that is nearest to the one wanted, the lower number first."""
    held = set(taken)
    for distance in range(len(held) + wanted + 1):
        for slot in (wanted - distance, wanted + distance):
            if slot >= 0 and slot not in held:
                return slot
    return wanted


Answer = tuple[int, tuple[str, str, str], float | None]
"""(position of the unit, (verdict, reason, source), milliseconds there or None)."""


class Answers:
    """What each unit says of a kernel call, and what the call would cost there."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.refusals: dict[tuple[str, str], Refusal] = {(r.node, r.unit): r for r in account.plan.refusals}
        self.devices = _devices(account.plan)

    def of(self, operator: PlacedOperator) -> list[Answer]:
        """In the order of the Soc's units."""
        return [self._of_unit(operator, position, unit.name) for position, unit in enumerate(self.account.chip.units)]

    def _of_unit(self, operator: PlacedOperator, position: int, unit: str) -> Answer:
        if operator.unit == unit:
            text = self._accepted(operator, unit, operator.dtype)
            return position, text, round(ms(operator.cost.latency_us), 4)
        refused = next((r for name in operator.covers if (r := self.refusals.get((name, unit))) is not None), None)
        if refused is not None:
            return position, (refused.verdict, printable(refused.reason), printable(refused.source)), None
        device = self.devices.get(unit)
        if device is None:
            return position, ("taken", "", ""), None
        return position, self._accepted(operator, unit, device.dtypes[0]), self._cost_ms(operator, device)

    def _accepted(self, operator: PlacedOperator, unit: str, dtype: str) -> tuple[str, str, str]:
        device, graph = self.devices.get(unit), self.account.plan.graph
        if device is None:
            return ("taken", "", "")
        node = graph.node_named[operator.node]
        judged = verdict(graph, node, device, dtype)
        if judged.is_accepted:
            return (judged.status, printable(judged.reason), printable(judged.source))
        if len(operator.covers) > 1:
            return ("taken", "one kernel for each of its operators: this unit does not fuse them", "")
        return ("taken", "in another type than its first", "")

    def _cost_ms(self, operator: PlacedOperator, device: Unit) -> float | None:
        graph = self.account.plan.graph
        node = graph.node_named[operator.node]
        if not verdict(graph, node, device, device.dtypes[0]).is_accepted:
            return None
        return round(ms(operator_cost(graph, node, device, device.dtypes[0]).latency_us), 4)


def _devices(plan: Plan) -> Mapping[str, Unit]:
    """The units with their rules; none if the plan holds only what is needed to show it."""
    try:
        return {unit.name: unit for unit in Soc.from_json(plan.soc_json).units}
    except PartitaError:
        return {}
