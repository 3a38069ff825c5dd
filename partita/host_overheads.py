"""What a run on this machine costs beside the kernels: per operator, per call, per transfer and per inference."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from partita import host_timing as timing
from partita.devices import Soc
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.plan import Plan
from partita.host_networks import networks
from partita.kernels.placed import execute
from partita.kernels.program import Call
from partita.partitioner import Rule, Wishes, partition
from partita.units import BYTES_PER_GB, NS_PER_US, US_PER_S

CHAIN = 40
"""Operators of the longer chain: the fixed cost of an operator is the slope from a chain of one to it."""
COPIED_ELEMENTS = 1 << 20
QUIET_PERCENTILE = 25
"""Of the repeats: by the wall's clock, on which the two units meet."""


@dataclass(frozen=True, slots=True)
class Overheads:
    """Fixed costs in microseconds."""

    dispatch_us: float
    """Of each operator in a running graph."""
    beside_kernel_us: float
    """Part of `dispatch_us` that a kernel timed by itself does not show."""
    inference_us: float
    call_us: float
    sync_us: float
    copy_gb_per_s: float


@dataclass(frozen=True, slots=True)
class Rates:
    """Bytes per second of plain copies, in GB/s: read and written ones together."""

    dram: float
    dram_both: float
    """By two threads at once, each on its own tensor."""
    cache: float
    cast: float
    """Bytes read by a cast in the cache."""
    slowdown: float = 1.0
    """How many times as long kernels take while the other unit works."""


def plan_overheads(soc: Soc, seed: int, budget_s: float) -> Overheads:
    """By running chains of tiny operators as plans: on one unit, and back and forth between two.

    The difference between the two is the call and the transfer of each boundary; the part that is there with one
    thread is the call's, what a thread per unit adds is the wait for the other one.
    """
    first, second = (unit.name for unit in soc.units)
    tiny, large = chain(CHAIN, timing.TINY), chain(8, COPIED_ELEMENTS)
    one_us = _plan_us(chain(1, timing.TINY), soc, [first], seed, budget_s)
    same_us = _plan_us(tiny, soc, [first], seed, budget_s)
    to_and_fro_us = _plan_us(tiny, soc, [first, second], seed, budget_s)
    side_by_side_us = _plan_us(tiny, soc, [first, second], seed, budget_s, concurrent=True)
    dispatch_us = max((same_us - one_us) / (CHAIN - 1), 0.1)
    boundaries = CHAIN  # between the operators, and from the last one to the host
    call_us = max((to_and_fro_us - same_us) / boundaries, 0.0)
    large_us = _plan_us(large, soc, [first], seed, budget_s)
    moved_us = _plan_us(large, soc, [first, second], seed, budget_s)
    per_copy_us = max((moved_us - large_us) / 8 - call_us, 1.0)
    return Overheads(
        dispatch_us=dispatch_us,
        beside_kernel_us=max(dispatch_us - _kernel_us(seed, budget_s), 0.0),
        inference_us=max(one_us - dispatch_us, 0.0),
        call_us=call_us,
        sync_us=max((side_by_side_us - to_and_fro_us) / boundaries, 0.0),
        copy_gb_per_s=4 * COPIED_ELEMENTS / per_copy_us * US_PER_S / BYTES_PER_GB,
    )


def slowdown_side_by_side(soc: Soc, count: int, seed: int, budget_s: float) -> float:
    """How many times as long kernels take while the other unit works, all kernels of `count` networks together.

    Each network runs twice in one plan, once on each unit: side by side, and one after the other. What both threads
    want at the same time (the interpreter, the shared cache, the memory) is what makes the difference.
    """
    units = [unit.name for unit in soc.units]
    together_us = in_turns_us = 0.0
    for graph in networks(count, seed):
        pair = timing.filled(twice(graph))
        pins = tuple(Rule(node.name, units[node.name.startswith(SECOND)]) for node in pair.nodes)
        plan = partition(pair, soc, (), Wishes(pins=pins))
        feeds = timing.feeds_of(pair, seed)
        together_us += _kernels_us(plan, feeds, budget_s, concurrent=True)
        in_turns_us += _kernels_us(plan, feeds, budget_s, concurrent=False)
    return max(1.0, together_us / max(in_turns_us, 1e-9))


SECOND = "second."
"""How names in the second copy begin."""


def twice(graph: Graph) -> Graph:
    """Two copies of a graph, side by side."""

    def named(name: str) -> str:
        return SECOND + name if name else ""

    nodes = tuple(
        replace(
            node, name=named(node.name), inputs=tuple(map(named, node.inputs)), outputs=tuple(map(named, node.outputs))
        )
        for node in graph.nodes
    )
    return replace(
        graph,
        nodes=(*graph.nodes, *nodes),
        inputs=(*graph.inputs, *map(named, graph.inputs)),
        outputs=(*graph.outputs, *map(named, graph.outputs)),
        values={**graph.values, **{named(name): value for name, value in graph.values.items()}},
        constants={**graph.constants, **{named(name): array for name, array in graph.constants.items()}},
        missing=graph.missing | set(map(named, graph.missing)),
    )


