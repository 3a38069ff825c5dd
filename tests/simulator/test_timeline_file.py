"""Timeline files: the same bytes for the same timeline, and one clear line for anything else."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings

from partita.errors import OutputError, SimulationError
from partita.graph.plan import Plan
from partita.simulator.run import simulate_on
from partita.simulator.timeline import Timeline
from partita.simulator.timeline_file import read_timeline, timeline_bytes, write_timeline
from tests.simulator.plans import TIGHT, Fees, machine, make_plan, plans, step

PLAN = make_plan([step("a", "cpu", "x", 10.0), step("b\u00fc \u2192", "npu", "a", 20.0)], [], Fees(sync_us=1.0))


def timeline() -> Timeline:
    return simulate_on(PLAN, machine(TIGHT))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(plan=plans())
def test_a_timeline_read_back_is_the_same(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("timeline") / "t.timeline.json"
    original = simulate_on(plan, machine(TIGHT), overlap=True)
    write_timeline(original, path)
    again = read_timeline(path)
    assert timeline_bytes(again) == timeline_bytes(original) == path.read_bytes()
    assert (again.spans, again.counters, again.tracks) == (original.spans, original.counters, original.tracks)
    assert again.latency_us == original.latency_us


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"partita-timeline/1"', b'"partita-timeline/9"', "format: .*partita-timeline/1"),
        (b'"start_ns": 0', b'"start_ns": "0"', r"spans\[0\].start_ns: input should be a valid integer"),
        (b'"start_ns": 0', b'"start_ns": 0, "colour": 1', r"spans\[0\].colour"),
        (b'"start_ns": 0', b'"start_ns": 0.5', r"spans\[0\].start_ns"),
        (b'"start_ns": 0, ', b"", r"spans\[0\].start_ns is missing"),
        (b'"start_ns": 0', b'"start_ns": 99', r"spans.0: 0 <= start_ns <= end_ns must hold, is 99, 0"),
        (b'"track": "host"', b'"track": "moon"', "spans.0: track 'moon' is not among the tracks"),
        (b"0.0", b"NaN", "finite"),
        (b'"sequential"', b'"someday"', "scenario"),
        (b"{", b"[", "invalid JSON"),
        (b"host", b"\xff", "invalid JSON"),
    ],
)
def test_a_broken_file_is_refused_with_the_name_of_its_field(
    tmp_path: Path, old: bytes, new: bytes, message: str
) -> None:
    content = timeline_bytes(timeline())
    assert old in content
    path = tmp_path / "broken.timeline.json"
    path.write_bytes(content.replace(old, new, 1))
    with pytest.raises(SimulationError, match=message) as raised:
        read_timeline(path)
    assert "broken.timeline.json" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"[" * 100_000])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(SimulationError, match="is no timeline file"):
        read_timeline(path)


def test_a_path_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match=r"cannot read timeline .*missing"):
        read_timeline(tmp_path / "missing.timeline.json")
    with pytest.raises(SimulationError, match="cannot read timeline"):
        read_timeline(tmp_path)


def test_nothing_is_left_behind_where_a_timeline_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        write_timeline(timeline(), tmp_path)
    with pytest.raises(OutputError, match="cannot write"):
        write_timeline(timeline(), tmp_path / "missing" / "t.timeline.json")
    assert os.listdir(tmp_path) == []
