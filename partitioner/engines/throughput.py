"""Throughput of a pipeline: the least largest load of any unit. Stretches of good orders, annealing, a proven bound.

Where units differ, weighted sums of the loads nearly settle it. A unit may take any set of operators (contiguity is not
asked for): pipelining over samples makes every set runnable.
"""

import random
import time
from math import inf

from partita.errors import ProblemError
from partita.partitioner.engines.balance import Balance, crossed
from partita.partitioner.engines.balance_program import LARGEST as LARGEST_PROGRAM
from partita.partitioner.engines.balance_program import BalanceProgram
from partita.partitioner.engines.budget import Budget, budget_of
from partita.partitioner.engines.elimination import TooWideError
from partita.partitioner.engines.local_search import annealed
from partita.partitioner.engines.max_load_bound import MaxLoadBound
from partita.partitioner.engines.nets import Nets, narrow_order, nets_of
from partita.partitioner.engines.order_splits import LARGEST, best_split, splits
from partita.partitioner.engines.outcome import Limits, Outcome, relative_gap, status_of
from partita.partitioner.engines.pair_sweeps import swept
from partita.partitioner.instance import Instance

SOLVER = "stretches of orders, annealing; bound by column generation, or by weighted sums where units differ"
MOST_WEIGHTED = 6
"""Units beyond which weighted sums are not tried where some are alike."""
PROGRAM_SHARE = 0.5
"""Of the time for the integer program, where units differ."""
ORDERS = (6, 18, 30, 40, 40)
"""Orders that are cut into stretches, per round; the first is not random."""
MOVES, MOVES_PER_BLOCK = 8_000, 100
"""Moves of one annealing: by the number of blocks, and at most."""
HEATS = (0.05, 0.3)
SWEEPS, STARTS = 40, 4
"""Pairs of units that are cut anew, from the best so far and from so many of a round's orders."""
SWEEP_S = 10e-6
"""Work of one of them, for each block."""
MOVE_S, CELL_S, BLOCK_S = 4e-6, 10e-9, 50e-6
"""Work of one move; of one stretch, for each cut of an order; and of an order, for each block."""
BOUND_ROUNDS, VAIN_ROUNDS = 40, 8
"""Prices tried for a target; fewer once a round of them has not raised the bound."""
LITTLE = 1e-4
"""A round that changes the load and the bound by no more than this share is the last, if the gap is small."""
ENOUGH = 0.9
"""Share of the gap asked for that a bound leaves."""
CLOSE = 0.005
"""A target this share below the best load is tried first when the gap asked for is narrower."""


def solve(instance: Instance, limits: Limits) -> Outcome:
    """The assignment with the least largest load. Raises ProblemError if none that fits the memory was found."""
    budget = budget_of(limits)
    nets = nets_of(instance)
    search = _Rounds(nets, budget)
    kinds, known, log = len(set(instance.alike)), 0.0, list[str]()

    def is_open() -> bool:
        return relative_gap(search.load, known) > limits.gap and not budget.is_spent()

    def weigh() -> float:
        found = _weighted(search, known, limits, budget)
        log.append(f"weighted sums: largest load {search.load:g}, bound {found:g}")
        return found

    if kinds == nets.units > 1:
        known = weigh()
    if is_open() or search.load == inf:
        bound, found = MaxLoadBound(nets), search.cut(ORDERS[0])
        _raise(bound, search, limits, VAIN_ROUNDS, budget)
        if relative_gap(search.load, bound.bound) > LITTLE:
            search.improve(found[:1], bound.bound)
            _raise(bound, search, limits, BOUND_ROUNDS, budget)
        known = max(known, bound.bound)
        log.append(f"round 0: largest load {search.load:g}, bound {bound.bound:g}, {bound.rounds} prices")
        if is_open() and 1 < kinds < nets.units <= MOST_WEIGHTED:
            known = weigh()
        if is_open():
            known = max(known, _in_rounds(bound, search, limits, budget, log))
    if search.load == inf:
        raise ProblemError("no assignment was found whose operators fit the units' memory")
    return Outcome(
        choice=nets.choice(search.unit_of),
        objective=search.load,
        bound=min(known, search.load),
        status=status_of(search.load, known, limits, in_time=not budget.is_spent()),
        solver=SOLVER,
        log=tuple(log),
    )


def _in_rounds(bound: MaxLoadBound, search: "_Rounds", limits: Limits, budget: Budget, log: list[str]) -> float:
    """Search, and raise the bound, in turns; the bound."""
    prices = BOUND_ROUNDS if bound.bound > bound.of_work else VAIN_ROUNDS
    for number, orders in enumerate(ORDERS[1:], 1):
        before, load = bound.bound, search.load
        search.improve(search.cut(orders)[:STARTS], bound.bound / (1 - limits.gap))
        _raise(bound, search, limits, prices, budget)
        gap = relative_gap(search.load, bound.bound)
        prices = BOUND_ROUNDS if bound.bound > before and gap > CLOSE else VAIN_ROUNDS
        log.append(f"round {number}: largest load {search.load:g}, bound {bound.bound:g}, {bound.rounds} prices")
        is_vain = gap <= CLOSE and bound.bound <= before * (1 + LITTLE) and search.load >= load * (1 - LITTLE)
        if gap <= limits.gap or is_vain or budget.is_spent():
            break
    return bound.bound


