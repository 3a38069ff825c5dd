"""Schedules: when operators start if units take turns and tensors take time to move.

A unit runs one operator at a time; moving a tensor delays its reader and keeps no unit busy. A link, where there is
one, carries one tensor at a time.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from partita.partitioner.engines.budget import Budget
from partita.partitioner.engines.carrying import Carrying, Copy, LinkTable
from partita.partitioner.instance import Instance

Rows = list[list[float]]
ROUNDING = 1e-12
MOVE_S = 0.16e-6
"""Work of trying one move in annealing, for each operator of the schedule."""


@dataclass(frozen=True)
class Tasks:
    """Operators 0..n-1 in a topological order, in lists, since schedules are built one operator at a time."""

    times: Rows
    """[operator][unit]"""
    inputs: list[list[tuple[int, int]]]
    """Per operator, (producer, tensor)."""
    moves: list[Rows]
    """[tensor][from][to]"""
    units: int
    partners: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Of operators that must share a unit with others: all of them."""
    links: LinkTable = ()
    """Empty: moving delays the reader and keeps nothing busy."""
    calls: tuple[float, ...] = ()
    """Per unit, how long a call keeps it busy; `moves` to it have that in them. An operator that reads from elsewhere
    what arrives after the unit's last call waits for another one. Empty: nobody calls."""
    uncalled: frozenset[int] = frozenset()
    """Operators that wait for no call."""

    @property
    def outputs(self) -> list[list[tuple[int, int]]]:
        """Per operator, (consumer, tensor)."""
        found: list[list[tuple[int, int]]] = [[] for _ in self.times]
        for consumer, inputs in enumerate(self.inputs):
            for producer, tensor in inputs:
                found[producer].append((consumer, tensor))
        return found

    def carried(self, tensor: int, a: int, b: int) -> float:
        """How long moving a tensor keeps a link busy: without the call that follows."""
        move = self.moves[tensor][a][b]
        if not self.calls or a == b:
            return move
        carried = move - self.calls[b]
        return carried if carried > ROUNDING * move else 0.0

    def copying(self, tensor: int, unit: int) -> int:
        """The number that stands, in an order of operators, for carrying a tensor to a unit."""
        return len(self.times) + tensor * self.units + unit


@dataclass(frozen=True, slots=True)
class Schedule:
    """Who runs where, in which order, and when."""

    units: tuple[int, ...]
    order: tuple[int, ...]
    ends: tuple[float, ...]
    copies: tuple[Copy, ...] = ()
    """What links carry, by start."""

    @property
    def length(self) -> float:
        return max(self.ends, default=0.0)


def tasks_of(instance: Instance) -> Tasks:
    """The operators of an instance, renumbered along its order; a unit that refuses one of a group refuses all."""
    place = {operator: position for position, operator in enumerate(instance.order)}
    inputs: list[list[tuple[int, int]]] = [[] for _ in place]
    for producer, consumer, tensor in instance.edges:
        inputs[place[consumer]].append((place[producer], tensor))
    times = [instance.times[i].tolist() for i in instance.order]
    partners: dict[int, tuple[int, ...]] = {}
    for members in instance.groups:
        if len(members) > 1:
            together = tuple(sorted(place[i] for i in members))
            refused = [u for u in range(len(instance.units)) if any(times[i][u] == inf for i in together)]
            for i in together:
                partners[i] = together
                for u in refused:
                    times[i][u] = inf
    calls = tuple(unit.call for unit in instance.units)
    if not any(calls):
        moves = [move.tolist() for move in instance.moves]
        return Tasks(times, inputs, moves, len(instance.units), partners, instance.link_table)
    waits = np.array(calls)[None, :] * (1.0 - np.eye(len(calls)))
    moves = [(move + waits).tolist() for move in instance.moves]
    return Tasks(times, inputs, moves, len(instance.units), partners, instance.link_table, calls)


def joined(tasks: Tasks, units: Sequence[int]) -> list[int]:
    """The same units, except that partners share the one of theirs on which they take least."""
    found = list(units)
    for together in sorted(set(tasks.partners.values())):
        own = sorted({units[i] for i in together})
        best = min(own, key=lambda u: sum(tasks.times[i][u] for i in together))
        for i in together:
            found[i] = best
    return found


