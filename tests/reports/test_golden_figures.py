"""Figures against pictures that people have looked at: `tests/data/figures`, renewed by `pytest --update-golden`.

The tolerance lets another version of the font renderer move edges by a shade, and nothing else.
"""

import io
from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from partita.reports import charts
from partita.reports.chart_rows import depth_rows
from partita.reports.figures import baselines_figure, figure_bytes, timeline_figure
from tests.reports.plans import mobile_plan, timeline_of

FOLDER = Path(__file__).parents[1] / "data/figures"
DOTS_PER_INCH = 40
TOLERANCE = 0.02
"""Root of the mean square of the difference, where white against black is 1."""


def roofline() -> Figure:
    roofs = [
        charts.Roof(title=kind.upper(), kind=kind, peak_gop_per_s=peak, bandwidth_gb_per_s=20)
        for kind, peak in (("cpu", 150), ("gpu", 900), ("npu", 9000))
    ]
    points = []
    for i in range(12):
        roof, ops, dram_bytes = roofs[i % 3], 2e7 * (i + 1), 2e5 * (1 + i * i)
        alone_us = max(ops / roof.peak_gop_per_s, dram_bytes / roof.bandwidth_gb_per_s) / 1e3
        points.append(charts.RoofPoint(roof=i % 3, ops=ops, dram_bytes=dram_bytes, latency_us=(1 + i % 4) * alone_us))
    return charts.roofline_chart(roofs, points, "Roofline")


def tornado() -> Figure:
    swings = [charts.Swing(name=f"npu.call_us {i}", at_low=17 - i, at_high=17 + i / 2) for i in range(5)]
    return charts.tornado_chart(17, [*swings, charts.Swing(name="same side", at_low=14, at_high=12)], "Tornado", "ms")


def pareto() -> Figure:
    choices = [charts.Choice(name=f"plan {i}", x=10 + i + i % 3, y=40 / (1 + i) + i % 2 * 4) for i in range(9)]
    return charts.pareto_chart(choices, "Pareto", ("latency, ms", "energy, mJ"), dark=True)


def heat() -> Figure:
    values = tuple(tuple(3 + c / (r + 1) for c in range(6)) for r in range(3))
    grid = charts.Grid(
        row_title="GB/s", column_title="call, us", rows=("20", "40", "80"), columns=tuple("abcdef"), values=values,
        unit="ms",
    )  # fmt: skip
    return charts.heat_map(grid, "Heat map")


FIGURES: dict[str, Callable[[], Figure]] = {
    "timeline": lambda: timeline_figure(mobile_plan(), timeline_of(mobile_plan())),
    "timeline_dark": lambda: timeline_figure(mobile_plan(), timeline_of(mobile_plan()), dark=True),
    "baselines": lambda: baselines_figure(mobile_plan()),
    "depth": lambda: charts.depth_chart(depth_rows(mobile_plan()), "Depth"),
    "roofline": roofline,
    "tornado": tornado,
    "pareto": pareto,
    "heat": heat,
}


def pixels(png: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return matplotlib.image.imread(io.BytesIO(png), format="png")[..., :3]


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_looks_as_it_did(name: str, request: pytest.FixtureRequest) -> None:
    figure = FIGURES[name]()
    figure.set_dpi(DOTS_PER_INCH)
    png, golden = figure_bytes(figure, ".png"), FOLDER / f"{name}.png"
    if request.config.getoption("--update-golden"):
        golden.write_bytes(png)
    drawn, expected = pixels(png), pixels(golden.read_bytes())
    assert drawn.shape == expected.shape
    difference = float(np.sqrt(np.mean((drawn - expected) ** 2)))
    assert difference <= TOLERANCE, f"{name} differs by {difference:.3f}; look at it, then renew it"
