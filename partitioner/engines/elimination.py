"""The least sum of tables over variables with few values, by elimination: exact, and quick where the graph is narrow.

Again and again the variable whose joint table is smallest goes: all tables that hold it are added up and minimised
over it, which leaves one table over its neighbours. Read backwards, the choices give the best values.
"""

import heapq
from collections.abc import Iterable
from math import prod

import numpy as np
from numpy.typing import NDArray

from partita.partitioner.instance import Floats

LARGEST_TABLE = 3**13
Choice = NDArray[np.intp]


class TooWideError(Exception):
    """A joint table would be too large; the message says how large."""


class Elimination:
    """Tables over variables 0..n-1; variable v has `sizes[v]` values."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes
        self.tables: list[tuple[tuple[int, ...], Floats]] = []
        self.tables_of: list[set[int]] = [set() for _ in sizes]
        self.trail: list[tuple[int, tuple[int, ...], Choice]] = []
        """Once solved: per variable, in the order in which they went, its neighbours then and its best value."""

    def variable(self, size: int) -> int:
        """A further variable."""
        self.sizes.append(size)
        self.tables_of.append(set())
        return len(self.sizes) - 1

    def add(self, variables: tuple[int, ...], table: Floats) -> None:
        """One axis per variable; variables ascending."""
        number = len(self.tables)
        self.tables.append((variables, table))
        for variable in variables:
            self.tables_of[variable].add(number)

    def solve(self) -> tuple[list[int], float]:
        """The best values and their sum. Raises TooWideError."""
        self._leave_out_settled()
        near: list[set[int]] = [set() for _ in self.sizes]
        for variables, _ in self.tables:
            for variable in variables:
                near[variable].update(variables)
        for variable, others in enumerate(near):
            others.discard(variable)
        queue = [(self._joint(v, near[v]), v) for v in range(len(self.sizes))]
        heapq.heapify(queue)
        done = [False] * len(self.sizes)
        constant = 0.0
        trail = self.trail
        while queue:
            size, variable = heapq.heappop(queue)
            if done[variable]:
                continue
            if size != (now := self._joint(variable, near[variable])):
                heapq.heappush(queue, (now, variable))
                continue
            if size > LARGEST_TABLE:
                raise TooWideError(f"a table of {size} entries is needed; at most {LARGEST_TABLE} are made")
            done[variable] = True
            rest, choice, least = self._minimised(variable, near[variable])
            trail.append((variable, rest, choice))
            if rest:
                self.add(rest, least)
            else:
                constant += float(least)
            for other in rest:
                near[other].update(rest)
                near[other].discard(other)
                near[other].discard(variable)
                heapq.heappush(queue, (self._joint(other, near[other]), other))
        return self._values(trail), constant

    def _leave_out_settled(self) -> None:
        """Take variables with one value out of tables: numpy allows 64 axes, and these need none."""
        for number, (variables, table) in enumerate(self.tables):
            kept = tuple(v for v in variables if self.sizes[v] > 1) or variables[:1]
            for variable in set(variables).difference(kept):
                self.tables_of[variable].discard(number)
            self.tables[number] = kept, table.reshape([self.sizes[v] for v in kept])

    def _joint(self, variable: int, near: Iterable[int]) -> int:
        return prod([self.sizes[v] for v in near], start=self.sizes[variable])

    def _minimised(self, variable: int, near: set[int]) -> tuple[tuple[int, ...], Choice, Floats]:
        rest = tuple(sorted(near))
        numbers = sorted(self.tables_of[variable])
        if not numbers:
            return rest, np.zeros((), np.intp), np.zeros(())
        total = summed((variable, *rest), self.sizes, [self.tables[number] for number in numbers])
        for number in numbers:
            for other in self.tables[number][0]:
                if other != variable:
                    self.tables_of[other].discard(number)
            self.tables[number] = ((), _EMPTY)
        return rest, total.argmin(axis=0), total.min(axis=0)

    def _values(self, trail: list[tuple[int, tuple[int, ...], Choice]]) -> list[int]:
        values = [0] * len(self.sizes)
        for variable, rest, choice in reversed(trail):
            values[variable] = int(choice[tuple([values[v] for v in rest])])
        return values


def summed(scope: tuple[int, ...], sizes: list[int], parts: list[tuple[tuple[int, ...], Floats]]) -> Floats:
    """The sum of tables over `scope`, one axis each; all of them hold its first variable, and the rest ascend."""
    variable, total = scope[0], np.zeros(())
    for variables, table in parts:
        axis = variables.index(variable)
        if axis:
            table = np.moveaxis(table, axis, 0)
        if len(variables) < len(scope):
            table = table.reshape([sizes[v] if v in variables else 1 for v in scope])
        total = total + table
    full = tuple(sizes[v] for v in scope)
    return total if total.shape == full else np.broadcast_to(total, full)


_EMPTY = np.zeros(0)
