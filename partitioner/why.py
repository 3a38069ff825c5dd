"""Why an operator runs where it does: what each other unit would cost in total, and what the constraints cost.

Every figure is from solving again, all other operators placed anew: with the operator forced to a unit, or with a limit
that is wider by a small share, whose gain over that share is the limit's shadow price.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from partita.errors import PlacementError
from partita.partitioner import ilp
from partita.partitioner.constraints import Deadline, Forbidden, MemoryLimit, NoiseBudget
from partita.partitioner.limits import Named
from partita.partitioner.placing import Placing
from partita.partitioner.wishes import is_like

MOST_OPERATORS = 20
"""A pattern that more operators are like is too wide to be answered by solving again."""
STEP = 0.01
"""The share by which a limit is widened."""
NEAR = 0.05
"""A limit is called near if its demand is within this share of it: a wider one may help."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What it would cost in total to run an operator on a unit."""

    unit: str
    extra: float | None
    """More of the objective than the plan has; None if it cannot run there."""
    bound: float | None
    """At least this much more is proven; equal to `extra` but for the gap."""
    reason: str
    """Why it cannot run there; empty if it can."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a constraint costs."""

    option: str
    demand: float
    limit: float
    unit: str
    is_near: bool
    gain: float | None
    """Of the objective, per unit of measure of a wider limit; None if that is no limit to widen a little."""


@dataclass(frozen=True, slots=True)
class Why:
    """Why one operator runs where it does."""

    node: str
    op: str
    unit: str
    dtype: str
    kernel_us: float
    """Of the kernel call that covers it, alone or with others."""
    value: float
    """Of the plan's objective."""
    objective: str
    elsewhere: tuple[Elsewhere, ...]
    prices: tuple[Price, ...]


def why_of(placing: Placing, solution: ilp.Solution, patterns: Sequence[str]) -> tuple[Why, ...]:
    """The answers for every operator whose name or type is like one of the patterns, in the order in which they run."""
    graph, prices = placing.formulation.graph, None
    found: list[Why] = []
    for pattern in patterns:
        asked = [i for i, node in enumerate(graph.nodes) if pattern == node.name]
        asked = asked or [i for i, node in enumerate(graph.nodes) if is_like(node, pattern)]
        if not asked:
            raise PlacementError(f"--why {pattern!r}: no operator of {graph.name!r} has a name or type like that")
        if len(asked) > MOST_OPERATORS:
            raise PlacementError(
                f"--why {pattern!r}: {len(asked)} operators are like that, more than the {MOST_OPERATORS} that are "
                "explained by solving again; --explain --json tells of all operators"
            )
        prices = tuple(_prices(placing, solution)) if prices is None else prices
        found += [_why(placing, solution, i, prices) for i in asked]
    return tuple(found)


def _why(placing: Placing, solution: ilp.Solution, operator: int, prices: tuple[Price, ...]) -> Why:
    formulation = placing.formulation
    problem, node = formulation.problem, formulation.graph.nodes[operator]
    here = next(c for c in solution.chosen if operator in problem.candidates[c].operators)
    location = formulation.locations[problem.candidates[here].location]
    others = [u for u, unit in enumerate(placing.soc.units) if unit.name != location.unit]
    return Why(
        node=node.name,
        op=node.op,
        unit=location.unit,
        dtype=location.dtype,
        kernel_us=problem.candidates[here].cost_us,
        value=solution.objective_us,
        objective=placing.wishes.objective,
        elsewhere=tuple(_elsewhere(placing, solution, operator, u) for u in others),
        prices=prices,
    )


def _elsewhere(placing: Placing, solution: ilp.Solution, operator: int, unit: int) -> Elsewhere:
    problem, name = placing.formulation.problem, placing.soc.units[unit].name
    node = placing.formulation.graph.nodes[operator]
    covering = problem.covering[operator]
    wrong = tuple(c for c in covering if problem.unit_of_location[problem.candidates[c].location] != unit)
    refusal = next((r for r in placing.formulation.refusals if r.node == node.name and r.unit == name), None)
    if len(wrong) == len(covering):
        return Elsewhere(name, None, None, refusal.reason if refusal is not None else "no kernel runs it there")
    try:
        found = placing.solved((), Forbidden(f"{node.name} on {name}", wrong))
    except ilp.InfeasibleError:
        return Elsewhere(name, None, None, "no placement with it there keeps the constraints")
    extra, bound = (max(0.0, value - solution.objective_us) for value in (found.objective_us, found.bound_us))
    return Elsewhere(name, extra, bound, "")


def _prices(placing: Placing, solution: ilp.Solution) -> Iterator[Price]:
    problem = placing.formulation.problem
    for number, named in enumerate(placing.limits):
        demand, limit = named.constraint.demand(problem, solution.chosen), named.constraint.limit
        is_near = demand >= limit - NEAR * abs(limit)
        gain = _gain(placing, solution, number, named) if is_near else 0.0
        yield Price(named.option, named.told(demand), named.told(limit), named.unit, is_near, gain)


def _gain(placing: Placing, solution: ilp.Solution, number: int, named: Named) -> float | None:
    """How much less of the objective there is for each unit of measure that the limit is wider."""
    if not isinstance(named.constraint, Deadline | MemoryLimit | NoiseBudget) or named.constraint.limit <= 0:
        return None
    wider = replace(named.constraint, limit=named.constraint.limit * (1 + STEP))
    limits = (*placing.limits[:number], replace(named, constraint=wider), *placing.limits[number + 1 :])
    found = placing.with_limits(limits).solved([solution.chosen])
    step = abs(named.told(wider.limit) - named.told(named.constraint.limit))
    return max(0.0, solution.objective_us - found.objective_us) / step
