"""`partita calibrate --host`: this machine as a Soc of two CPU units, each one core, measured and fitted."""

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from partita import host_timing as timing
from partita.devices import Soc, Unit
from partita.devices.calibration.fit import Fit, Sample, fitted
from partita.devices.calibration.fit_core import CoreFit, fitted_core
from partita.devices.calibration.soc_text import soc_text
from partita.devices.load import soc_from_text, user_folder
from partita.errors import OutputError, SocError
from partita.files import check_outputs, write_atomically
from partita.graph.ir import Graph
from partita.host_cases import cases
from partita.host_context import TimedNetwork, time_networks, time_networks_onnxruntime
from partita.host_overheads import (
    Overheads,
    Rates,
    onnxruntime_overheads,
    plan_overheads,
    slowdown_side_by_side,
    transfer_rates,
)
from partita.host_soc import (
    DTYPE,
    NO_OVERHEADS,
    NO_RATES,
    NUMPY,
    ONNXRUNTIME,
    UNITS,
    Machine,
    assembled,
    cores,
    draft_unit,
    machine_facts,
    measured,
)

NAME = "host"
FULL_BUDGET_S, QUICK_BUDGET_S = 0.04, 0.02
OVERHEAD_BUDGET_S = 0.3
NETWORKS, ROUNDS = 104, 4
QUICK_NETWORKS, QUICK_ROUNDS = 26, 2
NETWORKS_A_PAIR, SECONDS_OF_PAIR = 6, 4
"""Every so many networks one also runs on both units; how many times as long as an operator alone."""
LEAST_KERNEL_US, LEAST_RATIO = 0.1, 0.5
SAME_CORE = 0.15
"""Cores whose times differ by less count as equal: a neighbour on the same silicon costs as much for minutes."""
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
        soc, fits, in_networks = _fitted(runtime, target.stem, graphs, machine, times)
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


class _Times:
    """All that was measured: overheads by runtime, rates, and by runtime and unit the time of each case."""

    def __init__(self, rates: Rates) -> None:
        self.rates = rates
        self.overheads: dict[str, Overheads] = {}
        self.kernels_us: dict[tuple[str, str], list[float]] = {}
        self.networks: dict[str, list[TimedNetwork]] = {}


class _Measurer:
    """Runs the measurements, one at a time, in child processes."""

    def __init__(self, graphs: Sequence[Graph], seed: int, step: Step, *, quick: bool) -> None:
        self._graphs, self._seed, self._step = graphs, seed, step
        self._budget_s = QUICK_BUDGET_S if quick else FULL_BUDGET_S
        self._networks = (QUICK_NETWORKS, QUICK_ROUNDS) if quick else (NETWORKS, ROUNDS)

    def everything(self, runtimes: Sequence[str]) -> _Times:
        times = self._beside_kernels(runtimes)
        first, second = _pair_of_cores()
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
                soc = self._draft(runtime)
                found = child.submit(in_networks, soc, *self._networks, self._seed).result()
                times.networks[runtime] = self._stepped(found)
        return times

    def _draft(self, runtime: str) -> Soc:
        """A Soc to run plans with, of which nothing but the order of magnitude is known."""
        machine = machine_facts(with_onnxruntime=False)
        units = [draft_unit(name, runtime, machine, NO_OVERHEADS, NO_RATES) for name in UNITS]
        return assembled("draft", runtime, machine, NO_OVERHEADS, NO_RATES, units, "to run plans with")

    def _beside_kernels(self, runtimes: Sequence[str]) -> _Times:
        """Costs of dispatch, calls and transfers, which take both cores."""
        soc = self._draft(NUMPY)
        budget_s = max(self._budget_s, OVERHEAD_BUDGET_S)
        with _child(None) as child:
            rates = self._stepped(child.submit(transfer_rates, budget_s).result())
            pairs = self._networks[0] // NETWORKS_A_PAIR
            slowdown = child.submit(slowdown_side_by_side, soc, pairs, self._seed, self._budget_s * SECONDS_OF_PAIR)
            times = _Times(replace(rates, slowdown=slowdown.result()))
            ours = self._stepped(child.submit(plan_overheads, soc, self._seed, budget_s).result())
            times.overheads[NUMPY] = ours
            if ONNXRUNTIME in runtimes:
                times.overheads[ONNXRUNTIME] = child.submit(onnxruntime_overheads, ours, self._seed, budget_s).result()
        return times

    def _stepped(self, result: Any) -> Any:
        self._step()
        return result


def _pair_of_cores() -> tuple[int | None, int | None]:
    """A core for each unit; the same one twice where there is only one."""
    found = cores()
    return found[0], found[1 % len(found)]


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


