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


def searched(holds: Callable[[float], bool | None], low: float, high: float) -> tuple[float, float]:
    """The last value found at which `holds` is as it is at `low`, and the first at which not, by halving the ratio.

    Where a value between them has no answer (None) the search ends early.
    """
    before = holds(low)
    while high / low > CLOSE:
        middle = _middle(low, high)
        found = holds(middle)
        if found is None:
            break
        if found == before:
            low = middle
        else:
            high = middle
    return low, high


def gaps(answers: int, ends: tuple[float, float] | None) -> str:
    """What a sentence adds where values have no result: how many sampled ones, and that the search ended at one."""
    text = f" {SAMPLES - answers} of the {SAMPLES} values over the range have no result." if answers < SAMPLES else ""
    if ends is not None and ends[1] / ends[0] > CLOSE:
        text += f" It is told no closer, because {_middle(*ends):.4g} between them has no result."
    return text


def _middle(low: float, high: float) -> float:
    return float(f"{math.sqrt(low * high):.9g}")