def timed(tasks: Tasks, units: Sequence[int], order: Sequence[int]) -> Schedule:
    """Every operator as early as its inputs and its unit allow, each unit in the given order.

    Over links, copies go in the first gap, in the order in which operators need them, or stand in `order`.
    """
    if tasks.links or tasks.calls:
        return _timed_in_runs(tasks, units, order)
    ends = [0.0] * len(units)
    free = [0.0] * tasks.units
    times, inputs, moves = tasks.times, tasks.inputs, tasks.moves
    for i in order:
        unit = units[i]
        start = free[unit]
        for producer, tensor in inputs[i]:
            arrival = ends[producer] + moves[tensor][units[producer]][unit]
            if arrival > start:
                start = arrival
        ends[i] = free[unit] = start + times[i][unit]
    return Schedule(tuple(units), tuple(order), tuple(ends))


def _timed_in_runs(tasks: Tasks, units: Sequence[int], order: Sequence[int]) -> Schedule:
    """Over links, and in runs from a call of a unit to its next; operators are told run by run, by their calls."""
    ends, free = [0.0] * len(units), [0.0] * tasks.units
    calls = tasks.calls or (0.0,) * tasks.units
    called, run_of = [-inf] * tasks.units, [0.0] * len(units)
    carrying = Carrying(tasks.links)
    producer_of = {tensor: producer for row in tasks.inputs for producer, tensor in row}

    def arrival(tensor: int, producer: int, unit: int) -> float:
        source = units[producer]
        if not tasks.links:
            return ends[producer] + tasks.moves[tensor][source][unit]
        move = tasks.carried(tensor, source, unit)
        return carrying.arrival(tensor, source, unit, ends[producer], move) + (calls[unit] if source != unit else 0.0)

    for i in order:
        if i >= len(units):
            tensor, unit = divmod(i - len(units), tasks.units)
            arrival(tensor, producer_of[tensor], unit)
            continue
        unit = units[i]
        last = -inf
        for producer, tensor in sorted(tasks.inputs[i], key=lambda pair: ends[pair[0]]):
            if units[producer] != unit:
                last = max(last, arrival(tensor, producer, unit))
        start = max(free[unit], last)
        if calls[unit] and last > called[unit] and i not in tasks.uncalled:
            start = called[unit] = max(start, free[unit] + calls[unit])
        ends[i] = free[unit] = start + tasks.times[i][unit]
        run_of[i] = called[unit] if calls[unit] else start
    operators = [i for i in order if i < len(units)]
    if tasks.calls:
        operators.sort(key=run_of.__getitem__)
    return Schedule(tuple(units), tuple(operators), tuple(ends), carrying.copies)


def quickest_tails(tasks: Tasks) -> Rows:
    """[operator][unit]: the least time from its end to the end of all, if units never had to be waited for."""
    tails = [[0.0] * tasks.units for _ in tasks.times]
    for i in range(len(tasks.times) - 1, -1, -1):
        for producer, tensor in tasks.inputs[i]:
            for a, row in enumerate(tasks.moves[tensor]):
                least = min(row[b] + tasks.times[i][b] + tails[i][b] for b in range(tasks.units))
                if least > tails[producer][a]:
                    tails[producer][a] = least
    return tails


def quickest_heads(tasks: Tasks) -> Rows:
    """[operator][unit]: the least end, if units never had to be waited for."""
    heads: Rows = []
    for i, times in enumerate(tasks.times):
        ready = [0.0] * tasks.units
        for producer, tensor in tasks.inputs[i]:
            move, head = tasks.moves[tensor], heads[producer]
            for b in range(tasks.units):
                arrival = min([head[a] + move[a][b] for a in range(tasks.units)])
                if arrival > ready[b]:
                    ready[b] = arrival
        heads.append([ready[b] + times[b] for b in range(tasks.units)])
    return heads


