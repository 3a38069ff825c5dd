"""The window of a scenario as a Perfetto trace, read back."""

import json
import struct
from functools import cache
from pathlib import Path

from partita.reports.scenario_trace import scenario_perfetto_bytes, write_scenario_trace
from partita.simulator.outcome import Outcome
from partita.simulator.scenario import scenario_from
from partita.simulator.scenario_run import simulate_scenario
from tests.reports.test_perfetto_trace import message
from tests.reports.test_rewrites import SOC, plan_under


@cache
def outcome() -> Outcome:
    stream = {"mode": "single_stream", "queries": 3}
    content = {"format": "partita-scenario/1", "name": "two", "streams": [stream, stream], "window": {"length_s": 1.0}}
    return simulate_scenario([plan_under(), plan_under()], SOC, scenario_from(content))


def test_every_interval_of_every_stream_is_read_back_on_its_own_track() -> None:
    packets = [message(packet) for packet in message(scenario_perfetto_bytes(outcome()))[1]]
    tracks = [message(packet[60][0]) for packet in packets if 60 in packet]
    assert len({track[1][0] for track in tracks}) == len(tracks)
    process_of = {track[1][0]: track[5][0] for track in tracks if 5 in track}
    name_of = {track[1][0]: track[2][0] for track in tracks if 2 in track}
    events = [(packet[8][0], message(packet[11][0])) for packet in packets if 11 in packet]
    begins = sorted((e[11][0], time) for time, e in events if e[9] == [1])
    ends = sorted((e[11][0], time) for time, e in events if e[9] == [2])
    found = [(process_of[t], name_of[t], a, b) for (t, a), (_, b) in zip(begins, ends, strict=True)]
    assert sorted(found) == sorted(
        (i.stream + 2, i.track.encode(), i.start_ns, i.end_ns) for i in outcome().intervals if i.end_ns > i.start_ns
    )


def test_however_many_streams_there_are_no_two_tracks_share_a_number() -> None:
    stream = {"mode": "single_stream", "queries": 1}
    content = {"format": "partita-scenario/1", "name": "many", "streams": [stream] * 120, "window": {"length_s": 1.0}}
    many = simulate_scenario([plan_under()] * 120, SOC, scenario_from(content))
    packets = [message(packet) for packet in message(scenario_perfetto_bytes(many))[1]]
    numbers = [message(packet[60][0])[1][0] for packet in packets if 60 in packet]
    assert len(numbers) == 1 + 120 * (1 + len(many.tracks)) + len(many.curves)
    assert len(set(numbers)) == len(numbers)


def test_power_clock_and_temperature_are_read_back() -> None:
    packets = [message(packet) for packet in message(scenario_perfetto_bytes(outcome()))[1]]
    events = [(packet[8][0], message(packet[11][0])) for packet in packets if 11 in packet]
    points = [(t, struct.unpack("<d", e[44][0])[0]) for t, e in events if e[9] == [4] and isinstance(e[44][0], bytes)]
    assert points == [point for curve in outcome().curves for point in curve.points]
    kinds = {curve.name.split(" ")[0] for curve in outcome().curves}
    assert {"power", "clock", "temperature", "dram"} <= kinds


def test_the_suffix_chooses_the_format(tmp_path: Path) -> None:
    perfetto, chrome = tmp_path / "a.pftrace", tmp_path / "a.json"
    for path in (perfetto, chrome):
        write_scenario_trace(outcome(), path)
    assert perfetto.read_bytes() == scenario_perfetto_bytes(outcome())
    assert json.loads(chrome.read_text())["otherData"]["scenario"] == "two"
