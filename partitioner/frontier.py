"""The shortest time between frames, by a sweep that keeps for every state all loads of the units worth keeping.

The integer program's relaxation spreads an operator over two units, which leaves it 2 to 6 % below the optimum. Here a
state of the sweep (`sweep.py`) carries a frontier of load vectors instead. A vector goes if another of its state has no
load larger, or if no way to the end can be better than what is known: for weights that add up to 1, the largest load is
at least the weighted sum of loads, and the least weighted sum from a state to the end is a shortest path. The best
weights are those of the Lagrangian dual. Source of the method: resource-constrained shortest paths with completion
bounds, Dumitrescu and Boland, Networks 42 (2003).

Loads of links are left out of the vectors: the bound holds without them, and a placement's own period counts them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from partita.errors import PlacementError
from partita.partitioner.loads import period_us
from partita.partitioner.problem import Problem
from partita.partitioner.sweep import State, Sweep

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.intp]]
MOST_MOVES = 120_000
"""Moves between states, over all operators, beyond which the sweep is given up."""
WIDTHS = (32, 256)
"""Vectors kept for each state, pass by pass; what is left out lowers the bound that can be proven."""
MOST_UNITS = 2
"""With three units the frontiers of real networks grew too large to be quicker than the integer program."""
GRID = 16
"""Steps into which each weight is divided at first; then the best is refined three times."""


@dataclass(frozen=True, slots=True)
class _Step:
    """The moves over one operator, sorted by the state that they lead to."""

    source: Integers
    target: Integers
    loads: Floats
    """[move][unit]"""
    candidate: Integers
    states: int
    """After the step."""


@dataclass(frozen=True, slots=True)
class Found:
    """The best choice on the way and a bound below every choice's period."""

    chosen: tuple[int, ...] | None
    bound_us: float


def shortest_period(problem: Problem, known: Sequence[tuple[int, ...]], gap: float) -> Found:
    """A choice of the shortest period to within `gap`, if the frontiers stay small enough to prove it.

    `known` are choices to be beaten. Raises PlacementError if there are too many states.
    """
    steps = _steps(problem)
    best = min(known, key=lambda chosen: period_us(problem, chosen), default=None)
    value_us = period_us(problem, best) if best is not None else np.inf
    weights, bound_us = _best_weights(steps, len(problem.call_us))
    bound_us = max(bound_us, problem.fixed_us)
    rest = _least_rest(steps, weights)
    for width in WIDTHS:
        if value_us - bound_us <= gap * value_us:
            break
        chosen, least_us = _swept(steps, weights, rest, value_us * (1 - gap), width)
        bound_us = max(bound_us, min(least_us, value_us))
        found_us = period_us(problem, chosen) if chosen is not None else np.inf
        if found_us < value_us:
            best, value_us = chosen, found_us
        elif chosen is not None:  # a link is busier than the units
            break
    return Found(best, float(min(bound_us, value_us)))


def _steps(problem: Problem) -> list[_Step]:
    """The sweep's moves with the load that each puts on every unit."""
    sweeps = [Sweep(only) for only in _by_unit(problem)]
    states: dict[State, int] = {sweeps[0].start(): 0}
    steps: list[_Step] = []
    moves_left = MOST_MOVES
    for operator in range(problem.operators):
        after: dict[State, int] = {}
        moves: list[tuple[int, int, int]] = []
        loads: list[list[float]] = []
        for state, source in states.items():
            for several in zip(*(sweep.moves(operator, state) for sweep in sweeps), strict=True):
                candidate, target, _ = several[0]
                moves.append((after.setdefault(target, len(after)), source, candidate))
                loads.append([more_us for _, _, more_us in several])
        moves_left -= len(moves)
        if moves_left < 0:
            raise PlacementError(f"more than {MOST_MOVES} moves at operator {operator}: too many tensors are alive")
        table = np.array(moves, np.intp).reshape(-1, 3)
        order = np.argsort(table[:, 0], kind="stable")
        table = table[order]
        steps.append(_Step(table[:, 1], table[:, 0], np.array(loads)[order], table[:, 2], len(after)))
        states = after
    return steps


def _by_unit(problem: Problem) -> Iterator[Problem]:
    """The problem with the costs of one unit alone, for each unit."""
    at = problem.unit_of_location
    for unit in range(len(problem.call_us)):
        tables = {
            id(t.transfer_us): tuple(
                tuple(us if at[a] == at[b] == unit else 0.0 for b, us in enumerate(row))
                for a, row in enumerate(t.transfer_us)
            )
            for t in problem.tensors
        }
        yield replace(
            problem,
            call_us=tuple(us if u == unit else 0.0 for u, us in enumerate(problem.call_us)),
            fixed_us=0.0,
            candidates=tuple(c if at[c.location] == unit else replace(c, cost_us=0.0) for c in problem.candidates),
            tensors=tuple(replace(t, transfer_us=tables[id(t.transfer_us)]) for t in problem.tensors),
        )


