"""The search for the value of a number at which something changes."""

import math
from collections.abc import Callable

from partita.studies.analyses.finding import Context
from partita.studies.change import Change
from partita.studies.points import Point
from partita.studies.study_file import Analysis

SAMPLES = 13
"""Values over the range, in equal ratios, beside those of the search."""
CLOSE = 1.01
"""The search ends when the value is known to within this factor."""


def sampled_values(analysis: Analysis) -> list[float]:
    """Those over the whole range that the search begins with."""
    ratio = analysis.high / analysis.low
    return [float(f"{analysis.low * ratio ** (i / (SAMPLES - 1)):.9g}") for i in range(SAMPLES)]


def at(ctx: Context, analysis: Analysis, value: float) -> Point:
    """The point of a value."""
    return Point(
        analysis.kind, ctx.model, ctx.soc, Change(set={analysis.path: value}), ((analysis.path, f"{value:.6g}"),)
    )


def searched(holds: Callable[[float], bool], low: float, high: float) -> tuple[float, float]:
    """The last value found at which `holds` is as it is at `low`, and the first at which not, by halving the ratio."""
    before = holds(low)
    while high / low > CLOSE:
        middle = float(f"{math.sqrt(low * high):.9g}")
        if holds(middle) == before:
            low = middle
        else:
            high = middle
    return low, high
