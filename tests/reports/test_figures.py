"""Figures: made without global state, the same bytes each time, robust against any name."""

from dataclasses import replace

import pytest
from matplotlib import rcParams
from matplotlib.figure import Figure

from partita.errors import OutputError
from partita.graph.plan import Plan
from partita.reports.figures import baselines_figure, figure_bytes, timeline_figure
from partita.simulator.timeline import Counter
from tests.reports.plans import long_plan, mobile_plan, plan_of, timeline_of

STARTS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def drawn(plan: Plan) -> Figure:
    return timeline_figure(plan, timeline_of(plan))


@pytest.mark.parametrize("suffix", STARTS)
def test_the_same_plan_gives_the_same_bytes(suffix: str) -> None:
    plan = mobile_plan()
    first = figure_bytes(drawn(plan), suffix)
    assert first.startswith(STARTS[suffix])
    assert first == figure_bytes(drawn(plan), suffix)


def test_a_vector_figure_bears_no_date() -> None:
    assert b"<dc:date>" not in figure_bytes(drawn(mobile_plan()), ".svg")
    assert b"/CreationDate" not in figure_bytes(drawn(mobile_plan()), ".pdf")


def test_drawing_leaves_the_settings_of_matplotlib_alone() -> None:
    before = dict(rcParams)
    figure_bytes(drawn(mobile_plan()), ".svg")
    assert dict(rcParams) == before


def test_operators_are_labelled_by_type_where_there_is_room() -> None:
    texts = [text.get_text() for text in drawn(mobile_plan()).axes[0].texts]
    assert "GridSample" in texts
    assert len(texts) < 38


def test_a_long_timeline_has_few_labels_and_stays_small() -> None:
    figure = drawn(long_plan(1_700))
    assert len(figure.axes[0].texts) < 100
    assert len(figure_bytes(figure, ".svg")) < 2_000_000


def test_names_with_formulas_unknown_letters_and_controls_are_drawn_as_text() -> None:
    hostile = "$\\frac{x$ 漢字 \x1b[2J"
    plan = plan_of([(hostile, "cpu", "", 900.0), ("Conv", "npu", "", 100.0)])
    titled = tuple(replace(baseline, title=hostile) for baseline in plan.baselines)
    plan = replace(plan, soc_name=hostile, baselines=titled)
    for figure in (drawn(plan), baselines_figure(plan)):
        assert figure_bytes(figure, ".png").startswith(STARTS[".png"])


def test_empty_plans_and_dark_pages_can_be_drawn() -> None:
    empty = plan_of([])
    assert figure_bytes(timeline_figure(empty, timeline_of(empty), dark=True), ".png")
    assert figure_bytes(baselines_figure(replace(empty, baselines=()), dark=True), ".png")


def test_baselines_are_sorted_and_the_plan_comes_first() -> None:
    axes = baselines_figure(mobile_plan()).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    widths = [bar.get_width() for bar in axes.patches]  # type: ignore[attr-defined]  # bars are Rectangles
    assert labels[0] == "This plan"
    assert widths == sorted(widths)


def test_an_unknown_suffix_is_refused() -> None:
    with pytest.raises(OutputError, match=r"'\.gif'; choose \.png, \.svg or \.pdf"):
        figure_bytes(drawn(mobile_plan()), ".gif")


def test_power_and_temperature_are_drawn_beneath_the_timeline() -> None:
    plan = mobile_plan()
    timeline = timeline_of(plan)
    counters = (
        Counter(name="temperature skin", unit="C", points=((0, 31.0), (1_000_000, 31.5))),
        Counter(name="power", unit="W", points=((0, 2.0),)),
        Counter(name="power npu", unit="W", points=((0, 1.5), (2_000_000, 0.5))),
    )
    figure = timeline_figure(plan, replace(timeline, counters=(*timeline.counters, *counters)))
    assert [axes.get_ylabel() for axes in figure.axes] == ["", "DRAM\nGB/s", "power\nW", "temperature\nC"]
    assert [len(axes.lines) for axes in figure.axes[2:]] == [2, 1]
