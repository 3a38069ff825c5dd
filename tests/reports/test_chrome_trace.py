"""Traces: what a viewer reads back from them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.errors import OutputError, SimulationError
from partita.graph.plan import Plan
from partita.reports.chrome_trace import chrome_trace_bytes, to_chrome_trace, write_chrome_trace
from partita.simulator.run import simulate_on
from tests.simulator.plans import TIGHT, Fees, machine, make_plan, plans, step

LAWS = settings(max_examples=60, deadline=None, derandomize=True)
STEPS = [
    step("a", "cpu", "x", 10.0, dram_bytes=1000),
    step("b", "npu:float16", "a", 40.0),
    step("c", "cpu", "a b", 5.0),
]
PLAN = make_plan(STEPS, ["c"], Fees(inference_us=100.0, call_us=3.0, sync_us=4.0))
Event = dict[str, Any]


def events_of(plan: Plan, *, overlap: bool = False) -> list[Event]:
    """The events, through the bytes of a file."""
    timeline = simulate_on(plan, machine(TIGHT), overlap=overlap)
    return json.loads(chrome_trace_bytes(plan, timeline))["traceEvents"]


def of_phase(events: list[Event], phase: str) -> list[Event]:
    return [event for event in events if event["ph"] == phase]


def arrows_of(events: list[Event]) -> list[tuple[Event, Event]]:
    ends = {event["id"]: event for event in of_phase(events, "f")}
    return [(start, ends[start["id"]]) for start in of_phase(events, "s")]


def around(events: list[Event], point: Event) -> Event:
    """The slice in which an arrow's end lies: the last on its thread that has started and not yet ended."""
    slices = [e for e in of_phase(events, "X") if e["tid"] == point["tid"] and e["ts"] <= point["ts"]]
    last = max(slices, key=lambda e: e["ts"])
    assert point["ts"] < last["ts"] + last["dur"]
    return last


def test_every_track_is_a_thread_in_the_order_of_the_timeline() -> None:
    events = events_of(PLAN)
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    ranks = {e["tid"]: e["args"]["sort_index"] for e in events if e["name"] == "thread_sort_index"}
    in_order = [names[tid] for tid in sorted(names, key=lambda tid: ranks[tid])]
    assert in_order == ["host", "cpu", "gpu", "npu", "cpu->npu", "npu->cpu"]
    assert [e["args"]["name"] for e in events if e["name"] == "process_name"] == ["toy: toy model"]


def test_an_operator_says_what_it_is() -> None:
    (b,) = [e for e in of_phase(events_of(PLAN), "X") if e["name"] == "b" and e["cat"] == "operator"]
    assert (b["ts"], b["dur"]) == (120.0, 40.0)
    assert b["args"] == {
        "segment": 1, "op": "Concat", "kernel": "Concat", "dtype": "float16", "inputs": ["a float32[1x8]"],
        "outputs": ["b float32[1x8]"], "bound": "compute", "evidence": "roofline", "low_us": 40.0, "high_us": 40.0,
    }  # fmt: skip


def test_a_transfer_says_what_it_carries() -> None:
    transfers = [e for e in of_phase(events_of(PLAN), "X") if e["cat"] == "transfer"]
    assert [(e["name"], e["args"]["from"], e["args"]["to"], e["args"]["bytes"]) for e in transfers] == [
        ("a", "cpu:float32", "npu:float16", 32),
        ("b", "npu:float16", "cpu:float32", 32),
    ]


def test_arrows_lead_from_the_maker_over_the_transfer_to_the_reader() -> None:
    events = events_of(PLAN)
    found = [(around(events, s), around(events, f)) for s, f in arrows_of(events)]
    assert [(a["cat"], a["name"], b["cat"], b["name"]) for a, b in found] == [
        ("operator", "a", "transfer", "a"),
        ("transfer", "a", "operator", "b"),
        ("operator", "b", "transfer", "b"),
        ("transfer", "b", "operator", "c"),
    ]


def test_a_neighbour_in_the_segment_stands_for_an_operator_that_takes_no_time() -> None:
    steps = [
        step("a", "cpu", "x", 10.0),
        step("free", "cpu", "a", 0.0),
        step("too", "npu", "free", 0.0),
        step("b", "npu", "too", 4.0),
    ]
    events = events_of(make_plan(steps, [], Fees(sync_us=4.0)))
    assert {e["name"] for e in of_phase(events, "X")} == {"a", "free", "b"}
    found = [(around(events, s)["name"], around(events, f)["name"]) for s, f in arrows_of(events)]
    assert found == [("a", "free"), ("free", "b")]


def test_the_memory_s_traffic_is_a_counter() -> None:
    counters = [e for e in of_phase(events_of(PLAN), "C") if e["name"] == "dram cpu (GB/s)"]
    assert [(e["ts"], e["args"]["GB/s"]) for e in counters] == [(0.0, 0.0), (103.0, 0.1), (113.0, 0.0)]


@LAWS
@given(plans(), st.booleans())
def test_every_arrow_has_two_ends_in_slices_and_goes_forward(plan: Plan, overlap: bool) -> None:
    events = events_of(plan, overlap=overlap)
    starts, ends = of_phase(events, "s"), of_phase(events, "f")
    assert sorted(e["id"] for e in starts) == sorted(e["id"] for e in ends) == list(range(len(starts)))
    for start, end in arrows_of(events):
        first, second = around(events, start), around(events, end)
        assert start["ts"] <= end["ts"]
        assert end["bp"] == "e"
        assert (start["name"], start["cat"], start["pid"]) == (end["name"], end["cat"], end["pid"])
        assert "transfer" in (first["cat"], second["cat"])
        assert start["name"] in (first["name"], second["name"])


@LAWS
@given(plans(), st.booleans())
def test_slices_are_the_spans_that_take_time(plan: Plan, overlap: bool) -> None:
    timeline = simulate_on(plan, machine(TIGHT), overlap=overlap)
    slices = of_phase(to_chrome_trace(plan, timeline)["traceEvents"], "X")
    seen = [span for span in timeline.spans if span.end_ns > span.start_ns]
    assert [(e["name"], e["cat"], e["ts"], e["dur"]) for e in slices] == [
        (s.name, s.kind, s.start_ns / 1000, s.duration_us) for s in seen
    ]


def test_a_file_has_the_bytes_and_nothing_is_left_where_it_cannot_be_written(tmp_path: Path) -> None:
    timeline = simulate_on(PLAN, machine(TIGHT))
    write_chrome_trace(PLAN, timeline, tmp_path / "trace.json")
    assert (tmp_path / "trace.json").read_bytes() == chrome_trace_bytes(PLAN, simulate_on(PLAN, machine(TIGHT)))
    with pytest.raises(OutputError, match="cannot write"):
        write_chrome_trace(PLAN, timeline, tmp_path / "no" / "trace.json")
    assert [path.name for path in tmp_path.iterdir()] == ["trace.json"]


def test_a_timeline_of_another_plan_is_refused() -> None:
    other = simulate_on(make_plan(STEPS[:1], []), machine())
    with pytest.raises(SimulationError, match="does not belong to this plan"):
        to_chrome_trace(PLAN, other)
