"""Where in a table the memory is used: the stretches of its pieces that others' traffic can slow."""

from dataclasses import dataclass

from partita.simulator.sharing import Demand
from partita.simulator.tables import Table

NEVER_NS = 1 << 62
MOST_CLASSES = 100_000
"""Things asked for whose numbers are remembered."""
CODE_BITS = 32
"""Enough to count all that is ever asked for on one track."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """The stretches of one table, in their order; between them nothing is slowed. Offsets are ns from its start."""

    starts_ns: tuple[int, ...]
    """One more entry, NEVER_NS, follows the last, here and in `ends_ns`."""
    ends_ns: tuple[int, ...]
    pieces: tuple[int, ...]
    """The piece that each is part of; a piece has at most one."""
    asked: tuple[Demand, ...]
    codes: tuple[int, ...]
    """A number for each thing that is asked for on each track; no two sums of those of several tracks are the same."""
    most_asked: tuple[Demand, ...]
    """By piece: the most that its task asks for, and the number of that, 0 if that is nothing."""
    most_codes: tuple[int, ...]
    extra_ns: list[int]
    """By piece: what contention has cost all its runs so far."""


NO_ROW = Row((NEVER_NS,), (NEVER_NS,), (), (), (), (), (), [])


class Rows:
    """Rows of tables, made once and kept; what is asked for has the same number in all of them."""

    def __init__(self) -> None:
        self.of: dict[Table, Row] = {}
        self._class_of: dict[Demand, int] = {}
        self._count = 0

    def row(self, table: Table) -> Row:
        """The row of a table in which nothing is slowed."""
        found = self.of.get(table)
        if found is None:
            found = self.of[table] = self._made(table)
        return found

    def _made(self, table: Table) -> Row:
        busy = [index for index, demand in enumerate(table.demand_gb_per_s) if demand > 0 and table.work_ns[index]]
        return Row(
            starts_ns=(*(table.at_ns[p] + table.fixed_ns[p] for p in busy), NEVER_NS),
            ends_ns=(*(table.at_ns[p + 1] for p in busy), NEVER_NS),
            pieces=tuple(busy),
            asked=tuple(table.asked[p] for p in busy),
            codes=tuple(self._code(table.asked[p], table, p) for p in busy),
            most_asked=table.most_asked,
            most_codes=tuple(self._code(asked, table, p) for p, asked in enumerate(table.most_asked)),
            extra_ns=[0] * len(table.program.pieces),
        )

    def _code(self, asked: Demand, table: Table, piece: int) -> int:
        if not asked[1]:
            return 0
        if asked not in self._class_of:
            if len(self._class_of) >= MOST_CLASSES:
                self._class_of.clear()
            self._count += 1
            self._class_of[asked] = self._count
        return self._class_of[asked] << CODE_BITS * table.track(piece)
