"""A phone's CPU or GPU from ten measured models: the law of another chip, with a handful of factors of its own.

    latency = overall * (dense * D + windows * N + depthwise * W + rest * R + fixed * F)

D, N, W and R are what the other chip's law says of a model's plain convolutions and matrix products, of its
convolutions with windows (for which some runtimes have Winograd kernels), of its depthwise and grouped convolutions
and of its other kernels, F its fixed time per inference. Another runtime than the law's may want other parts.
Of all laws offered the one is taken that needs the least change to meet the measurements (least squares of errors and
of the factors' logarithms), or the laws' mean, to which each contributes the more the less change it needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from partita.devices import kernel_shape as ks
from partita.devices.kernel_shape import KernelShape
from partita.devices.laws.trees import Floats
from partita.errors import StudyError
from partita.studies.fitting.least_squares import Prior, fitted

OVERALL = 2.0
PARTS = {"dense": 0.3, "windows": 0.3, "depthwise": 0.3, "rest": 0.3, "fixed": 0.5}
"""Part -> deviation of its factor's logarithm: chips are anything apart overall, but alike in what is dear on them."""
ERROR = 0.05
"""Of a good prediction, as a logarithm."""
WORSE = 8.0
"""A law contributes e times less to the mean if its squared errors and changes are so much more."""
FEWEST = 3
TURNS = 15


@dataclass(frozen=True, slots=True, eq=False)
class Offered:
    """What a law says of models."""

    name: str
    """Of the law, with its cores."""
    parts_us: Floats
    """[models, parts]."""
    parts: Mapping[str, float] = field(default_factory=lambda: PARTS)
    """Name of each part -> deviation of its factor's logarithm."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A law of another chip, and the factors that make it this chip's."""

    law: str
    factors: Mapping[str, float]
    penalty: float
    """Sum of the squares of errors and changes."""


def parts_us(shapes: Sequence[KernelShape], times_us: Floats, fixed_us: float) -> Floats:
    """Those of PARTS, of one model."""
    windows = np.array([shape.kind == ks.CONV and shape.taps > 1 for shape in shapes])
    dense = np.array([shape.kind in (ks.CONV, ks.GEMM) for shape in shapes]) & ~windows
    depthwise = np.array([shape.kind in (ks.DEPTHWISE, ks.GROUPED) for shape in shapes])
    known = np.nan_to_num(times_us)
    rest = ~(dense | windows | depthwise)
    return np.array([*(known[each].sum() for each in (dense, windows, depthwise, rest)), fixed_us])


def transferred(laws: Sequence[Offered], rows: Sequence[int], latency_us: Floats) -> Transfer:
    """The law that fits the models `rows` best, the first of equals; `latency_us` are theirs."""
    return min(_each(laws, rows, latency_us), key=lambda each: each.penalty)


def mean_us(laws: Sequence[Offered], rows: Sequence[int], latency_us: Floats) -> Floats:
    """Latency of every model: the geometric mean of all laws, fitted to the models `rows`, by how well each fits."""
    found = _each(laws, rows, latency_us)
    penalties = np.array([each.penalty for each in found])
    weights = np.exp((penalties.min() - penalties) / WORSE)
    logs = np.log([predicted_us(each, law) for each, law in zip(found, laws, strict=True)])
    result: Floats = np.exp(weights @ logs / weights.sum())
    return result


def _each(laws: Sequence[Offered], rows: Sequence[int], latency_us: Floats) -> list[Transfer]:
    if len(rows) < FEWEST:
        raise StudyError(f"{len(rows)} measured models are too few for these factors; measure {FEWEST} or more")
    if not laws:
        raise StudyError("no law of another chip is offered")
    return [_fit(law, rows, latency_us) for law in laws]


def predicted_us(transfer: Transfer, law: Offered) -> Floats:
    """Latency of every model of the law."""
    return _latency_us(np.log(list(transfer.factors.values())), law.parts_us)


def _fit(law: Offered, rows: Sequence[int], latency_us: Floats) -> Transfer:
    parts, measured = law.parts_us[list(rows)], np.log(latency_us)
    deviation = np.array([OVERALL, *law.parts.values()])
    center = np.zeros(len(deviation))
    center[0] = float(np.median(measured - np.log(parts.sum(axis=1))))

    def residuals(x: Floats) -> Floats:
        return (np.log(_latency_us(x, parts)) - measured) / ERROR

    x = fitted(residuals, Prior(center, deviation), turns=TURNS)
    errors, distance = residuals(x), (x - center) / deviation
    return Transfer(
        law=law.name,
        factors=dict(zip(("overall", *law.parts), np.exp(x).tolist(), strict=True)),
        penalty=float(errors @ errors + distance @ distance),
    )


def _latency_us(x: Floats, parts: Floats) -> Floats:
    factors = np.exp(x)
    result: Floats = factors[0] * (parts @ factors[1:])
    return result
