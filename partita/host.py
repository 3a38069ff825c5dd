"""`partita calibrate --host`: this machine as a Soc of two CPU units, each one core, measured and fitted."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from partita import host_timing as timing
from partita.devices import Soc
from partita.devices.calibration.fit import Fit
from partita.devices.calibration.soc_text import soc_text
from partita.devices.load import soc_from_text, user_folder
from partita.errors import OutputError, SocError
from partita.files import check_outputs, write_atomically
from partita.graph.ir import Graph
from partita.host_cases import cases
from partita.host_context import time_networks, time_networks_onnxruntime
from partita.host_fit import InNetworks, Times, fitted_preset, middle_error
from partita.host_overheads import onnxruntime_overheads, plan_overheads, slowdown_side_by_side, transfer_rates
from partita.host_soc import NUMPY, ONNXRUNTIME, UNITS, Machine, draft_soc, machine_facts, pair_of_cores

NAME = "host"
FULL_BUDGET_S, QUICK_BUDGET_S = 0.04, 0.02
OVERHEAD_BUDGET_S = 0.3
NETWORKS, ROUNDS = 104, 6
QUICK_NETWORKS, QUICK_ROUNDS = 26, 3
NETWORKS_PER_PAIR, PAIR_BUDGETS = 6, 4
"""One of so many networks also runs on both units; for so many times an operator's budget."""
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

Step = Callable[[], None]


def calibrate_host(
    output: str | None, *, with_onnxruntime: bool, quick: bool, seed: int, quiet: bool
) -> dict[str, Any]:
    """Measures this machine and writes the preset; what was found, as the command's JSON document."""
    if with_onnxruntime and find_spec(ONNXRUNTIME) is None:
        raise SocError("--with-onnxruntime: onnxruntime is not installed; install it or leave the option out")
    runtimes = (NUMPY, ONNXRUNTIME) if with_onnxruntime else (NUMPY,)
    targets = _targets(output, len(runtimes))
    machine = machine_facts(with_onnxruntime=with_onnxruntime)
    graphs = cases(quick=quick, seed=seed)
    console = Console(stderr=True)
    with Progress(console=console, disable=quiet or not console.is_terminal) as progress:
        bar = progress.add_task("measuring this machine", total=(len(UNITS) * len(graphs) + 1) * len(runtimes) + 2)
        measurer = _Measurer(graphs, seed, lambda: progress.advance(bar), quick=quick)
        times = measurer.everything(runtimes)
    made = []
    for runtime, target in zip(runtimes, targets, strict=True):
        soc, fits, in_networks = fitted_preset(runtime, target.stem, graphs, machine, times)
        text = soc_text(soc, _heading(machine, fits, in_networks))
        soc_from_text(text, target)
        write_atomically(target, text.encode())
        made.append(_document(soc, fits, in_networks, target))
    return {"format": "partita-host/1", "machine": machine.description, "quick": quick, "seed": seed, "presets": made}


def _targets(output: str | None, count: int) -> list[Path]:
    """Where the presets go: the user's folder of presets, or the file named and one beside it."""
    if output is not None and not output.endswith(".toml"):
        raise OutputError(f"cannot write {output!r}: Soc files end in .toml")
    if output is None:
        folder = user_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder {str(folder)!r}: {error.strerror}; use -o FILE.toml") from None
        output = str(folder / f"{NAME}.toml")
    first = Path(output)
    found = [first, first.with_name(f"{first.stem}-{ONNXRUNTIME}.toml")][:count]
    check_outputs(found)
    return found


