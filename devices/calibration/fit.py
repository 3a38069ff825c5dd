"""The parameters of a unit, fitted to timed operators with the cost model's own law, whatever that law is.

Every parameter is moved in turn along a grid of factors while the others stand still, until nothing improves. What is
minimised is the sum of |log(predicted / measured)|: an operator that is far off counts once, and not squared, so a few
disturbed measurements do not move a parameter.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from partita.devices.cost import law_cost
from partita.devices.soc import DEFAULT, Number, Tile, Unit
from partita.graph.ir import Graph
from partita.graph.op_class import FREE
from partita.graph.work import work_of
from partita.units import MACS_PER_GMAC, OPS_PER_GOP, US_PER_S

GRIDS = (tuple(2.0 ** (i / 2) for i in range(-12, 13)), tuple(2.0 ** (i / 16) for i in range(-8, 9)))
"""Factors by which a parameter is changed: first coarse, then fine."""
SWEEPS = 3
FITTED = ("on_chip_bytes", "weights_gb_per_s", "on_chip_gb_per_s", "layout_gb_per_s")
"""Numbers of a unit that are fitted to all operators; `bandwidth_gb_per_s` is measured by itself."""
LEAST_UTILISATION = 1e-4
BLOCKS = (1, 4, 8, 16, 32, 64)
"""Sizes of the block of a product, along its columns and along what is summed up: a CPU's kernels have some too."""
CENTRAL = (0.1, 0.9)
"""The share of the errors that ranges cover: from the 10th to the 90th percentile."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A graph of one operator and the time that it took."""

    graph: Graph
    measured_us: float

    @property
    def op_class(self) -> str:
        return work_of(self.graph, self.graph.nodes[0]).op_class


@dataclass(frozen=True, slots=True)
class Fit:
    """A unit with fitted parameters, and how far its law is off on the operators that it was fitted to."""

    unit: Unit
    factors_of: Mapping[str, tuple[float, ...]]
    """By class, predicted over measured."""

    @property
    def median_error(self) -> float:
        """Median of |predicted - measured| / measured."""
        errors = [abs(factor - 1) for factors in self.factors_of.values() for factor in factors]
        return statistics.median(errors) if errors else 0.0


def fitted(unit: Unit, samples: Sequence[Sample], dtype: str, source: str) -> Fit:
    """`unit` with the peaks, rates and utilisations that explain the samples best, each with its range."""
    used = [sample for sample in samples if sample.op_class != FREE and sample.measured_us > 0]
    unit = _with_peaks(unit, used, dtype, source)
    for op_class in dict.fromkeys(sample.op_class for sample in used):
        unit = _with_use(op_class, source, 1.0, unit)
    for grid in GRIDS:
        for _ in range(SWEEPS):
            for name in FITTED:
                if getattr(unit, name) is not None:
                    unit = _moved(unit, used, dtype, grid, partial(_with_number, name))
            unit = _moved(unit, used, dtype, grid, partial(_with_element_rate, dtype))
            for side in ("n", "k"):
                unit = _moved(unit, used, dtype, BLOCKS, partial(_with_block, side, source))
            for op_class in dict.fromkeys(sample.op_class for sample in used):
                own = [sample for sample in used if sample.op_class == op_class]
                unit = _moved(unit, own, dtype, grid, partial(_with_use, op_class, source))
    return _with_ranges(unit, used, dtype, source)


def factor(unit: Unit, sample: Sample, dtype: str) -> float:
    """Predicted over measured time."""
    return law_cost(sample.graph, sample.graph.nodes[0], unit, dtype).latency_us / sample.measured_us


def _loss(unit: Unit, samples: Sequence[Sample], dtype: str) -> float:
    return sum(abs(math.log(max(factor(unit, sample, dtype), 1e-9))) for sample in samples)


def _moved(
    unit: Unit, samples: Sequence[Sample], dtype: str, grid: Sequence[float], change: Callable[[float, Unit], Unit]
) -> Unit:
    """The unit with one parameter at the factor of the grid that explains the samples best."""
    candidates = [unit, *(change(each, unit) for each in grid)]
    return min(candidates, key=lambda candidate: _loss(candidate, samples, dtype))


