"""Predicted against measured, one plot per unit."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

Points = Sequence[tuple[float, float]]
"""Measured and predicted."""

COLOURS = ("#0b6fb0", "#b35900", "#007d61", "#a84c82", "#7a6a00", "#3a2f8f", "#c0392b", "#5d6472")
"""Those of units and parts of pages, which stay apart for colour-blind readers, and two more."""
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
"""Each colour comes with every shape in turn, so `len(COLOURS) * len(MARKERS)` series can be told apart."""
MANY = 400
"""Points of a series that are drawn small."""
INSIDE = 8
"""More series than this have their names beside the picture."""

NARROW = 100.0
"""Axes that span less have their ticks at 1, 2 and 5 in plain numbers: with powers of ten alone they would have one."""


def style_of(index: int) -> tuple[str, str]:
    """Colour and shape of a series; no two of the first 56 are equal.

    >>> style_of(0) == style_of(8)
    False
    """
    turn, colour = divmod(index, len(COLOURS))
    return COLOURS[colour], MARKERS[turn % len(MARKERS)]


def save_scatter(path: str | Path, title: str, points_by_series: Mapping[str, Points], measure: str) -> None:
    """Draws both on logarithmic axes, with the line of equality and the band of 10 %."""
    is_crowded = len(points_by_series) > INSIDE
    figure = Figure(figsize=(8.8 if is_crowded else 6.4, 5.6), layout="constrained")
    axes = figure.subplots()
    everything = [value for points in points_by_series.values() for pair in points for value in pair if value > 0]
    ends = (min(everything) / 1.5, max(everything) * 1.5) if everything else (0.1, 10.0)
    axes.fill_between(ends, [0.9 * end for end in ends], [1.1 * end for end in ends], color="0.88", label="within 10 %")
    axes.plot(ends, ends, color="0.4", linewidth=0.8)
    for index, (name, points) in enumerate(points_by_series.items()):
        measured, predicted = zip(*points, strict=True) if points else ((), ())
        colour, marker = style_of(index)
        size = 2.2 if len(points) > MANY else 4.2
        axes.plot(measured, predicted, marker, markersize=size, alpha=0.55, color=colour, markeredgewidth=0, label=name)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, title=title)
    if ends[1] / ends[0] < NARROW:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"measured ({measure})")
    axes.set_ylabel(f"predicted ({measure})")
    if is_crowded:
        figure.legend(fontsize=7, markerscale=2, loc="outside right upper")
    else:
        axes.legend(fontsize=7, markerscale=2, loc="upper left")
    figure.savefig(path, dpi=110)
