"""ONNX Runtime's session profile: `SessionOptions.enable_profiling`, a JSON list of Chrome trace events."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from partita.devices.profiles.profile import Profile, Row, number, profile_format
from partita.devices.profiles.read import parse_json, record, records
from partita.errors import SocError

SUFFIX = "_kernel_time"
"""Older versions also write `_fence_before` and `_fence_after`, which are no operators."""
RUN = "model_run"
HOLDERS = ("If", "Loop", "Scan", "BeamSearch", "GreedySearch")
"""Operators whose own event lasts as long as those of the regions inside them."""
KIND_OF_PROVIDER = {
    "CPU": "cpu", "XNNPACK": "cpu", "Dnnl": "cpu", "ACL": "cpu", "CUDA": "gpu", "Tensorrt": "gpu", "Dml": "gpu",
    "ROCM": "gpu", "MIGraphX": "gpu", "WebGpu": "gpu", "JS": "gpu",
}  # fmt: skip
"""By the provider's name without "ExecutionProvider"; providers that drive several kinds of unit are left out."""

Event = Mapping[str, Any]


def _recognises(text: str) -> bool:
    head = text[:20_000]
    return head.lstrip().startswith("[") and '"cat"' in head and ('"Session"' in head or SUFFIX in head)


@profile_format("onnxruntime", "ONNX Runtime session profile (JSON)", _recognises)
def read(text: str, where: str) -> Profile:
    """The median over the runs of each operator; what runs inside an If, Loop or Scan counts as that operator."""
    events = records(parse_json(text, where), where, "the profile")
    runs_us = [us for event in events if event.get("name") == RUN and (us := number(event, "dur", where)) is not None]
    durations: dict[tuple[str, str], list[float]] = {}
    first: dict[tuple[str, str], Event] = {}
    for event in _outermost([e for e in events if e.get("cat") == "Node"], where):
        arguments = record(event.get("args", {}), where, "args of an event")
        key = str(event["name"]), str(arguments.get("node_index", ""))
        durations.setdefault(key, []).append(number(event, "dur", where) or 0.0)
        first.setdefault(key, event)
    if not durations:
        raise SocError(f"{where}: no operator ran while the session was profiled; run it, then call end_profiling")
    runs = max(1, len(runs_us))
    rows = tuple(_row(first[key], key[0], spans, runs, order) for order, (key, spans) in enumerate(durations.items()))
    total_us = statistics.median(runs_us) if runs_us else None
    return Profile(format="onnxruntime", rows=rows, total_us=total_us, runs=runs)


def _outermost(events: Sequence[Event], where: str) -> list[Event]:
    """Kernel events in the order of time, without those inside an operator that holds a graph of its own."""
    kernels = [event for event in events if str(event.get("name", "")).endswith(SUFFIX)]
    timed = sorted(kernels, key=lambda event: (number(event, "ts", where) or 0.0, -(number(event, "dur", where) or 0)))
    kept: list[Event] = []
    held_until = -1.0
    for event in timed:
        start = number(event, "ts", where) or 0.0
        end = start + (number(event, "dur", where) or 0.0)
        if end <= held_until:
            continue
        kept.append(event)
        if record(event.get("args", {}), where, "args of an event").get("op_name") in HOLDERS:
            held_until = end
    return kept


def _row(event: Event, name: str, durations: Sequence[float], runs: int, order: int) -> Row:
    arguments = event["args"]
    calls = max(1, round(len(durations) / runs))
    per_run = [sum(durations[i : i + calls]) for i in range(0, len(durations), calls)]
    return Row(
        name=name.removesuffix(SUFFIX),
        op=str(arguments.get("op_name", "")),
        order=order,
        unit=_unit(str(arguments.get("provider", "")), str(arguments.get("unit_kind", ""))),
        duration_us=statistics.median(per_run),
        low_us=min(per_run),
        high_us=max(per_run),
        calls=calls,
        shape=_shape(arguments.get("output_type_shape")),
    )


def _unit(provider: str, told: str) -> str | None:
    """The kind of unit: as a simulated profile tells it, else by the provider."""
    return told or KIND_OF_PROVIDER.get(provider.removesuffix("ExecutionProvider"))


def _shape(types: Any) -> tuple[int, ...] | None:
    """Of the first output, from `[{"float": [1, 16, 32, 32]}]`."""
    if not (isinstance(types, list) and types and isinstance(types[0], dict) and types[0]):
        return None
    shape = next(iter(types[0].values()))
    return tuple(shape) if isinstance(shape, list) and all(isinstance(d, int) for d in shape) else None
