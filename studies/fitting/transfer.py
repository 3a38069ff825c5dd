"""A phone's CPU or GPU from ten measured models: the law of another chip, with a handful of factors of its own.

    latency = overall * (dense * D + windows * N + depthwise * W + rest * R + fixed * F)

D, N, W and R are what the other chip's law says of a model's plain convolutions and matrix products, of its
convolutions with windows (for which some runtimes have Winograd kernels), of its depthwise and grouped convolutions
and of its other kernels, F its fixed time per inference. Of all laws offered the one is taken
that needs the least change to meet the measurements: least squares of errors and of the factors' logarithms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from partita.devices import kernel_shape as ks
from partita.devices.kernel_shape import KernelShape
from partita.devices.laws.trees import Floats
from partita.errors import StudyError
from partita.studies.fitting.least_squares import Prior, fitted

FACTORS = ("overall", "dense", "windows", "depthwise", "rest", "fixed")
DEVIATION = np.array([2.0, 0.3, 0.3, 0.3, 0.3, 0.5])
"""Of the factors' logarithms: chips are anything apart overall, but alike in what is dear on them."""
ERROR = 0.05
"""Of a good prediction, as a logarithm."""
FEWEST = 3
TURNS = 15


@dataclass(frozen=True, slots=True, eq=False)
class Offered:
    """What a law says of models."""

    name: str
    """Of the law, with its cores."""
    parts_us: Floats
    """[models, 5]: plain convolutions and products, those with windows, depthwise and grouped, others, fixed."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A law of another chip, and the factors that make it this chip's."""

    law: str
    factors: Mapping[str, float]
    spread: float
    """Factor by which the measured models are off: twice the root of the mean square of the logarithms."""
    penalty: float


def parts_us(shapes: Sequence[KernelShape], times_us: Floats, fixed_us: float) -> Floats:
    """The five parts of one model."""
    windows = np.array([shape.kind == ks.CONV and shape.taps > 1 for shape in shapes])
    dense = np.array([shape.kind in (ks.CONV, ks.GEMM) for shape in shapes]) & ~windows
    depthwise = np.array([shape.kind in (ks.DEPTHWISE, ks.GROUPED) for shape in shapes])
    known = np.nan_to_num(times_us)
    rest = ~(dense | windows | depthwise)
    return np.array([*(known[each].sum() for each in (dense, windows, depthwise, rest)), fixed_us])


def transferred(laws: Sequence[Offered], rows: Sequence[int], latency_us: Floats) -> Transfer:
    """The law that fits the models `rows` best, the first of equals; `latency_us` are theirs."""
    if len(rows) < FEWEST:
        raise StudyError(
            f"{len(rows)} measured models are too few for {len(FACTORS)} factors; measure {FEWEST} or more"
        )
    if not laws:
        raise StudyError("no law of another chip is offered")
    return min((_fit(law, rows, latency_us) for law in laws), key=lambda each: each.penalty)


def predicted_us(transfer: Transfer, law: Offered) -> Floats:
    """Latency of every model of the law."""
    return _latency_us(np.log([transfer.factors[name] for name in FACTORS]), law.parts_us)


def _fit(law: Offered, rows: Sequence[int], latency_us: Floats) -> Transfer:
    parts, measured = law.parts_us[list(rows)], np.log(latency_us)
    center = np.zeros(len(FACTORS))
    center[0] = float(np.median(measured - np.log(parts.sum(axis=1))))

    def residuals(x: Floats) -> Floats:
        return (np.log(_latency_us(x, parts)) - measured) / ERROR

    x = fitted(residuals, Prior(center, DEVIATION), turns=TURNS)
    errors, distance = residuals(x), (x - center) / DEVIATION
    return Transfer(
        law=law.name,
        factors=dict(zip(FACTORS, np.exp(x).tolist(), strict=True)),
        spread=float(np.exp(2 * ERROR * np.sqrt(np.mean(errors**2)))),
        penalty=float(errors @ errors + distance @ distance),
    )


def _latency_us(x: Floats, parts: Floats) -> Floats:
    factors = np.exp(x)
    result: Floats = factors[0] * (parts @ factors[1:])
    return result
