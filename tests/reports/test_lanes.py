"""What the pictures are made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.reports.chip import chip_of
from partita.reports.depth import depths_of, stripes_of
from partita.reports.drawing import Picture
from partita.reports.lanes import arrows_of, envelope, lanes_of, ticks
from partita.simulator.timeline import Counter
from tests.reports.plans import Layer, layers, mobile_plan, plan_of, timeline_of

UNITS = ("cpu", "gpu", "npu")


def test_lanes_are_the_runtime_all_units_and_the_links_in_use() -> None:
    plan = plan_of([("Conv", "npu", "", 5.0)])
    titles = [lane.title for lane in lanes_of(chip_of(plan), timeline_of(plan))]
    assert titles == ["Runtime", "CPU", "GPU", "NPU", "CPU → NPU", "NPU → CPU"]


@given(layers())
def test_every_crossing_has_an_arrow_and_every_span_with_time_a_box(chain: list[Layer]) -> None:
    plan = plan_of(chain)
    timeline = timeline_of(plan)
    assert len(arrows_of(chip_of(plan), timeline)) == len(plan.transfers)
    boxes = [box for row in Picture(plan, chip_of(plan), timeline).rows for box in row.boxes]
    assert len(boxes) == sum(span.end_ns > span.start_ns for span in timeline.spans)


@given(layers())
def test_stripes_cover_the_whole_depth_and_shares_add_up(chain: list[Layer]) -> None:
    stripes = stripes_of(plan_of(chain), UNITS, columns=7)
    assert (stripes[0].start if stripes else 0.0) == 0.0
    assert (stripes[-1].end if stripes else 1.0) == 1.0
    for stripe in stripes:
        assert sum(share for _, share in stripe.shares) == pytest.approx(1)


def test_depth_counts_operators_on_the_longest_path() -> None:
    depth_of = depths_of(plan_of([("Conv", "npu", "", 1.0)] * 3))
    assert list(depth_of.values()) == [0, 1, 2]


@given(st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 90)), min_size=1, max_size=30), st.integers(1, 40))
def test_the_envelope_keeps_the_peak(points: list[tuple[int, float]], bins: int) -> None:
    times = sorted(dict(points).items())
    counter = Counter(name="dram", unit="GB/s", points=tuple(times))
    found = envelope(counter, times[-1][0] + 1, bins)
    assert len(found) == bins
    assert max(value for _, _, value in found) == max(value for _, value in times)


@given(st.floats(1e-4, 1e6))
def test_ticks_are_few_and_end_before_the_end(end: float) -> None:
    marks = ticks(end)
    assert 1 < len(marks) <= 9
    assert marks[0] == 0.0
    assert marks[-1] <= end * (1 + 1e-6)


def test_labels_are_shown_only_where_they_fit() -> None:
    plan = mobile_plan()
    rows = Picture(plan, chip_of(plan), timeline_of(plan)).rows
    labels = [label for row in rows for label in row.labels]
    assert {label.text for label in labels if label.fits} >= {"GridSample", "Transpose"}
    assert any(not label.fits for label in labels)