def _best_weights(steps: Sequence[_Step], units: int) -> tuple[Floats, float]:
    """Weights of the largest dual values, the best first, and the largest value: a bound on every period."""
    grid = [point for point in product(range(GRID + 1), repeat=units) if sum(point) == GRID]
    weights = np.array(grid, float) / GRID
    spread = 1.0 / GRID
    values = _least_sums(steps, weights)
    for _ in range(3):
        spread /= 4
        centre = weights[int(values.argmax())]
        moves = [d for d in product(range(-4, 5, 2), repeat=units) if sum(d) == 0]
        near = centre + spread * np.array(moves, float)
        near = near[(near >= 0).all(axis=1)]
        weights, values = np.vstack([weights, near]), np.concatenate([values, _least_sums(steps, near)])
    order = np.argsort(-values, kind="stable")[: 4 * units]
    return weights[order], float(values.max())


def _least_sums(steps: Sequence[_Step], weights: Floats) -> Floats:
    """For each weighting, the least weighted sum of loads over all placements."""
    return _least_rest(steps, weights)[0][0]


def _least_rest(steps: Sequence[_Step], weights: Floats) -> list[Floats]:
    """[before operator][state][weighting]: the least weighted sum of the loads that are still to come."""
    rest = [np.zeros((steps[-1].states if steps else 1, len(weights)))]
    for number in reversed(range(len(steps))):
        step = steps[number]
        states = steps[number - 1].states if number else 1
        left = np.full((states, len(weights)), np.inf)
        np.minimum.at(left, step.source, step.loads @ weights.T + rest[-1][step.target])
        rest.append(left)
    return rest[::-1]


def _swept(
    steps: Sequence[_Step], weights: Floats, rest: Sequence[Floats], below_us: float, width: int
) -> tuple[tuple[int, ...] | None, float]:
    """A choice with the least largest load under `below_us`, and a bound; without such a choice the bound alone."""
    units = weights.shape[1]
    labels, bounds = np.zeros((1, units)), np.array([0, 1])
    trail: list[tuple[Integers, Integers]] = []
    least_us = below_us
    for number, step in enumerate(steps):
        found: list[Floats] = []
        parents: list[Integers] = []
        moves: list[Integers] = []
        ends = [0]
        starts = np.searchsorted(step.target, np.arange(step.states + 1))
        for state in range(step.states):
            here = range(starts[state], starts[state + 1])
            sources = [np.arange(bounds[step.source[m]], bounds[step.source[m] + 1]) for m in here]
            parent = np.concatenate(sources) if sources else np.zeros(0, np.intp)
            move = np.repeat(np.array(here, np.intp), [len(s) for s in sources])
            vectors = labels[parent] + step.loads[move]
            least = np.maximum((vectors @ weights.T + rest[number + 1][state]).max(axis=1), vectors.max(axis=1))
            kept, dropped_us = _kept(vectors, least, below_us, width)
            least_us = min(least_us, dropped_us)
            found.append(vectors[kept])
            parents.append(parent[kept])
            moves.append(step.candidate[move[kept]])
            ends.append(ends[-1] + len(kept))
        labels, bounds = np.vstack(found), np.array(ends)
        trail.append((np.concatenate(parents), np.concatenate(moves)))
        if not len(labels):
            return None, least_us
    last = int(labels.max(axis=1).argmin())
    best_us = float(labels[last].max())
    return _chosen(trail, last), min(least_us, best_us)


def _kept(vectors: Floats, least: Floats, below_us: float, width: int) -> tuple[Integers, float]:
    """The vectors worth keeping, at most `width`, and the least that one of those left out for room could reach."""
    order = np.argsort(least, kind="stable")
    order = order[: int(np.searchsorted(least[order], below_us))]
    kept = order[_undominated(vectors[order[: 4 * width]])]
    left_out = order[4 * width :]
    dropped_us = float(least[left_out[0]]) if len(left_out) else np.inf
    if len(kept) > width:
        dropped_us = min(dropped_us, float(least[kept[width]]))
        kept = kept[:width]
    return kept, dropped_us


def _undominated(vectors: Floats) -> Integers:
    """Numbers of the vectors that no other is at most as large as everywhere; of equal ones the first.

    Of one or two units (MOST_UNITS): from the smallest first load on, each second load must be a new least.
    """
    first, second = vectors[:, 0], vectors[:, 1:].sum(axis=1)
    order = np.lexsort((second, first))
    least_before = np.minimum.accumulate(np.concatenate([[np.inf], second[order]]))[:-1]
    return np.sort(order[second[order] < least_before])


def _chosen(trail: Sequence[tuple[Integers, Integers]], last: int) -> tuple[int, ...]:
    chosen: set[int] = set()
    for parents, moves in reversed(trail):
        chosen.add(int(moves[last]))
        last = int(parents[last])
    return tuple(sorted(chosen))
