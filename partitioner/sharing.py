"""One operator on two units at once, split by output channels in eighths, priced by the Soc's own law of sharing.

Each unit's part takes its share of what all of the operator takes that unit alone, times the slowdown of both.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from partita.devices.co_execution import CoExecution
from partita.devices.number import Number
from partita.graph.ir import Graph, Node
from partita.graph.plan import Cost, Location, Shared
from partita.graph.split import channels_of

EIGHTHS = range(1, 8)
WHOLE = 8


@dataclass(frozen=True, slots=True)
class Alone:
    """All of an operator on one unit."""

    location: Location
    cost: Cost


@dataclass(frozen=True, slots=True)
class Split:
    """One way to share an operator, and what all of it takes."""

    shared: Shared
    cost: Cost


def splits_of(graph: Graph, node: Node, first: Alone, second: Alone, co: CoExecution) -> Iterator[Split]:
    """The ways to share `node`, which runs at the location of `first`, that are quicker than it is there alone."""
    least_us = sum(co.before_us(0)) + co.post_sync_us.value
    if least_us >= first.cost.latency_us:
        return
    channels = channels_of(graph, node)
    if channels is None:
        return
    read_bytes = sum(second.location.stored(graph.value(name)).size_bytes for name in graph.activations(node))
    made_bytes = second.location.stored(graph.value(node.outputs[0])).size_bytes
    for eighths in EIGHTHS:
        end = round(channels.size * eighths / WHOLE)
        if not 0 < end < channels.size:
            continue
        share = end / channels.size
        size_bytes = read_bytes + round(made_bytes * (1 - share))
        transform_us, map_us, pre_sync_us = co.before_us(size_bytes)
        shared = Shared(
            unit=second.location.unit, dtype=second.location.dtype, channels=channels.size, end=end, eighths=eighths,
            first=_part(first.cost, share, co.slowdown), second=_part(second.cost, 1 - share, co.slowdown),
            transform_us=transform_us, map_us=map_us, pre_sync_us=pre_sync_us, post_sync_us=co.post_sync_us.value,
        )  # fmt: skip
        total = _total(shared, co, size_bytes)
        if total.latency_us < first.cost.latency_us:
            yield Split(shared, total)


def in_a_row(costs: list[Cost]) -> Cost:
    """What several kernels take one after the other."""
    first = costs[0]
    if len(costs) == 1:
        return first
    return Cost(
        latency_us=sum(cost.latency_us for cost in costs),
        low_us=sum(cost.low_us for cost in costs),
        high_us=sum(cost.high_us for cost in costs),
        dispatch_us=sum(cost.dispatch_us for cost in costs),
        compute_us=sum(cost.compute_us for cost in costs),
        memory_us=sum(cost.memory_us for cost in costs),
        dram_bytes=sum(cost.dram_bytes for cost in costs),
        evidence=first.evidence,
    )


def _part(cost: Cost, share: float, slowdown: Number) -> Cost:
    """A share of the work while the other unit works too; a launch takes as long however small the part."""
    factor = slowdown.value

    def shared_us(time_us: float) -> float:
        return cost.dispatch_us + max(0.0, time_us - cost.dispatch_us) * share

    return replace(
        cost,
        latency_us=shared_us(cost.latency_us) * factor,
        low_us=min(shared_us(cost.low_us) * slowdown.least, shared_us(cost.latency_us) * factor),
        high_us=shared_us(cost.high_us) * slowdown.most,
        dispatch_us=cost.dispatch_us * factor,
        compute_us=cost.compute_us * share * factor,
        memory_us=cost.memory_us * share * factor,
        dram_bytes=round(cost.dram_bytes * share),
    )


def _total(shared: Shared, co: CoExecution, size_bytes: int) -> Cost:
    longer = max(shared.first, shared.second, key=lambda cost: cost.latency_us)
    fixed = (co.transform_us, co.map_us, co.pre_sync_us, co.post_sync_us)
    by_size_us = shared.sharing_us - sum(number.value for number in fixed)
    return Cost(
        latency_us=shared.sharing_us + longer.latency_us,
        low_us=sum(number.least for number in fixed) + by_size_us + max(shared.first.low_us, shared.second.low_us),
        high_us=sum(number.most for number in fixed) + by_size_us + max(shared.first.high_us, shared.second.high_us),
        dispatch_us=shared.sharing_us + longer.dispatch_us,
        compute_us=longer.compute_us,
        memory_us=longer.memory_us,
        dram_bytes=shared.first.dram_bytes + shared.second.dram_bytes + 2 * size_bytes,
        evidence=longer.evidence,
    )
