"""What a placement is to be good at, and the solution that is best at it, with its proof."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from partita.errors import PlacementError
from partita.partitioner import ilp
from partita.partitioner.constraints import ROUNDING, Constraint, add, is_kept
from partita.partitioner.extra import Extra
from partita.partitioner.frontier import MOST_UNITS, shortest_period
from partita.partitioner.loads import bound_period, period_us
from partita.partitioner.makespan import bound_makespan
from partita.partitioner.problem import Problem, evaluate
from partita.partitioner.quantities import ENERGY, LATENCY, Quantity, priced
from partita.units import US_PER_MS

NAMES = ("latency", "makespan", "throughput", "energy", "edp")
WEIGHTED = "weighted"
UNIT_OF = {"latency": "us", "makespan": "us", "throughput": "us", "energy": "mJ", "edp": "mJ ms", WEIGHTED: "score"}
"""The unit of measure of each objective's figure; of throughput it is the time between two frames."""
TIE_NODES, TIE_GAP = 1, 0.02
"""How far to look for less latency among choices of one period: nodes are counted, not timed, so that plans repeat."""
MOST_CUTS = 60
"""Supporting lines of time and energy after which the energy-delay product is taken as it is."""

Timed = Callable[[Sequence[int]], float]
"""What the simulator says a choice takes while units work side by side, in microseconds."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One of NAMES, or a weighted sum of latency (in ms) and energy (in mJ)."""

    name: str
    per_ms: float = 0.0
    per_mj: float = 0.0

    @property
    def unit(self) -> str:
        return UNIT_OF[self.name]

    @property
    def needs_energy(self) -> bool:
        return self.name in ("energy", "edp") or self.per_mj > 0

    @property
    def quantity(self) -> Quantity | None:
        """The sum that is to be least; None if the objective is no sum."""
        if self.name == WEIGHTED:
            return Quantity(self.per_ms / US_PER_MS, self.per_mj)
        return {"latency": LATENCY, "energy": ENERGY}.get(self.name)

    def value(self, problem: Problem, chosen: Sequence[int], timed: Timed | None = None) -> float:
        """The exact figure of a choice; that of a makespan is what `timed` says."""
        if self.name == "makespan":
            assert timed is not None, "checked before anything is solved"
            return timed(chosen)
        if self.name == "throughput":
            return period_us(problem, chosen)
        found = evaluate(problem, chosen)
        if self.name == "edp":
            return found.total_us / US_PER_MS * found.energy_mj
        assert self.quantity is not None, "every other objective is a sum"
        return self.quantity.per_us * found.total_us + self.quantity.per_mj * found.energy_mj


