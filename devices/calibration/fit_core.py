"""The rates of a core's kernels, fitted to operators that were timed within networks.

Minimised is the sum of |predicted - measured| / measured, all rates being at least 0, by least squares whose weights
are renewed from the errors of the round before. So a few operators that something disturbed do not move a rate, and
small operators count as much as large ones. Kinds that chains have in common are fitted together.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from partita.devices.core_law import kernel_us, time_of
from partita.devices.core_record import FALLBACK, KernelTime
from partita.devices.core_terms import TAIL, Kernel, kernels_of
from partita.devices.laws.trees import Floats
from partita.graph.ir import Graph, Node
from partita.graph.op_class import ELEMENTWISE

ROUNDS, SWEEPS = 12, 400
LEAST_ERROR = 0.05
"""Errors below this all weigh the same."""
LEAST_US = 3.0
"""Added to a time before an error is divided by it: what a clock's reading may add."""
CLOSE_ENOUGH = 1e-5
CENTRAL = (10, 90)
"""Percentiles between which a kind's range lies."""
LEAST_FACTOR = 0.01
FEW = 6
"""With fewer samples than this a kind is left to its class."""


class _Everything:
    """Contains every kind: while a law is being fitted, whole fused operators are taken as they ran."""

    def __contains__(self, kind: object) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Timed:
    """An operator of a network, the kernels that it ran as, and the time that it took."""

    op: str
    kernels: tuple[Kernel, ...]
    us: float

    @property
    def kind(self) -> str:
        return self.kernels[0].kind

    def as_step(self) -> Kernel:
        """The operator as a link behind another one's kernel."""
        return Kernel(TAIL + self.op, ELEMENTWISE, {"calls": 1.0, "mb_out": self.kernels[0].counts.get("mb_out", 0.0)})


def timed(graph: Graph, node: Node, dtype: str, cache_bytes: float, us: float) -> Timed:
    return Timed(node.op, kernels_of(graph, node, dtype, cache_bytes, _Everything()), us)


@dataclass(frozen=True, slots=True)
class CoreFit:
    """The rates of a core and how far they are off on the operators that they were fitted to."""

    law: dict[str, KernelTime]
    factors_of: dict[str, tuple[float, ...]]
    """By kind of the main kernel, predicted over measured."""

    def scaled(self, ratio: float) -> "CoreFit":
        """The same for a core that takes `ratio` times as long."""
        law = {
            kind: each.model_copy(update={"us": {term: float(f"{us * ratio:.4g}") for term, us in each.us.items()}})
            for kind, each in self.law.items()
        }
        return CoreFit(law, self.factors_of)

    def predicted_us(self, sample: Timed) -> float:
        """Time of an operator by these rates; kinds that they do not know take none."""
        return sum(kernel_us(kernel, time) for kernel in sample.kernels if (time := time_of(kernel, self.law)))


def fitted_core(samples: Sequence[Timed], source: str) -> CoreFit:
    """The rates of every kind that was seen often enough, and of each class for what has none."""
    law, factors_of = _fit(samples, lambda kernel: kernel.kind, source)
    counts = {kind: len(factors) for kind, factors in factors_of.items()}
    seen = {kind: time for kind, time in law.items() if kind.startswith(TAIL) or counts.get(kind, 0) >= FEW}
    by_class, _ = _fit(samples, lambda kernel: FALLBACK + kernel.op_class, source)
    return CoreFit({**seen, **by_class}, factors_of)


def _fit(
    samples: Sequence[Timed], key: Callable[[Kernel], str], source: str
) -> tuple[dict[str, KernelTime], dict[str, tuple[float, ...]]]:
    table, columns = _table(samples, key)
    measured = np.array([sample.us for sample in samples])
    rates = robust_rates(table, measured)
    factors_of: dict[str, list[float]] = {}
    for sample, factor in zip(samples, table @ rates / np.maximum(measured, 1e-9), strict=True):
        factors_of.setdefault(key(sample.kernels[0]), []).append(float(factor))
    us_of: dict[str, dict[str, float]] = {kind: {} for kind, _ in columns}
    for (kind, term), column in columns.items():
        if rates[column] > 0:
            us_of[kind][term] = float(f"{rates[column]:.4g}")
    found = {kind: _kernel_time(us, factors_of.get(kind, ()), source) for kind, us in us_of.items()}
    return found, {kind: tuple(each) for kind, each in factors_of.items()}


def _table(samples: Sequence[Timed], key: Callable[[Kernel], str]) -> tuple[Floats, dict[tuple[str, str], int]]:
    """[samples, columns]: the counts, and which column those of a kind and term stand in."""
    cells = [
        (row, (key(kernel), term), count)
        for row, sample in enumerate(samples)
        for kernel in sample.kernels
        for term, count in kernel.counts.items()
        if count > 0
    ]
    columns = {name: index for index, name in enumerate(dict.fromkeys(name for _, name, _ in cells))}
    table = np.zeros((len(samples), len(columns)))
    for row, name, count in cells:
        table[row, columns[name]] += count
    return table, columns


def _kernel_time(us: dict[str, float], factors: Sequence[float], source: str) -> KernelTime:
    """A kind's rates; its range is what measured over predicted times were."""
    ratios = [1 / factor for factor in factors if factor > 0] or [1.0]
    low, high = (float(np.percentile(ratios, share)) for share in CENTRAL)
    error = statistics.median(abs(factor - 1) for factor in factors) if factors else 0.0
    told = f"{len(factors)} operators, median error {error:.0%}" if factors else "behind other kernels"
    return KernelTime(
        us=us,
        low=float(f"{min(1.0, max(low, LEAST_FACTOR)):.3g}"),
        high=float(f"{max(1.0, high):.3g}"),
        kind="measured",
        source=f"{source}: {told}",
    )


def robust_rates(table: Floats, measured: Floats) -> Floats:
    """Rates of at least 0 that predict `measured` from the counts in `table` [samples, terms]."""
    relative = 1 / (measured + LEAST_US)
    rates: Floats = np.zeros(table.shape[1])
    weights = relative.copy()
    for _ in range(ROUNDS):
        rates = _nonnegative_least_squares(table * weights[:, None], measured * weights, rates)
        errors = np.abs(table @ rates - measured) * relative
        weights = relative / np.sqrt(np.maximum(errors, LEAST_ERROR))
    return rates


def _nonnegative_least_squares(table: Floats, wanted: Floats, start: Floats) -> Floats:
    """By moving one unknown at a time to its best value that is not below 0, until nothing moves."""
    scale = np.sqrt((table**2).sum(axis=0)) + 1e-12
    scaled = table / scale
    gram, target = scaled.T @ scaled, scaled.T @ wanted
    gram[np.diag_indices_from(gram)] += 1e-6  # what two terms explain alike is shared
    found = start * scale
    for _ in range(SWEEPS):
        largest = 0.0
        for i in range(len(found)):
            value = max(0.0, found[i] + (target[i] - gram[i] @ found) / gram[i, i])
            largest, found[i] = max(largest, abs(value - found[i])), value
        if largest <= CLOSE_ENOUGH * max(1e-12, float(np.abs(found).max(initial=0.0))):
            break
    result: Floats = found / scale
    return result
