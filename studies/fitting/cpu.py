"""Fits the thread-pool law to whole-model latencies of one chip in one precision, over all its sets of cores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from partita.devices.kernel_shape import KernelShape
from partita.devices.laws.parameters import pack, shapes_of, unpack
from partita.devices.laws.thread_pool import CLASSES, KernelColumns
from partita.devices.laws.trees import Floats
from partita.studies.fitting import core_sets
from partita.studies.fitting.least_squares import Prior, fitted
from partita.studies.fitting.pool_slopes import slopes, times_us
from partita.units import US_PER_MS

SCALE = 0.03
"""Error, as a logarithm, at which a residual counts 1."""
OUTLIER = 1.5
"""Residual from which on it counts as its absolute value rather than its square."""
TURNS = 25
CORE_GMAC_PER_S = {"large": 0.7, "med": 0.5, "small": -0.7}
CORE_GB_PER_S = {"large": 2.0, "med": 1.8, "small": 0.8}
START_OF_CLASS = {
    "pointwise": 2.0, "conv": 2.2, "first": 1.0, "depthwise3": 0.5, "depthwise3_strided": 0.4, "depthwise5": 0.5,
    "depthwise5_strided": 0.5, "depthwise7": 0.5, "grouped": -0.7, "gemm": 1.2, "pool": 0.5, "mean": 0.3, "add": 0.0,
    "movement": 0.0, "activation": -1.0, "multiply": 0.0, "norm": -0.5, "relu": 0.0,
}  # fmt: skip
THREADED = (
    "pointwise",
    "conv",
    "first",
    "depthwise3",
    "depthwise3_strided",
    "depthwise5",
    "depthwise5_strided",
    "depthwise7",
    "gemm",
)
"""Classes whose kernels share their work among threads; the others start at a third serial."""
STRENGTH = {
    "efficiency": 0.3, "core": 0.1, "class_on_core": 3.0, "bandwidth": 0.5, "shared_bandwidth": 0.5, "dispatch": 0.7,
    "sync": 0.7, "serial": 0.5, "element_rate": 0.5, "slopes": 4.0, "output_cost": 0.5, "hard_swish": 1.0, "pad": 1.0,
    "unfold": 0.3, "serial_unfold": 0.3, "main_on_slow": 1.0, "last_core": 1.0, "norm_row": 1.0, "wide_window": 0.375,
}  # fmt: skip
"""Inverse standard deviation of each parameter around its start: the ridge."""
NOTHING: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Latencies of models on sets of cores, and the kernels of the models."""

    models: tuple[str, ...]
    kernels: KernelColumns
    """The different ones of all models."""
    counts: Floats
    """[models, kernels]: how often a model runs a kernel."""
    cores: tuple[Mapping[str, int], ...]
    types: tuple[str, ...]
    whole: Mapping[str, int]
    latency_ms: Floats
    """[models, sets of cores]; NaN where nothing was measured."""
    size_bytes: float
    started: dict[str, Floats] = field(default_factory=dict)
    """Parameters from which the fit starts instead, such as those of like chips."""


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A law: the pool's parameters, and the coefficients of each set of cores."""

    vector: Floats
    sets: Floats
    """[sets of cores, coefficients]"""


def gathered(kernels_of: Mapping[str, Sequence[KernelShape]]) -> tuple[tuple[str, ...], KernelColumns, Floats]:
    """Models, their different kernels and how often each model runs each."""
    index: dict[KernelShape, int] = {}
    for shapes in kernels_of.values():
        for shape in shapes:
            index.setdefault(shape, len(index))
    counts = np.zeros((len(kernels_of), len(index)))
    for row, shapes in enumerate(kernels_of.values()):
        for shape in shapes:
            counts[row, index[shape]] += 1
    return tuple(kernels_of), KernelColumns(tuple(index)), counts