def earliest_finish(tasks: Tasks, *, look_ahead: bool) -> Schedule:
    """HEFT (Topcuoglu et al. 2002): by rank, each operator where it ends first, or with what must follow, first."""
    tails = quickest_tails(tasks)
    count = len(tasks.times)
    rank = [0.0] * count
    outputs = tasks.outputs
    for i in range(count - 1, -1, -1):
        finite = [t for t in tasks.times[i] if t < inf]
        own = sum(finite) / len(finite)
        rank[i] = own + max(
            (_mean(tasks.moves[tensor]) + rank[consumer] for consumer, tensor in outputs[i]), default=0.0
        )
    order = sorted(range(count), key=lambda i: (-rank[i], i))
    units, ends, free = [0] * count, [0.0] * count, [0.0] * tasks.units
    placed: set[int] = set()
    for i in _made_topological(tasks, order):
        best = (inf, inf, 0)
        settled = next((units[p] for p in tasks.partners.get(i, ()) if p in placed), None)
        for unit, own in enumerate(tasks.times[i]):
            if own == inf or (settled is not None and unit != settled):
                continue
            ready = max((ends[p] + tasks.moves[t][units[p]][unit] for p, t in tasks.inputs[i]), default=0.0)
            end = max(free[unit], ready) + own
            best = min(best, (end + (tails[i][unit] if look_ahead else 0.0), end, unit))
        units[i], ends[i] = best[2], best[1]
        placed.add(i)
        free[best[2]] = best[1]
    return timed(tasks, units, sorted(range(count), key=lambda i: (ends[i], i)))


def _made_topological(tasks: Tasks, order: list[int]) -> list[int]:
    """The same order, except that nothing comes before what it reads (ranks may tie)."""
    found: list[int] = []
    done = [False] * len(order)
    for first in order:
        stack = [first]
        while stack:
            i = stack[-1]
            missing = [p for p, _ in tasks.inputs[i] if not done[p]]
            if missing and not done[i]:
                stack.extend(missing)
                continue
            stack.pop()
            if not done[i]:
                done[i] = True
                found.append(i)
    return found


def _mean(rows: Rows) -> float:
    apart = [value for a, row in enumerate(rows) for b, value in enumerate(row) if a != b]
    return sum(apart) / len(apart) if apart else 0.0


def annealed_schedule(
    tasks: Tasks, start: Schedule, moves: int, heat: float, fixed: frozenset[int], budget: Budget
) -> Schedule:
    """The best schedule among those visited from `start`: operators change unit, or their place in the order.

    Operators in `fixed` keep their unit, and partners change theirs together. Seeded, so a run that
    ends before the budget's time can be repeated.
    """
    chance = random.Random(1)
    count = len(tasks.times)
    units, order = list(start.units), list(start.order)
    place = sorted(range(count), key=order.__getitem__)
    allowed = [[u for u, own in enumerate(row) if own < inf] for row in tasks.times]
    outputs = tasks.outputs
    best, length = start, start.length
    scale = heat * start.length
    for turn in range(moves):
        budget.spend(MOVE_S * count)
        if budget.is_spent():
            break
        i = chance.randrange(count)
        old_unit, old_place = units[i], place[i]
        together = tasks.partners.get(i, (i,))
        if i not in fixed and len(allowed[i]) > 1 and chance.random() < 0.6:
            unit = _other_unit(tasks, outputs, units, i, allowed[i], chance)
            for partner in together:
                units[partner] = unit
        if chance.random() < 0.5:
            low = max((place[p] for p, _ in tasks.inputs[i]), default=-1) + 1
            high = min((place[c] for c, _ in outputs[i]), default=count) - 1
            _shift(order, place, old_place, chance.randint(low, high))
        if units[i] == old_unit and place[i] == old_place:
            continue
        trial = timed(tasks, units, order)
        warmth = scale * (1.0 - turn / moves) ** 2
        rise = trial.length - length
        if rise <= 0 or (warmth > 0 and chance.random() < math.exp(-rise / warmth)):
            length = trial.length
            if length < best.length * (1 - 1e-12):
                best = trial
        else:
            for partner in together:
                units[partner] = old_unit
            _shift(order, place, place[i], old_place)
    return best


def _other_unit(
    tasks: Tasks,
    outputs: list[list[tuple[int, int]]],
    units: list[int],
    i: int,
    allowed: list[int],
    chance: random.Random,
) -> int:
    near = [units[p] for p, _ in tasks.inputs[i]] + [units[c] for c, _ in outputs[i]]
    near = [unit for unit in near if unit != units[i] and unit in allowed]
    if near and chance.random() < 0.7:
        return near[chance.randrange(len(near))]
    return allowed[chance.randrange(len(allowed))]


def _shift(order: list[int], place: list[int], source: int, target: int) -> None:
    if source == target:
        return
    order.insert(target, order.pop(source))
    for position in range(min(source, target), max(source, target) + 1):
        place[order[position]] = position
