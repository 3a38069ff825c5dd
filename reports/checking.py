"""Running a plan and saying how right it is: against the unplaced model and, where installed, against onnxruntime."""

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from partita.errors import KernelError, ModelError
from partita.files import write_atomically
from partita.graph.ir import Graph
from partita.graph.onnx_export import to_model
from partita.graph.onnx_import import read_onnx
from partita.graph.plan import Location, Plan
from partita.graph.quantisation import Range
from partita.kernels.calibration import calibrate
from partita.kernels.compare import Difference, differences
from partita.kernels.executor import run
from partita.kernels.noise import OperatorNoise, noise_of_operators
from partita.kernels.placed import Execution, execute, is_quantised
from partita.passes.in_float64 import doubled, in_float64
from partita.passes.random_feeds import random_feeds
from partita.passes.random_weights import fill_missing
from partita.passes.rewrite import RANDOM_OPS

TOLERANCE = 1e-4
"""Largest difference, relative to the largest value of an output, at which two float32 results count as the same."""
SMALLEST = 1e-6
"""Absolute differences up to this, a few roundings of a probability near 1, count as the same too."""
NOISIEST = 5
"""Operators that a check names."""
CALIBRATION_SAMPLES = 4
TELLING = 1e-4
"""If no output reaches this, rounding is all that a comparison can show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One comparison: its name, what was compared with what, and whether a difference is an error or a fact."""

    name: str
    title: str
    outputs: tuple[Difference, ...]
    is_exact: bool
    """Both sides compute in float32, so they must agree within TOLERANCE; otherwise the difference is only told."""

    @property
    def is_right(self) -> bool:
        return not self.is_exact or all(d.max_relative <= TOLERANCE or d.max_absolute <= SMALLEST for d in self.outputs)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RunResult:
    """What `partita run` did."""

    execution: Execution
    wall_s: float
    checks: tuple[Check, ...] = ()
    noisiest: tuple[OperatorNoise, ...] = ()
    """The operators whose own arithmetic disturbs their output most."""
    notes: tuple[str, ...] = ()

    @property
    def placed(self) -> tuple[Difference, ...]:
        """What the units' arithmetic does to each output; empty if nothing was compared."""
        return next((check.outputs for check in self.checks if check.name == "placed"), ())

    @property
    def is_right(self) -> bool:
        return all(check.is_right for check in self.checks)


def run_and_check(
    plan: Plan, inputs: Sequence[str], *, seed: int, check: bool, concurrent: bool = False, repeat: int = 1
) -> RunResult:
    """Runs the plan on the given files and random data for the rest; with `check`, compares.

    `inputs` are texts NAME=FILE.npy. Of several runs the fastest counts: other programs only add, and the first also
    brings weights into the order that kernels want. Raises ModelError if weights are missing or a file does not fit.
    """
    given = read_inputs(plan.graph, inputs)
    feeds = {**random_feeds(plan.graph, seed), **given}
    ranges = ranges_of(plan, feeds if given else None, seed)
    wall_s, execution = _fastest_run(lambda: execute(plan, feeds, ranges, concurrent=concurrent), repeat)
    if not check:
        return RunResult(execution=execution, wall_s=wall_s)
    reference = run(plan.graph, feeds)
    exact = execute(_in_float32(plan), feeds).outputs
    checks = [
        Check(name="placed_float32", title="placed, in float32", is_exact=True,
              outputs=differences(reference, exact)),
        Check(name="placed", title="placed, as units compute", is_exact=False,
              outputs=differences(reference, execution.outputs)),
    ]  # fmt: skip
    notes: list[str] = []
    if find_spec("onnxruntime") is None:
        notes.append("onnxruntime is not installed, so nothing was compared with it")
    else:
        theirs = _by_onnxruntime(plan.graph, feeds)
        if isinstance(theirs, str):
            notes.append(f"onnxruntime does not run this model: {theirs}")
        else:
            is_exact = not any(node.op in RANDOM_OPS for _, node in plan.graph.walk())
            if not is_exact:
                notes.append("the model draws random numbers, so it need not agree with onnxruntime")
            ours = Check(
                name="onnxruntime", title="onnxruntime", outputs=differences(theirs, reference), is_exact=is_exact
            )
            doubt = "" if ours.is_right else _told_by_float64(plan.graph, feeds, reference, theirs)
            notes += [doubt] if doubt else []
            checks.insert(0, replace(ours, is_exact=is_exact and not doubt))
    floats = [array for array in reference.values() if _is_float(array)]
    if floats and all(np.abs(array).max(initial=0) < TELLING for array in floats):
        notes.append(f"every output is below {TELLING:g}, so this says little: give real data with --input")
    noisiest = noise_of_operators(plan, feeds, ranges)[:NOISIEST]
    return RunResult(execution=execution, wall_s=wall_s, checks=tuple(checks), noisiest=noisiest, notes=tuple(notes))


