"""The least sum again and again, with a few numbers changed each time: what did not change is not computed again.

The order of elimination and all tables are kept (`batches.py`). A changed table renews the results on its way to the
end only, and no further than they differ by more than a constant; tables of one form are renewed together.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from partita.errors import ProblemError
from partita.partitioner.engines import sums
from partita.partitioner.engines.batches import Batches
from partita.partitioner.engines.elimination import Elimination
from partita.partitioner.engines.nets import nets_of
from partita.partitioner.engines.outcome import OPTIMAL, Outcome
from partita.partitioner.instance import Floats, Instance


@dataclass(frozen=True, slots=True)
class Changes:
    """New numbers, instead of those that the last solution used."""

    times: Mapping[tuple[int, int], float] = field(default_factory=dict)
    """(operator, unit) -> time; where a unit could run it before, and only there."""
    moves: Mapping[tuple[int, int, int], float] = field(default_factory=dict)
    """(tensor, from, to) -> all that moving it takes."""
    calls: Mapping[int, float] = field(default_factory=dict)
    """unit -> call"""


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
        self._note_calls([nets.instance.group_of[i] for i in instance.order])
        self.batches = Batches(problem.sizes, problem.tables)

    def solve(self, changes: Changes | None = None) -> Outcome:
        """The least sum after these changes, which stay for the next time."""
        if changes is not None:
            self._apply(changes)
        renewed, count = self.batches.renew(), len(self.batches.constants)
        values, total = self.batches.values(), self.batches.total
        choice = self.nets.choice([self.allowed[b][values[b]] for b in range(self.nets.blocks)])
        log = (f"{renewed} of {count} tables renewed",)
        return Outcome(choice, total, total, OPTIMAL, "elimination, prepared", log)

    def _note_calls(self, along: Sequence[int]) -> None:
        """Which tables hold calls, by the units of both sides: the first alone, then those of each change."""
        self.call_tables: dict[tuple[tuple[int, ...], tuple[int, ...], bool], list[int]] = {}
        number = self.first_call
        for before, after in itertools.pairwise(along):
            if before != after:
                number += 1
                key = tuple(self.allowed[before]), tuple(self.allowed[after]), before < after
                self.call_tables.setdefault(key, []).append(number)
        self.first_allowed = self.allowed[along[0]] if along else []

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
            self._replace(self.first_call, self.calls[self.first_allowed])
            for (before, after, in_order), numbers in self.call_tables.items():
                table = np.array([[a != b for b in after] for a in before]) * self.calls[list(after)][None, :]
                self.batches.replace(np.array(numbers), table if in_order else table.T)

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
        self.batches.replace(np.array([number]), table)
