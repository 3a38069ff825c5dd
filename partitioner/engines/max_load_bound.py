"""A lower bound of the largest load, and sets of blocks from which good solutions are made: column generation.

Give every block a profit. If no unit can collect enough profit within a load T for all units together to reach the
sum of profits, no placement has all loads within T. A linear program over the sets found so far chooses the profits.
It is the dual of covering the blocks by sets, each light enough for its unit; `pricing.py` finds the sets.
"""

from dataclasses import dataclass, field
from math import inf

import numpy as np

from partita.partitioner.engines.budget import Budget
from partita.partitioner.engines.nets import Nets, frontier_order, narrow_order
from partita.partitioner.engines.order_splits import LARGEST, stretch_loads
from partita.partitioner.engines.pricing import Pricing, TooManyStatesError
from partita.partitioner.instance import Floats
from partita.partitioner.program import Master, Program

KNOWN = 2.5
"""About how many things may be known of an open net."""
LEAST_SHARE, MOST_SHARE = 50, 400
"""Whole-number profit that falls to one unit; rounding costs the bound up to half a profit in this many."""
CELLS = 4_000_000
"""Entries of one unit's tables that the share is chosen for."""
CELL_S, PRICE_S = 2e-9, 5e-3
"""Work of one entry of the tables, and of what else trying some prices takes."""
CAP = 1.25
"""Profits of one set are told apart up to this many times what falls to a unit if its kind collects all."""