def _told_by_float64(graph: Graph, feeds: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """What explains that both differ, if float32 itself does: both are off from float64, and ours not more; else ""."""
    try:
        exact = run(in_float64(graph), {name: doubled(array) for name, array in feeds.items()})
    except (KernelError, ModelError):
        return ""
    our_error, their_error = (max(d.max_relative for d in differences(exact, each)) for each in (ours, theirs))
    if not our_error <= their_error < np.inf:
        return ""
    return (
        f"float32 is too coarse for this model on these inputs: from float64, ours is {our_error:.1e} off and "
        f"onnxruntime {their_error:.1e}"
    )


def _fastest_run(run_once: Callable[[], Execution], repeat: int) -> tuple[float, Execution]:
    """Wall seconds and what was done, of the fastest of so many runs."""
    runs = []
    for _ in range(max(1, repeat)):
        began = time.perf_counter()
        execution = run_once()
        runs.append((time.perf_counter() - began, execution))
    return min(runs, key=lambda timed: timed[0])


def ranges_of(plan: Plan, given: Mapping[str, Any] | None, seed: int) -> dict[str, Range]:
    """Calibration of quantised locations: on the data that the user gives, else on made-up inputs of other seeds."""
    if not is_quantised(plan):
        return {}
    samples = [given] if given else [random_feeds(plan.graph, seed + 1 + i) for i in range(CALIBRATION_SAMPLES)]
    return calibrate(plan.graph, samples)


def save_outputs(path: str, outputs: Mapping[str, Any]) -> None:
    """Writes the outputs as an .npz archive: text as text, the tensors of a sequence as NAME[0], NAME[1], ..."""
    content = io.BytesIO()
    taken: set[str] = set()
    with ZipFile(content, "w") as archive:
        for name, tensor in _named_tensors(outputs):
            safe = name.replace("/", "_")
            while safe in taken:
                safe = f"{safe}_"
            taken.add(safe)
            array = np.asarray(tensor)
            with archive.open(f"{safe}.npy", "w") as file:
                np.lib.format.write_array(file, array.astype(str) if array.dtype == object else array)
    write_atomically(path, content.getvalue())


def _named_tensors(outputs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, output in outputs.items():
        if isinstance(output, list):
            yield from _named_tensors({f"{name}[{i}]": x for i, x in enumerate(output)})
        else:
            yield name, output


def read_inputs(graph: Graph, texts: Sequence[str]) -> dict[str, Any]:
    feeds: dict[str, Any] = {}
    for text in texts:
        name, equals, path = text.rpartition("=")
        if not (name and equals and path):
            raise ModelError(f"--input {text!r} is not understood; write NAME=FILE.npy")
        if name in feeds:
            raise ModelError(f"--input gives {name!r} twice")
        if name not in graph.inputs:
            raise ModelError(f"{name!r} is no input of {graph.name!r}; it has: {', '.join(graph.inputs)}")
        try:
            with Path(path).open("rb") as file:
                feeds[name] = np.load(file, allow_pickle=False)
        except OSError as error:
            raise ModelError(f"{path}: cannot read the array: {error.strerror or error}") from None
        except (ValueError, EOFError, BadZipFile) as error:
            raise ModelError(f"{path}: not an array in a .npy file: {str(error).splitlines()[0]}") from None
        if not isinstance(feeds[name], np.ndarray):
            raise ModelError(f"{path}: an archive of arrays; give one .npy file per input")
    return feeds


def _in_float32(plan: Plan) -> Plan:
    """The same placement, every location computing in float32: it must give what the unplaced model gives."""

    def wide(location: Location) -> Location:
        return Location(location.unit, "float32")

    return replace(
        plan,
        host=wide(plan.host),
        operators=tuple(replace(operator, dtype="float32") for operator in plan.operators),
        transfers=tuple(replace(t, source=wide(t.source), target=wide(t.target)) for t in plan.transfers),
    )


def _is_float(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind == "f"


def _by_onnxruntime(graph: Graph, feeds: Mapping[str, Any]) -> dict[str, Any] | str:
    """Outputs of the model as its file says, before any pass, by onnxruntime's CPU provider; or why it cannot."""
    import onnxruntime as ort  # optional: only --check wants it

    source = graph.source
    if source is None:
        raise ModelError(f"graph {graph.name!r} came from no file, so onnxruntime has nothing to run")
    model: str | bytes = source.path
    if source.random_weights:
        model = to_model(fill_missing(read_onnx(source.path, dict(source.shapes)))).SerializeToString()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        wanted = {i.name for i in session.get_inputs()}
        results = session.run(list(graph.outputs), {name: array for name, array in feeds.items() if name in wanted})
    except _onnxruntime_errors() as error:
        return " ".join(str(error).split())
    return dict(zip(graph.outputs, results, strict=True))


def _onnxruntime_errors() -> tuple[type[Exception], ...]:
    """Its exceptions, which share no base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (e for e in vars(state).values() if isinstance(e, type) and issubclass(e, Exception))
    return (ValueError, RuntimeError, *own)