@dataclass(frozen=True, slots=True)
class InNetworks:
    """The law of one core, and how far it is off on the whole networks that it was fitted to."""

    fit: CoreFit
    dispatch_us: float
    errors: tuple[float, ...]
    """Predicted over measured latency, less 1."""


def _fitted(
    runtime: str, name: str, graphs: Sequence[Graph], machine: Machine, times: _Times
) -> tuple[Soc, list[Fit], InNetworks]:
    overheads, in_networks = times.overheads[runtime], fitted_in_networks(times.networks[runtime])
    fits = []
    for unit_name, core in zip(UNITS, _pair_of_cores(), strict=True):
        samples = [
            Sample(graph, max(us + overheads.beside_kernel_us, 0.1))
            for graph, us in zip(graphs, times.kernels_us[runtime, unit_name], strict=True)
        ]
        unit = draft_unit(unit_name, runtime, machine, overheads, times.rates)
        alone = fitted(unit, samples, DTYPE, "HOST" if core is None else f"HOST, core {core}")
        ratio = _ratio(times.kernels_us[runtime, unit_name], times.kernels_us[runtime, UNITS[0]])
        fits.append(replace(alone, unit=_with_law(alone.unit, in_networks, ratio)))
    source = f"{machine.description}, {date.today().isoformat()}"
    soc = assembled(name, runtime, machine, overheads, times.rates, [fit.unit for fit in fits], source)
    return soc, fits, in_networks


def fitted_in_networks(networks: Sequence[TimedNetwork]) -> InNetworks:
    """The dispatch is what lies between two kernels at least; what is more, a kernel's own rates include.

    Low percentiles of parts add up to less than that of the whole, so the rates are then scaled to meet the latencies.
    """
    gaps_us = [us for network in networks for us in network.between_us]
    dispatch_us = statistics.quantiles(gaps_us, n=10)[0] if len(gaps_us) > 1 else 0.0
    samples = [
        replace(sample, us=max(sample.us - dispatch_us, LEAST_KERNEL_US))
        for network in networks
        for sample in network.samples
    ]
    fit = fitted_core(samples, "HOST, in networks")
    kernels_us = [sum(map(fit.predicted_us, network.samples)) for network in networks]
    beside_us = [dispatch_us * len(network.samples) for network in networks]
    ratios = [
        (network.latency_us - beside) / max(kernels, LEAST_KERNEL_US)
        for network, kernels, beside in zip(networks, kernels_us, beside_us, strict=True)
    ]
    ratio = max(statistics.median(ratios), LEAST_RATIO)
    errors = (
        (kernels * ratio + beside) / network.latency_us - 1
        for network, kernels, beside in zip(networks, kernels_us, beside_us, strict=True)
    )
    return InNetworks(fit.scaled(ratio), dispatch_us, tuple(errors))


def _ratio(times_us: Sequence[float], reference_us: Sequence[float]) -> float:
    """How much slower one core is than another; 1 for cores that differ by no more than measurements do."""
    found = statistics.median(us / max(other, 1e-9) for us, other in zip(times_us, reference_us, strict=True))
    return found if abs(found - 1) > SAME_CORE else 1.0


def _with_law(unit: Unit, found: InNetworks, ratio: float) -> Unit:
    dispatch_us = measured(found.dispatch_us * ratio, "HOST: between the kernels of networks, the 10th percentile")
    return unit.model_copy(update={"core_law": found.fit.scaled(ratio).law, "dispatch_us": dispatch_us})


def _heading(machine: Machine, fits: Sequence[Fit], in_networks: InNetworks) -> str:
    """The comment at the top of the file: what the figures rest on, and how far the law is off."""
    lines = [f"Measured on {machine.description}; written by `partita calibrate --host`.", ""]
    off = statistics.median(map(abs, in_networks.errors))
    lines += [f"core_law: operators in {len(in_networks.errors)} networks, whose latencies it meets by {off:.0%} "
              "(median error); the other numbers serve where it does not know a kernel.", ""]  # fmt: skip
    for fit in fits:
        count = sum(map(len, fit.factors_of.values()))
        lines.append(f"{fit.unit.name}: {count} operators alone, median error {fit.median_error:.0%}; by class:")
        for op_class, factors in sorted(fit.factors_of.items()):
            error = statistics.median(abs(each - 1) for each in factors)
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
            "latency_error": statistics.median(map(abs, in_networks.errors)),
            "error_by_kind": {
                kind: statistics.median(abs(each - 1) for each in factors)
                for kind, factors in sorted(factors_of.items())
            },
        },
        "units": {
            fit.unit.name: {
                "operators": sum(map(len, fit.factors_of.values())),
                "median_error": fit.median_error,
                "error_by_class": {
                    op_class: statistics.median(abs(each - 1) for each in factors)
                    for op_class, factors in sorted(fit.factors_of.items())
                },
            }
            for fit in fits
        },
    }
