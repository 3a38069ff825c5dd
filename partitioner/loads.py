"""How long one frame keeps each unit and each link busy: the busiest one sets the pace of pipelined frames.

A cyclic schedule starts every part of a frame a whole number of periods after that of the frame before. With as many
frames under way as it takes, any set of parts whose sum on every unit and link is at most the period can run so; the
period is thus the largest load. Units that stream from memory at the same time are taken not to slow each other.
"""

from collections.abc import Sequence

from partita.partitioner.extra import Extra, Key, Term
from partita.partitioner.problem import Problem, evaluate, locations_of_choice, transfers_of

Resource = tuple[int, int]
"""The link from one unit to another; a unit is its own link to itself."""


def loads_us(problem: Problem, chosen: Sequence[int]) -> dict[Resource, float]:
    """Busy time per unit and link in one frame."""
    location_of = locations_of_choice(problem, chosen)
    found: dict[Resource, float] = {}

    def add(resource: Resource, time_us: float) -> None:
        found[resource] = found.get(resource, 0.0) + time_us

    for c in chosen:
        unit = problem.unit_of_location[problem.candidates[c].location]
        add((unit, unit), problem.candidates[c].cost_us)
    for unit, _ in evaluate(problem, chosen).segments:
        add((unit, unit), problem.call_us[unit])
    for tensor in problem.tensors:
        for a, b in transfers_of(problem, tensor, location_of):
            add((problem.unit_of_location[a], problem.unit_of_location[b]), tensor.transfer_us[a][b])
    return found


def period_us(problem: Problem, chosen: Sequence[int]) -> float:
    """The largest load, or the runtime's fixed cost if that is more."""
    return max(problem.fixed_us, *loads_us(problem, chosen).values())


def load_terms(problem: Problem) -> dict[Resource, list[Term]]:
    """The loads as sums over the program's variables."""
    found: dict[Resource, list[Term]] = {}
    for c, candidate in enumerate(problem.candidates):
        unit = problem.unit_of_location[candidate.location]
        found.setdefault((unit, unit), []).append((("z", c), candidate.cost_us))
    for u, call_us in enumerate(problem.call_us):
        if call_us:
            found.setdefault((u, u), []).extend((("s", i, u), call_us) for i in range(problem.operators))
    for t, tensor in enumerate(problem.tensors):
        for a, row in enumerate(tensor.transfer_us):
            for b, move_us in enumerate(row):
                if a != b and move_us:
                    link = problem.unit_of_location[a], problem.unit_of_location[b]
                    found.setdefault(link, []).append((("w", t, a, b), move_us))
    return found


def bound_period(problem: Problem, extra: Extra) -> Key:
    """The variable that is at least every load."""
    period = extra.own("period")
    extra.at_most([(period, -1.0)], -problem.fixed_us)
    for terms in load_terms(problem).values():
        extra.at_most([*terms, (period, -1.0)], 0.0)
    return period
