"""Timings of a profile's operators -> entries of a unit's latency table."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from partita.devices.cost import law_cost
from partita.devices.fusion import fuses
from partita.devices.latency_table import signature, work_measure
from partita.devices.profiles.matching import Timing
from partita.devices.soc import Latency, Number, Unit
from partita.graph.ir import Graph, Node
from partita.graph.match import Match, fused_node
from partita.graph.op_class import FREE, class_of
from partita.graph.work import work_of


@dataclass(frozen=True, slots=True)
class _Sample:
    """One measurement for one key."""

    key: Latency
    latency_us: float
    low_us: float
    high_us: float
    is_share: bool
    """Whether it is the operator's part of a group's time, and so no measurement of the operator."""


def entries(
    graph: Graph, timings: Iterable[Timing], unit: Unit, dtype: str, matches: Sequence[Match], source: str
) -> tuple[Latency, ...]:
    """One entry per distinct operator: the median of all that are equal, its range all that they took.

    A group that the unit runs as one kernel gets an entry as such. Its members get shares of its time by the cost
    model's law, which say `derived`: alone, each but the first also pays a dispatch that the group saved.
    """
    samples: list[_Sample] = []
    match_of = {frozenset(match.nodes): match for match in matches if fuses(unit, match.pattern, dtype)}
    for timing in timings:
        samples += _samples(graph, timing, unit, dtype, match_of)
    by_key: dict[tuple[object, ...], list[_Sample]] = {}
    for sample in samples:
        key = (sample.key.family, sample.key.inputs, sample.key.outputs)
        by_key.setdefault(key, []).append(sample)
    return tuple(_entry(equal, source) for equal in by_key.values())


def _samples(
    graph: Graph, timing: Timing, unit: Unit, dtype: str, match_of: Mapping[frozenset[str], Match]
) -> list[_Sample]:
    nodes = [graph.node_named[name] for name in timing.nodes]
    busy = [node for node in nodes if class_of(graph, node) != FREE] or nodes[:1]
    if len(busy) == 1:
        key = _key(graph, busy[0], dtype)
        return [_Sample(key, timing.latency_us, timing.low_us, timing.high_us, is_share=False)]
    match = match_of.get(frozenset(timing.nodes)) or match_of.get(frozenset(node.name for node in busy))
    samples = _shares(graph, busy, timing, unit, dtype, saves_dispatch=match is not None)
    if match is not None:
        key = _key(graph, fused_node(graph, match), dtype)
        samples.append(_Sample(key, timing.latency_us, timing.low_us, timing.high_us, is_share=False))
    return samples


def _shares(
    graph: Graph, nodes: Sequence[Node], timing: Timing, unit: Unit, dtype: str, *, saves_dispatch: bool
) -> list[_Sample]:
    costs = [law_cost(graph, node, unit, dtype) for node in nodes]
    weights = [max(cost.compute_us, cost.memory_us) for cost in costs]
    whole = sum(weights)
    if whole <= 0:
        weights, whole = [1.0] * len(nodes), float(len(nodes))
    first = max(range(len(nodes)), key=lambda i: weights[i])
    samples = []
    for index, (node, cost) in enumerate(zip(nodes, costs, strict=True)):
        share = weights[index] / whole
        alone_us = cost.dispatch_us if saves_dispatch and index != first else 0.0
        low_us, high_us = timing.low_us * share + alone_us, timing.high_us * share + alone_us
        key = _key(graph, node, dtype)
        samples.append(_Sample(key, timing.latency_us * share + alone_us, low_us, high_us, is_share=True))
    return samples


def _key(graph: Graph, node: Node, dtype: str) -> Latency:
    """The entry of an operator, its time left open."""
    found = signature(graph, node)
    return Latency.model_construct(
        op=found.op,
        attributes=found.attributes,
        inputs=found.inputs,
        outputs=found.outputs,
        dtype=dtype,
        work=work_measure(work_of(graph, node, dtype)),
    )


def _entry(samples: Sequence[_Sample], source: str) -> Latency:
    """The median of equal operators; shares count only where no operator of the kind was measured by itself."""
    whole = [sample for sample in samples if not sample.is_share]
    used = whole or list(samples)
    value = statistics.median(sample.latency_us for sample in used)
    low, high = min(sample.low_us for sample in used), max(sample.high_us for sample in used)
    times = f", {len(used)} of them" if len(used) > 1 else ""
    number = Number(
        value=_rounded(value),
        low=_rounded(min(low, value)),
        high=_rounded(max(high, value)),
        kind="measured" if whole else "derived",
        source=f"{source}{times}" if whole else f"{source}{times}: its share of the kernel that it was part of",
    )
    key = samples[0].key
    fields = {name: getattr(key, name) for name in ("op", "attributes", "inputs", "outputs", "dtype", "work")}
    return Latency(**fields, latency_us=number)


def _rounded(us: float) -> float:
    return float(f"{us:.6g}")
