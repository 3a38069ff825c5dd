"""Places one model on many Socs: what a change of the Soc does not touch is worked out once.

Kept between Socs: the matches and fused operators, the verdicts of each unit, the moves of the sweep, the costs of
units whose numbers are the same, the transfers if no link has changed, and the last placement as a start.
"""

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from partita.devices import Soc, Unit, operator_cost
from partita.errors import PlacementError
from partita.graph.ir import Graph, Value
from partita.graph.plan import Baseline, Cost, Location, Plan, Proof, Refusal
from partita.partitioner import ilp
from partita.partitioner.baselines import alone
from partita.partitioner.candidates import Formulation
from partita.partitioner.energy import of_kernel_mj, of_transfer_mj, of_waiting_mj
from partita.partitioner.exchange import Table, cost_of_transfer
from partita.partitioner.lower import lower
from partita.partitioner.objectives import Search, minimise
from partita.partitioner.place import in_good_order, partition
from partita.partitioner.problem import Candidate, Problem, Tensor, evaluate
from partita.partitioner.quantities import priced
from partita.partitioner.wishes import Wishes
from partita.passes.find_matches import find_matches
from partita.simulator.run import simulate
from partita.studies.options import (
    Exchanged,
    Option,
    UnitOptions,
    dtypes_of,
    exchanged,
    host_location,
    options_of,
    with_fused_nodes,
)
from partita.studies.quick_sweep import Moves, least, listed

KEPT = 256
"""Results of each kind that are kept; the oldest goes first."""
SWEEP = "sweep along the execution order"
START, UNPROVEN = "the quickest start", "not yet proven"
"""Solver and status of a placement that was not searched for."""
T = TypeVar("T")
First = Callable[[Formulation, ilp.Solution], None]
"""Takes a choice that is there before the search."""


@dataclass(frozen=True)
class _Shape:
    """The problem of one order of the operators without its costs."""

    graph: Graph
    locations: tuple[Location, ...]
    options: tuple[Option, ...]
    operators: tuple[tuple[int, ...], ...]
    """Per option."""
    tensors: tuple[Exchanged, ...]
    refusals: tuple[Refusal, ...]
    key: Hashable


@dataclass(frozen=True, slots=True)
class Watch:
    """Somebody who waits for a placement."""

    heed: Callable[[str], None] = lambda stage: None
    """Told what comes next; may raise to stop there, after which the placer is as good as before."""
    first: Callable[[Plan], None] | None = None
    """Given a placement that is there before a search that takes its time."""


NOBODY = Watch()


