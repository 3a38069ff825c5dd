"""Charts over plain tables: what they show is what the rows say, and any name is drawn as text."""

import math

import numpy as np
import pytest

from partita.devices import load_soc
from partita.graph.build import GraphBuilder
from partita.partitioner import partition
from partita.reports.chart_rows import depth_rows, roofline_rows
from partita.reports.charts import (
    Choice,
    Grid,
    Roof,
    RoofPoint,
    Share,
    Swing,
    depth_chart,
    heat_map,
    pareto_chart,
    pareto_front,
    roofline_chart,
    tornado_chart,
)
from partita.reports.figures import figure_bytes
from tests.reports.plans import mobile_plan

HOSTILE = "$\\frac{x$ 漢字 \x1b[2J"


def test_kernels_of_a_real_plan_stay_below_the_peak_of_their_unit() -> None:
    b = GraphBuilder("roof")
    x = b.input("x", "float32", (1, 64, 56, 56))
    weight = b.missing("w", "float32", (64, 64, 3, 3))
    b.output(b.node("Relu", b.node("Conv", x, weight, kernel_shape=(3, 3), pads=(1, 1, 1, 1))))
    plan = partition(b.build(), load_soc("sd855-tflite"))
    roofs, points = roofline_rows(plan)
    assert [roof.kind for roof in roofs] == ["cpu", "gpu"]
    conv = max(points, key=lambda point: point.ops)
    assert conv.ops == pytest.approx(2 * 64 * 64 * 9 * 56 * 56, rel=0.01)
    for point in points:
        speed_gop_per_s = point.ops / point.latency_us / 1e3
        assert speed_gop_per_s <= roofs[point.roof].peak_gop_per_s


def test_a_roofline_has_a_panel_for_each_unit_and_leaves_out_what_moves_nothing() -> None:
    roofs = [Roof(title=k, kind=k, peak_gop_per_s=100, bandwidth_gb_per_s=10) for k in ("cpu", "npu")]
    points = [RoofPoint(roof=1, ops=1e6, dram_bytes=b, latency_us=50) for b in (1e5, 0.0)]
    figure = roofline_chart(roofs, points, "t")
    assert len(figure.axes) == 2
    drawn = [np.asarray(axes.collections[0].get_offsets()).tolist() for axes in figure.axes]
    assert drawn[0] == []
    assert drawn[1] == [pytest.approx([10.0, 20.0])]


def test_the_widest_bar_of_a_tornado_is_on_top() -> None:
    swings = [Swing(name="a", at_low=9, at_high=11), Swing(name="b", at_low=4, at_high=5)]
    labels = [text.get_text() for text in tornado_chart(10, swings, "t", "ms").axes[0].get_yticklabels()]
    assert labels == ["b", "a"]


def test_the_front_holds_what_nothing_beats() -> None:
    choices = [
        Choice(name=n, x=x, y=y) for n, x, y in (("a", 1, 9), ("b", 2, 9), ("c", 3, 4), ("d", 3, 5), ("e", 9, 4))
    ]
    assert [choice.name for choice in pareto_front(choices)] == ["a", "c"]


def test_cells_without_a_value_stay_empty() -> None:
    grid = Grid(
        row_title="r", column_title="c", rows=("1", "2"), columns=("x",), values=((1.0,), (math.nan,)), unit="ms"
    )
    assert [text.get_text() for text in heat_map(grid, "t").axes[0].texts] == ["1.00"]


def test_shares_by_depth_fill_every_stripe() -> None:
    rows = depth_rows(mobile_plan())
    total = sum(row.share * (row.end - row.start) for row in rows)
    assert total == pytest.approx(1.0)
    assert {row.title for row in rows} == {"CPU", "GPU", "NPU"}


@pytest.mark.parametrize("dark", [False, True])
def test_empty_tables_and_hostile_names_have_pictures(dark: bool) -> None:
    grid = Grid(row_title=HOSTILE, column_title=HOSTILE, rows=(HOSTILE,), columns=(HOSTILE,), values=((1.0,),), unit="")
    figures = [
        roofline_chart([Roof(title=HOSTILE, kind="x", peak_gop_per_s=1, bandwidth_gb_per_s=1)], [], "", dark=dark),
        tornado_chart(1.0, [Swing(name=HOSTILE, at_low=1, at_high=2)], HOSTILE, HOSTILE, dark=dark),
        tornado_chart(1.0, [], "none", "ms", dark=dark),
        pareto_chart([Choice(name=HOSTILE, x=1, y=1)], HOSTILE, (HOSTILE, "y"), dark=dark),
        heat_map(grid, HOSTILE, dark=dark),
        depth_chart([Share(start=0, end=1, kind="cpu", title=HOSTILE, share=1)], HOSTILE, dark=dark),
    ]
    for figure in figures:
        figure.set_dpi(40)
        assert figure_bytes(figure, ".png").startswith(b"\x89PNG")
