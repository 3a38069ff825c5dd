"""The laws that `partita calibrate --host` fits to what it has measured, and the Soc that they make."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from partita.devices import Soc, Unit
from partita.devices.calibration.fit import Fit, Sample, fitted
from partita.devices.calibration.fit_core import CoreFit, fitted_core
from partita.graph.ir import Graph
from partita.host_context import TimedNetwork
from partita.host_overheads import Overheads, Rates
from partita.host_soc import DTYPE, UNITS, Machine, assembled, draft_unit, measured, pair_of_cores

LEAST_KERNEL_US, LEAST_RATIO = 0.1, 0.5
"""What is left of a time, or of a ratio, after something was subtracted, is at least this."""
SAME_CORE = 0.15
"""Cores whose times differ by less count as equal: a neighbour on the same silicon costs as much for minutes."""


class Times:
    """All that was measured: overheads by runtime, rates, and by runtime and unit the time of each case."""

    def __init__(self, rates: Rates) -> None:
        self.rates = rates
        self.overheads: dict[str, Overheads] = {}
        self.kernels_us: dict[tuple[str, str], list[float]] = {}
        self.networks: dict[str, list[TimedNetwork]] = {}


@dataclass(frozen=True, slots=True)
class InNetworks:
    """The law of one core, and how far it is off on the whole networks that it was fitted to."""

    fit: CoreFit
    dispatch_us: float
    errors: tuple[float, ...]
    """Predicted over measured latency, less 1."""

    @property
    def middle_error(self) -> float:
        return statistics.median(map(abs, self.errors))


def fitted_preset(
    runtime: str, name: str, graphs: Sequence[Graph], machine: Machine, times: Times
) -> tuple[Soc, list[Fit], InNetworks]:
    """The Soc that a runtime makes of this machine, and how far off its laws are on what they were fitted to."""
    overheads, in_networks = times.overheads[runtime], fitted_in_networks(times.networks[runtime])
    fits = []
    for unit_name, core in zip(UNITS, pair_of_cores(), strict=True):
        samples = [
            Sample(graph, max(us + overheads.beside_kernel_us, LEAST_KERNEL_US))
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


def middle_error(factors: Sequence[float]) -> float:
    """The median distance from 1 of predicted over measured times."""
    return statistics.median(abs(factor - 1) for factor in factors)
