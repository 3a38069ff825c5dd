"""A whole model on an accelerator in one dtype, inputs and outputs in the types in which a runtime hands them over."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from partita.devices import Soc, transfer_cost
from partita.errors import ModelError
from partita.graph.ir import Graph, Node, Value
from partita.graph.match import Match, fused_node
from partita.graph.plan import Cost, Location
from partita.graph.quantisation import SCHEMES
from partita.graph.work import FREE, work_of
from partita.partitioner.baselines.cover import Assignment, chosen_for
from partita.partitioner.candidates import Formulation, formulate
from partita.partitioner.problem import evaluate
from partita.partitioner.wishes import Wishes

HOST_DTYPE = "float32"
FLOPS_PER_MAC = 2.0


@dataclass(frozen=True, slots=True)
class Placed:
    """A model with every operator that the accelerator takes on it, in one dtype."""

    formulation: Formulation
    chosen: tuple[int, ...]
    location: Location

    @property
    def kernels(self) -> list[tuple[Node, Cost, Location]]:
        """What runs, in order: the operator or what several were fused into, its cost and where."""
        found = []
        for c in self.chosen:
            match, candidate = self.formulation.matches[c], self.formulation.problem.candidates[c]
            graph = self.formulation.graph
            node = fused_node(graph, match) if match is not None else graph.nodes[candidate.operators[0]]
            found.append((node, self.formulation.costs[c], self.formulation.locations[candidate.location]))
        return found

    @property
    def is_whole(self) -> bool:
        """Whether all of it runs at the location."""
        locations, problem = self.formulation.locations, self.formulation.problem
        return all(locations[problem.candidates[c].location] == self.location for c in self.chosen)


def placed(
    graph: Graph,
    matches: Sequence[Match],
    soc: Soc,
    location: Location,
    *,
    on_host: int = 0,
    states: tuple[str, ...] = (),
) -> Placed:
    """The model at `location`; what that does not take at another of the unit, and else at the host.

    Inputs whose names match `states` stay on the unit, as `partitioner.Wishes` has them.

    `on_host` operators stay on the host whatever the unit takes, spread evenly over the model, at most every second.
    """
    unit = soc.unit_named(location.unit)
    allow = () if location.dtype in unit.dtypes else (location,)
    formulation = formulate(graph, soc, matches, Wishes(allow=allow, states=states))
    problem = formulation.problem
    index = {each.name: u for u, each in enumerate(soc.units)}
    kept_back = _spread_evenly(formulation.graph, on_host)
    wanted: list[tuple[int, ...]] = []
    for operator, possible in enumerate(problem.locations_of):
        if operator in kept_back:
            wanted.append(tuple(a for a in possible if formulation.locations[a].unit == soc.host) or possible)
            continue
        best = tuple(a for a in possible if formulation.locations[a] == location)
        near = tuple(a for a in possible if formulation.locations[a].unit == location.unit)
        wanted.append(best or near or possible)
    chosen = chosen_for(problem, Assignment(tuple(wanted), None), index[soc.host])
    if chosen is None:
        raise ModelError(f"model {graph.name!r} cannot run on {location} of {soc.name!r}")
    return Placed(formulation, chosen, location)


def _spread_evenly(graph: Graph, count: int) -> frozenset[int]:
    """Indices of so many operators that do something, from the middle of each stretch."""
    busy = [i for i, node in enumerate(graph.nodes) if work_of(graph, node).op_class != FREE]
    count = min(count, len(busy) // 2)
    return frozenset(busy[(2 * k + 1) * len(busy) // (2 * count)] for k in range(count))


def flops_of(graph: Graph) -> float:
    """Floating-point operations of the whole model, two for each multiply-accumulate."""
    return FLOPS_PER_MAC * sum(work_of(graph, node).macs for node in graph.nodes)


def total_us(whole: Placed, soc: Soc) -> float:
    """One inference, as the runtime of a quantised model hands it over: in the model's own quantised type.

    A plan's inputs and outputs are float32 at the host. Where the model is quantised they are taken as if they were
    of the activations' type there already, which saves the conversion.
    """
    time_us = evaluate(whole.formulation.problem, whole.chosen).total_us
    if whole.location.dtype not in SCHEMES or not whole.is_whole:
        return time_us
    host = Location(soc.host, HOST_DTYPE)
    states = whole.formulation.states
    for value, source, target in borders(whole.formulation.graph, host, whole.location, {*states, *states.values()}):
        handed = handed_over(value, whole.location)
        time_us += transfer_cost(soc, handed, source, target).latency_us
        time_us -= transfer_cost(soc, value, source, target).latency_us
    return time_us


def borders(
    graph: Graph, host: Location, location: Location, staying: Container[str] = ()
) -> list[tuple[Value, Location, Location]]:
    """Each model input and output with the way it goes; those that stay go none."""
    inputs = [name for name in graph.inputs if name in graph.consumers_of and name not in staying]
    outputs = [name for name in graph.outputs if name not in staying]
    return [
        *((graph.value(name), host, location) for name in inputs),
        *((graph.value(name), location, host) for name in outputs),
    ]


def handed_over(value: Value, location: Location) -> Value:
    """A model input or output in the type that a runtime gives it where the model computes at `location`."""
    scheme = SCHEMES.get(location.dtype)
    if scheme is None or value.dtype != HOST_DTYPE:
        return value
    return replace(value, dtype=f"uint{scheme.activation_bits}")
