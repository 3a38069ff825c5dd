"""Every choice of candidates, tried: the oracle for small problems."""

from collections.abc import Iterator

from partita.errors import PlacementError
from partita.partitioner.problem import Problem, evaluate

LARGEST = 12
"""Operators beyond which trying everything is hopeless."""


def solve_by_brute_force(problem: Problem) -> tuple[tuple[int, ...], float]:
    """The best choice and its time in microseconds.

    Raises ValueError beyond LARGEST operators, PlacementError if no choice exists.
    """
    if problem.operators > LARGEST:
        raise ValueError(f"brute force takes at most {LARGEST} operators, not {problem.operators}")
    best = min(((evaluate(problem, chosen).total_us, chosen) for chosen in _choices(problem)), default=None)
    if best is None:
        raise PlacementError("no choice of kernels covers every operator")
    return best[1], best[0]


def _choices(
    problem: Problem, covered: frozenset[int] = frozenset(), chosen: tuple[int, ...] = ()
) -> Iterator[tuple[int, ...]]:
    open_operator = next((i for i in range(problem.operators) if i not in covered), None)
    if open_operator is None:
        yield chosen
        return
    for c in problem.covering[open_operator]:
        operators = problem.candidates[c].operators
        if covered.isdisjoint(operators):
            yield from _choices(problem, covered | set(operators), (*chosen, c))
