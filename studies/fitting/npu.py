"""Fits the law of accelerators (`devices.npu_law`) to whole models: AI Hub's on Hexagon, the RKNN zoo's on the RK3588.

Every model counts once per precision: the median over the runtimes that leave all of it to the NPU. Errors are
cross-validated by model, all precisions of a model held out together.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from partita.devices import Soc
from partita.graph.plan import Location
from partita.graph.quantisation import SCHEMES
from partita.studies.fitting.intervals import quantile, spread
from partita.studies.fitting.least_squares import fitted
from partita.studies.fitting.npu_law import Priors, Stack, predicted_us
from partita.studies.fitting.npu_samples import Border, Sample, sample_of
from partita.studies.validation.aihub_rows import AihubRow, lines, why_out_of_line
from partita.studies.validation.models import graph_of, model_path
from partita.studies.validation.table import Progress
from partita.studies.validation.tables.aihub import DTYPE_OF

Array = NDArray[np.float64]

DTYPES = tuple(DTYPE_OF.values())
RUNTIMES = ("qnn_dlc", "qnn", "tflite")
"""Those that add nothing of their own to what the NPU takes."""
AS_IT_IS = ("qnn_dlc", "qnn")
"""Those that leave a quantised model's operators as they are, the newer first: TensorFlow Lite's divides no images."""
NOISE = 0.07
"""Deviation of a logarithm that neither the law nor the measurement can do better than; residuals count in it."""
POOLED = 15
"""So many networks of a dtype count as much as the shape of all dtypes' errors together: as many as w8a16 has."""
WEIGHT_OF = {"float16": 1.0, "int8": 0.6, "w8a16": 0.6}
"""Quantised runs scatter more: runtimes differ by up to 2x in what they do with one model."""


@dataclass(frozen=True)
class Data:
    """The measured models, by dtype."""

    stacks: tuple[Stack, ...]
    log_us: tuple[Array, ...]
    """Logarithm of the measured time, per stack and model."""

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(sorted({model for stack in self.stacks for model in stack.models}))


def measured_us(
    rows: Iterable[AihubRow], device: str, runtimes: Sequence[str] = RUNTIMES
) -> dict[tuple[str, str], float]:
    """(model, dtype) -> the median over the runtimes of what ran whole on the NPU and is in line."""
    rows = tuple(rows)
    known = lines(rows)
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        dtype = DTYPE_OF.get(row.precision)
        if dtype is None or row.device != device or row.runtime not in runtimes or row.component:
            continue
        if row.units == "NPU" and not why_out_of_line(row, known):
            found.setdefault((row.model, dtype), {})[row.runtime] = row.time_us
    return {key: _one_us(key[1], times) for key, times in found.items() if _one_us(key[1], times)}


def _one_us(dtype: str, times_us: Mapping[str, float]) -> float:
    """The median over the runtimes; of a quantised model what the newest one takes that leaves it as it is, else 0."""
    if dtype in SCHEMES:
        return next((times_us[runtime] for runtime in AS_IT_IS if runtime in times_us), 0.0)
    return float(np.exp(np.median(np.log(list(times_us.values())))))


def gathered(
    measured: Mapping[tuple[str, str], float],
    models: Path,
    soc: Soc,
    unit: str,
    progress: Progress,
    *,
    borders: bool = True,
) -> Data:
    """The measured models of which the folder has a graph that the unit takes whole.

    Without `borders` the times are those of the unit alone, without the way of inputs and outputs.
    """
    samples: dict[str, list[Sample]] = {}
    for model, dtype in sorted(measured):
        path = model_path(models, model)
        if path is None:
            continue
        progress(f"{model} in {dtype}")
        sample = sample_of(model, *graph_of(path), soc, Location(unit, dtype))
        if sample is not None:
            samples.setdefault(dtype, []).append(sample if borders else replace(sample, border=Border()))
    stacks = tuple(Stack(samples[dtype]) for dtype in DTYPES if dtype in samples)
    return Data(stacks, tuple(np.log([measured[m, s.dtype] for m in s.models]) for s in stacks))


def fit(data: Data, priors: Priors, held_out: frozenset[str] = frozenset()) -> Array:
    """Logarithms of the parameters, fitted to all models but those held out."""
    kept = [np.array([model not in held_out for model in stack.models]) for stack in data.stacks]

    def residuals(x: Array) -> Array:
        p = priors.named(x)
        parts = [
            (np.log(predicted_us(stack, p)) - log_us)[keep] / NOISE * WEIGHT_OF[stack.dtype]
            for stack, log_us, keep in zip(data.stacks, data.log_us, kept, strict=True)
        ]
        return np.concatenate(parts)

    return fitted(residuals, priors.prior)


Errors = dict[str, dict[str, float]]
"""dtype -> model -> predicted over measured, minus 1."""


def errors(data: Data, p: Mapping[str, float]) -> Errors:
    return {
        stack.dtype: dict(zip(stack.models, map(float, predicted_us(stack, p) / np.exp(log_us) - 1), strict=True))
        for stack, log_us in zip(data.stacks, data.log_us, strict=True)
    }


def cross_validated(data: Data, priors: Priors, families: Mapping[str, str] = {}) -> Errors:
    """The error of each model by parameters fitted without it, and without those of its family, from the priors on.

    A fit that begins at the parameters of all models knows a little of the one that it leaves out.
    """
    found: Errors = {stack.dtype: {} for stack in data.stacks}
    for model in data.models:
        family = families.get(model, model)
        out = frozenset(m for m in data.models if families.get(m, m) == family)
        left = errors(data, priors.named(fit(data, priors, out)))
        for dtype, by_model in left.items():
            if model in by_model:
                found[dtype][model] = by_model[model]
    return found


def median_error(found: Mapping[str, float]) -> float:
    return float(np.median(np.abs(list(found.values()))))


def spreads(found: Errors) -> dict[str, float]:
    """By dtype the factor either way that holds nine of ten networks that were left out; the tail is that of all."""
    logs = {dtype: np.abs(np.log1p(np.array(list(by_model.values())))) for dtype, by_model in found.items()}
    tail = quantile(np.concatenate([sizes / max(float(np.median(sizes)), 1e-9) for sizes in logs.values()]))
    return {dtype: spread(sizes, tail, POOLED) for dtype, sizes in logs.items()}


def within(found: Mapping[str, float], error: float) -> float:
    """Share of the models that are off by no more than that."""
    return float(np.mean(np.abs(list(found.values())) <= error))


def within_a_factor(found: Mapping[str, float], factor: float = 2.0) -> float:
    ratios = 1 + np.array(list(found.values()))
    return float(np.mean((ratios < factor) & (ratios > 1 / factor)))
