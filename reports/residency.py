"""What lies at each unit while a plan runs: weights all the time, activations until their last use.

Steps are the kernel calls in their order, and one more at the end, when outputs go to the host. A tensor lies where it
is made, and from a transfer on at the transfer's target too, until the last kernel or transfer that reads it there.
State lies where it is made anew from the first step to the last, old rows and new ones in one place. The account is of
this plan; a limit of memory (`partitioner.memory`) counts on the safe side, and never less.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from partita.graph.dtypes import OPTIONAL, SEQUENCE, weight_dtype
from partita.graph.ir import Node, Value
from partita.graph.plan import Location, PlacedOperator, Plan

Place = tuple[str, Location]
"""A tensor at a location."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lying:
    """A tensor at one unit, from step `first` to step `last`, both included."""

    tensor: str
    location: Location
    first: int
    last: int
    size_bytes: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Residency:
    """What lies at one unit. Sizes in bytes."""

    unit: str
    weights_bytes: int
    lying: tuple[Lying, ...]
    steps: int

    @cached_property
    def activations_bytes(self) -> tuple[int, ...]:
        """The sum of activations at every step."""
        change = [0] * (self.steps + 1)
        for one in self.lying:
            change[one.first] += one.size_bytes
            change[one.last + 1] -= one.size_bytes
        return tuple(accumulate(change))[: self.steps]

    @cached_property
    def peak_step(self) -> int:
        """The first step at which most lies here."""
        return max(range(self.steps), key=lambda step: self.activations_bytes[step])

    @property
    def peak_bytes(self) -> int:
        return self.weights_bytes + self.activations_bytes[self.peak_step]

    @property
    def largest_at_peak(self) -> tuple[Lying, ...]:
        """What lies here at the peak, the largest first."""
        there = (one for one in self.lying if one.first <= self.peak_step <= one.last)
        return tuple(sorted(there, key=lambda one: (-one.size_bytes, one.tensor)))


def residencies_of(plan: Plan) -> dict[str, Residency]:
    """By unit, for the host and for every unit that the plan uses, in the order in which they come up."""
    units = dict.fromkeys((plan.host.unit, *(operator.unit for operator in plan.operators)))
    lives = tuple(_lives(plan))
    weights = _weights_bytes(plan)
    return {
        unit: Residency(
            unit=unit,
            weights_bytes=weights.get(unit, 0),
            lying=tuple(one for one in lives if one.location.unit == unit),
            steps=len(plan.operators) + 1,
        )
        for unit in units
    }


def _lives(plan: Plan) -> Iterator[Lying]:
    first = _first_steps(plan)
    last = _last_steps(plan, first)
    for (name, location), step in first.items():
        size_bytes = _size_bytes(plan.graph.values.get(name), location)
        if size_bytes:
            end = last[name, location]
            yield Lying(tensor=name, location=location, first=step, last=end, size_bytes=size_bytes)


def _first_steps(plan: Plan) -> dict[Place, int]:
    """Where tensors lie, and from which step on."""
    graph, kept = plan.graph, plan.state_location
    step_of = {operator.node: step for step, operator in enumerate(plan.operators)}
    first: dict[Place, int] = {(name, plan.host): 0 for name in graph.inputs if name not in kept}
    for step, operator in enumerate(plan.operators):
        first.update(((output, operator.location), step) for output in graph.node_named[operator.node].present_outputs)
    first.update(((t.tensor, t.target), step_of.get(t.before, len(plan.operators))) for t in plan.transfers)
    first.update(((state.after, state.location), 0) for state in plan.states)
    return first


def _last_steps(plan: Plan, first: Mapping[Place, int]) -> dict[Place, int]:
    graph, end = plan.graph, len(plan.operators)
    last = dict(first)
    here: dict[str, list[Place]] = {}
    for place in first:
        here.setdefault(place[0], []).append(place)
    for transfer in plan.transfers:
        _use(last, (transfer.tensor, transfer.source), first[transfer.tensor, transfer.target])
    for step, operator in enumerate(plan.operators):
        for name in graph.activations(graph.node_named[operator.node]):
            if name in here:
                _use(last, _read_from(here[name], name, operator), step)
    for name in graph.outputs:
        if name in here:
            at_host = (name, plan.state_location.get(name, plan.host))
            _use(last, at_host if at_host in first else here[name][0], end)
    return last


def _use(last: dict[Place, int], place: Place, step: int) -> None:
    last[place] = max(last.get(place, step), step)


def _read_from(places: list[Place], name: str, operator: PlacedOperator) -> Place:
    """Where a kernel finds a tensor: at its own location, else at its unit (an integer has no other dtype there)."""
    if (name, operator.location) in places:
        return name, operator.location
    return next((place for place in places if place[1].unit == operator.unit), places[0])


def _size_bytes(value: Value | None, location: Location) -> int:
    """0 where it is not known before the run."""
    if value is None or value.dtype in (SEQUENCE, OPTIONAL) or not value.is_concrete:
        return 0
    return location.stored(value).size_bytes


def _weights_bytes(plan: Plan) -> Mapping[str, int]:
    """Per unit, every weight once for each dtype in which kernels there read it."""
    graph = plan.graph
    held = {
        (name, operator.location): _size_bytes(
            graph.values.get(name), Location(operator.unit, weight_dtype(operator.dtype))
        )
        for operator in plan.operators
        for name in _weights_of(plan, graph.node_named[operator.node])
    }
    found: dict[str, int] = {}
    for (_, location), size_bytes in held.items():
        found[location.unit] = found.get(location.unit, 0) + size_bytes
    return found


def _weights_of(plan: Plan, node: Node) -> Iterator[str]:
    return (name for name in plan.graph.reads(node) if plan.graph.is_constant(name))