def _kernels_us(plan: Plan, feeds: Mapping[str, Any], budget_s: float, *, concurrent: bool) -> float:
    """The sum over kernels of what each takes by the wall's clock, the lower quartile of the runs."""
    times_ns: list[list[int]] = []

    def run() -> None:
        runs = execute(plan, feeds, concurrent=concurrent).operators
        times_ns.append([run.end_ns - run.start_ns for run in runs])

    timing.time_us(run, budget_s, time.perf_counter_ns)
    return float(np.percentile(times_ns, QUIET_PERCENTILE, axis=0).sum()) / NS_PER_US


def onnxruntime_overheads(ours: Overheads, seed: int, budget_s: float) -> Overheads:
    """By sessions of chains: the fixed cost of a session's run is the call's; our executor hands tensors over."""
    one_us, all_us = (_session_us(chain(count, timing.TINY), seed, budget_s) for count in (1, CHAIN))
    dispatch_us = max((all_us - one_us) / (CHAIN - 1), 0.1)
    return Overheads(
        dispatch_us=dispatch_us,
        beside_kernel_us=-max(one_us - dispatch_us, 0.0),
        inference_us=0.0,
        call_us=max(one_us - dispatch_us, 0.0),
        sync_us=ours.sync_us,
        copy_gb_per_s=ours.copy_gb_per_s,
    )


def chain(count: int, elements: int) -> Graph:
    """Element-wise operators one after the other, of two kinds so that no runtime folds neighbours into one."""
    b = GraphBuilder(f"chain{count}")
    x = b.input("x", "float32", (1, elements))
    for i in range(count):
        x = b.node("Neg" if i % 2 else "Floor", x, name=f"op{i}")
    b.output(x)
    return b.build()


def _plan_us(
    graph: Graph, soc: Soc, units: Sequence[str], seed: int, budget_s: float, *, concurrent: bool = False
) -> float:
    pins = [Rule(node.name, units[i % len(units)]) for i, node in enumerate(graph.nodes)]
    plan = partition(graph, soc, (), Wishes(pins=tuple(pins)))
    feeds = timing.feeds_of(graph, seed)
    clock = time.perf_counter_ns if concurrent else time.thread_time_ns
    return timing.time_us(lambda: execute(plan, feeds, concurrent=concurrent), budget_s, clock)


def _kernel_us(seed: int, budget_s: float) -> float:
    """Of one operator of the chain, timed as the operators of the fit are."""
    graph = chain(1, timing.TINY)
    call, inputs = Call(graph.nodes[0]), list(timing.feeds_of(graph, seed).values())
    return timing.time_us(lambda: call(inputs), budget_s)


def _session_us(graph: Graph, seed: int, budget_s: float) -> float:
    session, feeds = timing.onnxruntime_session(graph), timing.feeds_of(graph, seed)
    return timing.time_us(lambda: session.run(None, feeds), budget_s)


def transfer_rates(budget_s: float) -> Rates:
    """Rates of copies, from and to memory, and inside the cache of one core."""
    return Rates(
        dram=_copy_rate(timing.COPIED_BYTES, budget_s),
        dram_both=_copy_rate_of_two(timing.COPIED_BYTES, budget_s),
        cache=_copy_rate(timing.IN_CACHE_BYTES, budget_s),
        cast=_cast_rate(budget_s),
    )


def _copy_rate(size_bytes: int, budget_s: float) -> float:
    source = np.ones(size_bytes // 4, np.float32)
    target = np.empty_like(source)
    us = timing.time_us(lambda: np.copyto(target, source), budget_s)
    return 2 * source.nbytes / us * US_PER_S / BYTES_PER_GB


def _copy_rate_of_two(size_bytes: int, budget_s: float) -> float:
    """numpy lets go of the interpreter's lock while it copies, so two threads copy at once."""
    pairs = [(np.ones(size_bytes // 4, np.float32), np.empty(size_bytes // 4, np.float32)) for _ in range(2)]

    def both() -> None:
        threads = [threading.Thread(target=np.copyto, args=(target, source)) for source, target in pairs]
        _run_all(threads)

    us = timing.time_us(both, budget_s, time.perf_counter_ns)
    return 4 * pairs[0][0].nbytes / us * US_PER_S / BYTES_PER_GB


def _run_all(threads: Sequence[Any]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _cast_rate(budget_s: float) -> float:
    source = np.ones(timing.IN_CACHE_BYTES // 4, np.float32)
    us = timing.time_us(lambda: source.astype(np.float16), budget_s)
    return source.nbytes / us * US_PER_S / BYTES_PER_GB
