"""How far the preset `host` is from real runs.

    python -m benchmarks.host_latency host.toml MODEL[,NAME=SIZE...] ... [--rows rows.json]

Each model is placed twice: on one unit, and for the shortest makespan on both, where branches run side by side on two
threads. Measured is the timeline, from the first thing that the executor does to the last: on one unit the 20th
percentile of many runs by the thread's own clock, as in the calibration; on both the fastest by the wall's, because two
threads have no clock in common. With a Soc file whose name holds "onnxruntime", the whole model runs in a session of
one thread instead. Models without weights get random ones.

With --rows, what was found is added to a file, and the medians over all that stands in it are told too: a machine that
others share is now faster and now slower, so calibrations and checks by turns tell more than one of each.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import partita as pt
from partita import host_timing as timing
from partita.host import THREAD_VARIABLES
from partita.host_context import QUIET_PERCENTILE
from partita.host_soc import cores
from partita.kernels.placed import Execution, execute
from partita.option_texts import parse_shapes
from partita.partitioner import Rule
from partita.units import NS_PER_US, US_PER_MS

BUDGET_S = 0.8
LEAST_RUNS, WARM_UPS = 9, 3
SOLVER_S, GAP = 3.0, 0.02
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
        times_us = _times_us(lambda: _own_us(lambda: session.run(None, feeds)))
    else:
        times_us = _times_us(lambda: _timeline_us(execute(plan, feeds, clock=time.thread_time_ns)))
    return Row(
        pt.simulate(plan).latency_us, float(np.percentile(times_us, QUIET_PERCENTILE)), kernels=len(plan.operators)
    )


def on_both(model: str, shapes: Mapping[str, int | tuple[int, ...]], soc_file: str) -> Row:
    graph = pt.load(model, shapes, random_weights=True)
    plan = pt.partition(graph, pt.soc(soc_file), objective="makespan", time_limit_s=SOLVER_S, gap=GAP)
    feeds = timing.feeds_of(graph, 0, most=2)
    measured_us = min(_times_us(lambda: _timeline_us(execute(plan, feeds, concurrent=True))))
    return Row(pt.simulate(plan, overlap=True).latency_us, measured_us, segments=len(plan.segments))


def _timeline_us(execution: Execution) -> float:
    ends = [run.end_ns for run in execution.operators] + [move.end_ns for move in execution.moves]
    return max(ends) / NS_PER_US


def _own_us(run: Callable[[], Any]) -> float:
    began = time.thread_time_ns()
    run()
    return (time.thread_time_ns() - began) / NS_PER_US


def _times_us(run_us: Callable[[], float]) -> list[float]:
    for _ in range(WARM_UPS):
        run_us()
    found: list[float] = []
    until = time.perf_counter() + BUDGET_S
    while len(found) < LEAST_RUNS or time.perf_counter() < until:
        found.append(run_us())
    return found


def medians(path: Path, rows: Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
    """The rows added to those in the file; for each model the medians of all that was ever simulated and measured."""
    known: dict[str, list[list[dict[str, Any]]]] = json.loads(path.read_text()) if path.exists() else {}
    for title, found in rows.items():
        known.setdefault(title, []).append([asdict(row) for row in found])
    path.write_text(json.dumps(known))
    return {
        title: [_median([Row(**row) for row in each]) for each in zip(*runs, strict=True)]
        for title, runs in known.items()
    }


def _median(rows: Sequence[Row]) -> Row:
    simulated_us, measured_us = (
        statistics.median(getattr(row, field) for row in rows) for field in ("simulated_us", "measured_us")
    )
    return Row(simulated_us, measured_us, rows[-1].segments, rows[-1].kernels)


def tell(title: str, rows: Sequence[Row]) -> None:
    near = sum(abs(row.error) <= TOLERANCE for row in rows)
    middle = statistics.median(abs(row.error) for row in rows)
    print(f"{title}: {near} of {len(rows)} within {TOLERANCE:.0%}, median error {middle:.1%}")


def measured_rows(soc_file: str, models: Sequence[str]) -> dict[str, list[Row]]:
    is_ours = "onnxruntime" not in Path(soc_file).name
    print(f"{'model':30} {'kernels':>7} {'simulated':>9} {'measured':>9} {'':6}  | segments simulated measured")
    context = get_context("spawn")
    found: dict[str, list[Row]] = {"one core": [], "two units": []} if is_ours else {"one core": []}
    with (
        ProcessPoolExecutor(1, mp_context=context, initializer=timing.pin, initargs=(cores()[0],)) as child,
        ProcessPoolExecutor(1, mp_context=context) as unbound,
    ):
        for text in models:
            model, *sizes = text.split(",")
            shapes = parse_shapes(sizes)
            alone = child.submit(on_one_core, model, shapes, soc_file).result()
            found["one core"].append(alone)
            line = f"{Path(model).stem[:30]:30} {alone.kernels:7} {alone.text}"
            if is_ours:
                both = unbound.submit(on_both, model, shapes, soc_file).result()
                found["two units"].append(both)
                line += f"  | {both.segments:8} {both.text}"
            print(line, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("soc_file")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--rows", type=Path, help="a file that keeps what was found from run to run")
    arguments = parser.parse_args()
    found = measured_rows(arguments.soc_file, arguments.models)
    for title, rows in found.items():
        tell(title, rows)
    if arguments.rows is not None:
        over_all = medians(arguments.rows, found)
        print("\nMedians of all runs:")
        for index, text in enumerate(arguments.models):
            name = Path(text.split(",")[0]).stem[:30]
            print(f"{name:30} " + "  | ".join(rows[index].text for rows in over_all.values()))
        for title, rows in over_all.items():
            tell(title, rows)


if __name__ == "__main__":
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    main()
