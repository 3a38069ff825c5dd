import numpy as np
import pytest

from partita.errors import StudyError
from partita.studies.validation.baseline import left_out_lines, with_baselines
from partita.studies.validation.summary import rank_correlation, summarise
from partita.studies.validation.why import guess
from tests.studies.rows import row


def test_errors_are_shares_of_what_was_measured() -> None:
    (group,) = summarise([row(100, 105), row(100, 80), row(100, 260), row(100, 100)]).groups
    assert group.mape == pytest.approx((0.05 + 0.2 + 1.6 + 0) / 4)
    assert group.median_error == pytest.approx(0.125)
    assert (group.within_10pct, group.within_2x) == (0.5, 0.75)
    assert group.coverage_90 == 0.5


def test_a_prediction_of_half_the_time_is_still_within_a_factor_of_two() -> None:
    (group,) = summarise([row(100, 50), row(100, 49), row(100, 200), row(100, 201)]).groups
    assert group.within_2x == 0.5


def test_rows_of_another_device_precision_or_level_are_another_group() -> None:
    rows = [row(), row(device="other"), row(precision="int8"), row(level="op"), row(op_class="gemm")]
    summary = summarise(rows)
    assert [group.rows for group in summary.groups] == [2, 1, 1, 1]
    assert len(summary.by_class) == 5


def test_the_worst_rows_are_those_off_by_the_largest_factor_either_way() -> None:
    rows = [row(100, 100 + i) for i in range(12)] + [row(100, 10, name="slow"), row(100, 500, name="fast")]
    worst = summarise(rows).worst
    assert [r.name for r in worst[:2]] == ["slow", "fast"]
    assert len(worst) == 10


def test_a_measurement_that_a_table_repeats_is_among_the_worst_once_with_its_count() -> None:
    rows = [row(100, 10, name="net a"), row(100, 10, name="net b"), row(100, 10, device="other"), row(100, 50)]
    summary = summarise(rows)
    assert [r.name for r in summary.worst] == ["net a", "net", "net"]
    assert summary.times == (2, 1, 1)
    assert summary.groups[0].rows == 3


def test_equal_values_share_a_rank() -> None:
    assert rank_correlation([1, 2, 2, 3], [1, 2, 2, 3]) == 1
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == -1
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None
    assert rank_correlation([1], [1]) is None


def test_the_baseline_of_a_row_does_not_see_the_row() -> None:
    rng = np.random.default_rng(0)
    work = rng.uniform(1, 9, 8)
    measured = 2 + 3 * work + rng.normal(0, 0.3, 8)
    lines = left_out_lines(work, measured)
    for i in range(8):
        others = np.arange(8) != i
        weighted = np.stack([1 / measured[others], work[others] / measured[others]], axis=1)
        a, b = np.linalg.lstsq(weighted, np.ones(7), rcond=None)[0]
        assert lines[i] == pytest.approx(a + b * work[i])


def test_a_baseline_that_a_table_brings_along_is_kept() -> None:
    rows = [row(10 + i, work=1e9 * i, baseline=7.0 if i == 0 else None) for i in range(6)]
    filled = with_baselines(rows)
    assert filled[0].baseline == 7.0
    assert all(r.baseline == pytest.approx(r.measured) for r in filled[1:])
    assert with_baselines([row(work=1e9), row(work=2e9)])[0].baseline is None


def test_an_interval_that_does_not_hold_the_prediction_is_refused() -> None:
    with pytest.raises(StudyError, match="low <= predicted"):
        row(10, 10, low=11)
    with pytest.raises(StudyError, match="measurement must be above 0"):
        row(0)


def test_a_guess_says_whether_the_others_are_off_too() -> None:
    off = row(10, 20, device="a")
    assert "other devices" in guess(off, [off, row(10, 21, device="b"), row(10, 22, device="c")])
    assert "all of real CNN" in guess(off, [off, *(row(10, 19, device="a", name=str(i)) for i in range(4))])
    assert "right on the other devices" in guess(off, [off, row(10, 10, device="b"), row(10, 10, device="c")])
    assert "roofline" in guess(row(10, 20, evidence="roofline"), [])