class Placer:
    """A model that is to be placed on many Socs."""

    def __init__(self, graph: Graph, wishes: Wishes) -> None:
        self.graph, self.wishes = graph, wishes
        self.matches = find_matches(graph)
        self._fused = with_fused_nodes(graph, self.matches)
        self._kept: dict[str, dict[Hashable, object]] = {}
        self._last: frozenset[Hashable] = frozenset()
        self._latest: tuple[str, Plan] | None = None

    def place(self, soc: Soc, watch: Watch = NOBODY, *, compare: bool = False) -> Plan:
        """The best plan on `soc`; PlacementError if there is none. `compare` adds what each unit alone would take."""
        if self.wishes.aim.needs_energy and soc.power is None:
            raise PlacementError(
                f"{soc.name!r} says nothing of power, which the objective {self.wishes.objective} needs"
            )
        has_limits = any(unit.max_segments or unit.memory_bytes for unit in soc.units)
        if has_limits or not self.wishes.rules_nothing or self.wishes.aim.name == "makespan":
            return self._placed_alone(soc)
        watch.heed("asking each unit what it takes")
        shape = self._shape(soc, self.graph)
        watch.heed("working out costs")
        formulation = self._formulation(shape, soc)
        if shape.refusals:
            ordered = in_good_order(formulation, soc).graph
            if ordered is not self.graph:
                shape = self._shape(soc, ordered)
                formulation = self._formulation(shape, soc)
        watch.heed("looking for the best placement")
        baselines = _alone(formulation.problem, soc) if compare else ()

        def made(formulation: Formulation, solution: ilp.Solution) -> Plan:
            return replace(self._plan(formulation, soc, solution), baselines=baselines)

        def first(formulation: Formulation, solution: ilp.Solution) -> None:
            if watch.first is not None:
                watch.first(made(formulation, solution))

        return made(*self._solved(shape, formulation, first))

    def placed(self, soc: Soc) -> Plan:
        """As `place`; the last plan again if it was for this very Soc."""
        if self._latest is None or self._latest[0] != soc.digest:
            self._latest = soc.digest, self.place(soc)
        return self._latest[1]

    def _placed_alone(self, soc: Soc) -> Plan:
        """By the partitioner's own way from the start, for what cannot be shared."""

        def overlapped_us(plan: Plan) -> float:
            return simulate(plan, soc, overlap=True).latency_us

        return partition(self.graph, soc, self.matches, self.wishes, overlapped_us)

    def _plan(self, formulation: Formulation, soc: Soc, solution: ilp.Solution) -> Plan:
        proof = Proof(
            objective=self.wishes.objective,
            value=solution.objective_us,
            bound=solution.bound_us,
            status=solution.status,
            solver=solution.solver,
            solve_s=solution.solve_s,
            unit=self.wishes.aim.unit,
        )
        plan = lower(formulation, soc, solution.chosen, proof, ())
        energy_mj = evaluate(formulation.problem, solution.chosen).energy_mj if soc.power is not None else None
        return replace(plan, graph_digest=self.graph.digest, energy_mj=energy_mj)

    def _solved(self, shape: _Shape, formulation: Formulation, first: First) -> tuple[Formulation, ilp.Solution]:
        problem, quantity = formulation.problem, self.wishes.aim.quantity
        if quantity is not None:
            began = time.perf_counter()
            moves = self._moves(shape, problem)
            if moves is not None:
                chosen, value = least(moves, priced(problem, quantity))
                spent_s = time.perf_counter() - began
                return formulation, ilp.Solution(chosen, value, value, "optimal", SWEEP, spent_s)
        reduced = _without_useless(formulation)
        return reduced, self._solved_by_program(reduced, first)

    def _moves(self, shape: _Shape, problem: Problem) -> Moves | None:
        return self._once("moves", shape.key, lambda: listed(problem))

    def _solved_by_program(self, formulation: Formulation, first: First) -> ilp.Solution:
        """Begins from each unit alone and from the last placement, where that is still one."""
        problem = formulation.problem
        host = problem.unit_of_location[problem.host]
        starts = [alone(problem, unit, host) for unit in range(len(problem.call_us))]
        keys = [_key(formulation, c) for c in range(len(problem.candidates))]
        last = tuple(c for c, key in enumerate(keys) if key in self._last)
        if len(last) == len(self._last) > 0:
            starts.append(last)
        ready = tuple(start for start in starts if start is not None)
        if ready:
            value, quickest = min((self.wishes.aim.value(problem, start), start) for start in ready)
            first(formulation, ilp.Solution(quickest, value, 0.0, UNPROVEN, START, 0.0))
        search = Search(
            starts=ready,
            gap=self.wishes.gap_share,
            time_limit_s=self.wishes.time_limit_s,
        )
        solution = minimise(problem, self.wishes.aim, search)
        self._last = frozenset(keys[c] for c in solution.chosen)
        return solution

    def _shape(self, soc: Soc, graph: Graph) -> _Shape:
        order = None if graph is self.graph else tuple(node.name for node in graph.nodes)
        units = tuple(_judged_by(unit, dtypes_of(unit, self.wishes.allow)) for unit in soc.units)
        key = (order, units, soc.host)
        return self._once("shapes", key, lambda: self._new_shape(soc, graph, key))

    def _new_shape(self, soc: Soc, graph: Graph, key: Hashable) -> _Shape:
        index_of = {node.name: i for i, node in enumerate(graph.nodes)}
        by_unit = [self._options(unit) for unit in soc.units]
        options = tuple(option for of_unit in by_unit for option in of_unit.options)
        shape = _Shape(
            graph=graph,
            locations=tuple(Location(u.name, t) for u in soc.units for t in dtypes_of(u, self.wishes.allow)),
            options=options,
            operators=tuple(tuple(sorted(index_of[name] for name in option.names)) for option in options),
            tensors=exchanged(graph),
            refusals=tuple(refusal for of_unit in by_unit for refusal in of_unit.refusals),
            key=key,
        )
        _check_cover(shape, soc)
        return shape

    def _options(self, unit: Unit) -> UnitOptions:
        dtypes = dtypes_of(unit, self.wishes.allow)
        return self._once(
            "options", _judged_by(unit, dtypes), lambda: options_of(self.graph, self._fused, unit, dtypes)
        )

    def _formulation(self, shape: _Shape, soc: Soc) -> Formulation:
        power = soc.power.model_dump_json() if soc.power is not None else ""
        costs = [pair for unit in soc.units for pair in self._costs(soc, unit, power)]
        number_of = {location: a for a, location in enumerate(shape.locations)}
        candidates = tuple(
            Candidate(operators, number_of[option.location], cost.latency_us, energy_mj)
            for operators, option, (cost, energy_mj) in zip(shape.operators, shape.options, costs, strict=True)
        )
        unit_index = {unit.name: u for u, unit in enumerate(soc.units)}
        tables = self._tables(shape, soc, power)
        problem = Problem(
            operators=len(shape.graph.nodes),
            unit_of_location=tuple(unit_index[location.unit] for location in shape.locations),
            host=host_location(soc, shape.locations),
            call_us=tuple(unit.call_us.value for unit in soc.units),
            fixed_us=soc.inference_us.value,
            candidates=candidates,
            tensors=tuple(Tensor(t.producer, t.consumers, *tables[t.value]) for t in shape.tensors),
            call_mj=tuple(of_waiting_mj(soc, unit.call_us.value) for unit in soc.units) if power else (),
            fixed_mj=of_waiting_mj(soc, soc.inference_us.value),
        )
        return Formulation(
            graph=shape.graph,
            problem=problem,
            locations=shape.locations,
            costs=tuple(cost for cost, _ in costs),
            matches=tuple(option.match for option in shape.options),
            tensors=tuple(tensor.name for tensor in shape.tensors),
            refusals=shape.refusals,
        )

    def _costs(self, soc: Soc, unit: Unit, power: str) -> list[tuple[Cost, float]]:
        """Time and energy of each of the unit's options; the cost of a call is none of a kernel's."""
        same_call = unit.model_copy(update={"call_us": soc.inference_us})
        dtypes = dtypes_of(unit, self.wishes.allow)

        def priced_now() -> list[tuple[Cost, float]]:
            found = []
            for option in self._options(unit).options:
                cost = operator_cost(self.graph, option.node, unit, option.location.dtype)
                found.append((cost, of_kernel_mj(soc, unit.name, cost)))
            return found

        return self._once("costs", (same_call.model_dump_json(), dtypes, soc.host, power), priced_now)

    def _tables(self, shape: _Shape, soc: Soc, power: str) -> dict[Value, tuple[Table, Table]]:
        rates = tuple(
            (u.name, u.layout, u.dispatch_us.value, u.cast_gb_per_s.value, u.layout_gb_per_s.value) for u in soc.units
        )
        links = tuple((link.source, link.target, link.sync_us.value, link.copy_gb_per_s.value) for link in soc.links)
        values = {tensor.value for tensor in shape.tensors}
        return self._once(
            "transfers",
            (rates, links, shape.locations, soc.host, power),
            lambda: {value: _tables_of(soc, value, shape.locations) for value in values},
        )

    def _once(self, kind: str, key: Hashable, make: Callable[[], T]) -> T:
        kept = self._kept.setdefault(kind, {})
        if key not in kept:
            if len(kept) >= KEPT:
                del kept[next(iter(kept))]
            kept[key] = make()
        return kept[key]  # type: ignore[return-value]  # each kind holds what its own `make` gives


