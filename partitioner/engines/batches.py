"""Elimination in rounds: variables that share no table go at once, and tables of one form are minimised together.

It finds what `elimination.py` finds; rounds make it quick to do again when many tables have changed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import fsum, prod

import numpy as np
from numpy.typing import NDArray

from partita.partitioner.engines.elimination import LARGEST_TABLE, TooWideError
from partita.partitioner.instance import Floats

Integers = NDArray[np.intp]
Places = tuple[int, ...]
SMALL = 128
"""A variable goes as soon as its joint table has at most this many entries."""
MOST_AT_ONCE = 2_000_000
"""Entries of the tables that are added up at once."""
SAME = 1e-13
"""Results that differ by less, as a share of the largest number in them, are the same: rounding."""
NONE = -1


@dataclass(frozen=True, slots=True)
class _Batch:
    """Joint tables of one form and one round: a row for each."""

    numbers: Integers
    variables: Integers
    rest: Integers
    """[row, axis]: the variables that are left, ascending."""
    strides: Integers
    """Of the result's axes."""
    width: int
    """Values of the variable that goes."""
    entries: Integers
    """[row, part, entry of the joint table]: where the numbers stand that are added up."""
    results: Integers
    """Where each result begins."""
    parents: Integers
    """The joint table that the result is added to; NONE for none."""


