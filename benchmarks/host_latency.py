"""How far the preset `host` is from real runs: python benchmarks/host_latency.py host.toml MODEL[,NAME=SIZE...] ...

Each model is placed twice: on one unit, and for the shortest makespan on both, where branches run side by side on two
threads. Both plans run in one process, bound to one core for the first; the medians of the timelines, from the first
thing that the executor does to the last, stand beside what the simulator says. With a Soc file whose name holds
"onnxruntime", the whole model runs in a session of one thread instead. Models without weights get random ones.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import partita as pt
from partita import host_timing as timing
from partita.graph.ir import Graph
from partita.graph.plan import Plan
from partita.host import THREAD_VARIABLES
from partita.host_soc import cores
from partita.kernels.placed import execute
from partita.options import parse_shapes
from partita.partitioner import Rule
from partita.units import NS_PER_US, US_PER_MS

BUDGET_S = 1.5
LEAST_RUNS, WARM_UPS = 9, 3
TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class Row:
    """Simulated and measured latency in microseconds."""

    simulated_us: float
    measured_us: float
    segments: int = 1
    kernels: int = 0

    @property
    def error(self) -> float:
        return self.simulated_us / self.measured_us - 1

    @property
    def text(self) -> str:
        return f"{self.simulated_us / US_PER_MS:9.2f} {self.measured_us / US_PER_MS:9.2f} {self.error:+6.0%}"


def on_one_core(model: str, shapes: Mapping[str, int | tuple[int, ...]], soc_file: str) -> Row:
    graph, soc = pt.load(model, shapes, random_weights=True), pt.soc(soc_file)
    plan = pt.partition(graph, soc, bans=[Rule("*", unit.name) for unit in soc.units[1:]])
    feeds = timing.feeds_of(graph, 0, most=2)
    if "onnxruntime" in Path(soc_file).name:
        session = timing.onnxruntime_session(graph)
        measured_us = _median_us(lambda: _timed(lambda: session.run(None, feeds)))
    else:
        measured_us = _median_us(lambda: _timeline_us(plan, feeds, concurrent=False))
    return Row(pt.simulate(plan).latency_us, measured_us, kernels=len(plan.operators))


def on_both(model: str, shapes: Mapping[str, int | tuple[int, ...]], soc_file: str) -> Row:
    graph = pt.load(model, shapes, random_weights=True)
    plan = _side_by_side(graph, soc_file)
    feeds = timing.feeds_of(graph, 0, most=2)
    measured_us = _median_us(lambda: _timeline_us(plan, feeds, concurrent=True))
    return Row(pt.simulate(plan, overlap=True).latency_us, measured_us, segments=len(plan.segments))


def _side_by_side(graph: Graph, soc_file: str) -> Plan:
    return pt.partition(graph, pt.soc(soc_file), objective="makespan", time_limit_s=10, gap=0.02)


def _timeline_us(plan: Plan, feeds: Mapping[str, Any], *, concurrent: bool) -> float:
    execution = execute(plan, feeds, concurrent=concurrent)
    ends = [run.end_ns for run in execution.operators] + [move.end_ns for move in execution.moves]
    return max(ends) / NS_PER_US


def _timed(run: Callable[[], Any]) -> float:
    began = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - began) / NS_PER_US


def _median_us(run_us: Callable[[], float]) -> float:
    for _ in range(WARM_UPS):
        run_us()
    found: list[float] = []
    until = time.perf_counter() + BUDGET_S
    while len(found) < LEAST_RUNS or time.perf_counter() < until:
        found.append(run_us())
    return statistics.median(found)


def main(soc_file: str, *models: str) -> None:
    is_ours = "onnxruntime" not in Path(soc_file).name
    print(f"{'model':30} {'kernels':>7} {'simulated':>9} {'measured':>9} {'':6}  | segments simulated measured")
    context = get_context("spawn")
    alone: list[Row] = []
    both: list[Row] = []
    with (
        ProcessPoolExecutor(1, mp_context=context, initializer=timing.pin, initargs=(cores()[0],)) as child,
        ProcessPoolExecutor(1, mp_context=context) as unbound,
    ):
        for text in models:
            model, *sizes = text.split(",")
            shapes = parse_shapes(sizes)
            alone.append(child.submit(on_one_core, model, shapes, soc_file).result())
            line = f"{Path(model).stem[:30]:30} {alone[-1].kernels:7} {alone[-1].text}"
            if is_ours:
                both.append(unbound.submit(on_both, model, shapes, soc_file).result())
                line += f"  | {both[-1].segments:8} {both[-1].text}"
            print(line, flush=True)
    for title, rows in (("one core", alone), ("two units", both)):
        if rows:
            near = sum(abs(row.error) <= TOLERANCE for row in rows)
            middle = statistics.median(abs(row.error) for row in rows)
            print(f"{title}: {near} of {len(rows)} within {TOLERANCE:.0%}, median error {middle:.1%}")


if __name__ == "__main__":
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    main(*sys.argv[1:])
