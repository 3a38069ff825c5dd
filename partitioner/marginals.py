"""What the best placement costs with one operator on one unit: exact, for all operators and units in two sweeps.

Forward, the sweep finds the least cost in which each state is reached; backward, the least cost from each state to
the end. A move between two states is then on no way cheaper than the sum of both and its own cost, so the least sum
over the moves that run an operator on a unit is the cost of the best placement that does (a min-marginal).
"""

from partita.errors import PlacementError
from partita.partitioner.problem import Problem
from partita.partitioner.sweep import State, Sweep

MOST_STATES = 4_000
"""States at one operator beyond which the moves between them take too much memory."""

Move = tuple[State, int, State, float]


def min_marginals(problem: Problem) -> dict[tuple[int, int], float]:
    """Least time by (operator, unit); without the pairs that no placement has.

    Raises PlacementError if the problem keeps so many tensors alive that there would be more than MOST_STATES states.
    """
    sweep = Sweep(problem)
    reached: dict[State, float] = {sweep.start(): problem.fixed_us}
    forward: list[tuple[dict[State, float], list[Move]]] = []
    for operator in range(problem.operators):
        moves = [(state, *move) for state in reached for move in sweep.moves(operator, state)]
        after: dict[State, float] = {}
        for state, _, target, more_us in moves:
            after[target] = min(after.get(target, float("inf")), reached[state] + more_us)
        if len(after) > MOST_STATES:
            raise PlacementError(
                f"too many tensors are alive at operator {operator} to explain all operators at once; "
                "ask for single ones with --why"
            )
        forward.append((reached, moves))
        reached = after
    return _backward(problem, forward, reached)


def _backward(
    problem: Problem, forward: list[tuple[dict[State, float], list[Move]]], last: dict[State, float]
) -> dict[tuple[int, int], float]:
    left = dict.fromkeys(last, 0.0)
    found: dict[tuple[int, int], float] = {}
    for operator in reversed(range(problem.operators)):
        reached, moves = forward[operator]
        before: dict[State, float] = {}
        for state, candidate, target, more_us in moves:
            if target not in left:
                continue
            rest_us = more_us + left[target]
            before[state] = min(before.get(state, float("inf")), rest_us)
            key = operator, problem.unit_of_location[problem.candidates[candidate].location]
            found[key] = min(found.get(key, float("inf")), reached[state] + rest_us)
        left = before
    return found