@dataclass
class MaxLoadBound:
    """The best bound so far, and the sets found, per kind of unit."""

    nets: Nets
    bound: float = 0.0
    rounds: int = 0
    sets: dict[int, list[frozenset[int]]] = field(default_factory=dict)
    share: int = MOST_SHARE
    _profits: Floats | None = None

    def __post_init__(self) -> None:
        alike = self.nets.instance.alike
        self.kinds = sorted(set(alike))
        self.count = {kind: alike.count(kind) for kind in self.kinds}
        self.sets = {kind: [] for kind in self.kinds}
        self.order, self.pricings = self._pricings()
        cells = max([len(self.order), *(pricing.size for pricing in self.pricings.values())])
        self.share = max(LEAST_SHARE, min(MOST_SHARE, CELLS // cells))
        self.bound = self.of_work = self._bound_of_work()

    def _pricings(self) -> tuple[list[int], dict[int, Pricing]]:
        """The order with the fewest states, and what is prepared for each kind of unit; none if all are too wide."""
        orders = [narrow_order(self.nets), frontier_order(self.nets)]
        orders.sort(key=lambda order: _states_along(self.nets, order))
        for order in orders:
            try:
                return order, {kind: Pricing(self.nets, kind, order) for kind in self.kinds}
            except TooManyStatesError:
                continue
        return orders[0], {}

    def raise_to(self, target: float, rounds: int, budget: Budget) -> bool:
        """Try to prove that no placement has all loads within `target`; False if the linear program cannot."""
        if not self.pricings or self.bound >= target:
            return bool(self.pricings)
        master = self._master(target)
        point = self._profits if self._profits is not None else self._fair_profits()
        reached, center = 0.0, point
        for _ in range(rounds):
            if budget.is_spent():
                return True
            columns = CAP * self.share
            budget.spend(PRICE_S + CELL_S * columns * sum(pricing.size for pricing in self.pricings.values()))
            self.rounds += 1
            added, proven = self._price(point, target, master)
            if proven > self.bound:
                self.bound, self._profits = proven, point
            if proven > reached:
                reached, center = proven, point
            if self.bound >= target:
                return True
            values, total = master.solve()
            if total <= 1 + 1e-9:
                return False
            fresh = values[: self.nets.blocks]
            fresh = fresh / max(float(fresh.sum()), 1e-12)
            point = 0.5 * center + 0.5 * fresh if added else fresh
        return True

    def _bound_of_work(self) -> float:
        """The largest load if blocks could be cut in any fractions and moved for nothing; or the longest block."""
        times, blocks = self.nets.times, self.nets.blocks
        program = Program()
        largest = program.variable(1.0, upper=inf)
        shares = [[program.variable() if np.isfinite(times[b, k]) else -1 for k in self.kinds] for b in range(blocks)]
        for row in shares:
            program.row([v for v in row if v >= 0], [1.0] * sum(v >= 0 for v in row), 1.0, 1.0)
        for number, kind in enumerate(self.kinds):
            held = [(shares[b][number], float(times[b, kind])) for b in range(blocks) if shares[b][number] >= 0]
            program.row([largest, *(v for v, _ in held)], [-float(self.count[kind]), *(t for _, t in held)], high=0.0)
        longest = float(times.min(axis=1).max(initial=0.0))
        return max(longest, program.solve().bound * (1 - 1e-9))

    def _fair_profits(self) -> Floats:
        quickest = self.nets.times.min(axis=1)
        return quickest / max(float(quickest.sum()), 1e-12)

    def add_set(self, kind: int, members: frozenset[int]) -> None:
        """Remember a set that may be light enough for a later target."""
        if members and members not in self.sets[kind]:
            self.sets[kind].append(members)

    def add_stretches(self, target: float) -> None:
        """The longest stretches of the order that stay within a target."""
        for kind in self.kinds if self.nets.blocks <= LARGEST else ():
            light = stretch_loads(self.nets, kind, self.order) <= target
            for begin in range(self.nets.blocks):
                end = int(np.flatnonzero(light[begin])[-1])
                self.add_set(kind, frozenset(self.order[begin:end]))

    def _master(self, target: float) -> Master:
        """Variables: a profit per block, then the most that one unit of each kind may collect."""
        blocks = self.nets.blocks
        upper = np.full(blocks + len(self.kinds), np.inf)
        profit = np.concatenate([np.ones(blocks), np.zeros(len(self.kinds))])
        master = Master(profit, upper)
        columns = [blocks + number for number in range(len(self.kinds))]
        counts = [float(self.count[kind]) for kind in self.kinds]
        master.row(columns, counts, 1.0, 1.0)
        for b in range(blocks):  # some unit takes block b within the target, or the target is met by none
            master.row([b], [1.0], 0.0, 1.0)
        for number, kind in enumerate(self.kinds):
            for members in self.sets[kind]:
                if self._load(members, kind) <= target:
                    self._add(master, number, members)
        return master

    def _add(self, master: Master, number: int, members: frozenset[int]) -> None:
        blocks = sorted(members)
        master.row([*blocks, self.nets.blocks + number], [*([1.0] * len(blocks)), -1.0], -np.inf, 0.0)

    def _load(self, members: frozenset[int], kind: int) -> float:
        return set_load(self.nets, members, kind)

    def _price(self, profits: Floats, target: float, master: Master) -> tuple[int, float]:
        """Add the most profitable set of each kind; how many were new, and the bound that these profits prove."""
        whole = self._whole(profits)
        envelopes, added = [], 0
        for number, kind in enumerate(self.kinds):
            pricing = self.pricings[kind]
            most = min(sum(whole), int(CAP * sum(whole) / self.count[kind]))
            tables = pricing.table(whole, most)
            final = tables[-1][0]
            envelope = np.minimum.accumulate(final[::-1])[::-1]
            envelopes.append((self.count[kind], envelope))
            best = int(np.searchsorted(envelope, target, side="right")) - 1
            while final[best] > target:
                best += 1
            members = frozenset(pricing.set_with(tables, whole, best))
            if members and members not in self.sets[kind]:
                self.sets[kind].append(members)
                self._add(master, number, members)
                added += 1
        return added, _least_target(envelopes, sum(whole))

    def _whole(self, profits: Floats) -> list[int]:
        """Whole numbers in proportion; what rounding takes from one block goes to the next in the order."""
        along = np.concatenate([[0.0], np.cumsum(profits[self.order])])
        rounded = np.rint(along * (self.share * sum(self.count.values()) / max(float(along[-1]), 1e-12)))
        whole = np.zeros(self.nets.blocks, int)
        whole[self.order] = np.diff(rounded).astype(int)
        return [int(profit) for profit in whole]


def _states_along(nets: Nets, order: list[int]) -> float:
    """About how many states an order has, all places together: of each open net a few things may be known."""
    left = [1 + len(consumers) for consumers in nets.consumers]
    opened, found = set[int](), 0.0
    for block in order:
        for net in nets.nets_of[block]:
            left[net] -= 1
            opened.add(net)
        opened = {net for net in opened if left[net]}
        found += KNOWN ** len(opened)
    return found


def set_load(nets: Nets, members: frozenset[int], unit: int) -> float:
    """The least load of a unit that runs exactly these blocks, wherever the others are."""
    load = float(sum(nets.times[b, unit] for b in members))
    for net in {j for b in members for j in nets.nets_of[b]}:
        if nets.producers[net] in members:
            if any(c not in members for c in nets.consumers[net]):
                load += nets.send[net][unit]
        else:
            load += min(nets.receive[net][a][unit] for a in range(nets.units) if a != unit) if nets.units > 1 else 0.0
    return load


def _least_target(envelopes: list[tuple[int, Floats]], total: int) -> float:
    """The least load within which the units together collect `total`; the last profit of an envelope has no limit."""
    targets = np.unique(np.concatenate([envelope[np.isfinite(envelope)] for _, envelope in envelopes]))
    collected = np.zeros(len(targets))
    for count, envelope in envelopes:
        profit = np.searchsorted(envelope, targets, side="right") - 1
        collected += count * np.where(profit >= len(envelope) - 1, total, profit)
    reached = np.flatnonzero(collected >= total)
    return float(targets[reached[0]]) if len(reached) else 0.0
