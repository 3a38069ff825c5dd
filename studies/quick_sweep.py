"""The sweep along the execution order (`partitioner.sweep`), laid out once and then solved again for other costs.

Which states there are, and which kernels, calls and transfers lead from one to the next, does not depend on what they
cost. So the moves are listed once, each with the numbers of what it pays; for new costs one table look-up prices all
of them, and the least sum over each state's moves is taken operator by operator.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from partita.partitioner.problem import HOST, Problem
from partita.partitioner.sweep import State, Sweep

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.intp]]
MOST_MOVES = 120_000
"""Beyond these the integer program is quicker."""
Pair = tuple[int, int, int]
"""A tensor, the location where it was made and the one where it is wanted."""


@dataclass(frozen=True, slots=True)
class _Step:
    """The moves over one operator, sorted by the state that they lead to."""

    first: int
    """Number of its first move among those of all steps."""
    source: Integers
    starts: Integers
    """Where the moves to each state begin."""
    candidate: Integers


@dataclass(frozen=True, slots=True)
class Moves:
    """All moves of a problem, whatever its costs."""

    steps: tuple[_Step, ...]
    kernel: Integers
    """Per move, the candidate whose cost is paid; one past the last for none."""
    call: Integers
    """Per move, the unit whose call is paid; one past the last for none."""
    pairs: tuple[Pair, ...]
    """The transfers that moves pay."""
    paying: Integers
    paid: Integers
    """Move paying[i] pays transfer pairs[paid[i]]."""


class _Listing:
    """Collects the moves."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.sweep = Sweep(problem)
        self.steps: list[_Step] = []
        self.kernel: list[Integers] = []
        self.call: list[Integers] = []
        self.pair_number: dict[Pair, int] = {}
        self.paying: list[int] = []
        self.paid: list[int] = []
        self.count = 0

    def add(self, operator: int, states: dict[State, int]) -> dict[State, int]:
        """The states after an operator."""
        after: dict[State, int] = {}
        rows: list[tuple[int, int, int, int, int]] = []
        pays: list[tuple[Pair, ...]] = []
        for state, source in states.items():
            for candidate, target, _ in self.sweep.moves(operator, state):
                kernel, call = self._kernel_and_call(operator, candidate, state)
                rows.append((after.setdefault(target, len(after)), source, candidate, kernel, call))
                pays.append(self._transfers(operator, candidate, state))
        table = np.array(rows, np.intp).reshape(-1, 5)
        order = np.argsort(table[:, 0], kind="stable")
        table = table[order]
        starts = np.searchsorted(table[:, 0], np.arange(len(after)))
        self.steps.append(_Step(self.count, table[:, 1], starts, table[:, 2]))
        self.kernel.append(table[:, 3])
        self.call.append(table[:, 4])
        for position, row in enumerate(order.tolist()):
            for pair in pays[row]:
                self.paying.append(self.count + position)
                self.paid.append(self.pair_number.setdefault(pair, len(self.pair_number)))
        self.count += len(rows)
        return after

    def _kernel_and_call(self, operator: int, number: int, state: State) -> tuple[int, int]:
        problem = self.problem
        candidate, nothing = problem.candidates[number], len(problem.call_us)
        if candidate.operators[-1] != operator:
            return len(problem.candidates), nothing
        unit = problem.unit_of_location[candidate.location]
        return number, unit if unit != state.floor else nothing

    def _transfers(self, operator: int, number: int, state: State) -> tuple[Pair, ...]:
        problem, sweep = self.problem, self.sweep
        here = problem.candidates[number].location
        read = sweep.read_by[operator]
        found = [
            (tensor, source, here) for tensor, source, places in state.lying if tensor in read and here not in places
        ]
        if here != problem.host:
            given = (t for t in sweep.made_by[operator] if HOST in problem.tensors[t].consumers)
            found += [(tensor, here, problem.host) for tensor in given]
        return tuple(found)


def listed(problem: Problem) -> Moves | None:
    """The moves of a problem; None if there are more than MOST_MOVES, or if some operator cannot be covered."""
    listing = _Listing(problem)
    states = {listing.sweep.start(): 0}
    for operator in range(problem.operators):
        states = listing.add(operator, states)
        if not states or listing.count > MOST_MOVES:
            return None
    empty = [np.zeros(0, np.intp)]
    return Moves(
        steps=tuple(listing.steps),
        kernel=np.concatenate(listing.kernel or empty),
        call=np.concatenate(listing.call or empty),
        pairs=tuple(listing.pair_number),
        paying=np.array(listing.paying, np.intp),
        paid=np.array(listing.paid, np.intp),
    )


def least(moves: Moves, problem: Problem) -> tuple[tuple[int, ...], float]:
    """The choice of least time and that time; `problem` may differ in its costs from the one that was listed."""
    cost = _priced(moves, problem)
    best: Floats = np.zeros(1)
    reached = [best]
    for step in moves.steps:
        total = best[step.source] + cost[step.first : step.first + len(step.source)]
        best = np.minimum.reduceat(total, step.starts)
        reached.append(best)
    state = int(best.argmin())
    return _walked_back(moves, cost, reached, state), problem.fixed_us + float(best[state])


def _priced(moves: Moves, problem: Problem) -> Floats:
    """What each move adds."""
    kernels = np.array([*(candidate.cost_us for candidate in problem.candidates), 0.0])
    calls = np.array([*problem.call_us, 0.0])
    transfers = np.array([problem.tensors[t].transfer_us[a][b] for t, a, b in moves.pairs])
    cost: Floats = kernels[moves.kernel] + calls[moves.call]
    if len(transfers):
        cost += np.bincount(moves.paying, weights=transfers[moves.paid], minlength=len(cost))
    return cost


def _walked_back(moves: Moves, cost: Floats, reached: Sequence[Floats], state: int) -> tuple[int, ...]:
    chosen: set[int] = set()
    for step, before in zip(reversed(moves.steps), reversed(reached[:-1]), strict=True):
        first = int(step.starts[state])
        last = int(step.starts[state + 1]) if state + 1 < len(step.starts) else len(step.source)
        total = before[step.source[first:last]] + cost[step.first + first : step.first + last]
        move = first + int(total.argmin())
        chosen.add(int(step.candidate[move]))
        state = int(step.source[move])
    return tuple(sorted(chosen))
