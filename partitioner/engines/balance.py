"""A lower bound of the largest load where units differ, and placements near it: by weighted sums.

Whatever weights of sum 1 the units have, the largest load is no less than the weighted sum of the loads, so no less
than the least such sum, which elimination finds. A linear program over the placements found so far chooses the next
weights (Kelley's cutting planes); what memory is exceeded by is priced likewise. Of units that are alike one could
take all at no cost for moving, so this says little about them.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from partita.partitioner.engines.budget import Budget
from partita.partitioner.engines.elimination import Elimination
from partita.partitioner.engines.nets import Nets, narrow_order
from partita.partitioner.engines.pricing import Ints
from partita.partitioner.engines.sums import add_net
from partita.partitioner.instance import Floats
from partita.partitioner.program import Master

ROUNDS = 60
SAME = 1e-4
"""Bounds that rise by less than this share, so many times, will rise no more."""
VAIN = 6
BLOCK_S = 100e-6
"""Work of one round for each block."""
PARENTS, CUTS = 6, 16
"""Placements of which pairs are mixed, and into how many parts the order is cut for that."""


@dataclass
class Balance:
    """Weights, the bound that they prove, and the placements met on the way."""

    nets: Nets
    bound: float = 0.0
    placements: list[list[int]] = field(default_factory=list)

    def run(self, gap: float, budget: Budget) -> None:
        """Raise the bound until it is within `gap` of what the linear program can reach. Raises TooWideError."""
        units, rooms = self.nets.units, np.array([unit.memory for unit in self.nets.instance.units])
        limited = np.flatnonzero(np.isfinite(rooms))
        scale = np.maximum(rooms[limited], 1.0)
        master = Master(np.r_[np.zeros(units + len(limited)), 1.0], np.full(units + len(limited) + 1, inf))
        master.row(list(range(units)), [1.0] * units, 1.0, 1.0)
        center = point = np.r_[np.full(units, 1 / units), np.zeros(len(limited))]
        vain = 0
        for _ in range(ROUNDS):
            budget.spend(BLOCK_S * self.nets.blocks)
            weights, prices = point[:units], point[units:] / scale
            unit_of = self._least(weights, limited, prices)
            loads = np.array(self.nets.loads(unit_of))
            over = (np.bincount(unit_of, self.nets.memory, units) - rooms)[limited] / scale
            value = float(weights @ loads + point[units:] @ over) * (1 - 1e-9)
            vain = vain + 1 if value < self.bound * (1 + SAME) else 0
            if value > self.bound:
                self.bound, center = value, point
            self.placements.append(unit_of)
            columns = list(range(units + len(limited) + 1))
            master.row(columns, [*(-loads), *(-over), 1.0], -inf, 0.0)
            values, total = master.solve()
            if total <= self.bound * (1 + gap) or vain >= VAIN or budget.is_spent():
                break
            point = 0.5 * center + 0.5 * values[:-1]

    def _least(self, weights: Floats, limited: Ints, prices: Floats) -> list[int]:
        """The placement with the least weighted sum of loads and of what is held."""
        nets = self.nets
        units = list(range(nets.units))
        allowed = [[u for u in units if nets.times[b, u] < inf] for b in range(nets.blocks)]
        problem = Elimination([len(row) for row in allowed])
        held = np.zeros(nets.units)
        held[limited] = prices
        for b, row in enumerate(allowed):
            problem.add((b,), weights[row] * nets.times[b, row] + held[row] * nets.memory[b])
        for net in range(len(nets.producers)):
            received = np.array(nets.receive[net]) * weights[None, :]
            np.fill_diagonal(received, 0.0)
            sent = np.array(nets.send[net]) * weights
            if received.any() or sent.any():
                add_net(problem, nets, net, allowed, units, received, sent)
        values, _ = problem.solve()
        return [allowed[b][values[b]] for b in range(nets.blocks)]


def crossed(nets: Nets, placements: Sequence[list[int]]) -> list[list[int]]:
    """The best of the placements, then mixes of two: one up to a place of a narrow order, the other from there."""
    best = sorted(placements, key=lambda unit_of: max(nets.loads(unit_of)))[:PARENTS]
    order = narrow_order(nets)
    found = [best[0]]
    for one, other in itertools.permutations(best, 2):
        for part in range(1, CUTS):
            mixed = list(other)
            for b in order[: nets.blocks * part // CUTS]:
                mixed[b] = one[b]
            found.append(mixed)
    return [unit_of for unit_of in found if nets.fits(unit_of)]