def _with_peaks(unit: Unit, samples: Sequence[Sample], dtype: str, source: str) -> Unit:
    """Peaks to begin with: the highest rates that any operator reached."""
    macs_rate = ops_rate = 0.0
    for sample in samples:
        cost = law_cost(sample.graph, sample.graph.nodes[0], unit, dtype)
        busy_us = max(sample.measured_us - unit.dispatch_us.value, sample.measured_us * 0.1)
        macs, ops = _work(sample)
        if cost.latency_us > 0:
            macs_rate = max(macs_rate, macs / busy_us * US_PER_S / MACS_PER_GMAC)
            ops_rate = max(ops_rate, 0.0 if macs else ops / busy_us * US_PER_S / OPS_PER_GOP)
    update = {}
    if macs_rate > 0:
        update["peak_gmac_per_s"] = {dtype: _measured(macs_rate, f"{source}: the fastest product")}
    if ops_rate > 0:
        update["peak_gop_per_s"] = {dtype: _measured(ops_rate, f"{source}: the fastest element-wise operator")}
    return unit.model_copy(update=update)


def _work(sample: Sample) -> tuple[int, int]:
    work = work_of(sample.graph, sample.graph.nodes[0])
    return work.macs, work.element_ops


def _measured(value: float, source: str) -> Number:
    return Number(value=float(f"{value:.4g}"), kind="measured", source=source)


def _with_number(name: str, change: float, unit: Unit) -> Unit:
    number: Number = getattr(unit, name)
    value = number.value * change
    if name == "on_chip_gb_per_s":
        value = max(value, unit.bandwidth_gb_per_s.value)
    return unit.model_copy(update={name: number.model_copy(update={"value": value})})


def _with_element_rate(dtype: str, change: float, unit: Unit) -> Unit:
    """Another rate of element operations, at which those beside products run; element-wise operators stay as fast."""
    peak = unit.peak_gop_per_s[dtype]
    value = peak.value * change
    return unit.model_copy(update={"peak_gop_per_s": {dtype: peak.model_copy(update={"value": value})}})


def _with_block(side: str, source: str, size: float, unit: Unit) -> Unit:
    one = Number(value=1.0, kind="derived", source=source)
    tile = unit.tile or Tile(m=one, n=one, k=one)
    block = Number(value=float(size), kind="derived", source=source)
    return unit.model_copy(update={"tile": tile.model_copy(update={side: block})})


def _with_use(op_class: str, source: str, change: float, unit: Unit) -> Unit:
    value = max(LEAST_UTILISATION, unit.utilisation_of(op_class).value * change)
    number = Number(value=value, kind="derived", source=source)
    return unit.model_copy(update={"utilisation": {**unit.utilisation, op_class: number}})


def _with_ranges(unit: Unit, samples: Sequence[Sample], dtype: str, source: str) -> Fit:
    """Utilisations with the range in which their class was seen, and the spread that covers most of the rest."""
    factors: dict[str, list[float]] = {}
    for sample in samples:
        factors.setdefault(sample.op_class, []).append(factor(unit, sample, dtype))
    uses = {op_class: _ranged(unit.utilisation_of(op_class), found, source) for op_class, found in factors.items()}
    median = Number(
        value=_rounded(statistics.median(number.value for number in uses.values())) if uses else 1.0,
        kind="derived",
        source=f"{source}: median of the classes timed",
    )
    everything = sorted(max(each, 1 / each) for found in factors.values() for each in found)
    spread = max(1.0, everything[int(CENTRAL[1] * (len(everything) - 1))]) if everything else 1.0
    rates = {name: _rate(getattr(unit, name), source) for name in FITTED if getattr(unit, name) is not None}
    final = unit.model_copy(
        update={
            "utilisation": {DEFAULT: median, **uses},
            "spread": Number(
                value=_rounded(spread), kind="measured", source=f"{source}: 80 % of the operators timed lie within it"
            ),
            **rates,
            "peak_gop_per_s": {dtype: _rate(unit.peak_gop_per_s[dtype], f"{source}: beside products, fitted")},
        }
    )
    return Fit(final, {op_class: tuple(found) for op_class, found in factors.items()})


def _rate(number: Number, source: str) -> Number:
    return Number(value=_rounded(number.value), kind="derived", source=source)


def _ranged(number: Number, factors: Sequence[float], source: str) -> Number:
    """A utilisation; predicted over measured times it is what each operator of the class reached."""
    reached = sorted(number.value * each for each in factors)
    low, high = (reached[round(share * (len(reached) - 1))] for share in CENTRAL)
    error = statistics.median(abs(each - 1) for each in factors)
    return Number(
        value=_rounded(number.value),
        low=_rounded(min(low, number.value)),
        high=_rounded(max(high, number.value)),
        kind="derived",
        source=f"{source}: {len(factors)} operators, median error {error:.0%}",
    )


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
