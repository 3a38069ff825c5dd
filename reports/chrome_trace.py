"""A timeline as a Chrome trace, which Perfetto and chrome://tracing open.

Source of the format: Trace Event Format (Google, catapult project): `X` complete events, `s` and `f` flows, `C`
counters, `M` metadata; `ts` and `dur` in microseconds, fractions allowed.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from partita.files import write_atomically
from partita.graph.ir import Graph
from partita.graph.plan import PlacedOperator, Plan, Transfer
from partita.simulator.jobs import Job, jobs_of_spans
from partita.simulator.timeline import Span, Timeline
from partita.units import NS_PER_US

Event = dict[str, Any]
Slice = tuple[Job, Span]
PROCESS = 1
"""The one process of a trace: the Soc."""


def to_chrome_trace(plan: Plan, timeline: Timeline) -> dict[str, Any]:
    """The trace as the JSON object that viewers read: a thread per track, arrows where tensors change units.

    Spans of no length are left out: they would have no width. Raises SimulationError if the timeline is not one of
    this plan.
    """
    timed = list(zip(jobs_of_spans(plan, timeline), timeline.spans, strict=True))
    thread_of = {track: number for number, track in enumerate(timeline.tracks, start=1)}
    events = list(_names(timeline, thread_of))
    events += [_slice(plan, job, span, thread_of[span.track]) for job, span in timed if _is_seen(span)]
    events += _arrows(timed, thread_of)
    events += _counters(timeline)
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "model": timeline.model_name,
            "soc": timeline.soc_name,
            "scenario": timeline.scenario,
            "latency_us": timeline.latency_us,
        },
    }


def chrome_trace_bytes(plan: Plan, timeline: Timeline) -> bytes:
    """The trace file: one event to a line, the same bytes for the same timeline."""
    trace = to_chrome_trace(plan, timeline)
    events = ",\n".join(_json(event) for event in trace.pop("traceEvents"))
    return f'{{"traceEvents": [\n{events}\n],\n{_json(trace)[1:]}\n'.encode()


def write_chrome_trace(plan: Plan, timeline: Timeline, path: str | Path) -> None:
    """Write the trace; OutputError if that is not possible."""
    write_atomically(path, chrome_trace_bytes(plan, timeline))


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _is_seen(span: Span) -> bool:
    return span.end_ns > span.start_ns


def _names(timeline: Timeline, thread_of: dict[str, int]) -> Iterator[Event]:
    process = f"{timeline.soc_name}: {timeline.model_name}"
    yield {"ph": "M", "name": "process_name", "pid": PROCESS, "args": {"name": process}}
    for track, thread in thread_of.items():
        yield {"ph": "M", "name": "thread_name", "pid": PROCESS, "tid": thread, "args": {"name": track}}
        yield {"ph": "M", "name": "thread_sort_index", "pid": PROCESS, "tid": thread, "args": {"sort_index": thread}}


def _slice(plan: Plan, job: Job, span: Span, thread: int) -> Event:
    return {
        "ph": "X",
        "name": span.name,
        "cat": span.kind,
        "pid": PROCESS,
        "tid": thread,
        "ts": span.start_ns / NS_PER_US,
        "dur": span.duration_us,
        "args": _facts(plan, job, span),
    }


def _facts(plan: Plan, job: Job, span: Span) -> dict[str, Any]:
    """What a viewer shows when the slice is clicked."""
    facts: dict[str, Any] = {} if span.segment < 0 else {"segment": span.segment}
    if isinstance(job.subject, PlacedOperator):
        facts |= _operator_facts(plan.graph, job.subject)
    elif isinstance(job.subject, Transfer):
        facts |= _transfer_facts(job.subject)
    if span.dram_bytes:
        facts["dram_bytes"] = span.dram_bytes
    if span.waited_ns:
        facts["waited_us"] = span.waited_ns / NS_PER_US
    return facts


def _operator_facts(graph: Graph, operator: PlacedOperator) -> dict[str, Any]:
    node = graph.node_named[operator.node]
    facts: dict[str, Any] = {
        "op": node.op,
        "kernel": operator.kernel,
        "dtype": operator.dtype,
        "inputs": _shapes(graph, graph.activations(node)),
        "outputs": _shapes(graph, node.present_outputs),
        "bound": operator.cost.bound,
        "evidence": operator.cost.evidence,
        "low_us": operator.cost.low_us,
        "high_us": operator.cost.high_us,
    }
    return facts | ({"covers": list(operator.covers)} if len(operator.covers) > 1 else {})


def _shapes(graph: Graph, names: tuple[str, ...]) -> list[str]:
    return [f"{name} {graph.values[name]}" for name in names if name in graph.values]


def _transfer_facts(transfer: Transfer) -> dict[str, Any]:
    return {
        "from": str(transfer.source),
        "to": str(transfer.target),
        "bytes": transfer.size_bytes,
        "sync_us": transfer.sync_us,
        "copy_us": transfer.copy_us,
        "convert_us": transfer.convert_us,
    }


def _arrows(timed: list[Slice], thread_of: dict[str, int]) -> Iterator[Event]:
    """For every transfer an arrow from the operator that makes the tensor, and one to the operator that needs it first.

    Where such an operator takes no time, its neighbour in the segment stands for it.
    """
    order_of = {job.name: job.index for job, _ in timed if job.kind == "operator"}
    by_order = sorted(timed, key=lambda pair: pair[0].index)
    pairs: list[tuple[str, Span, Span]] = []
    for job, span in timed:
        if job.kind == "transfer" and _is_seen(span) and isinstance(job.subject, Transfer):
            maker = _stand_in(reversed(by_order[: job.after[0] + 1]))
            reader = _stand_in(by_order[order_of.get(job.subject.before, len(by_order)) :])
            pairs += [(job.name, maker, span)] if maker else []
            pairs += [(job.name, span, reader)] if reader else []
    for number, (tensor, first, second) in enumerate(pairs):
        yield from _arrow(number, tensor, (first, second), thread_of)


def _stand_in(neighbours: Iterable[Slice]) -> Span | None:
    """The first of `neighbours` that can be seen, if it is in the same segment and on the same track."""
    first: Job | None = None
    for job, span in neighbours:
        first = first or job
        if job.segment != first.segment or job.kind == "inference":
            return None
        if job.track == first.track and _is_seen(span):
            return span
    return None


def _arrow(number: int, tensor: str, ends: tuple[Span, Span], thread_of: dict[str, int]) -> Iterator[Event]:
    """It leaves within the first span, in its last ns, and arrives where the second starts."""
    first, second = ends
    shared = {"name": tensor, "cat": "tensor", "id": number, "pid": PROCESS}
    yield shared | {"ph": "s", "tid": thread_of[first.track], "ts": (first.end_ns - 1) / NS_PER_US}
    yield shared | {"ph": "f", "bp": "e", "tid": thread_of[second.track], "ts": second.start_ns / NS_PER_US}


def _counters(timeline: Timeline) -> Iterator[Event]:
    for counter in timeline.counters:
        for time_ns, value in counter.points:
            name = f"{counter.name} ({counter.unit})"
            yield {"ph": "C", "name": name, "pid": PROCESS, "ts": time_ns / NS_PER_US, "args": {counter.unit: value}}
