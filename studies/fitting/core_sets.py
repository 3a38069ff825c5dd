"""Fits what each set of cores does otherwise than the law of the pool: a few factors of a set, drawn towards one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from partita.devices.laws import core_sets
from partita.devices.laws.parameters import unpack
from partita.devices.laws.thread_pool import fixed_us
from partita.devices.laws.trees import Floats
from partita.studies.fitting.pool_slopes import times_us
from partita.units import US_PER_MS

if TYPE_CHECKING:
    from partita.studies.fitting.cpu import Measured

COEFFICIENTS = len(core_sets.GROUPS) * len(core_sets.TERMS)
"""Of a set of cores."""
OF_LEVEL, OF_SIZE = 0.2, 0.12
"""Standard deviations of a group's level, and of its slopes, around none."""
ERROR = 0.04
"""Of a latency, as a logarithm, that these factors cannot explain."""
OUTLIER = 0.05
"""Error from which on a model weighs less."""
TURNS = 3


def fit(measured: "Measured", rows: Sequence[int], vector: Floats) -> Floats:
    """[sets of cores, coefficients]: those that meet the models `rows` best, on top of the pool's law `vector`."""
    times = times_us(measured, unpack(vector, measured.types))
    terms = core_sets.terms(measured.kernels)
    counts, latency_us = measured.counts[list(rows)], measured.latency_ms[list(rows)] * US_PER_MS
    sets = zip(times, _fixed_us(measured, vector), latency_us.T, strict=True)
    return np.stack([_of_set(terms, time - fixed, counts, fixed, column) for time, fixed, column in sets])


def predicted_ms(measured: "Measured", vector: Floats, coefficients: Floats) -> Floats:
    """[models, sets of cores] by the law of the pool and the factors of the sets."""
    fixed = _fixed_us(measured, vector)[:, None]
    work_us = times_us(measured, unpack(vector, measured.types)) - fixed
    kernels_us = fixed + work_us * np.exp(coefficients @ core_sets.terms(measured.kernels))
    result: Floats = measured.counts @ kernels_us.T / US_PER_MS
    return result


def _fixed_us(measured: "Measured", vector: Floats) -> Floats:
    """Of each set of cores."""
    parameters = unpack(vector, measured.types)
    return np.array([fixed_us(parameters, measured.types, cores) for cores in measured.cores])


def _of_set(terms: Floats, work_us: Floats, counts: Floats, fixed: float, latency_us: Floats) -> Floats:
    """Ridge regression of the logarithms of latencies, in a few turns: the terms' shares follow the factors."""
    deviation = np.where(np.arange(len(terms)) % len(core_sets.TERMS) == 0, OF_LEVEL, OF_SIZE)
    known = np.isfinite(latency_us)
    counts, measured = counts[known], np.log(latency_us[known])
    found: Floats = np.zeros(len(terms))
    for _ in range(TURNS):
        now_us = work_us * np.exp(found @ terms)
        total_us = counts @ (now_us + fixed)
        errors = measured - np.log(total_us)
        shares = (counts @ (now_us * terms).T) / total_us[:, None]
        weights = 1 / np.sqrt(1 + (errors / OUTLIER) ** 2) / ERROR**2
        weighted = shares.T * weights
        curvature = weighted @ shares + np.diag(deviation**-2)
        found = np.linalg.solve(curvature, weighted @ (errors + shares @ found)).astype(np.float64)
    return found
