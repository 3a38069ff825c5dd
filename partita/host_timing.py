"""What runs in the child processes of `partita calibrate --host`: timing operators, each process on its own core.

A child is started with one BLAS thread, so that a unit is one core. Times are those of the thread itself, in which what
other processes do on the same core does not count, and of them the lower quartile over the repeats.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from partita.graph.ir import Graph, Node
from partita.graph.onnx_export import to_model
from partita.kernels.program import Call, read_only
from partita.passes.random_weights import fill_missing
from partita.units import NS_PER_US

LEAST_REPEATS, MOST_REPEATS = 5, 400
WARM_UPS = 2
LEAST_TIMED_NS = 50_000
INDICES = 500
"""Integers are indices into tables of more rows than this."""
TINY = 16
"""Elements of a tensor that takes no time to work on."""
COPIED_BYTES = 64 << 20
"""Larger than any cache of the machines that this runs on."""
IN_CACHE_BYTES = 192 << 10
"""Together with its copy it stays in the second-level cache of one core."""


def pin(core: int | None) -> None:
    """Binds the process to a core, where the system allows it."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def time_us(run: Callable[[], Any], budget_s: float, clock: Callable[[], int] = time.thread_time_ns) -> float:
    """The lower quartile of the times that `run` takes, by default of this thread's own.

    Short runs are timed several at a time, because reading the clock takes its time too.
    """
    for _ in range(WARM_UPS):
        run()
    at_once = max(1, round(LEAST_TIMED_NS / max(1, _once_ns(run, 1, clock))))
    times_ns: list[float] = []
    until = time.perf_counter() + budget_s
    while len(times_ns) < LEAST_REPEATS or (time.perf_counter() < until and len(times_ns) < MOST_REPEATS):
        times_ns.append(_once_ns(run, at_once, clock) / at_once)
    return float(np.percentile(times_ns, 25)) / NS_PER_US


def _once_ns(run: Callable[[], Any], count: int, clock: Callable[[], int]) -> int:
    start = clock()
    for _ in range(count):
        run()
    return clock() - start


def filled(graph: Graph) -> Graph:
    """The graph with made-up weights."""
    return fill_missing(graph)


def feeds_of(graph: Graph, seed: int, most: int = INDICES) -> dict[str, Any]:
    """Random inputs; integers are below `most`."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for name in graph.inputs:
        value = graph.value(name)
        floating = rng.standard_normal(value.dims).astype(np.float32)
        found[name] = floating if value.dtype == "float32" else rng.integers(0, most, value.dims).astype(value.dtype)
    return found


def time_numpy(graph: Graph, seed: int, budget_s: float) -> float:
    """Microseconds that our kernel takes for the one operator of a graph."""
    graph = filled(graph)
    node: Node = graph.nodes[0]
    constants = {name: read_only(array) for name, array in graph.constants.items()}
    known: Mapping[str, Any] = {**constants, **feeds_of(graph, seed)}
    inputs = [known[name] if name else None for name in node.inputs]
    call = Call(node)
    return time_us(lambda: call(inputs), budget_s)


def time_onnxruntime(graph: Graph, seed: int, budget_s: float) -> float:
    """Microseconds that a session of the one operator of a graph takes, its own fixed cost included."""
    session = onnxruntime_session(filled(graph))
    feeds = feeds_of(graph, seed)
    return time_us(lambda: session.run(None, feeds), budget_s)


def onnxruntime_session(graph: Graph, profile: str | None = None) -> Any:
    """A session of one thread; it profiles itself into a file whose name begins with `profile`."""
    return onnxruntime_session_of_file(to_model(graph).SerializeToString(), profile)


def onnxruntime_session_of_file(model: str | bytes, profile: str | None = None) -> Any:
    """A session of one thread, from a model's path or content."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
