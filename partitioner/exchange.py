"""What moves between operators: tensors, their sizes, and what it costs to have them elsewhere."""

from collections.abc import Sequence

from partita.devices import Soc, TransferCost, transfer_cost
from partita.graph.dtypes import OPTIONAL, SEQUENCE, weight_dtype
from partita.graph.ir import Graph, Value
from partita.graph.plan import Location
from partita.partitioner.energy import of_transfer_mj
from partita.partitioner.problem import HOST, Tensor

Table = tuple[tuple[float, ...], ...]


def tensors_of(
    graph: Graph, soc: Soc, locations: Sequence[Location], states: dict[str, str]
) -> tuple[tuple[str, ...], tuple[Tensor, ...]]:
    """The tensors that operators exchange, with their names."""
    index_of = {node.name: i for i, node in enumerate(graph.nodes)}
    outputs = set(graph.outputs) - set(states.values())
    kept = set(states.values())
    known: dict[Value, tuple[Table, Table, tuple[int, ...]]] = {}
    names: list[str] = []
    tensors: list[Tensor] = []
    for name in (*graph.inputs, *graph.producer_of):
        producer = graph.producer_of.get(name)
        consumers = tuple(sorted(index_of[node.name] for node in graph.consumers_of.get(name, ())))
        if name in outputs and producer is not None:
            consumers = (HOST, *consumers)
        if not consumers or name in states:
            continue
        value = graph.value(name)
        if value not in known:
            known[value] = (*_transfer_tables(soc, value, locations), _sizes(value, locations))
        names.append(name)
        made_by = index_of[producer.name] if producer else HOST
        tensors.append(Tensor(made_by, consumers, *known[value], stays=name in kept))
    return tuple(names), tuple(tensors)


def _transfer_tables(soc: Soc, value: Value, locations: Sequence[Location]) -> tuple[Table, Table]:
    """Time, and energy if the Soc's power is known, from each location to each."""
    costs = [[cost_of_transfer(soc, value, a, b) if a != b else None for b in locations] for a in locations]
    times_us = tuple(tuple(cost.latency_us if cost else 0.0 for cost in row) for row in costs)
    if soc.power is None:
        return times_us, ()
    return times_us, tuple(
        tuple(of_transfer_mj(soc, cost, a, b) if cost else 0.0 for b, cost in zip(locations, row, strict=True))
        for a, row in zip(locations, costs, strict=True)
    )


def _sizes(value: Value, locations: Sequence[Location]) -> tuple[int, ...]:
    """Bytes that a tensor takes at each location; 0 if its shape is not known."""
    if value.dtype in (SEQUENCE, OPTIONAL) or not value.is_concrete:
        return (0,) * len(locations)
    return tuple(location.stored(value).size_bytes for location in locations)


def weight_sizes(graph: Graph, name: str, locations: Sequence[Location]) -> tuple[int, ...]:
    """Bytes that a weight takes at each location; 0 if its type is not known."""
    value = graph.values.get(name)
    stored_at = [Location(location.unit, weight_dtype(location.dtype)) for location in locations]
    return _sizes(value, stored_at) if value is not None else (0,) * len(locations)


def cost_of_transfer(soc: Soc, value: Value, source: Location, target: Location) -> TransferCost:
    """As the Soc has it; nothing for a sequence or an optional, whose tensors are not known one by one."""
    if value.dtype in (SEQUENCE, OPTIONAL) or not value.is_concrete:
        return TransferCost()
    return transfer_cost(soc, value, source, target)
