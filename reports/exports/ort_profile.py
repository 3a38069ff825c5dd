"""A timeline as ONNX Runtime writes the profile of a session, so that what reads such profiles reads a simulated run.

Source of the format: ONNX Runtime 1.32, `SessionOptions.enable_profiling`: a JSON list of Chrome trace events with the
categories `Session` and `Node`, times in microseconds, `args` as text. Ours has a thread for each track. Calls and
transfers, which a profile of ONNX Runtime does not have, are events of the category `Api`.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from partita.devices import Soc
from partita.devices.providers import provider_of
from partita.graph.ir import Graph, Value
from partita.graph.plan import PlacedOperator, Plan
from partita.simulator.timeline import Span, Timeline
from partita.units import NS_PER_US

Event = dict[str, Any]
PROCESS = 1
MAIN_THREAD = 0
CPP_NAMES = {"float32": "float", "float64": "double"}
"""Element types that ONNX Runtime calls otherwise than numpy does."""


def to_ort_profile(plan: Plan, timeline: Timeline) -> str:
    """The profile, one event to a line."""
    soc = Soc.from_json(plan.soc_json)
    return "[\n" + ",\n".join(json.dumps(event, allow_nan=False) for event in _events(plan, timeline, soc)) + "\n]\n"


def _events(plan: Plan, timeline: Timeline, soc: Soc) -> Iterator[Event]:
    thread_of = {track: number for number, track in enumerate(timeline.tracks, start=1)}
    yield _event("Session", "model_loading_uri", MAIN_THREAD, 0.0, 0.0)
    yield _event("Session", "session_initialization", MAIN_THREAD, 0.0, 0.0)
    for track, thread in thread_of.items():
        yield {"cat": "__metadata", "ph": "M", "pid": PROCESS, "tid": thread, "ts": 0, "name": "thread_name",
               "args": {"name": track}}  # fmt: skip
    number_of = {node.name: number for number, node in enumerate(plan.graph.nodes)}
    for span in timeline.spans:
        start_us, thread = span.start_ns / NS_PER_US, thread_of[span.track]
        if _is_kernel(span, plan):
            arguments = _arguments(plan.graph, plan.placed[span.name], number_of[span.name], soc)
            yield _event("Node", f"{span.name}_kernel_time", thread, start_us, span.duration_us, arguments)
        else:
            facts = {"kind": span.kind, "segment": str(span.segment), "dram_bytes": str(span.dram_bytes)}
            yield _event("Api", _title(span), thread, start_us, span.duration_us, facts)
    for name in ("SequentialExecutor::Execute", "model_run"):
        yield _event("Session", name, MAIN_THREAD, 0.0, timeline.latency_us)


def _is_kernel(span: Span, plan: Plan) -> bool:
    """Whether it is an operator at work; of one that two units share, the part on its own unit."""
    return span.kind == "operator" or (span.kind == "split" and span.track == plan.placed[span.name].unit)


def _title(span: Span) -> str:
    return span.name if span.kind in ("call", "inference") else f"{span.kind} {span.name} {span.track}"


def _event(
    category: str, name: str, thread: int, start_us: float, duration_us: float, arguments: dict[str, Any] | None = None
) -> Event:
    return {
        "cat": category, "pid": PROCESS, "tid": thread, "dur": duration_us, "ts": start_us, "ph": "X", "name": name,
        "args": arguments or {},
    }  # fmt: skip


def _arguments(graph: Graph, operator: PlacedOperator, number: int, soc: Soc) -> dict[str, Any]:
    node, unit = graph.node_named[operator.node], soc.unit_named(operator.unit)
    provider = provider_of(unit, operator.dtype)
    reads = graph.reads(node)
    weights = [name for name in reads if graph.is_constant(name)]
    return {
        "op_name": node.op,
        "provider": provider.name if provider is not None else f"{unit.kind.upper()}ExecutionProvider",
        "unit": unit.name,
        "unit_kind": unit.kind,
        "segment": str(operator.segment),
        "node_index": str(number),
        "parameter_size": str(_size_bytes(graph, weights)),
        "activation_size": str(_size_bytes(graph, [name for name in reads if name not in weights])),
        "output_size": str(_size_bytes(graph, node.present_outputs)),
        "input_type_shape": _types(graph, node.present_inputs),
        "output_type_shape": _types(graph, node.present_outputs),
        "thread_scheduling_stats": "",
    }


def _size_bytes(graph: Graph, names: Iterable[str]) -> int:
    return sum(graph.values[name].size_bytes for name in names if _is_tensor(graph.values.get(name)))


def _types(graph: Graph, names: tuple[str, ...]) -> list[dict[str, list[int]]]:
    values = [graph.values.get(name) for name in names]
    return [{CPP_NAMES.get(v.dtype, v.dtype): list(v.dims)} for v in values if v is not None and _is_tensor(v)]


def _is_tensor(value: Value | None) -> bool:
    return value is not None and value.is_concrete
