"""What can run where, apart from what it costs: verdicts and fused operators, found once for many Socs."""

from collections.abc import Sequence
from dataclasses import dataclass

from partita.devices import Soc, Unit, verdict
from partita.errors import PlacementError
from partita.graph.ir import Graph, Node, Value
from partita.graph.match import Match, fused_node
from partita.graph.plan import Location, Refusal
from partita.partitioner.candidates import ACCEPTED
from partita.partitioner.problem import HOST


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """A kernel that a unit could run."""

    node: Node
    names: tuple[str, ...]
    """The operators that it covers."""
    location: Location
    match: Match | None


@dataclass(frozen=True, slots=True, eq=False)
class UnitOptions:
    """All kernels that one unit could run, and what it refuses."""

    options: tuple[Option, ...]
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Exchanged:
    """A tensor that operators exchange, in some order of the operators."""

    name: str
    producer: int
    consumers: tuple[int, ...]
    value: Value


def dtypes_of(unit: Unit, allow: Sequence[Location]) -> tuple[str, ...]:
    """What a unit computes in: its own types, then those that the study allows."""
    allowed = [location.dtype for location in allow if location.unit == unit.name]
    for dtype in allowed:
        if dtype not in unit.peak_gmac_per_s:
            known = ", ".join(unit.peak_gmac_per_s)
            raise PlacementError(f"nobody knows how fast {unit.name} is in {dtype}; it can take: {known}")
    return tuple(dict.fromkeys((*unit.dtypes, *allowed)))


def options_of(graph: Graph, matches: Sequence[tuple[Match, Node]], unit: Unit, dtypes: Sequence[str]) -> UnitOptions:
    """Asks the unit's rules about every operator and every match, in each type."""
    options: list[Option] = []
    refusals: list[Refusal] = []
    for node in graph.nodes:
        judged = [(dtype, verdict(graph, node, unit, dtype)) for dtype in dtypes]
        taken = [dtype for dtype, answer in judged if answer.status in ACCEPTED]
        options += [Option(node, (node.name,), Location(unit.name, dtype), None) for dtype in taken]
        if not taken:
            why = judged[0][1]
            refusals.append(
                Refusal(
                    node=node.name, op=node.op, unit=unit.name, verdict=why.status, reason=why.reason, source=why.source
                )
            )
    for match, node in matches:
        for dtype in dtypes:
            if verdict(graph, node, unit, dtype).status in ACCEPTED:
                options.append(Option(node, match.nodes, Location(unit.name, dtype), match))
    return UnitOptions(tuple(options), tuple(refusals))


def with_fused_nodes(graph: Graph, matches: Sequence[Match]) -> tuple[tuple[Match, Node], ...]:
    return tuple((match, fused_node(graph, match)) for match in matches)


def exchanged(graph: Graph) -> tuple[Exchanged, ...]:
    """The tensors that someone reads, by the graph's order."""
    index_of = {node.name: i for i, node in enumerate(graph.nodes)}
    outputs = set(graph.outputs)
    found: list[Exchanged] = []
    for name in (*graph.inputs, *graph.producer_of):
        producer = graph.producer_of.get(name)
        consumers = tuple(sorted(index_of[node.name] for node in graph.consumers_of.get(name, ())))
        if name in outputs and producer is not None:
            consumers = (HOST, *consumers)
        if consumers:
            found.append(Exchanged(name, index_of[producer.name] if producer else HOST, consumers, graph.value(name)))
    return tuple(found)


def host_location(soc: Soc, locations: Sequence[Location]) -> int:
    """Model inputs and outputs are float32 at the host unit, or in its first type if it has no float32."""
    at_host = [i for i, location in enumerate(locations) if location.unit == soc.host]
    return next((i for i in at_host if locations[i].dtype == "float32"), at_host[0])
