"""The naive baseline: a straight line through latency over work, fitted to a group with the row itself left out."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from partita.studies.validation.prediction import Prediction

FEWEST_ROWS = 4
"""A line through fewer points says nothing."""

GroupKey = tuple[str, str, str, str, str]


def group_key(row: Prediction) -> GroupKey:
    """What rows must have in common to be one group of the summary."""
    return row.level, row.unit, row.runtime, row.device, row.precision


def with_baselines(rows: Sequence[Prediction]) -> tuple[Prediction, ...]:
    """The rows, those that know their work and no baseline with one.

    The line goes through the other measurements of the row's own group, so the baseline sees data that the
    predictions do not: its error is what FLOPs can do at best.
    """
    groups: dict[GroupKey, list[int]] = {}
    for index, row in enumerate(rows):
        if row.baseline is None and row.work is not None:
            groups.setdefault(group_key(row), []).append(index)
    result = list(rows)
    for members in groups.values():
        if len(members) < FEWEST_ROWS:
            continue
        lines = left_out_lines([rows[i].work or 0.0 for i in members], [rows[i].measured for i in members])
        for i, baseline in zip(members, lines, strict=True):
            result[i] = replace(rows[i], baseline=float(baseline))
    return tuple(result)


def left_out_lines(work: Iterable[float], measured: Iterable[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """For each point what the line through all others says, in relative least squares, never below 0.

    Source: leave-one-out residuals of a linear fit, e / (1 - leverage).
    """
    x, y = np.asarray(list(work), float), np.asarray(list(measured), float)
    design = np.stack([1 / y, x / y], axis=1)  # relative errors: every row counts alike
    scale = np.abs(design).max(axis=0)
    scale[scale == 0] = 1.0
    design = design / scale
    inverse = np.linalg.pinv(design.T @ design)
    fitted = design @ (inverse @ (design.T @ np.ones_like(y)))
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    left_out = 1 - (1 - fitted) / np.maximum(1 - leverage, 1e-9)
    return np.maximum(left_out * y, 0.0)
