"""Predicted against measured, one plot per unit."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

Points = Sequence[tuple[float, float]]
"""Measured and predicted."""


def save_scatter(path: str | Path, title: str, points_by_series: Mapping[str, Points], measure: str) -> None:
    """Draws both on logarithmic axes, with the line of equality and the band of 10 %."""
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    axes = figure.subplots()
    everything = [value for points in points_by_series.values() for pair in points for value in pair if value > 0]
    ends = (min(everything) / 1.5, max(everything) * 1.5) if everything else (0.1, 10.0)
    axes.fill_between(ends, [0.9 * end for end in ends], [1.1 * end for end in ends], color="0.88", label="within 10 %")
    axes.plot(ends, ends, color="0.4", linewidth=0.8)
    for index, (name, points) in enumerate(points_by_series.items()):
        measured, predicted = zip(*points, strict=True) if points else ((), ())
        axes.plot(measured, predicted, ".", markersize=3, alpha=0.5, color=f"C{index % 10}", label=name)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, title=title)
    axes.set_xlabel(f"measured ({measure})")
    axes.set_ylabel(f"predicted ({measure})")
    axes.legend(fontsize=7, markerscale=3, loc="upper left")
    figure.savefig(path, dpi=110)
