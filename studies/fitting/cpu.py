"""Fits the thread-pool law to whole-model latencies of one chip in one precision, over all its sets of cores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from partita.devices.kernel_shape import KernelShape
from partita.devices.laws.parameters import pack, shapes_of, unpack
from partita.devices.laws.thread_pool import CLASSES, KernelColumns, compute_us, kernel_us
from partita.devices.laws.trees import Floats
from partita.units import US_PER_MS

SCALE = 0.03
"""Error, as a logarithm, at which a residual counts 1."""
CORE_GMAC_PER_S = {"large": 0.7, "med": 0.5, "small": -0.7}
CORE_GB_PER_S = {"large": 2.0, "med": 1.8, "small": 0.8}
START_OF_CLASS = {
    "pointwise": 2.0, "conv": 2.2, "first": 1.0, "depthwise3": 0.5, "depthwise3_strided": 0.4, "depthwise5": 0.5,
    "depthwise5_strided": 0.5, "grouped": -0.7, "gemm": 1.2, "pool": 0.5, "mean": 0.3, "add": 0.0, "movement": 0.0,
    "activation": -1.0, "multiply": 0.0, "norm": -0.5, "relu": 0.0,
}  # fmt: skip
THREADED = (
    "pointwise",
    "conv",
    "first",
    "depthwise3",
    "depthwise3_strided",
    "depthwise5",
    "depthwise5_strided",
    "gemm",
)
"""Classes whose kernels share their work among threads; the others start at a third serial."""
STRENGTH = {
    "efficiency": 0.3, "core": 0.1, "class_on_core": 3.0, "bandwidth": 0.5, "shared_bandwidth": 0.5, "dispatch": 0.7,
    "sync": 0.7, "serial": 0.5, "element_rate": 0.5, "slopes": 4.0, "output_cost": 0.5, "hard_swish": 1.0, "pad": 1.0,
    "unfold": 0.3, "serial_unfold": 0.3, "main_on_slow": 1.0, "last_core": 1.0,
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
    return pack(start, types)


def predicted_ms(vector: Floats, measured: Measured) -> Floats:
    """[models, sets of cores] by the law."""
    parameters = unpack(vector, measured.types)
    compute = compute_us(measured.kernels, parameters)
    columns = [
        measured.counts
        @ kernel_us(
            measured.kernels, parameters, measured.types, cores, measured.whole, measured.size_bytes, compute=compute
        )
        for cores in measured.cores
    ]
    return np.stack(columns, axis=1) / US_PER_MS


def fit(
    measured: Measured,
    rows: Sequence[int],
    start: Floats | None = None,
    steps: int = 40,
    fixed: Mapping[str, float] = NOTHING,
) -> Floats:
    """The parameters that fit the models `rows` best: soft absolute errors of logarithms, and a ridge to the start.

    Those in `fixed` keep that value: so a part of the law is switched off.
    """
    from scipy.optimize import least_squares

    origin = pack(measured.started, measured.types) if measured.started else start_of(measured.types)
    strength = np.concatenate(
        [np.full(int(np.prod(shape)), STRENGTH[name]) for name, shape in shapes_of(measured.types).items()]
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
        errors = (np.log(predicted_ms(whole(x), part)[known]) - target) / SCALE
        return np.concatenate([errors, ((whole(x) - origin) * strength)[free]])

    solution = least_squares(residuals, begin[free], loss="soft_l1", f_scale=1.5, max_nfev=steps)
    return whole(np.asarray(solution.x))


def _with_fixed(vector: Floats, fixed: Mapping[str, float], types: Sequence[str]) -> Floats:
    parameters = {n: np.full_like(v, fixed[n]) if n in fixed else v for n, v in unpack(vector, types).items()}
    return pack(parameters, types)


def cross_validated(
    measured: Measured, folds: int = 5, seed: int = 0, fixed: Mapping[str, float] = NOTHING
) -> tuple[Floats, Floats]:
    """The parameters fitted on all models, and what each model is predicted to take by a fit without it."""
    count = len(measured.models)
    everything = fit(measured, range(count), fixed=fixed)
    left_out = np.full(measured.latency_ms.shape, np.nan)
    order = np.random.default_rng(seed).permutation(count)
    for number in range(folds):
        held = order[number::folds]
        others = [row for row in range(count) if row not in set(held.tolist())]
        left_out[held] = predicted_ms(fit(measured, others, everything, 8, fixed), measured)[held]
    return everything, left_out