def _alone(problem: Problem, soc: Soc) -> tuple[Baseline, ...]:
    """Each unit by itself, with the host for what it refuses."""
    host = problem.unit_of_location[problem.host]
    found = []
    for u, unit in enumerate(soc.units):
        chosen = alone(problem, u, host)
        if chosen is not None:
            result = evaluate(problem, chosen)
            name, title = ("only", " alone") if u == host else ("with_fallback", f", {soc.host} fallback")
            found.append(
                Baseline(
                    name=f"{unit.name}_{name}",
                    title=f"{unit.title}{title}",
                    latency_us=result.total_us,
                    segments=len(result.segments),
                    value=None,
                    breaks=(),
                )
            )
    return tuple(found)


def _judged_by(unit: Unit, dtypes: Sequence[str]) -> Hashable:
    """All that verdicts and fusions of a unit depend on."""
    gains = unit.gains.model_dump_json() if unit.gains is not None else ""
    return unit.name, unit.support, unit.fusions, tuple(dtypes), unit.dtypes[0], gains


def _tables_of(soc: Soc, value: Value, locations: Sequence[Location]) -> tuple[Table, Table]:
    """Time, and energy if the Soc's power is known, from each location to each."""
    costs = [[cost_of_transfer(soc, value, a, b) for b in locations] for a in locations]
    times_us = tuple(tuple(cost.latency_us for cost in row) for row in costs)
    if soc.power is None:
        return times_us, ()
    return times_us, tuple(
        tuple(of_transfer_mj(soc, cost, a, b) if a != b else 0.0 for b, cost in zip(locations, row, strict=True))
        for a, row in zip(locations, costs, strict=True)
    )


