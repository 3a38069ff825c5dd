"""Each unit alone: all that it can take runs there, the rest on the host."""

from partita.partitioner.baselines.cover import Assignment, on_units
from partita.partitioner.problem import Problem


def alone(problem: Problem, unit: int, fallback: int) -> Assignment:
    """Every operator on `unit` that can run there, the others on `fallback`, in the problem's order."""
    return on_units(problem, [unit] * problem.operators, fallback)
