"""Whether a plan is sound: what a file says is checked before anything runs, is simulated or is reported."""

import math
from collections.abc import Iterator

from partita.graph.dtypes import FLOATING
from partita.graph.plan import Cost, Location, Plan, Shared, Transfer
from partita.graph.quantisation import SCHEMES

RELATIVE = 1e-6
"""The objective may differ from the sum of its parts by rounding of this size."""


def flaw_of(plan: Plan) -> str | None:
    """The first thing about a plan that cannot be, as part of a sentence; None for a sound one."""
    for check in (_segments, _numbers, _states, _locations, misplaced_tensors, _objective):
        for flaw in check(plan):
            return flaw
    return None


def _segments(plan: Plan) -> Iterator[str]:
    """Segments are numbered in order and hold the operators in theirs."""
    if [segment.index for segment in plan.segments] != list(range(len(plan.segments))):
        yield "its segments are not numbered in order"
    listed = [(name, s.index, s.unit) for s in plan.segments for name in s.operators]
    if listed != [(o.node, o.segment, o.unit) for o in plan.operators]:
        yield "its segments do not hold its operators in order, each on its own unit"


def _numbers(plan: Plan) -> Iterator[str]:
    """Times are finite and not negative."""
    for operator in plan.operators:
        shared = operator.shared
        costs = (operator.cost,) if shared is None else (operator.cost, shared.first, shared.second)
        if not all(_is_sound(cost) for cost in costs):
            yield f"the cost of operator {operator.node!r} cannot be"
        if shared is not None and not _adds_up(operator.cost, shared):
            yield f"the parts of operator {operator.node!r} do not add up to its cost"
    times: dict[str, tuple[float, ...]] = {
        f"transfer of {t.tensor!r}": (t.sync_us, t.copy_us, t.convert_us) for t in plan.transfers
    }
    times |= {f"baseline {b.name!r}": (b.latency_us, b.value or 0.0) for b in plan.baselines}
    times |= {f"segment {s.index}": (s.call_us,) for s in plan.segments}
    times["inference"] = (plan.inference_us,)
    times["proof"] = (plan.proof.value, plan.proof.bound)
    for what, values in times.items():
        if not all(0 <= value < math.inf for value in values):
            yield f"a time of its {what} cannot be"
    if plan.proof.bound > plan.proof.value * (1 + RELATIVE) + RELATIVE:
        yield f"its bound is above its {plan.proof.objective}"


def _states(plan: Plan) -> Iterator[str]:
    """States are inputs and outputs of the model, each once."""
    before, after = [s.before for s in plan.states], [s.after for s in plan.states]
    for names, known, what in ((before, plan.graph.inputs, "input"), (after, plan.graph.outputs, "output")):
        if len(set(names)) < len(names) or not set(names) <= set(known):
            yield f"its states are not {what}s of the model, each once"


def _adds_up(cost: Cost, shared: Shared) -> bool:
    total_us = shared.sharing_us + max(shared.first.latency_us, shared.second.latency_us)
    return 0 < shared.end < shared.channels and math.isclose(total_us, cost.latency_us, rel_tol=RELATIVE)


def _is_sound(cost: Cost) -> bool:
    parts = (cost.dispatch_us, cost.compute_us, cost.memory_us, cost.dram_bytes)
    return 0 <= cost.low_us <= cost.latency_us <= cost.high_us < math.inf and all(0 <= p < math.inf for p in parts)


def _locations(plan: Plan) -> Iterator[str]:
    """Dtypes are known ones."""
    used = {plan.host, *(o.location for o in plan.operators)}
    used |= {o.shared.location for o in plan.operators if o.shared is not None}
    used |= {end for t in plan.transfers for end in (t.source, t.target)}
    for location in sorted(used, key=str):
        if location.dtype not in (*FLOATING, *SCHEMES):
            yield f"the dtype of {location} is not known"


def misplaced_tensors(plan: Plan) -> Iterator[str]:
    """What keeps a plan from running: tensors read where they were neither made nor brought before."""
    lying = {(name, plan.state_location.get(name, plan.host)) for name in plan.graph.inputs}
    for segment in plan.segments:
        waiting = [(name, plan.transfers_before.get(name, ())) for name in segment.operators]
        for _, transfers in waiting:
            yield from _moved(lying, [t for t in transfers if t.crosses_units])
        for name, transfers in waiting:
            yield from _moved(lying, [t for t in transfers if not t.crosses_units])
            node, location = plan.graph.node_named[name], plan.placed[name].location
            for read in plan.graph.activations(node):
                if (read, location) not in lying:
                    yield f"operator {name!r} reads {read!r} at {location}, where it never arrives"
            lying.update((made, location) for made in node.present_outputs)
    yield from _moved(lying, plan.transfers_before.get("", ()))
    for output in plan.graph.outputs:
        where = plan.state_location.get(output, plan.host)
        if not plan.graph.is_constant(output) and (output, where) not in lying:
            place = "the host" if where == plan.host else str(where)
            yield f"its output {output!r} never arrives at {place}"


def _moved(lying: set[tuple[str, Location]], transfers: "list[Transfer] | tuple[Transfer, ...]") -> Iterator[str]:
    for transfer in transfers:
        if (transfer.tensor, transfer.source) not in lying:
            yield f"{transfer.tensor!r} is transferred from {transfer.source}, where it is not"
        lying.add((transfer.tensor, transfer.target))


def _objective(plan: Plan) -> Iterator[str]:
    total_us = plan.inference_us + sum(s.call_us for s in plan.segments) + sum(t.latency_us for t in plan.transfers)
    total_us += sum(o.cost.latency_us for o in plan.operators)
    found = {"latency": total_us, "throughput": plan.period_us, "energy": plan.energy_mj}.get(plan.proof.objective)
    if found is not None and not math.isclose(found, plan.proof.value, rel_tol=RELATIVE, abs_tol=RELATIVE):
        unit = plan.proof.unit
        yield f"its {plan.proof.objective} is {plan.proof.value:g} {unit}, but its parts take {found:g} {unit}"
