"""A timeline as a Perfetto trace in protobuf: a process for the Soc, a track per unit and link, flows, counters.

Written straight in the wire format: a handful of messages needs no library. Sources: Perfetto's protos `trace.proto`,
`trace_packet.proto`, `track_event/track_event.proto`, `track_descriptor.proto`, `process_descriptor.proto`,
`thread_descriptor.proto`, `counter_descriptor.proto` and `debug_annotation.proto` for the numbers of the fields;
"Protocol Buffers: Encoding" for varints and lengths.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from partita.files import write_atomically
from partita.graph.plan import Plan
from partita.reports.chrome_trace import chrome_trace_bytes, to_chrome_trace
from partita.simulator.timeline import Counter, Timeline
from partita.units import NS_PER_US

VARINT, FIXED_64, BYTES = 0, 1, 2
"""Wire types."""

PACKET = 1
TIMESTAMP, SEQUENCE, TRACK_EVENT, SEQUENCE_FLAGS, TRACK_DESCRIPTOR = 8, 10, 11, 13, 60
"""Fields of TracePacket."""
UUID, NAME, PROCESS, PARENT, COUNTER, CHILD_ORDERING, RANK = 1, 2, 3, 5, 8, 11, 12
"""Fields of TrackDescriptor."""
PID, PROCESS_NAME = 1, 6
"""Fields of ProcessDescriptor."""
UNIT_NAME = 6
"""Of CounterDescriptor."""
ANNOTATION, EVENT_TYPE, EVENT_TRACK, CATEGORY, EVENT_NAME, DOUBLE_VALUE, FLOW, FLOW_END = 4, 9, 11, 22, 23, 44, 47, 48
"""Fields of TrackEvent."""
BEGIN, END, COUNT = 1, 2, 4
"""TrackEvent.type."""
EXPLICIT = 3
"""TrackDescriptor.child_ordering: by the rank of the children."""
ANNOTATION_INT, ANNOTATION_DOUBLE, ANNOTATION_STRING, ANNOTATION_NAME = 4, 5, 6, 10
"""Fields of DebugAnnotation."""
CLEARED = 1
"""TracePacket.sequence_flags: nothing that went before is known."""
SUFFIX = ".pftrace"
PROCESS_UUID = 1
FIRST_TRACK = 100
FIRST_COUNTER = 10_000
SEQUENCE_ID = 1
MOST_64 = (1 << 64) - 1


def perfetto_bytes(plan: Plan, timeline: Timeline) -> bytes:
    """The trace file, which ui.perfetto.dev and trace_processor open; the same bytes for the same timeline.

    Slices, arrows and what a click tells are those of the Chrome trace. SimulationError if the timeline is not one of
    this plan.
    """
    packets = [_process(timeline)]
    tracks = {track: FIRST_TRACK + number for number, track in enumerate(timeline.tracks)}
    packets += [_track(uuid, name, rank) for rank, (name, uuid) in enumerate(tracks.items())]
    packets += [_counter_track(number, c, len(tracks)) for number, c in enumerate(timeline.counters)]
    packets += (packet for _, _, packet in sorted(_events(plan, timeline), key=lambda event: event[:2]))
    packets += _counts(timeline)
    flagged = _number(SEQUENCE, SEQUENCE_ID)
    first = _number(SEQUENCE_FLAGS, CLEARED)
    return b"".join(_bytes(PACKET, packet + flagged + (b"" if i else first)) for i, packet in enumerate(packets))


def write_trace(plan: Plan, timeline: Timeline, path: str | Path) -> None:
    """A Perfetto trace if the path ends in .pftrace, else a Chrome trace; OutputError if it cannot be written."""
    form = perfetto_bytes if Path(path).suffix.lower() == SUFFIX else chrome_trace_bytes
    write_atomically(path, form(plan, timeline))


def _process(timeline: Timeline) -> bytes:
    name = f"{timeline.soc_name}: {timeline.model_name}"
    process = _number(PID, 1) + _text(PROCESS_NAME, name)
    track = _number(UUID, PROCESS_UUID) + _bytes(PROCESS, process) + _number(CHILD_ORDERING, EXPLICIT)
    return _bytes(TRACK_DESCRIPTOR, track)


def _track(uuid: int, name: str, rank: int) -> bytes:
    track = _number(UUID, uuid) + _text(NAME, name) + _number(PARENT, PROCESS_UUID) + _number(RANK, rank)
    return _bytes(TRACK_DESCRIPTOR, track)


def _counter_track(number: int, counter: Counter, after: int) -> bytes:
    track = _number(UUID, FIRST_COUNTER + number) + _text(NAME, counter.name) + _number(PARENT, PROCESS_UUID)
    unit = _bytes(COUNTER, _text(UNIT_NAME, counter.unit))
    return _bytes(TRACK_DESCRIPTOR, track + unit + _number(RANK, after + number))


def _events(plan: Plan, timeline: Timeline) -> Iterator[tuple[int, int, bytes]]:
    """(time, 0 for an end and 1 for a beginning, packet): at one moment what ends comes before what begins."""
    events = to_chrome_trace(plan, timeline)["traceEvents"]
    flows: dict[int, list[tuple[int, int]]] = {}
    slices = [event for event in events if event["ph"] == "X"]
    begins = {(event["tid"], _ns(event["ts"])): i for i, event in enumerate(slices)}
    ends = {(event["tid"], _ns(event["ts"]) + _ns(event["dur"]) - 1): i for i, event in enumerate(slices)}
    for event in events:
        if event["ph"] in "sf":
            places, field = (ends, FLOW) if event["ph"] == "s" else (begins, FLOW_END)
            flows.setdefault(places[event["tid"], _ns(event["ts"])], []).append((field, event["id"] + 1))
    for i, event in enumerate(slices):
        start, track = _ns(event["ts"]), _number(EVENT_TRACK, FIRST_TRACK + event["tid"] - 1)
        begin = _number(EVENT_TYPE, BEGIN) + track + _text(EVENT_NAME, event["name"]) + _text(CATEGORY, event["cat"])
        begin += b"".join(_bytes(ANNOTATION, _annotation(name, fact)) for name, fact in event["args"].items())
        begin += b"".join(_fixed(field, flow) for field, flow in flows.get(i, ()))
        yield start, 1, _number(TIMESTAMP, start) + _bytes(TRACK_EVENT, begin)
        end = start + _ns(event["dur"])
        yield end, 0, _number(TIMESTAMP, end) + _bytes(TRACK_EVENT, _number(EVENT_TYPE, END) + track)


def _counts(timeline: Timeline) -> Iterator[bytes]:
    for number, counter in enumerate(timeline.counters):
        head = _number(EVENT_TYPE, COUNT) + _number(EVENT_TRACK, FIRST_COUNTER + number)
        for time_ns, value in counter.points:
            yield _number(TIMESTAMP, time_ns) + _bytes(TRACK_EVENT, head + _double(DOUBLE_VALUE, value))


def _annotation(name: str, fact: Any) -> bytes:
    head = _text(ANNOTATION_NAME, name)
    if isinstance(fact, float):
        return head + _double(ANNOTATION_DOUBLE, fact)
    if isinstance(fact, int):
        return head + _number(ANNOTATION_INT, fact)
    return head + _text(ANNOTATION_STRING, ", ".join(fact) if isinstance(fact, list) else str(fact))


def _ns(time_us: float) -> int:
    return round(time_us * NS_PER_US)


def _varint(value: int) -> bytes:
    value &= MOST_64
    parts = bytearray()
    while value > 0x7F:
        parts.append((value & 0x7F) | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _key(field: int, wire: int) -> bytes:
    return _varint((field << 3) | wire)


def _number(field: int, value: int) -> bytes:
    return _key(field, VARINT) + _varint(value)


def _fixed(field: int, value: int) -> bytes:
    return _key(field, FIXED_64) + struct.pack("<Q", value)


def _double(field: int, value: float) -> bytes:
    return _key(field, FIXED_64) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _key(field, BYTES) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode(errors="backslashreplace"))