def start_of(types: Sequence[str]) -> Floats:
    """Where a fit begins: plausible rates, nothing of which is particular to a chip."""
    start = {name: np.zeros(shape) for name, shape in shapes_of(types).items()}
    start["efficiency"] = np.array([START_OF_CLASS[name] for name in CLASSES])
    start["core"] = np.array([CORE_GMAC_PER_S[name] for name in types])
    start["bandwidth"] = np.array([CORE_GB_PER_S[name] for name in types])
    start["shared_bandwidth"] += 2.0
    start["dispatch"] += np.log(8.0)
    start["sync"] += np.log(5.0)
    start["serial"] = np.array([-3.0 if name in THREADED else -1.0 for name in CLASSES])
    start["output_cost"] -= 2.0
    start["hard_swish"] -= 1.0
    start["unfold"] -= 1.0
    start["main_on_slow"] -= 2.0
    start["last_core"] -= 3.0
    start["norm_row"] -= 2.0
    start["wide_window"] += 6.0
    return pack(start, types)


def predicted_ms(vector: Floats, measured: Measured) -> Floats:
    """[models, sets of cores] by the law of the pool alone."""
    times = times_us(measured, unpack(vector, measured.types))
    return np.stack([measured.counts @ row for row in times], axis=1) / US_PER_MS


def fit(
    measured: Measured,
    rows: Sequence[int],
    start: Floats | None = None,
    turns: int = TURNS,
    fixed: Mapping[str, float] = NOTHING,
) -> Floats:
    """The parameters that fit the models `rows` best: soft absolute errors of logarithms, and a ridge to the start.

    Those in `fixed` keep that value: so a part of the law is switched off.
    """
    origin = pack(measured.started, measured.types) if measured.started else start_of(measured.types)
    deviation = np.concatenate(
        [np.full(int(np.prod(shape)), OUTLIER / STRENGTH[name]) for name, shape in shapes_of(measured.types).items()]
    )
    part = Measured(
        measured.models, measured.kernels, measured.counts[list(rows)], measured.cores, measured.types, measured.whole,
        measured.latency_ms[list(rows)], measured.size_bytes,
    )  # fmt: skip
    known = np.isfinite(part.latency_ms)
    target = np.log(part.latency_ms[known])
    begin = _with_fixed(origin if start is None else start, fixed, measured.types)
    free = np.concatenate([np.full(int(np.prod(s)), n not in fixed) for n, s in shapes_of(measured.types).items()])

    def whole(x: Floats) -> Floats:
        vector = begin.copy()
        vector[free] = x
        return vector

    def residuals(x: Floats) -> Floats:
        errors: Floats = (np.log(predicted_ms(whole(x), part)[known]) - target) / (SCALE * OUTLIER)
        return errors

    def slopes_of(x: Floats) -> Floats:
        result: Floats = slopes(part, whole(x))[known][:, free] / (SCALE * OUTLIER)
        return result

    prior = Prior(origin[free], deviation[free])
    return whole(fitted(residuals, prior, begin[free], turns, slopes_of))


def _with_fixed(vector: Floats, fixed: Mapping[str, float], types: Sequence[str]) -> Floats:
    parameters = {n: np.full_like(v, fixed[n]) if n in fixed else v for n, v in unpack(vector, types).items()}
    return pack(parameters, types)


def fitted_sets(
    measured: Measured, rows: Sequence[int], *, fixed: Mapping[str, float] = NOTHING, has_sets: bool = True
) -> Fitted:
    """The law of the pool and, unless it is switched off, what its sets of cores do otherwise, from models `rows`."""
    vector = fit(measured, rows, fixed=fixed)
    if has_sets:
        return Fitted(vector, core_sets.fit(measured, rows, vector))
    return Fitted(vector, np.zeros((len(measured.cores), core_sets.COEFFICIENTS)))


def cross_validated(
    measured: Measured, folds: int = 10, seed: int = 0, *, fixed: Mapping[str, float] = NOTHING, has_sets: bool = True
) -> tuple[Fitted, Floats]:
    """The fit to all models, and what each is predicted to take by a fit without it, which begins anew."""
    count = len(measured.models)
    left_out = np.full(measured.latency_ms.shape, np.nan)
    order = np.random.default_rng(seed).permutation(count)
    for number in range(folds):
        held = order[number::folds]
        others = [row for row in range(count) if row not in set(held.tolist())]
        found = fitted_sets(measured, others, fixed=fixed, has_sets=has_sets)
        left_out[held] = core_sets.predicted_ms(measured, found.vector, found.sets)[held]
    return fitted_sets(measured, range(count), fixed=fixed, has_sets=has_sets), left_out
