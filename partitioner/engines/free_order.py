"""The least sum when runs of operators cost calls and the order is free: units and order are chosen together.

Operators that are comparable with every other keep their place in any order. Between two of them lies a block, whose
cheapest way is found by dynamic programming (`call_blocks.py`) for each choice of units that others depend on; then
elimination over these tables. A block with too many orders is relaxed to a bound, and keeps the order of the file.
"""

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np

from partita.partitioner.engines import sums
from partita.partitioner.engines.call_blocks import CallBlock, Net
from partita.partitioner.engines.elimination import Elimination, TooWideError
from partita.partitioner.engines.nets import Nets, nets_of
from partita.partitioner.engines.outcome import OPTIMAL, Limits, Outcome, status_of
from partita.partitioner.engines.separators import comparable
from partita.partitioner.engines.sum_program import solve_program
from partita.partitioner.instance import Floats, Instance

SOLVER = "dynamic programming over the orders of blocks, elimination"


def solve(instance: Instance, limits: Limits) -> Outcome:
    """The least sum over all orders and placements; a gap, and the best order known, where that cannot be proven.

    Raises ProblemError if no placement fits the memory.
    """
    deadline = time.perf_counter() + limits.least_s
    blocks = _Blocks(nets_of(instance), deadline)
    try:
        bound, order, unit_of = blocks.solved()
    except TooWideError as error:
        free = replace(instance, units=tuple(replace(unit, call=0.0) for unit in instance.units))
        given, relaxed = sums.solve(instance, limits), sums.solve(free, limits)
        why = (f"{error}; the order is that of the file, the bound that without calls",)
        return _closed(replace(given, order=instance.order), relaxed.bound, why, limits, deadline)
    log = (f"{len(blocks.blocks)} blocks, {len(blocks.wide)} of them with too many orders", *blocks.log)
    if not blocks.wide and blocks.nets.fits(unit_of):
        total = total_along(blocks.nets, unit_of, order)
        choice = blocks.nets.choice(unit_of)
        return Outcome(choice, total, min(bound, total), OPTIMAL, SOLVER, log, order=order)
    found = [_in_order(blocks.nets, along, limits) for along in (order, instance.order)]
    return _closed(min(found, key=lambda outcome: outcome.objective), bound, log, limits, deadline)


def total_along(nets: Nets, unit_of: Sequence[int], order: Sequence[int]) -> float:
    """Times, tensors moved, and a call for every run of one unit along `order`, with block b on unit_of[b]."""
    instance = nets.instance
    total = sum(nets.loads(unit_of))
    units = [unit_of[instance.group_of[i]] for i in order]
    return float(total + sum(instance.units[unit].call for unit, _ in itertools.groupby(units)))


def _in_order(nets: Nets, order: tuple[int, ...], limits: Limits) -> Outcome:
    """The best placement for one order."""
    try:
        unit_of, total = sums.by_elimination(nets, order)
    except TooWideError:
        return replace(solve_program(nets, limits, None, order), order=order)
    if nets.fits(unit_of):
        return Outcome(nets.choice(unit_of), total, total, OPTIMAL, "elimination", order=order)
    return replace(solve_program(nets, limits, total, order), order=order)


def _closed(found: Outcome, bound: float, log: tuple[str, ...], limits: Limits, deadline: float) -> Outcome:
    """What was found for one order, with a bound for all orders."""
    bound = min(bound, found.objective)
    status = status_of(found.objective, bound, limits, in_time=time.perf_counter() <= deadline)
    return replace(found, bound=bound, status=status, log=(*log, *found.log), solver=f"{SOLVER}; {found.solver}")


