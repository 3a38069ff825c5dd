"""The window of a scenario as a trace: a process per stream, a thread per track, the curves as counters.

Source of the format: Trace Event Format (Google, catapult project).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from partita.files import write_atomically
from partita.reports.perfetto_trace import (
    FIRST_TRACK,
    SUFFIX,
    count_packets,
    counter_packet,
    joined,
    process_packet,
    slice_packets,
    track_packet,
)
from partita.simulator.outcome import Interval, Outcome
from partita.units import NS_PER_US

Event = dict[str, Any]
PHONE = 0
"""The process that carries the counters; streams follow from 1."""


def scenario_trace_bytes(outcome: Outcome) -> bytes:
    """The trace file: one event to a line, the same bytes for the same outcome."""
    events = ",\n".join(json.dumps(event, sort_keys=True, allow_nan=False) for event in _events(outcome))
    rest = {"displayTimeUnit": "ms", "otherData": {"scenario": outcome.scenario.name, "soc": outcome.soc_name}}
    return f'{{"traceEvents": [\n{events}\n],\n{json.dumps(rest, sort_keys=True)[1:]}\n'.encode()


def scenario_perfetto_bytes(outcome: Outcome) -> bytes:
    """The same as a Perfetto trace in protobuf; the counters belong to the phone, the first process."""
    names, width = [outcome.soc_name, *(stream.name for stream in outcome.streams)], len(outcome.tracks)
    packets = [process_packet(name, number) for number, name in enumerate(names)]
    for stream in range(len(outcome.streams)):
        first = FIRST_TRACK + stream * width
        packets += [track_packet(first + i, name, i, stream + 1) for i, name in enumerate(outcome.tracks)]
    packets += [counter_packet(number, curve, 0) for number, curve in enumerate(outcome.curves)]
    slices = [event for event in _events(outcome) if event["ph"] == "X"]
    places = [FIRST_TRACK + (event["pid"] - 1) * width + event["tid"] - 1 for event in slices]
    found = [p for event, place in zip(slices, places, strict=True) for p in slice_packets(event, place)]
    packets += [packet for _, _, packet in sorted(found, key=lambda packet: packet[:2])]
    return joined([*packets, *count_packets(outcome.curves)])


def write_scenario_trace(outcome: Outcome, path: str | Path) -> None:
    """A Perfetto trace if the path ends in .pftrace, else a Chrome trace; OutputError if it cannot be written."""
    form = scenario_perfetto_bytes if Path(path).suffix.lower() == SUFFIX else scenario_trace_bytes
    write_atomically(path, form(outcome))


def _events(outcome: Outcome) -> Iterator[Event]:
    thread_of = {track: number for number, track in enumerate(outcome.tracks, start=1)}
    names = [outcome.soc_name, *(stream.name for stream in outcome.streams)]
    for process, name in enumerate(names):
        yield {"ph": "M", "name": "process_name", "pid": process, "args": {"name": name}}
        for track, thread in thread_of.items() if process else ():
            yield {"ph": "M", "name": "thread_name", "pid": process, "tid": thread, "args": {"name": track}}
    for interval in outcome.intervals:
        if interval.end_ns > interval.start_ns:
            yield _slice(interval, thread_of[interval.track])
    for curve in outcome.curves:
        for time_ns, value in curve.points:
            yield {"ph": "C", "name": f"{curve.name} ({curve.unit})", "pid": PHONE, "ts": time_ns / NS_PER_US,
                   "args": {curve.unit: value}}  # fmt: skip


def _slice(interval: Interval, thread: int) -> Event:
    facts: dict[str, Any] = {"inference": interval.inference, "dram_bytes": interval.dram_bytes}
    if interval.waited_ns:
        facts["waited_us"] = interval.waited_ns / NS_PER_US
    return {
        "ph": "X",
        "name": interval.name,
        "cat": interval.kind,
        "pid": interval.stream + 1,
        "tid": thread,
        "ts": interval.start_ns / NS_PER_US,
        "dur": (interval.end_ns - interval.start_ns) / NS_PER_US,
        "args": facts,
    }