class _Measurer:
    """Runs the measurements, one at a time, in child processes."""

    def __init__(self, graphs: Sequence[Graph], seed: int, step: Step, *, quick: bool) -> None:
        self._graphs, self._seed, self._step = graphs, seed, step
        self._budget_s = QUICK_BUDGET_S if quick else FULL_BUDGET_S
        self._networks = (QUICK_NETWORKS, QUICK_ROUNDS) if quick else (NETWORKS, ROUNDS)

    def everything(self, runtimes: Sequence[str]) -> Times:
        times = self._beside_kernels(runtimes)
        first, second = pair_of_cores()
        for unit, core in zip(UNITS, (first, second), strict=True):
            with _child(core) as child:
                for runtime in runtimes:
                    time = timing.time_numpy if runtime == NUMPY else timing.time_onnxruntime
                    times.kernels_us[runtime, unit] = [
                        self._stepped(child.submit(time, graph, self._seed, self._budget_s).result())
                        for graph in self._graphs
                    ]
        for runtime in runtimes:
            in_networks = time_networks if runtime == NUMPY else time_networks_onnxruntime
            with _child(first) as child:  # a process of its own, whose memory no other measurement has shaped
                soc = draft_soc(runtime)
                found = child.submit(in_networks, soc, *self._networks, self._seed).result()
                times.networks[runtime] = self._stepped(found)
        return times

    def _beside_kernels(self, runtimes: Sequence[str]) -> Times:
        """Rates of transfers, what two units cost each other, and costs of calls, which all take both cores."""
        soc = draft_soc(NUMPY)
        budget_s = max(self._budget_s, OVERHEAD_BUDGET_S)
        with _child(None) as child:
            rates = self._stepped(child.submit(transfer_rates, budget_s).result())
            pairs = self._networks[0] // NETWORKS_PER_PAIR
            slowdown = child.submit(slowdown_side_by_side, soc, pairs, self._seed, self._budget_s * PAIR_BUDGETS)
            times = Times(replace(rates, slowdown=slowdown.result()))
            ours = self._stepped(child.submit(plan_overheads, soc, self._seed, budget_s).result())
            times.overheads[NUMPY] = ours
            if ONNXRUNTIME in runtimes:
                times.overheads[ONNXRUNTIME] = child.submit(onnxruntime_overheads, ours, self._seed, budget_s).result()
        return times

    def _stepped(self, result: Any) -> Any:
        self._step()
        return result


@contextmanager
def _child(core: int | None) -> Iterator[ProcessPoolExecutor]:
    """A process with one BLAS thread, bound to a core; libraries read the number of threads when they are loaded."""
    kept = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        context = get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context, initializer=timing.pin, initargs=(core,)) as child:
            yield child
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _heading(machine: Machine, fits: Sequence[Fit], in_networks: InNetworks) -> str:
    """The comment at the top of the file: what the figures rest on, and how far the law is off."""
    lines = [f"Measured on {machine.description}; written by `partita calibrate --host`.", ""]
    off = in_networks.middle_error
    lines += [f"core_law: operators in {len(in_networks.errors)} networks, whose latencies it meets by {off:.0%} "
              "(median error); the other numbers serve where it does not know a kernel.", ""]  # fmt: skip
    for fit in fits:
        count = sum(map(len, fit.factors_of.values()))
        lines.append(f"{fit.unit.name}: {count} operators alone, median error {fit.median_error:.0%}; by class:")
        for op_class, factors in sorted(fit.factors_of.items()):
            error = middle_error(factors)
            lines.append(f"  {op_class}: {len(factors)} operators, {error:.0%}")
    return "\n".join(lines)


def _document(soc: Soc, fits: Sequence[Fit], in_networks: InNetworks, target: Path) -> dict[str, Any]:
    factors_of = in_networks.fit.factors_of
    return {
        "name": soc.name,
        "written": str(target),
        "networks": {
            "networks": len(in_networks.errors),
            "operators": sum(map(len, factors_of.values())),
            "latency_error": in_networks.middle_error,
            "error_by_kind": {kind: middle_error(factors) for kind, factors in sorted(factors_of.items())},
        },
        "units": {
            fit.unit.name: {
                "operators": sum(map(len, fit.factors_of.values())),
                "median_error": fit.median_error,
                "error_by_class": {
                    op_class: middle_error(factors) for op_class, factors in sorted(fit.factors_of.items())
                },
            }
            for fit in fits
        },
    }
