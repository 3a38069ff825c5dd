"""One placement problem on its way to a plan: solved in a good order, compared with simpler rules, lowered."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf

from partita.devices import Soc
from partita.errors import PlacementError
from partita.graph.match import Match
from partita.graph.plan import Alternative, Baseline, Plan, Proof
from partita.partitioner import ilp
from partita.partitioner.any_order import (
    Relaxed,
    bound_by_units,
    busiest,
    excursions,
    least_in_any_order,
    least_in_this_order,
    shortest_in_any_order,
)
from partita.partitioner.baselines import Simple, all_baselines
from partita.partitioner.baselines.cover import Assignment, chosen_for
from partita.partitioner.candidates import Formulation, formulate
from partita.partitioner.constraints import Constraint, Together, is_kept
from partita.partitioner.engines.outcome import NOISE, Limits
from partita.partitioner.infeasible import explain
from partita.partitioner.limits import Named, limits_of, named_limits, rules_as_limits
from partita.partitioner.lower import lower
from partita.partitioner.marginals import min_marginals
from partita.partitioner.objectives import Search, minimise
from partita.partitioner.order import early
from partita.partitioner.problem import Problem, evaluate, locations_of_choice
from partita.partitioner.quantities import priced
from partita.partitioner.wishes import Wishes

Overlapped = Callable[[Plan], float]
"""What the simulator says one inference of a plan takes while units work side by side, in microseconds."""
BETTER = 1e-9
"""Another order is taken if it is better by this share: less is rounding."""
AT_ONCE = "elimination, for every set of units"
"""Who proves a simple rule the best."""
IN_ORDER = "elimination"
"""Who proves a choice the best in its order."""
MOST_EXCURSIONS = 12
"""Parts of a schedule away from its busiest unit that are tried one after the other."""
MOST_ORDERING_S = 10.0
"""The time after which the engine that frees the order makes do with what it has."""


@dataclass(frozen=True)
class Placing:
    """One formulated problem on its way to a plan."""

    formulation: Formulation
    soc: Soc
    matches: Sequence[Match]
    wishes: Wishes
    overlapped: Overlapped | None
    given_limits: tuple[Named, ...] | None = None
    """In place of the user's and the Soc's."""

    def check_explainable(self) -> None:
        """PlacementError if all operators are to be explained and no sweep can do so."""
        if self.wishes.explain and (self.wishes.aim.quantity is None or self.limits):
            raise PlacementError(
                "all operators at once can be explained for latency, energy and weighted sums without further "
                "constraints; ask for single operators with --why"
            )

    def best(self) -> "tuple[Placing, ilp.Solution]":
        """The solution, and the problem in the order that it was found in: ours, or one that turned out better."""
        proven = self._rule_proven_best()
        if proven is not None:
            return proven
        placing, solution = self, self.solved([rule.chosen for rule in self.simple])
        better = self._better_order(solution.objective_us)
        if better is not None:
            placing, start = better
            solution = placing.solved([start])
        placing, solution = placing._with_others_early(solution)
        return placing._over_all_orders(solution)

    def _rule_proven_best(self) -> "tuple[Placing, ilp.Solution] | None":
        """The best simple rule's choice, if no placement in any order has less: nothing is left to solve."""
        if self.wishes.aim.quantity is None:
            return None
        began = time.perf_counter()
        values = [
            (self._value(rule, theirs), i)
            for i, (rule, theirs) in enumerate(self.ruled)
            if not self._broken_by(rule, theirs)
        ]
        if not values:
            return None
        value, i = min(values)
        bound = self._bound_of(value)
        if bound < value:
            return None
        placing, chosen = self._in_order_of(self.simple[i])
        took_s = time.perf_counter() - began
        return placing, ilp.Solution(chosen, value, value, "optimal", AT_ONCE, took_s, any_order=value)

    def _bound_of(self, value: float) -> float:
        """A quick bound of the sum over all orders, at most `value`."""
        quantity = self.wishes.aim.quantity
        assert quantity is not None, "asked for sums only"
        bound = bound_by_units(priced(self.formulation.problem, quantity), value)
        return value if value - bound <= NOISE * value else bound

    def _over_all_orders(self, solution: ilp.Solution) -> "tuple[Placing, ilp.Solution]":
        """The solution with a bound over all orders, or a better one in the order that the bound's engine found."""
        quantity, value = self.wishes.aim.quantity, solution.objective_us
        limits = Limits(self.wishes.gap_share, self.wishes.time_limit_s, MOST_ORDERING_S)
        if self.wishes.aim.name == "makespan":
            return self._scheduled(solution, shortest_in_any_order(self.formulation.problem, limits))
        if quantity is None:
            return self, solution
        bound, allowed = self._bound_of(value), self.wishes.gap_share * value
        relaxed = None
        if value - bound > allowed:
            relaxed = least_in_any_order(priced(self.formulation.problem, quantity), limits)
        if relaxed is None:
            return self, self._bounded(solution, bound)
        placing, bound = self, max(bound, relaxed.bound_us)
        if value - bound > allowed:
            other, start = self._in_order(relaxed.order, solution.chosen)
            again = other.solved([start])
            if again.objective_us < value * (1 - BETTER):
                placing, solution = other, again
        return placing, self._bounded(solution, min(bound, solution.objective_us))

    def _bounded(self, solution: ilp.Solution, bound: float) -> ilp.Solution:
        """The solution with a bound over all orders, which holds for its own order too."""
        value, best = solution.objective_us, max(bound, solution.bound_us)
        is_proven = value - best <= self.wishes.gap_share * value
        return replace(solution, any_order=bound, bound_us=best, status="optimal" if is_proven else solution.status)

    def _scheduled(self, solution: ilp.Solution, relaxed: Relaxed) -> "tuple[Placing, ilp.Solution]":
        """The solution, or all or parts of a schedule, in its order, if the simulator ends that sooner."""
        placing, chosen, value_us = self, solution.chosen, solution.objective_us
        everywhere = range(self.formulation.problem.operators)
        found = self._in_part(relaxed, everywhere)
        if found is not None and found[2] < value_us * (1 - BETTER):
            placing, chosen, value_us = found
        if value_us - relaxed.bound_us > self.wishes.gap_share * value_us:
            taken: list[int] = []
            for members in excursions(self.formulation.problem, relaxed)[:MOST_EXCURSIONS]:
                found = self._in_part(relaxed, [*taken, *members])
                if found is not None and found[2] < value_us * (1 - BETTER):
                    placing, chosen, value_us = found
                    taken += members
        any_order_us = min(relaxed.bound_us, value_us)
        bound_us = max(any_order_us, min(solution.bound_us, value_us))
        is_proven = value_us - bound_us <= self.wishes.gap_share * value_us
        return placing, replace(
            solution,
            chosen=chosen,
            objective_us=value_us,
            bound_us=bound_us,
            status="optimal" if is_proven else "not_proven",
            any_order=any_order_us,
        )

    def _in_part(self, relaxed: Relaxed, members: Collection[int]) -> "tuple[Placing, tuple[int, ...], float] | None":
        """The schedule's order with its units for some operators, the busiest location for the others, simulated."""
        problem, main = self.formulation.problem, busiest(relaxed)
        wanted = Assignment(tuple((a if i in members else main,) for i, a in enumerate(relaxed.location_of)))
        found = chosen_for(problem, wanted, problem.unit_of_location[problem.host])
        if found is None or not all(is_kept(named.constraint, problem, found) for named in self.limits):
            return None
        placing, start = self._in_order(relaxed.order, found)
        return placing, start, placing._timed(start)

    def _with_others_early(self, solution: ilp.Solution) -> "tuple[Placing, ilp.Solution]":
        """The solution, or a better one if what the busiest unit does not run comes as early as it can."""
        formulation = self.formulation
        segments = evaluate(formulation.problem, solution.chosen).segments
        if len(segments) <= 1:
            return self, solution
        main = max(segments, key=lambda segment: len(segment[1]))[0]
        at = locations_of_choice(formulation.problem, solution.chosen)
        away = {
            node.name
            for i, node in enumerate(formulation.graph.nodes)
            if formulation.problem.unit_of_location[at[i]] != main
        }
        order = early(formulation.graph, lambda node: node.name in away)
        if order == tuple(range(len(order))):
            return self, solution
        placing, start = self._in_order(order, solution.chosen)
        other = placing.solved([start])
        return (placing, other) if other.objective_us < solution.objective_us * (1 - BETTER) else (self, solution)

    def plan(self, digest: str, placing: "Placing", solution: ilp.Solution) -> Plan:
        """The Plan of a solution that `best` gave."""
        proof = Proof(
            objective=self.wishes.objective,
            value=solution.objective_us,
            bound=solution.bound_us,
            unit=self.wishes.aim.unit,
            status=solution.status,
            solver=solution.solver,
            solve_s=solution.solve_s,
            any_order=solution.any_order,
        )
        formulation = placing.formulation
        plan = lower(formulation, self.soc, solution.chosen, proof, self._compared())
        energy_mj = evaluate(formulation.problem, solution.chosen).energy_mj
        return replace(
            plan,
            graph_digest=digest,
            energy_mj=energy_mj if self.soc.power is not None else None,
            limits=limits_of(formulation, placing.limits, solution.chosen),
            alternatives=placing._alternatives(solution) if self.wishes.explain else (),
        )

    def _alternatives(self, solution: ilp.Solution) -> tuple[Alternative, ...]:
        """What each operator would cost on each other unit."""
        quantity = self.wishes.aim.quantity
        assert quantity is not None, "checked before anything was solved"
        problem, graph = self.formulation.problem, self.formulation.graph
        found = min_marginals(priced(problem, quantity))
        here = {i: problem.candidates[c] for c in solution.chosen for i in problem.candidates[c].operators}
        return tuple(
            Alternative(
                node=graph.nodes[i].name,
                unit=unit.name,
                extra=max(0.0, found[i, u] - solution.objective_us) if (i, u) in found else None,
            )
            for i in range(problem.operators)
            for u, unit in enumerate(self.soc.units)
            if problem.unit_of_location[here[i].location] != u
        )

    @cached_property
    def limits(self) -> tuple[Named, ...]:
        if self.given_limits is not None:
            return self.given_limits
        return named_limits(self.formulation, self.soc, self.wishes)

    def with_limits(self, limits: tuple[Named, ...]) -> "Placing":
        """The same problem with other constraints."""
        return replace(self, given_limits=limits)

    def solved(self, starts: Sequence[tuple[int, ...]], *more: Constraint) -> ilp.Solution:
        """The best choice that keeps the user's constraints, and some more."""
        search = Search(
            constraints=(*(named.constraint for named in self.limits), *more),
            starts=tuple(starts),
            gap=self.wishes.gap_share,
            time_limit_s=self.wishes.time_limit_s,
            timed=self._timed if self.overlapped is not None else None,
        )
        if not search.constraints:
            proven = self._eliminated()
            if proven is not None:
                return proven
        try:
            return minimise(self.formulation.problem, self.wishes.aim, search)
        except ilp.InfeasibleError:
            if more:
                raise
            free = self._without_rules.formulation
            named = (*named_limits(free, self.soc, self.wishes), *rules_as_limits(free, self.wishes))
            raise explain(free.problem, named, self.wishes.time_limit_s) from None

    def _eliminated(self) -> ilp.Solution | None:
        """The best choice in this order, if elimination over shares of kernels proves one the best; else None."""
        quantity = self.wishes.aim.quantity
        if quantity is None:
            return None
        began = time.perf_counter()
        summed = priced(self.formulation.problem, quantity)
        relaxed = least_in_this_order(summed)
        if relaxed is None:
            return None
        location_of, bound = relaxed
        wanted = Assignment(tuple((a,) for a in location_of))
        chosen = chosen_for(summed, wanted, summed.unit_of_location[summed.host])
        value = evaluate(summed, chosen).total_us if chosen is not None else inf
        if chosen is None or value - bound > NOISE * value:
            return None
        return ilp.Solution(chosen, value, value, "optimal", IN_ORDER, time.perf_counter() - began)

    @cached_property
    def ruled(self) -> tuple[tuple[Simple, Problem], ...]:
        """What simpler rules choose, each with the problem in its order."""
        return tuple((rule, rule.problem(self.formulation.problem)) for rule in self.simple)

    @cached_property
    def simple(self) -> tuple[Simple, ...]:
        """What simpler rules choose."""
        return all_baselines(self.formulation.unshared, self.soc)

    def _better_order(self, value: float) -> "tuple[Placing, tuple[int, ...]] | None":
        """The problem in the order of a simple rule that does better there than the best in ours, and its choice."""
        found = [
            (self._value(rule, theirs), i)
            for i, (rule, theirs) in enumerate(self.ruled)
            if rule.order is not None and not self._broken_by(rule, theirs)
        ]
        best, i = min(found, default=(value, 0))
        return self._in_order_of(self.simple[i]) if best < value * (1 - BETTER) else None

    def _in_order_of(self, rule: Simple) -> "tuple[Placing, tuple[int, ...]]":
        return (self, rule.chosen) if rule.order is None else self._in_order(rule.order, rule.chosen)

    def _in_order(self, order: Sequence[int], chosen: Sequence[int]) -> "tuple[Placing, tuple[int, ...]]":
        """The problem with its operators in another order, and the same choice there."""
        return replace(self, formulation=self.formulation.in_order(order)), tuple(chosen)

    @cached_property
    def _without_rules(self) -> "Placing":
        """The same without pins and bans, which simpler rules know nothing of."""
        if not (self.wishes.pins or self.wishes.bans):
            return self
        free = replace(self.wishes, pins=(), bans=())
        return replace(self, formulation=formulate(self.formulation.graph, self.soc, self.matches, free), wishes=free)

    def _compared(self) -> tuple[Baseline, ...]:
        """What simpler rules reach, each in its own order, with the constraints that it breaks."""
        free = self._without_rules
        return tuple(free._baseline(rule, theirs) for rule, theirs in free.ruled)

    def _baseline(self, rule: Simple, theirs: Problem) -> Baseline:
        result = evaluate(theirs, rule.chosen)
        return Baseline(
            name=rule.name,
            title=rule.title,
            latency_us=result.total_us,
            segments=len(result.segments),
            value=None if self.wishes.aim.name == "latency" else self._value(rule, theirs),
            breaks=self._broken_by(rule, theirs),
        )

    def _broken_by(self, rule: Simple, theirs: Problem) -> tuple[str, ...]:
        ours = self.formulation.problem
        constraints = [named.constraint for named in self.limits]
        return tuple(
            constraint.option
            for constraint in constraints
            if not is_kept(constraint, ours if isinstance(constraint, Together) else theirs, rule.chosen)
        )

    def _value(self, rule: Simple, theirs: Problem) -> float:
        if self.wishes.aim.name == "makespan":
            placing, chosen = self._in_order_of(rule)
            return placing._timed(chosen)
        return self.wishes.aim.value(theirs, rule.chosen)

    def _timed(self, chosen: Sequence[int]) -> float:
        assert self.overlapped is not None, "asked for only if it is there"
        unproven = Proof(objective="makespan", value=0.0, bound=0.0, unit="us", status="", solver="", solve_s=0.0)
        return self.overlapped(lower(self.formulation, self.soc, chosen, unproven, ()))
