"""What simpler rules would choose on the same problem: the plan is compared with them, and never worse."""

from collections.abc import Sequence

from partita.devices import Soc
from partita.graph.plan import Baseline
from partita.partitioner.candidates import Formulation
from partita.partitioner.problem import Problem, evaluate


def all_baselines(formulation: Formulation, soc: Soc) -> dict[Baseline, tuple[int, ...]]:
    """Every baseline with its choice of candidates, in the order in which reports list them."""
    problem = formulation.problem
    host = next(u for u, unit in enumerate(soc.units) if unit.name == soc.host)
    rules: list[tuple[str, str, tuple[int, ...] | None]] = []
    for u, unit in enumerate(soc.units):
        if u == host:
            rules.append((f"{unit.name}_only", f"{unit.title} alone", alone(problem, u, host)))
        else:
            rules.append((f"{unit.name}_with_fallback", f"{unit.title}, {soc.host} fallback", alone(problem, u, host)))
            rules.append(
                (f"largest_partition_{unit.name}", f"Largest partition on {unit.title}", largest(problem, u, host))
            )
    rules.append(("fastest_per_operator", "Fastest unit for each operator", fastest(problem)))
    found: dict[Baseline, tuple[int, ...]] = {}
    for name, title, chosen in rules:
        if chosen is not None:
            result = evaluate(problem, chosen)
            found[Baseline(name=name, title=title, latency_us=result.total_us, segments=len(result.segments))] = chosen
    return found


def alone(problem: Problem, unit: int, fallback: int) -> tuple[int, ...] | None:
    """Every operator on `unit` that can run there, the others on `fallback`: how provider priority places a model."""
    wanted = [
        _on(problem, i, unit) or _on(problem, i, fallback) or problem.locations_of[i] for i in range(problem.operators)
    ]
    return cover(problem, wanted, fallback)


def largest(problem: Problem, unit: int, fallback: int) -> tuple[int, ...] | None:
    """Only the longest run of operators that `unit` can take goes there, as delegates that allow one partition do.

    Source: LiteRT `max_delegated_partitions`, which counts operators, not time.
    """
    runs: list[list[int]] = [[]]
    for i in range(problem.operators):
        if _on(problem, i, unit):
            runs[-1].append(i)
        elif runs[-1]:
            runs.append([])
    longest: list[int] = max(runs, key=len)
    chosen = set(longest)
    wanted = [
        (_on(problem, i, unit) if i in chosen else _on(problem, i, fallback)) or problem.locations_of[i]
        for i in range(problem.operators)
    ]
    return cover(problem, wanted, fallback)


def fastest(problem: Problem) -> tuple[int, ...] | None:
    """Each operator where its own kernel is fastest, boundaries forgotten."""
    best_us: list[dict[int, float]] = [{} for _ in range(problem.operators)]
    for candidate in problem.candidates:
        if len(candidate.operators) == 1:
            times = best_us[candidate.operators[0]]
            times[candidate.location] = min(candidate.cost_us, times.get(candidate.location, candidate.cost_us))
    wanted = [
        (min(times, key=lambda a: (times[a], a)),) if times else problem.locations_of[i]
        for i, times in enumerate(best_us)
    ]
    return cover(problem, wanted, problem.unit_of_location[problem.host])


def _on(problem: Problem, operator: int, unit: int) -> tuple[int, ...]:
    return tuple(a for a in problem.locations_of[operator] if problem.unit_of_location[a] == unit)


def cover(problem: Problem, wanted: Sequence[Sequence[int]], fallback: int) -> tuple[int, ...] | None:
    """Candidates that run each operator at one of its wanted locations, fusing greedily where that saves most.

    An operator that can run there only inside a fusion which did not come about runs at `fallback`, or wherever it can.
    None if even that covers it with nothing.
    """
    single = _singles(problem)
    location = [
        min(places, key=lambda a: (single[i].get(a, (float("inf"), 0))[0], a)) for i, places in enumerate(wanted)
    ]
    chosen: list[int] = []
    open_operators = set(range(problem.operators))
    for c in sorted(_fusions(problem, location, single), key=lambda c: (-_saving_us(problem, c, single), c)):
        candidate = problem.candidates[c]
        if open_operators.issuperset(candidate.operators):
            chosen.append(c)
            open_operators.difference_update(candidate.operators)
    for i in sorted(open_operators):
        places = [location[i], *_on(problem, i, fallback), *problem.locations_of[i]]
        found = next((single[i][a][1] for a in places if a in single[i]), None)
        if found is None:
            return None
        chosen.append(found)
    return tuple(sorted(chosen))


def _singles(problem: Problem) -> list[dict[int, tuple[float, int]]]:
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
    alone_us = sum(single[i].get(candidate.location, (float("inf"), 0))[0] for i in candidate.operators)
    return alone_us - candidate.cost_us
