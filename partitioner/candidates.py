"""Graph + Soc + matches -> the placement problem, and what its numbers stand for."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from partita.devices import Soc, TransferCost, Unit, Verdict, operator_cost, transfer_cost, verdict
from partita.errors import PlacementError
from partita.graph.dtypes import OPTIONAL, SEQUENCE
from partita.graph.ir import Graph, Node, Value
from partita.graph.match import Match, fused_node
from partita.graph.plan import Cost, Location, Refusal
from partita.partitioner.problem import HOST, Candidate, Problem, Tensor

ACCEPTED = ("native", "lowered")
RULED_OUT = "ruled_out"
"""The verdict on a unit that could run an operator, but may not, because the user says so."""
OBJECTIVES = ("latency",)


@dataclass(frozen=True, slots=True)
class Rule:
    """A wish of the user about operators whose name or type matches a pattern."""

    pattern: str
    unit: str

    def concerns(self, node: Node) -> bool:
        """Names come first as they are: exporters write brackets, which are a pattern too."""
        if self.pattern in (node.name, node.op):
            return True
        return fnmatchcase(node.name, self.pattern) or fnmatchcase(node.op, self.pattern)

    def __str__(self) -> str:
        return f"{self.pattern}={self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user asks of a placement beyond the graph and the Soc."""

    objective: str = "latency"
    pins: tuple[Rule, ...] = ()
    """Operators that may run on one unit only."""
    bans: tuple[Rule, ...] = ()
    """Operators that may not run on a unit."""
    allow: tuple[Location, ...] = ()
    """Further dtypes that a unit may compute in, such as a quantised one: what they do to the outputs is the user's."""
    gap: float = 1e-4
    """The solver stops when the plan is proven within this share of the best."""
    time_limit_s: float = 60.0

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise PlacementError(f"objective {self.objective!r} is not known; there is: {', '.join(OBJECTIVES)}")
        if not 0 <= self.gap < 1:
            raise PlacementError(f"the gap must be from 0 up to, but not including, 1, is {self.gap:g}")
        if not self.time_limit_s > 0:
            raise PlacementError(f"the time limit must be above 0 seconds, is {self.time_limit_s:g}")


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


def formulate(graph: Graph, soc: Soc, matches: Sequence[Match], wishes: Wishes = Wishes()) -> Formulation:
    """The placement problem of `graph`, whose operators run in the order in which they stand.

    Raises PlacementError if a pin or ban names nothing, or if no unit can run some operator.
    """
    _check_rules(graph, soc, wishes)
    locations = _locations(soc, wishes)
    builder = _Candidates(graph, soc, locations, wishes)
    for index, node in enumerate(graph.nodes):
        builder.add_operator(index, node)
    for match in matches:
        builder.add_match(match)
    builder.check_cover()
    unit_index = {unit.name: u for u, unit in enumerate(soc.units)}
    names, tensors = _tensors(graph, soc, locations)
    problem = Problem(
        operators=len(graph.nodes),
        unit_of_location=tuple(unit_index[location.unit] for location in locations),
        host=_host(soc, locations),
        call_us=tuple(unit.call_us.value for unit in soc.units),
        fixed_us=soc.inference_us.value,
        candidates=tuple(builder.candidates),
        tensors=tensors,
    )
    return Formulation(
        graph, problem, locations, tuple(builder.costs), tuple(builder.matches), names, tuple(builder.refusals)
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


class _Candidates:
    """Collects the candidates, their costs, and why units refused."""

    def __init__(self, graph: Graph, soc: Soc, locations: Sequence[Location], wishes: Wishes) -> None:
        self.graph, self.soc, self.locations = graph, soc, locations
        self.index_of = {node.name: i for i, node in enumerate(graph.nodes)}
        self.candidates: list[Candidate] = []
        self.costs: list[Cost] = []
        self.matches: list[Match | None] = []
        self.refusals: list[Refusal] = []
        self.single_us: dict[tuple[int, int], float] = {}
        self.banned = [_ruled_out(node, soc, wishes) for node in graph.nodes]

    def add_operator(self, index: int, node: Node) -> None:
        for unit in self.soc.units:
            refused = self._add(node, (index,), unit, None)
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
            self._add(node, operators, unit, match)

    def _add(self, node: Node, operators: tuple[int, ...], unit: Unit, match: Match | None) -> Verdict | None:
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
            cost = operator_cost(self.graph, node, unit, location.dtype)
            if match is None:
                self.single_us[operators[0], number] = cost.latency_us
            elif self._is_useless(operators, number, cost.latency_us):
                continue
            self.candidates.append(Candidate(operators, number, cost.latency_us))
            self.costs.append(cost)
            self.matches.append(match)
        return None if accepted else refused

    def _is_useless(self, operators: tuple[int, ...], location: int, fused_us: float) -> bool:
        """A fusion that saves nothing over its operators, which run one right after the other anyway."""
        adjacent = operators[-1] - operators[0] == len(operators) - 1
        singles = [self.single_us.get((i, location)) for i in operators]
        return adjacent and None not in singles and fused_us >= sum(us for us in singles if us is not None)

    def check_cover(self) -> None:
        covered = {i for candidate in self.candidates for i in candidate.operators}
        for index, node in enumerate(self.graph.nodes):
            if index in covered:
                continue
            reasons = [f"{r.unit}: {r.reason}" for r in self.refusals if r.node == node.name]
            raise PlacementError(f"no unit of {self.soc.name!r} can run node {node}: {'; '.join(reasons)}")


def _tensors(graph: Graph, soc: Soc, locations: Sequence[Location]) -> tuple[tuple[str, ...], tuple[Tensor, ...]]:
    index_of = {node.name: i for i, node in enumerate(graph.nodes)}
    outputs = set(graph.outputs)
    known: dict[Value, tuple[tuple[float, ...], ...]] = {}
    names: list[str] = []
    tensors: list[Tensor] = []
    for name in (*graph.inputs, *graph.producer_of):
        producer = graph.producer_of.get(name)
        consumers = tuple(sorted(index_of[node.name] for node in graph.consumers_of.get(name, ())))
        if name in outputs and producer is not None:
            consumers = (HOST, *consumers)
        if not consumers:
            continue
        value = graph.value(name)
        if value not in known:
            known[value] = _transfer_table(soc, value, locations)
        names.append(name)
        tensors.append(Tensor(index_of[producer.name] if producer else HOST, consumers, known[value]))
    return tuple(names), tuple(tensors)


def _transfer_table(soc: Soc, value: Value, locations: Sequence[Location]) -> tuple[tuple[float, ...], ...]:
    return tuple(
        tuple(0.0 if a == b else cost_of_transfer(soc, value, a, b).latency_us for b in locations) for a in locations
    )


def cost_of_transfer(soc: Soc, value: Value, source: Location, target: Location) -> TransferCost:
    """As the Soc has it; nothing for a sequence or an optional, whose tensors are not known one by one."""
    if value.dtype in (SEQUENCE, OPTIONAL) or not value.is_concrete:
        return TransferCost()
    return transfer_cost(soc, value, source, target)