def parse_objective(text: str) -> Objective:
    """`throughput`, or weights such as `latency=1,energy=0.2`; PlacementError for anything else."""
    if text in NAMES:
        return Objective(text)
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if name not in ("latency", "energy") or name in weights or not 0 <= weight < math.inf:
            known = ", ".join(NAMES)
            raise PlacementError(
                f"objective {text!r} is not known; there is: {known}, or weights, for example latency=1,energy=0.2"
            )
        weights[name] = weight
    if not any(weights.values()):
        raise PlacementError(f"objective {text!r} weighs nothing; give latency or energy a weight above 0")
    return Objective(WEIGHTED, weights.get("latency", 0.0), weights.get("energy", 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How to look for a choice."""

    constraints: tuple[Constraint, ...] = ()
    starts: tuple[tuple[int, ...], ...] = ()
    """Choices to begin from; those that break a constraint are passed over."""
    gap: float = 1e-4
    time_limit_s: float = 60.0
    timed: Timed | None = None


def minimise(problem: Problem, objective: Objective, search: Search) -> ilp.Solution:
    """The best choice, with its figure in the objective's unit and a bound below every other's.

    Raises `ilp.InfeasibleError` if no choice keeps the constraints, PlacementError if none was found in time.
    """
    kept = [s for s in search.starts if all(is_kept(c, problem, s) for c in search.constraints)]
    search = replace(search, starts=tuple(kept))
    if objective.name == "edp":
        return _least_product(problem, search)
    if objective.name == "throughput":
        return _least_period(problem, search)
    if objective.name == "makespan":
        return _least_makespan(problem, objective, search)
    assert objective.quantity is not None, "every other objective is a sum"
    return _least_sum(problem, objective.quantity, search)


def _least_sum(problem: Problem, quantity: Quantity, search: Search) -> ilp.Solution:
    def value(chosen: Sequence[int]) -> float:
        found = evaluate(problem, chosen)
        return quantity.per_us * found.total_us + quantity.per_mj * found.energy_mj

    return ilp.solve(
        priced(problem, quantity),
        start=min(search.starts, key=value, default=None),
        gap=search.gap,
        time_limit_s=search.time_limit_s,
        extra=constrained(problem, search.constraints),
        value=value,
    )


def constrained(problem: Problem, constraints: Sequence[Constraint]) -> Extra:
    """The rows of all constraints."""
    extra = Extra()
    for constraint in constraints:
        add(constraint, problem, extra)
    return extra


def _least_period(problem: Problem, search: Search) -> ilp.Solution:
    """The shortest time between frames, and of all choices that reach it the one with the least latency."""
    began = time.perf_counter()
    found = _by_frontier(problem, search)
    if found is None or found.status != "optimal":
        starts = search.starts if found is None else (*search.starts, found.chosen)
        found = _by_program(problem, replace(search, starts=starts), found.bound_us if found is not None else 0.0)
    left_s = search.time_limit_s - (time.perf_counter() - began)
    quicker = _quickest_within(problem, found, search, left_s)
    return replace(found, chosen=quicker, solve_s=time.perf_counter() - began)


def _by_frontier(problem: Problem, search: Search) -> ilp.Solution | None:
    """None where the sweep does not apply."""
    if search.constraints or len(problem.call_us) > MOST_UNITS:
        return None
    try:
        found = shortest_period(problem, search.starts, search.gap)
    except PlacementError:  # too many tensors are alive
        return None
    if found.chosen is None:
        return None
    value_us = period_us(problem, found.chosen)
    is_proven = value_us - found.bound_us <= max(search.gap, ROUNDING) * value_us
    status = "optimal" if is_proven else "time_limit"
    return ilp.Solution(found.chosen, value_us, found.bound_us, status, "sweep with frontiers of loads", 0.0)


def _by_program(problem: Problem, search: Search, bound_us: float) -> ilp.Solution:
    extra = constrained(problem, search.constraints)
    extra.objective = ((bound_period(problem, extra), 1.0),)
    found = ilp.solve(
        problem,
        start=min(search.starts, key=lambda s: period_us(problem, s), default=None),
        gap=search.gap,
        time_limit_s=search.time_limit_s,
        extra=extra,
        value=lambda chosen: period_us(problem, chosen),
    )
    return replace(found, bound_us=max(found.bound_us, min(bound_us, found.objective_us)))


def _quickest_within(problem: Problem, found: ilp.Solution, search: Search, left_s: float) -> tuple[int, ...]:
    """A choice of the same period and less latency, if a short search finds one."""
    if left_s <= 0:
        return found.chosen
    extra = constrained(problem, search.constraints)
    extra.at_most([(bound_period(problem, extra), 1.0)], found.objective_us)
    try:
        second = ilp.solve(
            problem, start=found.chosen, gap=TIE_GAP, time_limit_s=left_s, extra=extra, most_nodes=TIE_NODES
        )
    except PlacementError:  # the solver's tolerance may find the period itself out of reach
        return found.chosen
    if period_us(problem, second.chosen) > found.objective_us * (1 + ROUNDING):
        return found.chosen
    return second.chosen


def _least_product(problem: Problem, search: Search) -> ilp.Solution:
    """The least energy-delay product, by supporting lines of the set of all (time, energy).

    A product of two positive sums is quasi-concave, so its minimum over the set is at a corner of the convex hull. Each
    program with weights gives a point of the set and a line below it; the least product over the corners that the lines
    leave is a bound, and the next weights are the product's gradient at that corner.
    """
    began = time.perf_counter()
    solved: list[ilp.Solution] = []
    lines: list[_Line] = []
    quantity: Quantity | None = LATENCY
    bound, best = 0.0, math.inf
    while quantity is not None and len(lines) < MOST_CUTS:
        left_s = search.time_limit_s - (time.perf_counter() - began)
        if solved and left_s <= 0:
            break
        starts = (*search.starts, *(s.chosen for s in solved))
        found = _least_sum(problem, quantity, replace(search, starts=starts, time_limit_s=max(left_s, 1.0)))
        solved.append(found)
        lines.append(_Line(quantity.per_us, quantity.per_mj, found.bound_us))
        best = min(_product(problem, s.chosen) for s in solved)
        if len(lines) == 1:
            quantity = ENERGY
            continue
        corner = min(_corners(lines), key=lambda point: point[0] * point[1], default=(0.0, 0.0))
        bound = max(bound, corner[0] * corner[1] / US_PER_MS)
        quantity = Quantity(corner[1], corner[0]) if min(corner) > 0 else None
        if best - bound <= search.gap * best:
            break
    chosen = min((s.chosen for s in solved), key=lambda choice: (_product(problem, choice), choice))
    return ilp.Solution(
        chosen=chosen,
        objective_us=best,
        bound_us=min(bound, best),
        status="optimal" if best - bound <= max(search.gap, 1e-9) * best + 1e-12 else "time_limit",
        solver=f"{solved[0].solver}, {len(lines)} supporting lines",
        solve_s=time.perf_counter() - began,
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """per_us * time + per_mj * energy >= at_least, for every choice."""

    per_us: float
    per_mj: float
    at_least: float


def _product(problem: Problem, chosen: Sequence[int]) -> float:
    found = evaluate(problem, chosen)
    return found.total_us / US_PER_MS * found.energy_mj


def _corners(lines: Sequence[_Line]) -> list[tuple[float, float]]:
    """(time, energy) at the corners of what the lines leave."""
    found: list[tuple[float, float]] = []
    for i, p in enumerate(lines):
        for q in lines[:i]:
            determinant = p.per_us * q.per_mj - q.per_us * p.per_mj
            if abs(determinant) <= 1e-12 * max(p.per_us * q.per_mj, q.per_us * p.per_mj):
                continue
            time_us = (p.at_least * q.per_mj - q.at_least * p.per_mj) / determinant
            energy_mj = (p.per_us * q.at_least - q.per_us * p.at_least) / determinant
            if all(n.per_us * time_us + n.per_mj * energy_mj >= n.at_least * (1 - 1e-9) for n in lines):
                found.append((time_us, energy_mj))
    return found


def _least_makespan(problem: Problem, objective: Objective, search: Search) -> ilp.Solution:
    """The choice that the simulator ends first, among those found on the way to a bound from a relaxation."""
    if search.timed is None:
        raise PlacementError("the objective makespan needs the simulator: use partita.partition")
    began = time.perf_counter()
    timed = search.timed
    sequential = _least_sum(problem, LATENCY, replace(search, time_limit_s=search.time_limit_s / 3))
    extra = constrained(problem, search.constraints)
    extra.objective = ((bound_makespan(problem, extra), 1.0),)
    starts = {*search.starts, sequential.chosen}
    best = min(starts, key=lambda s: (timed(s), s))
    left_s = max(1.0, search.time_limit_s - (time.perf_counter() - began))
    relaxed = ilp.solve(
        problem, start=best, gap=search.gap, time_limit_s=left_s, extra=extra, value=lambda chosen: timed(chosen)
    )
    value_us = timed(relaxed.chosen)
    return replace(
        relaxed,
        objective_us=value_us,
        bound_us=min(relaxed.bound_us, value_us),
        status="optimal" if value_us - relaxed.bound_us <= max(search.gap, 1e-9) * value_us + 1e-3 else "not_proven",
        solver=f"{relaxed.solver}, relaxation; simulated",
        solve_s=time.perf_counter() - began,
    )
