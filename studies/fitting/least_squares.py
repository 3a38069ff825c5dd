"""Nonlinear least squares in numpy: Levenberg and Marquardt, with normal priors and a loss that forgives outliers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

STEP = 1e-5
"""Of a parameter's logarithm, for the derivatives."""
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-2, 1e-9, 1e9
SMALL = 1e-5
"""Stop when a step lowers the sum of squares by less than this share."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is known of the parameters beforehand: their logarithms are normal."""

    center: Vector
    deviation: Vector


def soft(residuals: Vector) -> Vector:
    """Residuals whose squares are 2 (sqrt(1 + r^2) - 1): small ones as they are, large ones count as |r| only.

    >>> round(float(soft(np.array([0.01]))[0]), 9)
    0.009999875
    """
    softened: Vector = np.sign(residuals) * np.sqrt(2 * (np.sqrt(1 + residuals**2) - 1))
    return softened


def softening(residuals: Vector) -> Vector:
    """Derivative of `soft`."""
    root = np.sqrt(1 + residuals**2)
    slope: Vector = np.sqrt((root + 1) / 2) / root
    return slope


def fitted(
    residuals_of: Callable[[Vector], Vector],
    prior: Prior,
    start: Vector | None = None,
    turns: int = 60,
    slopes_of: Callable[[Vector], NDArray[np.float64]] | None = None,
) -> Vector:
    """The parameters with the least sum of softened squares and squared distances from the prior; deterministic.

    `slopes_of` gives the derivatives of the residuals, [residuals, parameters]; without it they are differences.
    Source: Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", SIAM J. 11(2), 1963.
    """

    def whole(x: Vector) -> Vector:
        return np.concatenate([soft(residuals_of(x)), (x - prior.center) / prior.deviation])

    x = prior.center.copy() if start is None else start.copy()
    now, damping = whole(x), FIRST_DAMPING
    for _ in range(turns):
        if slopes_of is None:
            slopes = _slopes(whole, x, now)
        else:
            softened = softening(residuals_of(x))[:, None] * slopes_of(x)
            slopes = np.concatenate([softened, np.diag(1 / prior.deviation)])
        curvature, downhill = slopes.T @ slopes, slopes.T @ now
        before = float(now @ now)
        while damping < MOST_DAMPING:
            step = np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), -downhill)
            tried = whole(x + step)
            if float(tried @ tried) < before:
                break
            damping *= 4
        else:
            return x
        x, now, damping = x + step, tried, max(damping / 5, LEAST_DAMPING)
        if before - float(now @ now) < SMALL * before:
            return x
    return x


def _slopes(function: Callable[[Vector], Vector], x: Vector, at_x: Vector) -> NDArray[np.float64]:
    columns = []
    for i in range(len(x)):
        moved = x.copy()
        moved[i] += STEP
        columns.append((function(moved) - at_x) / STEP)
    return np.stack(columns, axis=1)
