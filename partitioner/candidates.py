"""Graph + Soc + matches -> the placement problem, and what its numbers stand for."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from partita.devices import Soc, Unit, Verdict, operator_cost, verdict
from partita.devices.noise import noise_power
from partita.errors import PlacementError
from partita.graph.dtypes import FLOATING, is_floating
from partita.graph.ir import Graph, Node
from partita.graph.match import Match, fused_node
from partita.graph.plan import Cost, Location, Refusal, Shared
from partita.graph.work import work_of
from partita.partitioner.energy import of_kernel_mj, of_shared_mj, of_waiting_mj
from partita.partitioner.exchange import tensors_of, weight_sizes
from partita.partitioner.problem import Candidate, Problem, reordered
from partita.partitioner.sharing import Alone, Split, in_a_row, splits_of
from partita.partitioner.states import appending, states_of
from partita.partitioner.wishes import Wishes

ACCEPTED = ("native", "lowered")
RULED_OUT = "ruled_out"
"""The verdict on a unit that could run an operator, but may not, because the user says so."""


@dataclass(frozen=True)
class Formulation:
    """The problem, and for each of its numbers the operator, location, tensor or match behind it."""

    graph: Graph
    problem: Problem
    locations: tuple[Location, ...]
    costs: tuple[Cost, ...]
    """Per candidate."""
    matches: tuple[Match | None, ...]
    """Per candidate: the match it fuses, None for a single operator."""
    tensors: tuple[str, ...]
    refusals: tuple[Refusal, ...]
    states: dict[str, str] = field(default_factory=dict)
    """Inputs that stay where they are, and the outputs that continue them."""
    shared: tuple[Shared, ...] = ()
    """How two units share the candidates from number `alone` on; all others run on one unit."""
    alone: int = 0
    spare: "tuple[Spare, ...]" = ()
    """Fusions that save nothing while their operators run one right after the other."""

    @cached_property
    def unshared(self) -> Problem:
        """The problem without the candidates that two units share; all others before them keep their numbers."""
        if not self.shared:
            return self.problem
        return replace(self.problem, candidates=self.problem.candidates[: self.alone])

    def shared_as(self, c: int) -> Shared | None:
        """How two units share a candidate; None for one unit alone."""
        return self.shared[c - self.alone] if self.alone <= c < self.alone + len(self.shared) else None

    def in_order(self, order: Sequence[int]) -> "Formulation":
        """The same problem with its operators run in another order; candidates keep their numbers, some may join."""
        graph = replace(self.graph, nodes=tuple(self.graph.nodes[i] for i in order))
        position = {operator: i for i, operator in enumerate(order)}
        joining: list[Spare] = []
        spare: list[Spare] = []
        for each in self.spare:
            operators = tuple(sorted(position[i] for i in each.candidate.operators))
            moved = replace(each, candidate=replace(each.candidate, operators=operators))
            (spare if is_adjacent(operators) else joining).append(moved)
        problem = reordered(self.problem, order)
        return replace(
            self,
            graph=graph,
            problem=replace(problem, candidates=(*problem.candidates, *(each.candidate for each in joining))),
            costs=(*self.costs, *(each.cost for each in joining)),
            matches=(*self.matches, *(each.match for each in joining)),
            spare=tuple(spare),
        )


@dataclass(frozen=True, slots=True)
class Spare:
    """A fusion that is not offered."""

    candidate: Candidate
    cost: Cost
    match: Match


def is_adjacent(operators: Sequence[int]) -> bool:
    """Whether they run one right after the other; they ascend."""
    return operators[-1] - operators[0] == len(operators) - 1


def formulate(graph: Graph, soc: Soc, matches: Sequence[Match], wishes: Wishes | None = None) -> Formulation:
    """The placement problem of `graph`, whose operators run in the order in which they stand.

    Raises PlacementError if a pin or ban names nothing, or if no unit can run some operator.
    """
    wishes = wishes or Wishes()
    _check_rules(graph, soc, wishes)
    locations = _locations(soc, wishes)
    states = states_of(graph, wishes.states)
    builder = _Candidates(graph, soc, locations, wishes, states)
    for index, node in enumerate(graph.nodes):
        builder.add_operator(index, node)
    for match in matches:
        builder.add_match(match)
    builder.check_cover()
    if wishes.split:
        builder.add_shared()
    unit_index = {unit.name: u for u, unit in enumerate(soc.units)}
    names, tensors = tensors_of(graph, soc, locations, states)
    has_power = soc.power is not None
    problem = Problem(
        operators=len(graph.nodes),
        unit_of_location=tuple(unit_index[location.unit] for location in locations),
        host=_host(soc, locations),
        call_us=tuple(unit.call_us.value for unit in soc.units),
        fixed_us=soc.inference_us.value,
        candidates=tuple(builder.candidates),
        tensors=tensors,
        call_mj=tuple(of_waiting_mj(soc, unit.call_us.value) for unit in soc.units) if has_power else (),
        fixed_mj=of_waiting_mj(soc, soc.inference_us.value),
        weight_bytes=tuple(weight_sizes(graph, name, locations) for name in builder.weights),
    )
    return Formulation(
        graph, problem, locations, tuple(builder.costs), tuple(builder.matches), names,
        tuple(builder.refusals), states, tuple(builder.shared), len(builder.candidates) - len(builder.shared),
        tuple(builder.spare),
    )  # fmt: skip


def with_taken(
    formulation: Formulation, soc: Soc, matches: Sequence[Match], wishes: Wishes, unit: Unit, ops: Collection[str]
) -> Formulation:
    """The same problem with more that a unit of `soc` takes: kernels for operators of these types that it refused.

    The new candidates come last and say nothing of weights.
    """
    graph = formulation.graph
    builder = _Candidates(graph, soc, formulation.locations, wishes, formulation.states)
    here = {number for number, location in enumerate(formulation.locations) if location.unit == unit.name}
    known = {
        (c.operators, match.pattern if match is not None else "")
        for c, match in zip(formulation.problem.candidates, formulation.matches, strict=True)
        if c.location in here
    }
    for index, node in enumerate(graph.nodes):
        if node.op in ops and ((index,), "") not in known:
            builder.add_at(node, (index,), unit, None)
    for match in matches:
        operators = tuple(sorted(builder.index_of[name] for name in match.nodes))
        if any(graph.nodes[i].op in ops for i in operators) and (operators, match.pattern) not in known:
            builder.add_at(fused_node(graph, match), operators, unit, match)
    joining = tuple(replace(candidate, weights=()) for candidate in builder.candidates)
    return replace(
        formulation,
        problem=replace(formulation.problem, candidates=(*formulation.problem.candidates, *joining)),
        costs=(*formulation.costs, *builder.costs),
        matches=(*formulation.matches, *builder.matches),
    )


def _locations(soc: Soc, wishes: Wishes) -> tuple[Location, ...]:
    """Each unit in its own dtypes, the preferred one first, then in those that the user allows."""
    allowed: dict[str, list[str]] = {unit.name: list(unit.dtypes) for unit in soc.units}
    for location in wishes.allow:
        unit = soc.unit_named(location.unit)
        if location.dtype not in unit.peak_gmac_per_s:
            known = ", ".join(unit.peak_gmac_per_s)
            raise PlacementError(f"{soc.name!r} does not know how fast {location} is; {unit.name} can take: {known}")
        if location.dtype not in allowed[unit.name]:
            allowed[unit.name].append(location.dtype)
    return tuple(Location(unit.name, dtype) for unit in soc.units for dtype in allowed[unit.name])


def _host(soc: Soc, locations: Sequence[Location]) -> int:
    """Model inputs and outputs are float32 at the host unit, or in its first dtype if it has no float32."""
    at_host = [i for i, location in enumerate(locations) if location.unit == soc.host]
    return next((i for i in at_host if locations[i].dtype == "float32"), at_host[0])


def _check_rules(graph: Graph, soc: Soc, wishes: Wishes) -> None:
    for rule in (*wishes.pins, *wishes.bans):
        soc.unit_named(rule.unit)
        if not any(rule.concerns(node) for node in graph.nodes):
            raise PlacementError(
                f"{str(rule)!r}: no operator of {graph.name!r} has a name or type like {rule.pattern!r} "
                "(constants, and what was folded or merged into other operators, are not placed)"
            )


def _ruled_out(node: Node, soc: Soc, wishes: Wishes) -> dict[str, str]:
    """The units on which an operator may not run, and the option that says so."""
    found = {
        unit.name: f"--pin {rule}"
        for rule in wishes.pins
        if rule.concerns(node)
        for unit in soc.units
        if unit.name != rule.unit
    }
    return found | {rule.unit: f"--ban {rule}" for rule in wishes.bans if rule.concerns(node)}


class _Noise:
    """The noise power that each operator's own arithmetic is expected to add, from measurements by class."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def of(self, node: Node, dtype: str) -> float:
        """0 for an operator whose results are no floating-point numbers."""
        value = self.graph.values.get(node.present_outputs[0]) if node.present_outputs else None
        if value is None or not is_floating(value.dtype):
            return 0.0
        return noise_power(dtype, work_of(self.graph, node).op_class)


