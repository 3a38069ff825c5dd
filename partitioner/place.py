"""Graph + Soc -> the Plan: formulate, solve, lower."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from partita.devices import Soc
from partita.errors import PlacementError
from partita.graph.ir import Graph, Node
from partita.graph.match import Match
from partita.graph.plan import Baseline, Plan, Proof
from partita.partitioner import ilp
from partita.partitioner.baselines import Simple, all_baselines, alone
from partita.partitioner.candidates import Formulation, formulate
from partita.partitioner.constraints import Together, is_kept
from partita.partitioner.infeasible import explain
from partita.partitioner.limits import Named, limits_of, named_limits, rules_as_limits
from partita.partitioner.lower import lower
from partita.partitioner.objectives import Search, minimise
from partita.partitioner.order import drawn_together
from partita.partitioner.problem import evaluate
from partita.partitioner.wishes import Wishes

Overlapped = Callable[[Plan], float]
"""What the simulator says one inference of a plan takes while units work side by side, in microseconds."""
BETTER = 1e-9
"""Another order is taken if it is better by this share: less is rounding."""


def partition(
    graph: Graph,
    soc: Soc,
    matches: Sequence[Match] = (),
    wishes: Wishes | None = None,
    overlapped: Overlapped | None = None,
) -> Plan:
    """The plan of `graph` on `soc` that is best at the objective wished for, proven to within the gap wished for.

    `graph` has concrete shapes; `overlapped` is needed for the objective makespan only. Raises PlacementError if an
    operator cannot run anywhere, a rule names nothing, no placement keeps the constraints, or none was found in time.
    """
    wishes = wishes or Wishes()
    if wishes.aim.needs_energy and soc.power is None:
        raise PlacementError(f"{soc.name!r} says nothing of power, which the objective {wishes.objective} needs")
    formulation = formulate(graph, soc, matches, wishes)
    ordered = in_good_order(formulation, soc)
    if ordered is not graph:
        formulation = formulate(ordered, soc, matches, wishes)
    return _Placing(formulation, soc, matches, wishes, overlapped).plan(graph.digest)


@dataclass(frozen=True)
class _Placing:
    """One formulated problem on its way to a plan."""

    formulation: Formulation
    soc: Soc
    matches: Sequence[Match]
    wishes: Wishes
    overlapped: Overlapped | None

    def plan(self, digest: str) -> Plan:
        placing, solution = self, self._solved([rule.chosen for rule in self._simple])
        better = self._better_order(solution.objective_us)
        if better is not None:
            placing, start = better
            solution = placing._solved([start])
        proof = Proof(
            objective=self.wishes.objective,
            value=solution.objective_us,
            bound=solution.bound_us,
            unit=self.wishes.aim.unit,
            status=solution.status,
            solver=solution.solver,
            solve_s=solution.solve_s,
        )
        formulation = placing.formulation
        plan = lower(formulation, self.soc, solution.chosen, proof, self._compared())
        energy_mj = evaluate(formulation.problem, solution.chosen).energy_mj
        return replace(
            plan,
            graph_digest=digest,
            options=_recorded(self.wishes),
            energy_mj=energy_mj if self.soc.power is not None else None,
            limits=limits_of(formulation, placing.limits, solution.chosen),
        )

    @cached_property
    def limits(self) -> tuple[Named, ...]:
        return named_limits(self.formulation, self.soc, self.wishes)

    def _solved(self, starts: Sequence[tuple[int, ...]]) -> ilp.Solution:
        search = Search(
            constraints=tuple(named.constraint for named in self.limits),
            starts=tuple(starts),
            gap=self.wishes.gap,
            time_limit_s=self.wishes.time_limit_s,
            timed=self._timed if self.overlapped is not None else None,
        )
        try:
            return minimise(self.formulation.problem, self.wishes.aim, search)
        except ilp.InfeasibleError:
            free = self._without_rules.formulation
            named = (*named_limits(free, self.soc, self.wishes), *rules_as_limits(free, self.wishes))
            raise explain(free.problem, named, self.wishes.time_limit_s) from None

    @cached_property
    def _simple(self) -> tuple[Simple, ...]:
        return all_baselines(self.formulation.problem, self.soc)

    def _better_order(self, value: float) -> "tuple[_Placing, tuple[int, ...]] | None":
        """The problem in the order of a simple rule that does better there than the best in ours, and its choice."""
        found = [
            (self._value(rule), i)
            for i, rule in enumerate(self._simple)
            if rule.order is not None and not self._broken_by(rule)
        ]
        best, i = min(found, default=(value, 0))
        return self._in_order_of(self._simple[i]) if best < value * (1 - BETTER) else None

    def _in_order_of(self, rule: Simple) -> "tuple[_Placing, tuple[int, ...]]":
        if rule.order is None:
            return self, rule.chosen
        graph = self.formulation.graph
        ordered = replace(graph, nodes=tuple(graph.nodes[i] for i in rule.order))
        formulation = formulate(ordered, self.soc, self.matches, self.wishes)
        number_of = {_key(formulation, c): c for c in range(len(formulation.problem.candidates))}
        chosen = tuple(sorted(number_of[_key(self.formulation, c)] for c in rule.chosen))
        return replace(self, formulation=formulation), chosen

    @cached_property
    def _without_rules(self) -> "_Placing":
        """The same without pins and bans, which simpler rules know nothing of."""
        if not (self.wishes.pins or self.wishes.bans):
            return self
        free = replace(self.wishes, pins=(), bans=())
        return replace(self, formulation=formulate(self.formulation.graph, self.soc, self.matches, free), wishes=free)

    def _compared(self) -> tuple[Baseline, ...]:
        """What simpler rules reach, each in its own order, with the constraints that it breaks."""
        free = self._without_rules
        return tuple(free._baseline(rule) for rule in free._simple)

    def _baseline(self, rule: Simple) -> Baseline:
        result = evaluate(rule.problem(self.formulation.problem), rule.chosen)
        return Baseline(
            name=rule.name,
            title=rule.title,
            latency_us=result.total_us,
            segments=len(result.segments),
            value=None if self.wishes.aim.name == "latency" else self._value(rule),
            breaks=self._broken_by(rule),
        )

    def _broken_by(self, rule: Simple) -> tuple[str, ...]:
        ours, theirs = self.formulation.problem, rule.problem(self.formulation.problem)
        constraints = [named.constraint for named in self.limits]
        return tuple(
            constraint.option
            for constraint in constraints
            if not is_kept(constraint, ours if isinstance(constraint, Together) else theirs, rule.chosen)
        )

    def _value(self, rule: Simple) -> float:
        if self.wishes.aim.name == "makespan":
            placing, chosen = self._in_order_of(rule)
            return placing._timed(chosen)
        return self.wishes.aim.value(rule.problem(self.formulation.problem), rule.chosen)

    def _timed(self, chosen: Sequence[int]) -> float:
        assert self.overlapped is not None, "asked for only if it is there"
        unproven = Proof(objective="makespan", value=0.0, bound=0.0, unit="us", status="", solver="", solve_s=0.0)
        return self.overlapped(lower(self.formulation, self.soc, chosen, unproven, ()))


def _key(formulation: Formulation, c: int) -> tuple[object, ...]:
    """What a candidate is, whatever its number: its operators by name, its location, its pattern."""
    candidate, match = formulation.problem.candidates[c], formulation.matches[c]
    names = frozenset(formulation.graph.nodes[i].name for i in candidate.operators)
    return names, candidate.location, match.pattern if match is not None else ""


def _recorded(wishes: Wishes) -> dict[str, tuple[str, ...]]:
    """What was asked for beyond the defaults, by the command line's option."""
    plain = Wishes()
    options: dict[str, Sequence[object]] = {
        "pin": wishes.pins,
        "ban": wishes.bans,
        "together": wishes.together,
        "allow": wishes.allow,
        "memory": [f"{limit.unit}={limit.number:.0f}" for limit in wishes.memory],
        "max-segments": wishes.max_segments,
        "min-segment": wishes.min_segment,
    }
    numbers = {
        "deadline-ms": (wishes.deadline_ms, plain.deadline_ms),
        "min-snr": (wishes.min_snr_db, plain.min_snr_db),
        "gap": (wishes.gap, plain.gap),
        "time-limit": (wishes.time_limit_s, plain.time_limit_s),
    }
    found = {name: tuple(map(str, given)) for name, given in options.items() if given}
    found |= {name: (f"{value:g}",) for name, (value, usual) in numbers.items() if value != usual and value is not None}
    if wishes.objective != plain.objective:
        found["objective"] = (wishes.objective,)
    return found


def in_good_order(formulation: Formulation, soc: Soc) -> Graph:
    """The graph with the operators that the best single unit cannot take drawn together.

    The same object if it takes all.
    """
    problem, graph = formulation.problem, formulation.graph
    host = next(u for u, unit in enumerate(soc.units) if unit.name == soc.host)
    choices = {u: alone(problem, u, host) for u in range(len(soc.units))}
    times_us = {u: evaluate(problem, chosen).total_us for u, chosen in choices.items() if chosen is not None}
    if not times_us:
        return graph
    main = min(times_us, key=lambda u: (times_us[u], u))
    takes = {
        node.name: any(problem.unit_of_location[a] == main for a in problem.locations_of[i])
        for i, node in enumerate(graph.nodes)
    }
    if all(takes.values()):
        return graph

    def kind_of(node: Node) -> int:
        return 0 if takes[node.name] else 1

    return drawn_together(graph, kind_of)