@dataclass
class _Blocks:
    """The graph cut at its separators."""

    nets: Nets
    deadline: float
    blocks: list[CallBlock] = field(default_factory=list)
    wide: set[int] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    constant: float = 0.0
    """The cost of a graph without separators, if no unit matters to others."""

    def __post_init__(self) -> None:
        instance = self.nets.instance
        self.units = sorted(set(instance.alike))
        self.call = np.array([instance.units[u].call for u in self.units])
        self.times = self.nets.times[:, self.units]
        self.allowed = [[k for k, time in enumerate(row) if time < inf] for row in self.times.tolist()]
        order = instance.order
        place = {operator: position for position, operator in enumerate(order)}
        producers: list[list[int]] = [[] for _ in order]
        for producer, consumer, _ in instance.edges:
            producers[place[consumer]].append(place[producer])
        cuts = comparable(producers)
        self.producers = {i: tuple(order[p] for p in producers[place[i]]) for i in order}
        self.separators = [order[position] for position in cuts]
        self.block_of = {i: k for k, i in enumerate(self.separators)}
        """Of an inner operator, its block; of a separator, the block that it ends."""
        self.inner = [order[a + 1 : b] for a, b in itertools.pairwise([-1, *cuts, len(order)])]
        for k, members in enumerate(self.inner):
            self.block_of.update(dict.fromkeys(members, k))
        self._build()

    def solved(self) -> tuple[float, tuple[int, ...], list[int]]:
        """A bound, exact if no block is wide; an order and the units of the nets' blocks. Raises TooWideError."""
        problem = Elimination([len(row) for row in self.allowed])
        for net in self.outer:
            self._add_net(problem, net)
        for operator in (*self.separators, *sorted(self.exposed)):
            self.counted.add(self.nets.instance.group_of[operator])
        for k, block in enumerate(self.blocks):
            self._add_block(problem, k, block)
        for group in sorted(self.counted):
            problem.add((group,), self.times[group, self.allowed[group]])
        values, bound = problem.solve()
        return bound + self.constant, *self._read(values)

    def _build(self) -> None:
        instance, groups = self.nets.instance, self.nets.instance.groups
        inside: list[list[Net]] = [[] for _ in self.inner]
        self.outer: list[int] = []
        self.counted: set[int] = set()
        """Blocks of the nets whose times elimination counts."""
        together = {i for members in groups if len(members) > 1 for i in members}
        self.exposed = together - set(self.separators)
        for net, consumers in enumerate(self.nets.consumers):
            cost = sums.moved(self.nets, net)[np.ix_(self.units, self.units)]
            if not cost.any():
                continue
            pins = [self.nets.producers[net], *consumers]
            operators = [groups[g][0] for g in pins]
            k = self._home(operators[0], operators[1:])
            if k is None or any(len(groups[g]) > 1 for g in pins):
                self.outer.append(net)
                self.exposed.update(i for i in operators if len(groups[instance.group_of[i]]) == 1)
            else:
                inside[k].append(Net(net, operators[0], tuple(operators[1:]), cost))
        self.exposed -= set(self.separators)
        self.blocks = [self._block(k, tuple(nets)) for k, nets in enumerate(inside)]

    def _home(self, producer: int, consumers: Sequence[int]) -> int | None:
        """The block within which a tensor stays, its separators included."""
        k = self.block_of[producer] + self._is_separator(producer)
        return k if all(self.block_of[c] == k for c in consumers) else None

    def _is_separator(self, operator: int) -> bool:
        k = self.block_of[operator]
        return k < len(self.separators) and self.separators[k] == operator

    def _block(self, k: int, nets: tuple[Net, ...]) -> CallBlock:
        inner = self.inner[k]
        first = self.separators[k - 1] if k else None
        last = self.separators[k] if k < len(self.separators) else None
        members = set(inner)
        kept = self.exposed & members
        counted_elsewhere = kept | {first, last}
        times = {}
        for i in (*inner, *(s for s in (first, last) if s is not None)):
            row = self.times[self.nets.instance.group_of[i]]
            times[i] = np.where(np.isinf(row), inf, 0.0) if i in counted_elsewhere else row
        return CallBlock(
            inner=tuple(inner),
            first=first,
            last=last,
            producers=tuple(tuple(p for p in self.producers[i] if p in members) for i in inner),
            times=times,
            nets=nets,
            kept=frozenset(kept if first is None else {*kept, first}),
            call=self.call,
        )

    def _add_block(self, problem: Elimination, k: int, block: CallBlock) -> None:
        group_of = self.nets.instance.group_of
        try:
            if time.perf_counter() > self.deadline:
                raise TooWideError("no time is left")
            keys, table = block.table()
        except TooWideError as error:
            self.wide.add(k)
            self.log.append(str(error))
            self.counted.update(group_of[i] for i in block.inner)
            for net in block.nets:
                self._add_net(problem, net.number)
            keys = () if block.first is None else (block.first,)
            different = 1.0 if block.first is None else 1.0 - np.eye(len(self.units))
            table = self.call * different if block.last is not None else np.zeros(len(self.units) if keys else ())
        operators = keys if block.last is None else (*keys, block.last)
        if not operators:
            self.constant = float(table)
            return
        self._add_table(problem, [group_of[i] for i in operators], table)

    def _add_table(self, problem: Elimination, groups: list[int], table: Floats) -> None:
        table = table[np.ix_(*(self.allowed[g] for g in groups))]
        while (twice := next((g for g in groups if groups.count(g) > 1), None)) is not None:
            one = groups.index(twice)
            other = groups.index(twice, one + 1)
            table = np.diagonal(table, axis1=one, axis2=other)
            groups = [g for place, g in enumerate(groups) if place not in (one, other)] + [twice]
        sums.add_sorted(problem, tuple(groups), table)

    def _add_net(self, problem: Elimination, net: int) -> None:
        units = self.units
        allowed = [[units[k] for k in row] for row in self.allowed]
        sums.add_net(problem, self.nets, net, allowed, units, sums.moved(self.nets, net))

    def _read(self, values: list[int]) -> tuple[tuple[int, ...], list[int]]:
        """The order of the operators and the units of the nets' blocks."""
        group_of = self.nets.instance.group_of
        chosen = [self.allowed[g][values[g]] for g in range(self.nets.blocks)]
        order: list[int] = []
        for k, block in enumerate(self.blocks):
            if k in self.wide:
                order.extend(block.inner)
            else:
                known = {i: chosen[group_of[i]] for i in (block.first, block.last, *block.kept) if i is not None}
                for operator, unit in block.best(known):
                    order.append(operator)
                    chosen[group_of[operator]] = unit
            order.extend(() if block.last is None else (block.last,))
        return tuple(order), [self.units[k] for k in chosen]
