"""The least sum again and again, with a few numbers changed each time: what did not change is not computed again.

The order of elimination and all tables are kept. A changed table renews the results on its way to the end only, and
no further than they differ by more than a constant.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import fsum, inf

import numpy as np

from partita.errors import ProblemError
from partita.partitioner.engines import sums
from partita.partitioner.engines.elimination import Choice, Elimination, summed
from partita.partitioner.engines.nets import nets_of
from partita.partitioner.engines.outcome import OPTIMAL, Outcome
from partita.partitioner.instance import Floats, Instance

SAME = 1e-13
"""Results that differ by less, as a share of the largest number in them, are the same: rounding."""


@dataclass(frozen=True, slots=True)
class Changes:
    """New numbers, instead of those that the last solution used."""

    times: Mapping[tuple[int, int], float] = field(default_factory=dict)
    """(operator, unit) -> time; where a unit could run it before, and only there."""
    moves: Mapping[tuple[int, int, int], float] = field(default_factory=dict)
    """(tensor, from, to) -> all that moving it takes."""
    calls: Mapping[int, float] = field(default_factory=dict)
    """unit -> call"""


@dataclass
class _Bucket:
    """All tables that are minimised over one variable at once."""

    variable: int
    rest: tuple[int, ...]
    tables: list[int] = field(default_factory=list)
    children: list[int] = field(default_factory=list)
    parent: int | None = None
    choice: Choice = field(default_factory=lambda: np.zeros((0,), np.intp))
    least: Floats = field(default_factory=lambda: np.zeros((0,)))
    """By `rest`, from 0 upwards."""
    constant: float = 0.0
    """What was taken off `least`."""


class Prepared:
    """A problem of the sum objective without memory limits, in the order of its file."""

    def __init__(self, instance: Instance) -> None:
        """Raises TooWideError, and ProblemError for memory limits."""
        if any(unit.memory < inf for unit in instance.units):
            raise ProblemError("a problem with memory limits cannot be prepared; solve it anew with each change")
        self.nets = nets = nets_of(instance)
        units = range(len(instance.units))
        self.times, self.moves = nets.times.copy(), [sums.moved(nets, net) for net in range(len(nets.producers))]
        self.calls = np.array([unit.call for unit in instance.units])
        self.operator_times, self.tensor_moves = instance.times.copy(), [move.copy() for move in instance.moves]
        self.net_of = {(p, c): net for net, (p, c) in enumerate(zip(nets.producers, nets.consumers, strict=True))}
        self.allowed = [[u for u in units if nets.times[b, u] < inf] for b in range(nets.blocks)]
        problem = Elimination([len(row) for row in self.allowed])
        for block, row in enumerate(self.allowed):
            problem.add((block,), nets.times[block, row])
        self.table_of_net: list[int] = []
        for net, cost in enumerate(self.moves):
            sums.add_net(problem, nets, net, self.allowed, units, cost)
            self.table_of_net.append(len(problem.tables) - 1)
        self.first_call = len(problem.tables)
        sums.add_calls(problem, nets, self.allowed, instance.order, self.calls)
        self.tables, self.sizes = list(problem.tables), problem.sizes
        problem.solve()
        self._plant(problem.trail)
        self.dirty = set(range(len(self.buckets)))

    def solve(self, changes: Changes | None = None) -> Outcome:
        """The least sum after these changes, which stay for the next time."""
        if changes is not None:
            self._apply(changes)
        renewed = self._renew()
        values = [0] * len(self.sizes)
        for bucket in reversed(self.buckets):
            values[bucket.variable] = int(bucket.choice[tuple([values[v] for v in bucket.rest])])
        total = fsum(bucket.constant for bucket in self.buckets)
        choice = self.nets.choice([self.allowed[b][values[b]] for b in range(self.nets.blocks)])
        log = (f"{renewed} of {len(self.buckets)} tables renewed",)
        return Outcome(choice, total, total, OPTIMAL, "elimination, prepared", log)

    def _plant(self, trail: list[tuple[int, tuple[int, ...], Choice]]) -> None:
        """Every table goes to the first of its variables that is eliminated."""
        self.buckets = [_Bucket(variable, rest) for variable, rest, _ in trail]
        place = {bucket.variable: number for number, bucket in enumerate(self.buckets)}
        self.bucket_of = [min(place[v] for v in variables) for variables, _ in self.tables]
        for number, home in enumerate(self.bucket_of):
            self.buckets[home].tables.append(number)
        for number, bucket in enumerate(self.buckets):
            if bucket.rest:
                bucket.parent = min(place[v] for v in bucket.rest)
                self.buckets[bucket.parent].children.append(number)

    def _renew(self) -> int:
        """Minimise what has changed, in the order of elimination; how many tables that took."""
        waiting = sorted(self.dirty)
        renewed = 0
        while waiting:
            number = heapq.heappop(waiting)
            if number not in self.dirty:
                continue
            self.dirty.remove(number)
            bucket = self.buckets[number]
            parts = [self.tables[t] for t in bucket.tables]
            parts += [(self.buckets[c].rest, self.buckets[c].least) for c in bucket.children]
            total = summed((bucket.variable, *bucket.rest), self.sizes, parts)
            bucket.choice, least = total.argmin(axis=0), total.min(axis=0)
            bucket.constant = float(least.min())
            least = least - bucket.constant
            renewed += 1
            if bucket.parent is None:
                continue
            if bucket.parent not in self.dirty:
                if _is_same(least, bucket.least, bucket.constant):
                    continue
                heapq.heappush(waiting, bucket.parent)
                self.dirty.add(bucket.parent)
            bucket.least = least
        return renewed

    def _apply(self, changes: Changes) -> None:
        instance, group_of = self.nets.instance, self.nets.instance.group_of
        for (operator, unit), time in changes.times.items():
            if not (time < inf and self.operator_times[operator, unit] < inf):
                raise ProblemError(f"operator {instance.operators[operator].name!r}: what a unit can run cannot change")
            self.operator_times[operator, unit] = time
            block = group_of[operator]
            self.times[block] = self.operator_times[list(instance.groups[block])].sum(axis=0)
            self._replace(block, self.times[block, self.allowed[block]])
        for (number, a, b), move in changes.moves.items():
            if a != b:
                self._move(number, a, b, move)
        if changes.calls:
            self.calls[list(changes.calls)] = list(changes.calls.values())
            scratch = Elimination([len(row) for row in self.allowed])
            sums.add_calls(scratch, self.nets, self.allowed, instance.order, self.calls)
            for number, (_, table) in enumerate(scratch.tables, self.first_call):
                self._replace(number, table)

    def _move(self, number: int, a: int, b: int, move: float) -> None:
        tensor, group_of = self.nets.instance.tensors[number], self.nets.instance.group_of
        producer = group_of[tensor.producer]
        consumers = tuple(sorted({group_of[c] for c in tensor.consumers} - {producer}))
        if not consumers:
            return
        net = self.net_of[producer, consumers]
        self.moves[net][a, b] += move - self.tensor_moves[number][a, b]
        self.tensor_moves[number][a, b] = move
        scratch = Elimination([len(row) for row in self.allowed])
        sums.add_net(scratch, self.nets, net, self.allowed, range(len(self.calls)), self.moves[net])
        self._replace(self.table_of_net[net], scratch.tables[-1][1])

    def _replace(self, number: int, table: Floats) -> None:
        self.tables[number] = (self.tables[number][0], table)
        self.dirty.add(self.bucket_of[number])


def _is_same(one: Floats, other: Floats, constant: float) -> bool:
    """Whether they differ by rounding only, on top of a constant; infinite entries are where they were."""
    if one.shape != other.shape:
        return False
    close = SAME * (abs(constant) + float(one[one < inf].max()))
    with np.errstate(invalid="ignore"):  # infinite - infinite
        return bool(np.all((one == other) | (np.abs(one - other) <= close)))