class _Candidates:
    """Collects the candidates, their costs, and why units refused."""

    def __init__(
        self, graph: Graph, soc: Soc, locations: Sequence[Location], wishes: Wishes, states: dict[str, str]
    ) -> None:
        self.graph, self.soc, self.locations = graph, soc, locations
        self.states = states
        self.index_of = {node.name: i for i, node in enumerate(graph.nodes)}
        self.candidates: list[Candidate] = []
        self.costs: list[Cost] = []
        self.matches: list[Match | None] = []
        self.shared: list[Shared] = []
        self.spare: list[Spare] = []
        self.refusals: list[Refusal] = []
        self.number_of: dict[tuple[tuple[int, ...], str, int], int] = {}
        """Numbers of candidates by operators, pattern and location."""
        self.single: dict[tuple[int, int], Candidate] = {}
        self.weights: dict[str, int] = {}
        """Numbers of the constants that operators read."""
        self.read_by = [self._weights_of(node) for node in graph.nodes]
        self.noise = _Noise(graph) if wishes.min_snr_db is not None else None
        self.banned = [_ruled_out(node, soc, wishes) for node in graph.nodes]

    def _weights_of(self, node: Node) -> tuple[int, ...]:
        constants = (name for name in self.graph.reads(node) if self.graph.is_constant(name))
        return tuple(self.weights.setdefault(name, len(self.weights)) for name in constants)

    def add_operator(self, index: int, node: Node) -> None:
        for unit in self.soc.units:
            refused = self.add_at(node, (index,), unit, None)
            if refused is not None:
                why: tuple[str, str, str] = (refused.status, refused.reason, refused.source)
            elif unit.name in self.banned[index]:
                why = (RULED_OUT, f"ruled out by {self.banned[index][unit.name]}", "the user")
            else:
                continue
            self.refusals.append(
                Refusal(node=node.name, op=node.op, unit=unit.name, verdict=why[0], reason=why[1], source=why[2])
            )

    def add_match(self, match: Match) -> None:
        node = fused_node(self.graph, match)
        operators = tuple(sorted(self.index_of[name] for name in match.nodes))
        for unit in self.soc.units:
            self.add_at(node, operators, unit, match)

    def add_at(self, node: Node, operators: tuple[int, ...], unit: Unit, match: Match | None) -> Verdict | None:
        """Adds the candidates at this unit; the verdict on its first dtype if it refuses them all."""
        refused: Verdict | None = None
        accepted = False
        for number, location in enumerate(self.locations):
            if location.unit != unit.name:
                continue
            judged = verdict(self.graph, node, unit, location.dtype)
            if judged.status not in ACCEPTED:
                refused = refused or judged
                continue
            accepted = True
            if any(unit.name in self.banned[i] for i in operators):
                continue
            cost = operator_cost(appending(self.graph, node, self.states), node, unit, location.dtype)
            candidate = self._candidate(node, operators, number, cost)
            if match is None:
                self.single[operators[0], number] = candidate
            elif self._is_useless(candidate):
                self.spare.append(Spare(candidate, cost, match))
                continue
            self.number_of[operators, match.pattern if match is not None else "", number] = len(self.candidates)
            self.candidates.append(candidate)
            self.costs.append(cost)
            self.matches.append(match)
        return None if accepted else refused

    def add_shared(self) -> None:
        """The ways to share each candidate between two units that no other way beats in time and in energy."""
        co = self.soc.co_execution
        if co is None:
            raise PlacementError(f"--split: {self.soc.name!r} says nothing of units that share an operator")
        location_of = {number: location for number, location in enumerate(self.locations) if location.dtype in FLOATING}
        there = next((number for number, location in location_of.items() if location.unit == co.second), None)
        for c in range(len(self.candidates)):
            whole, match = self.candidates[c], self.matches[c]
            first = location_of.get(whole.location)
            second = None if there is None or first is None or first.unit != co.first else self._alone(c, there)
            if first is None or second is None:
                continue
            node = fused_node(self.graph, match) if match is not None else self.graph.nodes[whole.operators[0]]
            found = splits_of(self.graph, node, Alone(first, self.costs[c]), second, co)
            best: list[tuple[Candidate, Split]] = []
            for split in found:
                shared = self._shared_candidate(node, whole, split)
                if all(shared.cost_us < b.cost_us or shared.energy_mj < b.energy_mj for b, _ in best):
                    best = [(b, s) for b, s in best if b.cost_us < shared.cost_us or b.energy_mj < shared.energy_mj]
                    best.append((shared, split))
            for candidate, split in best:
                self.candidates.append(candidate)
                self.costs.append(split.cost)
                self.matches.append(match)
                self.shared.append(split.shared)

    def _alone(self, c: int, there: int) -> Alone | None:
        """The operators of a candidate at another location, fused alike or one by one; None if it does not run them."""
        whole, match, location = self.candidates[c], self.matches[c], self.locations[there]
        key = (whole.operators, match.pattern if match is not None else "", there)
        if key in self.number_of:
            return Alone(location, self.costs[self.number_of[key]])
        singles = [self.number_of.get(((i,), "", there)) for i in whole.operators]
        found = [self.costs[number] for number in singles if number is not None]
        return Alone(location, in_a_row(found)) if len(found) == len(singles) else None

    def _shared_candidate(self, node: Node, whole: Candidate, split: Split) -> Candidate:
        noise = self.noise.of(node, split.shared.dtype) if self.noise is not None else 0.0
        return replace(
            whole,
            cost_us=split.cost.latency_us,
            energy_mj=of_shared_mj(self.soc, self.locations[whole.location].unit, split.shared, split.cost),
            noise=max(whole.noise, noise),
        )

    def _candidate(self, node: Node, operators: tuple[int, ...], number: int, cost: Cost) -> Candidate:
        location = self.locations[number]
        return Candidate(
            operators,
            number,
            cost.latency_us,
            energy_mj=of_kernel_mj(self.soc, location.unit, cost),
            noise=self.noise.of(node, location.dtype) if self.noise is not None else 0.0,
            weights=tuple(sorted({weight for i in operators for weight in self.read_by[i]})),
        )

    def _is_useless(self, fused: Candidate) -> bool:
        """A fusion that saves nothing over its operators, which run one right after the other anyway."""
        singles = [s for i in fused.operators if (s := self.single.get((i, fused.location))) is not None]
        if not is_adjacent(fused.operators) or len(singles) < len(fused.operators):
            return False
        saves_time = fused.cost_us < sum(single.cost_us for single in singles)
        return not saves_time and fused.energy_mj >= sum(single.energy_mj for single in singles)

    def check_cover(self) -> None:
        covered = {i for candidate in self.candidates for i in candidate.operators}
        for index, node in enumerate(self.graph.nodes):
            if index in covered:
                continue
            reasons = [f"{r.unit}: {r.reason}" for r in self.refusals if r.node == node.name]
            raise PlacementError(f"no unit of {self.soc.name!r} can run node {node}: {'; '.join(reasons)}")
