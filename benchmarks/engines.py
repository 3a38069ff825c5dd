"""An inference engine in a process of its own, driven line by line: the child's side and the parent's.

The number of BLAS threads is fixed when a process starts, and the peak memory of a process is that of all it ever did;
so each engine and each number of threads gets its own child. A request is a line of JSON, and so is the answer:

    {"load": path} -> {}
    {"run": n} -> {"wall": seconds of the fastest of n runs, "cpu": the least processor time of one}
    {"peak": 1} -> {"bytes": highest resident memory so far, "now": resident memory now}
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Runner = Callable[[], Any]
ENGINES = ("partita", "partita unfused", "onnxruntime", "reference")
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Engine:
    """The parent's side: starts the child and asks it."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
        self._child = subprocess.Popen(
            [sys.executable, __file__, name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(request) + "\n")
        self._child.stdin.flush()
        answer = self._child.stdout.readline()
        if not answer:
            raise SystemExit(f"the child for {self.name!r} died, asked {request}")
        return json.loads(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait()


def prepared_with(engine: str, path: Path, threads: int) -> Runner:
    """The model in `path` loaded into an engine, as a function that runs it once on the same inputs as all others.

    The engines import what they need only here, so that the memory of a child is that of its own engine.
    """
    if engine.startswith("partita"):
        return _partita(path, fused=engine == "partita")
    return _onnxruntime(path, threads) if engine == "onnxruntime" else _reference(path)


def _partita(path: Path, *, fused: bool) -> Runner:
    import partita as pt
    from partita.graph.match import fuse
    from partita.kernels.executor import run
    from partita.kernels.fused import worth_fusing
    from partita.passes.find_matches import find_matches

    graph = pt.load(path)
    if fused:
        graph = fuse(graph, worth_fusing(graph, find_matches(graph)))
    feeds = _feeds(path)
    return lambda: run(graph, feeds)


def _onnxruntime(path: Path, threads: int) -> Runner:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feeds = _feeds(path)
    return lambda: session.run(None, feeds)


def _reference(path: Path) -> Runner:
    import onnx
    from onnx.reference import ReferenceEvaluator

    evaluator, feeds = ReferenceEvaluator(onnx.load(path)), _feeds(path)
    return lambda: evaluator.run(None, feeds)


def _feeds(path: Path) -> dict[str, Any]:
    """The inputs that were written beside the model."""
    import numpy as np

    with np.load(path.with_suffix(".npz")) as arrays:
        return dict(arrays)


def _answer(request: dict[str, Any], runner: Runner | None, engine: str, threads: int) -> tuple[Any, Runner | None]:
    if "load" in request:
        runner = prepared_with(engine, Path(request["load"]), threads)
        runner()
        return {}, runner
    if "run" in request:
        assert runner is not None
        wall, cpu = [], []
        for _ in range(request["run"]):
            began, used = time.perf_counter(), time.process_time()
            runner()
            wall.append(time.perf_counter() - began)
            cpu.append(time.process_time() - used)
        return {"wall": min(wall), "cpu": min(cpu)}, runner
    return memory_bytes(), runner


def memory_bytes() -> dict[str, int]:
    """Resident memory at its highest and now, with the share of it that is pages of files, from Linux's /proc."""
    status = Path("/proc/self/status").read_text()
    found = {key: 1024 * int(kib) for key, kib in re.findall(r"^(\w+):\s+(\d+) kB$", status, re.MULTILINE)}
    return {"bytes": found["VmHWM"], "now": found["VmRSS"], "file": found["RssFile"]}


def serve(engine: str, threads: int) -> None:
    runner: Runner | None = None
    for line in sys.stdin:
        answer, runner = _answer(json.loads(line), runner, engine, threads)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
