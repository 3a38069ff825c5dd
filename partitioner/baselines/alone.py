"""Each unit alone: all that it can take runs there, the rest on the host."""

from partita.partitioner.baselines.cover import Assignment, chosen_for, on_units
from partita.partitioner.problem import Problem


def one_unit(problem: Problem, unit: int, fallback: int) -> Assignment:
    """Every operator on `unit` that can run there, the others on `fallback`, in the problem's order."""
    return on_units(problem, [unit] * problem.operators, fallback)


def alone(problem: Problem, unit: int, fallback: int) -> tuple[int, ...] | None:
    """The kernels of `one_unit`; None if they cannot cover every operator."""
    return chosen_for(problem, one_unit(problem, unit, fallback), fallback)
