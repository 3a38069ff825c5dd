"""A timeline as a Perfetto trace in protobuf: a process for the Soc, a track per unit and link, flows, counters.

Written straight in the wire format: a handful of messages needs no library. Sources: Perfetto's protos `trace.proto`,
`trace_packet.proto`, `track_event/track_event.proto`, `track_descriptor.proto`, `process_descriptor.proto`,
`thread_descriptor.proto`, `counter_descriptor.proto` and `debug_annotation.proto` for the numbers of the fields.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from partita.files import write_atomically
from partita.graph.plan import Plan
from partita.reports.chrome_trace import chrome_trace_bytes, to_chrome_trace
from partita.reports.protobuf import bytes_field, double_field, fixed_field, number_field, text_field
from partita.simulator.timeline import Counter, Timeline
from partita.units import NS_PER_US

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
FIRST_TRACK = 1 << 24
FIRST_COUNTER = 1 << 40
"""Far apart, as numbers of processes, tracks and counters must not meet."""
SEQUENCE_ID = 1


def perfetto_bytes(plan: Plan, timeline: Timeline) -> bytes:
    """The trace file, which ui.perfetto.dev and trace_processor open; the same bytes for the same timeline.

    Slices, arrows and what a click tells are those of the Chrome trace. SimulationError if the timeline is not one of
    this plan.
    """
    packets = [process_packet(f"{timeline.soc_name}: {timeline.model_name}")]
    tracks = {track: FIRST_TRACK + number for number, track in enumerate(timeline.tracks)}
    packets += [track_packet(uuid, name, rank) for rank, (name, uuid) in enumerate(tracks.items())]
    packets += [counter_packet(number, c, len(tracks)) for number, c in enumerate(timeline.counters)]
    packets += (packet for _, _, packet in sorted(_events(plan, timeline), key=lambda event: event[:2]))
    packets += count_packets(timeline.counters)
    return joined(packets)


def joined(packets: Sequence[bytes]) -> bytes:
    """The packets as one file."""
    flagged = number_field(SEQUENCE, SEQUENCE_ID)
    first = number_field(SEQUENCE_FLAGS, CLEARED)
    return b"".join(bytes_field(PACKET, packet + flagged + (b"" if i else first)) for i, packet in enumerate(packets))


def write_trace(plan: Plan, timeline: Timeline, path: str | Path) -> None:
    """A Perfetto trace if the path ends in .pftrace, else a Chrome trace; OutputError if it cannot be written."""
    form = perfetto_bytes if Path(path).suffix.lower() == SUFFIX else chrome_trace_bytes
    write_atomically(path, form(plan, timeline))


def process_packet(name: str, number: int = 0) -> bytes:
    """A process, whose tracks stand in the order of their ranks."""
    process = number_field(PID, number + 1) + text_field(PROCESS_NAME, name)
    track = (
        number_field(UUID, PROCESS_UUID + number)
        + bytes_field(PROCESS, process)
        + number_field(CHILD_ORDERING, EXPLICIT)
    )
    return bytes_field(TRACK_DESCRIPTOR, track)


def track_packet(uuid: int, name: str, rank: int, process: int = 0) -> bytes:
    """A track of a process."""
    track = number_field(UUID, uuid) + text_field(NAME, name)
    track += number_field(PARENT, PROCESS_UUID + process) + number_field(RANK, rank)
    return bytes_field(TRACK_DESCRIPTOR, track)


def counter_packet(number: int, counter: Counter, after: int) -> bytes:
    """The track of a counter, in the first process."""
    track = (
        number_field(UUID, FIRST_COUNTER + number) + text_field(NAME, counter.name) + number_field(PARENT, PROCESS_UUID)
    )
    unit = bytes_field(COUNTER, text_field(UNIT_NAME, counter.unit))
    return bytes_field(TRACK_DESCRIPTOR, track + unit + number_field(RANK, after + number))


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
        arrows = b"".join(fixed_field(field, flow) for field, flow in flows.get(i, ()))
        yield from slice_packets(event, FIRST_TRACK + event["tid"] - 1, arrows)


def slice_packets(event: Mapping[str, Any], track: int, arrows: bytes = b"") -> Iterator[tuple[int, int, bytes]]:
    """A slice of the Chrome trace as a beginning and an end: (time, 1 or 0, packet)."""
    start, place = _ns(event["ts"]), number_field(EVENT_TRACK, track)
    begin = number_field(EVENT_TYPE, BEGIN) + place
    begin += text_field(EVENT_NAME, event["name"]) + text_field(CATEGORY, event["cat"])
    begin += b"".join(bytes_field(ANNOTATION, _annotation(name, fact)) for name, fact in event["args"].items())
    yield start, 1, number_field(TIMESTAMP, start) + bytes_field(TRACK_EVENT, begin + arrows)
    end = start + _ns(event["dur"])
    yield end, 0, number_field(TIMESTAMP, end) + bytes_field(TRACK_EVENT, number_field(EVENT_TYPE, END) + place)


def count_packets(counters: Sequence[Counter]) -> Iterator[bytes]:
    """The values of counters."""
    for number, counter in enumerate(counters):
        head = number_field(EVENT_TYPE, COUNT) + number_field(EVENT_TRACK, FIRST_COUNTER + number)
        for time_ns, value in counter.points:
            yield number_field(TIMESTAMP, time_ns) + bytes_field(TRACK_EVENT, head + double_field(DOUBLE_VALUE, value))


def _annotation(name: str, fact: Any) -> bytes:
    head = text_field(ANNOTATION_NAME, name)
    if isinstance(fact, float):
        return head + double_field(ANNOTATION_DOUBLE, fact)
    if isinstance(fact, int):
        return head + number_field(ANNOTATION_INT, fact)
    return head + text_field(ANNOTATION_STRING, ", ".join(fact) if isinstance(fact, list) else str(fact))


def _ns(time_us: float) -> int:
    return round(time_us * NS_PER_US)
