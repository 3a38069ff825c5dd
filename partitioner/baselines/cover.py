"""From a unit for each operator to kernels that cover them."""

from collections.abc import Sequence
from dataclasses import dataclass

from partita.partitioner.problem import Problem

INFINITE = float("inf")


@dataclass(frozen=True, slots=True)
class Assignment:
    """The locations that a rule wants each operator at, any of them, and its order of execution if it has its own."""

    wanted: tuple[tuple[int, ...], ...]
    order: tuple[int, ...] | None = None


def on_unit(problem: Problem, operator: int, unit: int) -> tuple[int, ...]:
    """The locations of a unit at which an operator can run."""
    return tuple(a for a in problem.locations_of[operator] if problem.unit_of_location[a] == unit)


def on_units(problem: Problem, units: Sequence[int], fallback: int, order: tuple[int, ...] | None = None) -> Assignment:
    """Each operator on its unit, else on `fallback`, else wherever it can run."""
    wanted = [
        on_unit(problem, i, unit) or on_unit(problem, i, fallback) or problem.locations_of[i]
        for i, unit in enumerate(units)
    ]
    return Assignment(tuple(wanted), order)


def chosen_for(problem: Problem, assignment: Assignment, fallback: int) -> tuple[int, ...] | None:
    """Candidates that run each operator at one of its wanted locations, fusing greedily where that saves most.

    An operator that can run there only inside a fusion which did not come about runs at `fallback`, or wherever it can.
    None if even that covers it with nothing.
    """
    single = singles(problem)
    location = [
        min(places, key=lambda a: (single[i].get(a, (INFINITE, 0))[0], a)) for i, places in enumerate(assignment.wanted)
    ]
    chosen: list[int] = []
    open_operators = set(range(problem.operators))
    for c in sorted(_fusions(problem, location, single), key=lambda c: (-_saving_us(problem, c, single), c)):
        candidate = problem.candidates[c]
        if open_operators.issuperset(candidate.operators):
            chosen.append(c)
            open_operators.difference_update(candidate.operators)
    for i in sorted(open_operators):
        places = [location[i], *on_unit(problem, i, fallback), *problem.locations_of[i]]
        found = next((single[i][a][1] for a in places if a in single[i]), None)
        if found is None:
            return None
        chosen.append(found)
    return tuple(sorted(chosen))


def singles(problem: Problem) -> list[dict[int, tuple[float, int]]]:
    """Per operator and location, the time and number of the candidate that runs it alone."""
    found: list[dict[int, tuple[float, int]]] = [{} for _ in range(problem.operators)]
    for c, candidate in enumerate(problem.candidates):
        if len(candidate.operators) == 1:
            i, a = candidate.operators[0], candidate.location
            found[i][a] = min(found[i].get(a, (candidate.cost_us, c)), (candidate.cost_us, c))
    return found


def _fusions(problem: Problem, location: Sequence[int], single: list[dict[int, tuple[float, int]]]) -> list[int]:
    return [
        c
        for c, candidate in enumerate(problem.candidates)
        if len(candidate.operators) > 1
        and all(location[i] == candidate.location for i in candidate.operators)
        and _saving_us(problem, c, single) > 0
    ]


def _saving_us(problem: Problem, c: int, single: list[dict[int, tuple[float, int]]]) -> float:
    """How much the fusion saves; without limit if one of its operators cannot run there alone."""
    candidate = problem.candidates[c]
    alone_us = sum(single[i].get(candidate.location, (INFINITE, 0))[0] for i in candidate.operators)
    return alone_us - candidate.cost_us