def _weighted(search: "_Rounds", known: float, limits: Limits, budget: Budget) -> float:
    """Where units differ: weighted sums, mixes of what they give, and a program for what is left; the bound."""
    nets, balance = search.nets, Balance(search.nets)
    try:
        balance.run(limits.gap, budget)
    except TooWideError:
        return max(known, balance.bound)
    if balance.bound <= known:  # too many units are alike
        return known
    search.start_from(crossed(nets, balance.placements))
    is_small = nets.blocks * nets.units <= LARGEST_PROGRAM
    left_s = min(budget.left_s, PROGRAM_SHARE * limits.least_s)
    if search.load < inf and is_small and left_s > 0 and relative_gap(search.load, balance.bound) > limits.gap:
        began = time.process_time()
        unit_of, bound = BalanceProgram(nets).solve(search.unit_of, balance.bound, limits.gap, left_s)
        budget.spend(time.process_time() - began)
        search.start_from([unit_of])
        return max(balance.bound, bound)
    return balance.bound


class _Rounds:
    """The best assignment so far, and how to better it; what is random continues from call to call."""

    def __init__(self, nets: Nets, budget: Budget) -> None:
        self.nets = nets
        self.budget = budget
        self.chance = random.Random(0)
        self.unit_of: list[int] = []
        self.load = inf
        self.known: set[tuple[int, ...]] = set()
        self.cuts = splits(nets)
        self.moves = min(MOVES, MOVES_PER_BLOCK * nets.blocks)

    def cut(self, orders: int) -> list[list[int]]:
        """Some more orders in stretches, the best first."""
        found: list[tuple[float, list[int]]] = []
        blocks = self.nets.blocks
        for number in range(orders if blocks <= LARGEST else 0):
            if self.budget.is_spent() and found:
                break
            self.budget.spend(BLOCK_S * blocks + CELL_S * blocks**2 * self.cuts)
            plain = not self.known and number == 0
            unit_of = best_split(self.nets, narrow_order(self.nets, None if plain else self.chance))
            if unit_of is not None and tuple(unit_of) not in self.known:
                self.known.add(tuple(unit_of))
                found.append((max(self.nets.loads(unit_of)), unit_of))
                self._keep(unit_of)
        return [unit_of for _, unit_of in sorted(found)]

    def improve(self, found: list[list[int]], enough: float) -> None:
        """Better these placements, or any if there are none, and the best so far, until a load is enough."""
        chosen = found or [self._anyhow()]
        if self.unit_of and self.unit_of not in chosen:
            chosen = [self.unit_of, *chosen]
        for start in chosen:
            if self.load <= enough or self.budget.is_spent():
                return
            self._anneal(self._swept(start), HEATS[0])
        for heat in HEATS:
            if self.load > enough and not self.budget.is_spent():
                self._anneal(self.unit_of or chosen[0], heat)

    def _swept(self, start: list[int]) -> list[int]:
        self.budget.spend(SWEEPS * SWEEP_S * self.nets.blocks)
        unit_of = swept(self.nets, start, SWEEPS, self.chance.randrange(1 << 30))
        self._keep(unit_of)
        return unit_of

    def _anneal(self, start: list[int], heat: float) -> None:
        self.budget.spend(MOVE_S * self.moves)
        self._keep(annealed(self.nets, start, self.moves, self.chance.randrange(1 << 30), heat))

    def start_from(self, placements: list[list[int]]) -> None:
        """Keep the best of these, annealed."""
        for unit_of in placements:
            self._keep(unit_of)
        if self.unit_of:
            for heat in (0.0, HEATS[0]):
                self._anneal(self.unit_of, heat)

    def _anyhow(self) -> list[int]:
        """Every block on its quickest unit."""
        return [int(unit) for unit in self.nets.times.argmin(axis=1)]

    def _keep(self, unit_of: list[int]) -> None:
        load = max(self.nets.loads(unit_of))
        if load < self.load and self.nets.fits(unit_of):
            self.load, self.unit_of = load, list(unit_of)


def _raise(bound: MaxLoadBound, search: _Rounds, limits: Limits, prices: int, budget: Budget) -> None:
    """Prove as much as the rounds allow: first all that is asked for, then what lies half way there."""
    if search.load == inf:
        return
    for unit, kind in enumerate(search.nets.instance.alike):
        bound.add_set(kind, frozenset(b for b, own in enumerate(search.unit_of) if own == unit))
    target = search.load * (1 - max(ENOUGH * limits.gap, CLOSE))
    if not bound.rounds:
        bound.add_stretches(target)
    while target > bound.bound * (1 + CLOSE / 2):
        if bound.raise_to(target, prices, budget):
            break
        target = (target + bound.bound) / 2
    if bound.bound >= search.load * (1 - CLOSE):
        bound.raise_to(search.load * (1 - ENOUGH * limits.gap), prices, budget)
