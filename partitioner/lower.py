"""A chosen set of candidates -> the Plan: the fused graph, its segments and its transfers."""

from collections.abc import Sequence

from partita.devices import Soc
from partita.graph.match import fuse
from partita.graph.plan import Baseline, Location, PlacedOperator, Plan, Proof, Segment, State, Transfer
from partita.partitioner.candidates import Formulation
from partita.partitioner.exchange import cost_of_transfer
from partita.partitioner.problem import evaluate


def lower(
    formulation: Formulation, soc: Soc, chosen: Sequence[int], proof: Proof, baselines: tuple[Baseline, ...]
) -> Plan:
    """The Plan that runs the chosen candidates."""
    problem = formulation.problem
    fused = [match for c in chosen if (match := formulation.matches[c]) is not None]
    graph = fuse(formulation.graph, fused)
    operators: list[PlacedOperator] = []
    segments: list[Segment] = []
    for index, (unit, calls) in enumerate(evaluate(problem, chosen).segments):
        operators += [_placed(formulation, c, index) for c in calls]
        names = tuple(operator.node for operator in operators[-len(calls) :])
        segments.append(Segment(index=index, unit=soc.units[unit].name, call_us=problem.call_us[unit], operators=names))
    return Plan(
        graph=graph,
        graph_digest=formulation.graph.digest,
        soc_name=soc.name,
        soc_digest=soc.digest,
        soc_json=soc.to_json(),
        host=formulation.locations[problem.host],
        inference_us=problem.fixed_us,
        operators=tuple(operators),
        segments=tuple(segments),
        transfers=_transfers(formulation, soc, operators),
        proof=proof,
        refusals=formulation.refusals,
        baselines=baselines,
        states=_states(formulation, operators),
    )


def _states(formulation: Formulation, operators: Sequence[PlacedOperator]) -> tuple[State, ...]:
    """Each state lies where it is made anew."""
    location_of = {name: operator.location for operator in operators for name in operator.covers}
    producers = formulation.graph.producer_of
    return tuple(
        State(before=before, after=after, location=location_of[producers[after].name])
        for before, after in formulation.states.items()
    )


def _placed(formulation: Formulation, c: int, segment: int) -> PlacedOperator:
    candidate, match = formulation.problem.candidates[c], formulation.matches[c]
    nodes = [formulation.graph.nodes[i] for i in candidate.operators]
    location = formulation.locations[candidate.location]
    return PlacedOperator(
        node=nodes[-1].name,
        covers=tuple(node.name for node in nodes),
        unit=location.unit,
        dtype=location.dtype,
        kernel=match.pattern if match else nodes[-1].op,
        segment=segment,
        cost=formulation.costs[c],
        shared=formulation.shared_as(c),
    )


def _transfers(formulation: Formulation, soc: Soc, operators: Sequence[PlacedOperator]) -> tuple[Transfer, ...]:
    """One per tensor and location that wants it, in the order in which they are needed; model outputs come last."""
    placed_of = {name: operator for operator in operators for name in operator.covers}
    rank = {operator.node: i for i, operator in enumerate(operators)}
    graph, host = formulation.graph, formulation.locations[formulation.problem.host]
    kept = set(formulation.states.values())
    found: list[tuple[int, Transfer]] = []
    for name in formulation.tensors:
        producer = graph.producer_of.get(name)
        source = placed_of[producer.name].location if producer else host
        first: dict[Location, str] = {}
        readers = {placed_of[node.name].node: placed_of[node.name] for node in graph.consumers_of.get(name, ())}
        for reader in sorted(readers, key=lambda node: rank[node]):
            first.setdefault(readers[reader].location, reader)
        if name in graph.outputs and producer is not None and name not in kept:
            first.setdefault(host, "")
        for target, before in first.items():
            if target == source:
                continue
            cost = cost_of_transfer(soc, graph.value(name), source, target)
            transfer = Transfer(
                tensor=name, source=source, target=target, size_bytes=cost.size_bytes, sync_us=cost.sync_us,
                copy_us=cost.copy_us, convert_us=cost.convert_us, dram_bytes=cost.dram_bytes,
                layout=soc.unit_named(target.unit).layout, before=before,
            )  # fmt: skip
            if transfer.latency_us > 0 or transfer.crosses_units:
                found.append((rank.get(before, len(operators)), transfer))
    return tuple(transfer for _, transfer in sorted(found, key=lambda pair: pair[0]))
