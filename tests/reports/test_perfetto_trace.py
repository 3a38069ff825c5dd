"""A Perfetto trace is read back from its bytes, by a reader that knows the wire format and nothing of the writer."""

import struct
from collections.abc import Iterator
from pathlib import Path

from partita.graph.plan import Plan
from partita.reports.perfetto_trace import perfetto_bytes, write_trace
from partita.simulator.run import simulate
from partita.simulator.timeline import Timeline
from tests.reports.test_rewrites import SOC, plan_under

Message = dict[int, list[int | bytes]]


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
            yield key >> 3, value
        elif key & 7 == 1:
            yield key >> 3, data[at : at + 8]
            at += 8
        else:
            assert key & 7 == 2
            size, at = varint(data, at)
            yield key >> 3, data[at : at + size]
            at += size
    assert at == len(data)


def message(data: int | bytes) -> Message:
    assert isinstance(data, bytes)
    found: Message = {}
    for field, value in fields(data):
        found.setdefault(field, []).append(value)
    return found


def made() -> tuple[Plan, Timeline, list[Message]]:
    plan = plan_under()
    timeline = simulate(plan, SOC)
    return plan, timeline, [message(packet) for packet in message(perfetto_bytes(plan, timeline))[1]]


def test_a_trace_is_read_back() -> None:
    plan, timeline, packets = made()
    assert [p[13] for p in packets if 13 in p] == [[1]]
    assert all(p[10] == [1] for p in packets)
    tracks = [message(p[60][0]) for p in packets if 60 in p]
    process, *children = tracks
    assert message(process[3][0])[6] == [f"{plan.soc_name}: {plan.graph.name}".encode()]
    names = [t[2][0].decode() for t in children if isinstance(t[2][0], bytes)]
    assert names == [*timeline.tracks, *(counter.name for counter in timeline.counters)]
    assert [t[12][0] for t in children] == list(range(len(children)))
    assert len({t[1][0] for t in tracks}) == len(tracks)
    assert all(t[5] == process[1] for t in children)
    name_of = {t[1][0]: name for t, name in zip(children, names, strict=True)}
    events = [(p[8][0], message(p[11][0])) for p in packets if 11 in p]
    open_since: dict[str, tuple[int, str]] = {}
    spans = []
    for time_ns, event in events:
        track = name_of[event[11][0]]
        assert isinstance(time_ns, int)
        if event[9] == [1]:
            assert track not in open_since
            assert isinstance(event[23][0], bytes)
            open_since[track] = time_ns, event[23][0].decode()
        elif event[9] == [2]:
            start, name = open_since.pop(track)
            spans.append((track, name, start, time_ns))
    assert not open_since
    expected = [(s.track, s.name, s.start_ns, s.end_ns) for s in timeline.spans if s.end_ns > s.start_ns]
    assert sorted(spans) == sorted(expected)


def test_every_flow_leaves_one_slice_and_ends_at_another() -> None:
    plan, _, packets = made()
    events = [message(p[11][0]) for p in packets if 11 in p]
    leaves = [flow for event in events for flow in event.get(47, [])]
    ends = [flow for event in events for flow in event.get(48, [])]
    assert len(leaves) == len(set(leaves)) > 0
    assert sorted(leaves) == sorted(ends)
    assert any(t.crosses_units for t in plan.transfers)


def test_counters_have_their_values_and_their_unit() -> None:
    _, timeline, packets = made()
    events = [(p[8][0], message(p[11][0])) for p in packets if 11 in p]
    points = [(t, struct.unpack("<d", e[44][0])[0]) for t, e in events if e[9] == [4] and isinstance(e[44][0], bytes)]
    assert points == [point for counter in timeline.counters for point in counter.points]
    units = [message(message(p[60][0])[8][0])[6] for p in packets if 60 in p and 8 in message(p[60][0])]
    assert units == [[counter.unit.encode()] for counter in timeline.counters]


def test_the_suffix_chooses_the_format(tmp_path: Path) -> None:
    plan, timeline, _ = made()
    write_trace(plan, timeline, tmp_path / "a.pftrace")
    write_trace(plan, timeline, tmp_path / "a.json")
    assert (tmp_path / "a.pftrace").read_bytes() == perfetto_bytes(plan, timeline)
    assert (tmp_path / "a.json").read_bytes().startswith(b'{"traceEvents"')