class Batches:
    """The least sum of tables over variables 0..n-1 with `sizes[v]` values, kept so that tables can be replaced."""

    def __init__(self, sizes: Sequence[int], tables: Sequence[tuple[tuple[int, ...], Floats]]) -> None:
        """One axis per variable of a table, ascending. Raises TooWideError."""
        self.sizes = sizes
        rounds = list(_rounds(sizes, [variables for variables, _ in tables]))
        gone = [each for found in rounds for each in found]
        round_of = [number for number, found in enumerate(rounds) for _ in found]
        lengths = [table.size for _, table in tables]
        lengths += [prod(sizes[v] for v in rest) for _, rest in gone]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.intp)
        self.starts = starts[: len(tables)]
        self.flat: Floats = np.zeros(int(starts[-1]) + 1)  # the last stays 0, for those that have fewer parts
        self.choice: Integers = np.zeros(int(starts[-1]), np.intp)
        for start, (_, table) in zip(self.starts, tables, strict=True):
            self.flat[start : start + table.size] = table.ravel()
        place = {variable: number for number, (variable, _) in enumerate(gone)}
        self.home = np.array([min(place[v] for v in variables) for variables, _ in tables], np.intp)
        self.constants = np.zeros(len(gone))
        self.dirty = np.ones(len(gone), bool)
        self.batches = _batches(sizes, tables, gone, round_of, starts, self.home.tolist())

    def replace(self, numbers: Integers, table: Floats) -> None:
        """The same new table in place of several of one form."""
        where = self.starts[numbers][:, None] + np.arange(table.size)
        self.flat[where] = table.ravel()
        self.dirty[self.home[numbers]] = True

    def renew(self) -> int:
        """Minimise what has changed; how many joint tables that took."""
        renewed = 0
        for batch in self.batches:
            rows = np.flatnonzero(self.dirty[batch.numbers])
            most = max(1, MOST_AT_ONCE // (batch.width * max(1, _length(batch))))
            for first in range(0, len(rows), most):
                self._minimise(batch, rows[first : first + most])
            renewed += len(rows)
        return renewed

    def values(self) -> list[int]:
        """The best value of each variable."""
        found = np.zeros(len(self.sizes), np.intp)
        for batch in reversed(self.batches):
            entry = (found[batch.rest] * batch.strides).sum(axis=1)
            found[batch.variables] = self.choice[batch.results + entry]
        return [int(value) for value in found]

    @property
    def total(self) -> float:
        return fsum(self.constants)

    def _minimise(self, batch: _Batch, rows: Integers) -> None:
        length = _length(batch)
        cube = self.flat[batch.entries[rows]].sum(axis=1).reshape(len(rows), batch.width, length)
        least = cube.min(axis=1)
        constant = least.min(axis=1)
        least -= constant[:, None]
        where = batch.results[rows][:, None] + np.arange(length)
        is_same = _are_same(least, self.flat[where], constant)
        self.flat[where], self.choice[where] = least, cube.argmin(axis=1)
        self.constants[batch.numbers[rows]] = constant
        self.dirty[batch.numbers[rows]] = False
        parents = batch.parents[rows][~is_same]
        self.dirty[parents[parents != NONE]] = True


def _length(batch: _Batch) -> int:
    """Entries of a result."""
    return batch.entries.shape[2] // batch.width


def _are_same(new: Floats, old: Floats, constant: Floats) -> NDArray[np.bool_]:
    """Per row, whether they differ by rounding only, on top of a constant; infinite entries are where they were."""
    largest = np.where(np.isfinite(new), new, 0.0).max(axis=1)
    close = SAME * (np.abs(constant) + largest)
    with np.errstate(invalid="ignore"):  # infinite - infinite
        same = (new == old) | (np.abs(new - old) <= close[:, None])
    return np.asarray(same.all(axis=1))


def _rounds(sizes: Sequence[int], scopes: Sequence[Places]) -> Iterator[list[tuple[int, Places]]]:
    """The variables that go in each round, no two of them in one table, and what is left of their joint tables."""
    near = _neighbours(len(sizes), scopes)
    joints = [prod([sizes[w] for w in others], start=sizes[v]) for v, others in enumerate(near)]
    left = list(range(len(sizes)))
    while left:
        left.sort(key=joints.__getitem__)
        least = joints[left[0]]
        if least > LARGEST_TABLE:
            raise TooWideError(f"a table of {least} entries is needed; at most {LARGEST_TABLE} are made")
        most = max(SMALL, least)
        taken = _apart([variable for variable in left if joints[variable] <= most], near)
        yield [(variable, tuple(sorted(near[variable]))) for variable in taken]
        for variable in taken:
            rest = near[variable]
            for other in rest:
                near[other].update(rest)
                near[other] -= {other, variable}
        for other in {other for variable in taken for other in near[variable]}:
            joints[other] = prod([sizes[w] for w in near[other]], start=sizes[other])
        gone = set(taken)
        left = [variable for variable in left if variable not in gone]


def _neighbours(count: int, scopes: Sequence[Places]) -> list[set[int]]:
    near: list[set[int]] = [set() for _ in range(count)]
    for variables in scopes:
        for variable in variables:
            near[variable].update(variables)
    for variable, others in enumerate(near):
        others.discard(variable)
    return near


def _apart(variables: Sequence[int], near: Sequence[set[int]]) -> list[int]:
    """Those of the variables, the first ones first, that are no neighbours of each other."""
    taken: list[int] = []
    blocked: set[int] = set()
    for variable in variables:
        if variable not in blocked:
            taken.append(variable)
            blocked.update(near[variable])
    return taken


def _batches(
    sizes: Sequence[int],
    tables: Sequence[tuple[Places, Floats]],
    gone: Sequence[tuple[int, Places]],
    round_of: Sequence[int],
    starts: Integers,
    homes: Sequence[int],
) -> list[_Batch]:
    """The joint tables by round and form."""
    place = {variable: number for number, (variable, _) in enumerate(gone)}
    parts: list[list[tuple[Places, int]]] = [[] for _ in gone]
    for number, home in enumerate(homes):
        parts[home].append((_places(tables[number][0], gone[home]), int(starts[number])))
    parents = [min((place[v] for v in rest), default=NONE) for _, rest in gone]
    for number, parent in enumerate(parents):
        if parent != NONE:
            parts[parent].append((_places(gone[number][1], gone[parent]), int(starts[len(tables) + number])))
    alike: dict[tuple[int, Places], list[int]] = {}
    for number, (variable, rest) in enumerate(gone):
        form = (sizes[variable], *(sizes[v] for v in rest))
        alike.setdefault((round_of[number], form), []).append(number)
    found = []
    for (_, form), numbers in alike.items():
        strides = [prod(form[axis + 2 :]) for axis in range(len(form) - 1)]
        most = max(1, max(len(parts[n]) for n in numbers))
        entries = np.full((len(numbers), most, prod(form)), int(starts[-1]), np.intp)
        for row, number in enumerate(numbers):
            for part, (where, start) in enumerate(parts[number]):
                entries[row, part] = start + _pattern(form, where)
        found.append(
            _Batch(
                numbers=np.array(numbers, np.intp),
                variables=np.array([gone[n][0] for n in numbers], np.intp),
                rest=np.array([gone[n][1] for n in numbers], np.intp).reshape(len(numbers), len(strides)),
                strides=np.array(strides, np.intp),
                width=form[0],
                entries=entries,
                results=np.array([starts[len(tables) + n] for n in numbers], np.intp),
                parents=np.array([parents[n] for n in numbers], np.intp),
            )
        )
    return found


def _places(variables: Places, joint: tuple[int, Places]) -> Places:
    """The axes of the joint table that a part has, in the part's own order."""
    variable, rest = joint
    axis_of = {variable: 0} | {v: axis for axis, v in enumerate(rest, 1)}
    return tuple(axis_of[v] for v in variables)


@lru_cache(maxsize=4096)
def _pattern(form: Places, where: Places) -> Integers:
    """Per entry of a joint table of this form, the entry of a part with these axes."""
    found = np.zeros(form, np.intp)
    stride = 1
    for axis in reversed(where):
        shape = [1] * len(form)
        shape[axis] = form[axis]
        found = found + stride * np.arange(form[axis]).reshape(shape)
        stride *= form[axis]
    return found.ravel()
