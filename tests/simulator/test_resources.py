"""How tracks take turns and how the memory is shared."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.simulator.memory import MemoryLimits, fair_shares
from partita.units import NS_PER_US
from tests.simulator.phones import Diary, phone, start_at
from tests.simulator.plans import machine, make_plan, step

DEMANDS = st.lists(st.tuples(st.floats(0.1, 100.0), st.floats(0.5, 2.0)), min_size=1, max_size=6)
NS_PER_S = 1_000_000_000


def run_streams(limits: MemoryLimits, streams: list[tuple[str, int, int, int]]) -> Diary:
    """Streams (engine, start, work alone, bytes) on units of their own, in ns."""
    units = tuple(engine for engine, *_ in streams)
    plans = [
        make_plan([step(engine, engine, "", work_ns / NS_PER_US, dram_bytes=size_bytes)], [])
        for engine, _, work_ns, size_bytes in streams
    ]
    diary = phone(plans, machine(limits, units), sequential=False, in_one_go=False)
    diary.engine.flows.rates = [(0, {})]
    for index, (_, start_ns, _, _) in enumerate(streams):
        start_at(diary, start_ns, index, index)
    diary.engine.run()
    return diary


def ends_of(limits: MemoryLimits, streams: list[tuple[str, int, int, int]]) -> dict[str, int]:
    """When each stream ends, in ns."""
    diary = run_streams(limits, streams)
    return {engine: diary.ended_ns[index] for index, (engine, *_) in enumerate(streams)}


def test_two_full_streams_on_sm8850_end_when_the_measured_numbers_say() -> None:
    # Limits measured on SM8850: 84.8 GB/s peak, 56.3 (GPU) and 56.8 (NPU) alone, 82 % of the peak together, the NPU
    # served 1.2 times as well. By hand: 37.93 and 31.61 GB/s until the NPU ends, then 56.3 for the GPU alone.
    size_bytes = 9_060_000_000
    limits = MemoryLimits(
        one_gb_per_s=56.8,
        several_gb_per_s=84.8 * 0.82,
        alone_gb_per_s={"gpu": 56.3, "npu": 56.8},
        weight_of={"npu": 1.2},
    )
    alone_ns = {"gpu": size_bytes / 56.3, "npu": size_bytes / 56.8}
    ends = ends_of(limits, [(unit, 0, round(time_ns), size_bytes) for unit, time_ns in alone_ns.items()])
    assert ends["npu"] / NS_PER_S == pytest.approx(0.2389, abs=1e-4)
    assert ends["gpu"] / NS_PER_S == pytest.approx(0.2657, abs=1e-4)


def test_streams_share_only_while_both_run() -> None:
    # 40 + 40 GB/s of demand on 50: 25 each, so 5/8 of their speed. "a" runs alone until 1000 and needs 1600 more for
    # the rest. "b" has done 1000 of its 1600 by then (2600), and runs alone from there on.
    limits = MemoryLimits(one_gb_per_s=40.0, several_gb_per_s=50.0)
    ends = ends_of(limits, [("a", 0, 2000, 80_000), ("b", 1000, 1600, 64_000)])
    assert ends == {"a": 2600, "b": 3200}


def test_a_stream_bound_by_computing_is_slowed_only_below_what_it_needs() -> None:
    # "a" needs 10 GB/s to end on time and keeps them, "b" asks for 40 of the 30 that are left: 3/4 of its speed.
    limits = MemoryLimits(one_gb_per_s=40.0, several_gb_per_s=40.0)
    ends = ends_of(limits, [("a", 0, 3000, 30_000), ("b", 0, 1500, 60_000)])
    assert ends == {"a": 3000, "b": 2000}


def test_a_stream_alone_is_never_slowed_even_if_it_claims_more_than_the_memory_gives() -> None:
    assert ends_of(MemoryLimits(one_gb_per_s=1.0, several_gb_per_s=1.0), [("a", 7, 100, 10**9)]) == {"a": 107}


def test_bytes_that_the_engine_could_not_have_streamed_are_not_counted() -> None:
    diary = run_streams(MemoryLimits(one_gb_per_s=5.0, several_gb_per_s=8.0), [("npu", 0, 100, 10_000)])
    assert diary.engine.flows.rates == [(0, {}), (0, {"npu": 5.0}), (100, {})]


@given(DEMANDS, st.floats(1.0, 300.0))
def test_shares_never_exceed_a_demand_nor_the_capacity(demands: list[tuple[float, float]], capacity: float) -> None:
    shares = fair_shares(demands, capacity)
    assert all(0 <= share <= demand for share, (demand, _) in zip(shares, demands, strict=True))
    assert sum(shares) <= capacity * (1 + 1e-12)
    assert sum(shares) == pytest.approx(min(capacity, sum(demand for demand, _ in demands)))


@given(DEMANDS, st.floats(1.0, 300.0))
def test_whoever_gets_less_than_it_asks_for_gets_the_largest_share_by_weight(
    demands: list[tuple[float, float]], capacity: float
) -> None:
    shares = fair_shares(demands, capacity)
    levels = [share / weight for share, (_, weight) in zip(shares, demands, strict=True)]
    for share, level, (demand, _) in zip(shares, levels, demands, strict=True):
        if share < demand:
            assert level >= max(levels) * (1 - 1e-9)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(1, 500), st.integers(1, 20_000)), min_size=1, max_size=5),
    st.integers(1, 60),
)
def test_the_memory_serves_exactly_the_bytes_that_are_asked_for(
    streams: list[tuple[int, int, int]], several_gb_per_s: int
) -> None:
    limits = MemoryLimits(one_gb_per_s=40.0, several_gb_per_s=several_gb_per_s)
    named = [(f"u{index}", *stream) for index, stream in enumerate(streams)]
    rates = run_streams(limits, named).engine.flows.rates
    assert rates is not None
    served = 0.0
    for (start_ns, by_engine), (end_ns, _) in pairwise(rates):
        served += sum(by_engine.values()) * (end_ns - start_ns)
    asked = sum(min(size_bytes, 40.0 * work_ns) for _, work_ns, size_bytes in streams)
    most_rounded_up = len(streams) * 40.0  # a stream ends at the whole ns after its last byte
    assert asked - 1e-3 <= served <= asked + most_rounded_up
    assert rates[-1][1] == {}