def _check_cover(shape: _Shape, soc: Soc) -> None:
    covered = {i for operators in shape.operators for i in operators}
    for index, node in enumerate(shape.graph.nodes):
        if index not in covered:
            reasons = [f"{r.unit}: {r.reason}" for r in shape.refusals if r.node == node.name]
            raise PlacementError(f"no unit of {soc.name!r} can run node {node}: {'; '.join(reasons)}")


def _without_useless(formulation: Formulation) -> Formulation:
    """Without fusions that save nothing over their operators, which run one right after the other anyway."""
    candidates = formulation.problem.candidates
    single = {(c.operators[0], c.location): c for c in candidates if len(c.operators) == 1}
    kept = [c for c, candidate in enumerate(candidates) if not _is_useless(candidate, single)]
    return replace(
        formulation,
        problem=replace(formulation.problem, candidates=tuple(candidates[c] for c in kept)),
        costs=tuple(formulation.costs[c] for c in kept),
        matches=tuple(formulation.matches[c] for c in kept),
    )


def _is_useless(fused: Candidate, single: dict[tuple[int, int], Candidate]) -> bool:
    first, last = fused.operators[0], fused.operators[-1]
    alike = [single.get((i, fused.location)) for i in fused.operators]
    if first == last or last - first != len(alike) - 1:
        return False
    parts = [part for part in alike if part is not None]
    if len(parts) < len(alike):
        return False
    saves_time = fused.cost_us < sum(part.cost_us for part in parts)
    return not saves_time and fused.energy_mj >= sum(part.energy_mj for part in parts)


def _key(formulation: Formulation, c: int) -> Hashable:
    """What a candidate is, whatever its number."""
    candidate, match = formulation.problem.candidates[c], formulation.matches[c]
    names = frozenset(formulation.graph.nodes[i].name for i in candidate.operators)
    return names, formulation.locations[candidate.location], match.pattern if match is not None else ""
