"""How far the preset `host` is from real runs: python benchmarks/host_latency.py host.toml MODEL[,NAME=SIZE...] ...

Each model is placed on one unit and run in a process bound to one core with one BLAS thread; with a Soc file whose name
holds "onnxruntime", a session of one thread is timed instead. Time is the thread's own, as in the calibration.
"""

import os
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import partita as pt
from partita import host_timing as timing
from partita.host import THREAD_VARIABLES
from partita.host_soc import cores
from partita.kernels.placed import execute
from partita.options import parse_shapes
from partita.partitioner import Rule

BUDGET_S = 3.0


def measured_us(model: str, shapes: Mapping[str, int | tuple[int, ...]], soc_file: str) -> tuple[float, float, int]:
    """Predicted and measured latency in microseconds, and the number of kernel calls."""
    graph = pt.load(model, dict(shapes))
    soc = pt.soc(soc_file)
    plan = pt.partition(graph, soc, bans=[Rule("*", unit.name) for unit in soc.units[1:]])
    feeds = timing.feeds_of(graph, 0, most=2)
    if "onnxruntime" in Path(soc_file).name:
        session = timing.onnxruntime_session_of_file(model)
        us = timing.time_us(lambda: session.run(None, feeds), BUDGET_S)
    else:
        us = timing.time_us(lambda: execute(plan, feeds), BUDGET_S)
    return plan.latency_us, us, len(plan.operators)


def main(soc_file: str, *models: str) -> None:
    print(f"{'model':34} {'kernels':>7} {'predicted ms':>12} {'measured ms':>12} {'error':>7}")
    context = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=timing.pin, initargs=(cores()[0],)) as child:
        for text in models:
            model, *sizes = text.split(",")
            shapes = parse_shapes(sizes)
            predicted, us, kernels = child.submit(measured_us, model, shapes, soc_file).result()
            cells = f"{kernels:7} {predicted / 1e3:12.3f} {us / 1e3:12.3f} {predicted / us - 1:+7.0%}"
            print(f"{Path(model).stem[:34]:34} {cells}", flush=True)


if __name__ == "__main__":
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    main(*sys.argv[1:])
