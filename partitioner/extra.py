"""What is added to the placement program beside exact cover, transfers and calls: rows, variables, another objective.

Rows are written in plain keys for the program's variables (the names of `docs/formulation.md`), so that what builds
them knows no solver and the solver knows no constraint:

    ("z", c)                candidate c is chosen
    ("w", t, a, b)          tensor t is transferred from location a to b, however many readers wait there
    ("y", t, i, a, b)       tensor t is made at a and its consumer i (or HOST) runs at b
    ("r", i, u)             unit u holds the floor after operator i
    ("s", i, u)             a segment of unit u starts at operator i
    ("own", name, ...)      a variable that stands in `Extra.variables`

A key that cannot be other than 0 (a location that no candidate offers) may be used all the same.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

Key = tuple[str | int, ...]
Term = tuple[Key, float]


@dataclass(frozen=True, slots=True)
class Column:
    """A variable of our own."""

    low: float = 0.0
    high: float = math.inf
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """low <= sum of factor * variable <= high."""

    terms: tuple[Term, ...]
    low: float
    high: float


@dataclass(slots=True)
class Extra:
    """Collects columns and rows; `objective` replaces the least time if it is not None."""

    columns: dict[Key, Column] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    objective: tuple[Term, ...] | None = None
    """To be minimised, without any constant."""

    def own(self, *name: str | int, column: Column = Column()) -> Key:
        """The key of a new variable, or of the one that has this name already."""
        key: Key = ("own", *name)
        self.columns.setdefault(key, column)
        return key

    def at_most(self, terms: Iterable[Term], high: float) -> None:
        self.rows.append(Row(tuple(terms), -math.inf, high))

    def equal(self, terms: Iterable[Term], value: float) -> None:
        self.rows.append(Row(tuple(terms), value, value))

    @property
    def keys(self) -> frozenset[Key]:
        """Every key that a row or the objective uses."""
        used = {key for row in self.rows for key, _ in row.terms}
        return frozenset(used | {key for key, _ in self.objective or ()})
