"""How good predictions are, group by group. Errors and shares are fractions: 0.05 is 5 %."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from partita.studies.validation.baseline import group_key
from partita.studies.validation.prediction import SHARE, Level, Prediction

CLOSE = 0.1
WITHIN_A_FACTOR = 2.0
WORST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rows of one unit, runtime, device, precision and level; `op_class` is empty for all classes together."""

    unit: str
    runtime: str
    device: str
    precision: str
    level: Level
    op_class: str
    rows: int
    in_sample: int
    """Rows on which the parameters were fitted too."""
    mape: float
    """Mean absolute error as a fraction of what was measured."""
    median_error: float
    within_10pct: float
    within_2x: float
    spearman: float | None
    """Rank correlation; None for fewer than two different values."""
    coverage_90: float
    """Share of the rows inside the interval that ought to hold 90 % of them."""
    interval_width: float
    """Median of (high - low) / predicted."""
    baseline_mape: float | None
    baseline_within_10pct: float | None
    mean_abs_error_points: float | None
    """Mean absolute error in percentage points where the rows are shares; None elsewhere."""
    bias: float
    """Median of predicted / measured, minus 1."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The groups of a table, the same by class of operator, and its worst rows."""

    groups: tuple[Group, ...]
    by_class: tuple[Group, ...]
    worst: tuple[Prediction, ...]
    """The same measurement, which a table may repeat from release to release or under several runtimes, once."""
    times: tuple[int, ...]
    """How many rows each of the worst stands for."""


def summarise(rows: Sequence[Prediction]) -> Summary:
    """Groups in the order in which the table has them, the worst rows by the factor between the two numbers."""
    worst = _distinct(sorted(rows, key=lambda row: -factor(row)))[:WORST]
    return Summary(
        groups=_grouped(rows, group_key, per_class=False),
        by_class=_grouped(rows, lambda row: (*group_key(row), row.op_class), per_class=True),
        worst=tuple(row for row, _ in worst),
        times=tuple(times for _, times in worst),
    )


def _distinct(rows: Iterable[Prediction]) -> list[tuple[Prediction, int]]:
    """The first of those that are the same to the last digit, with their count."""
    alike: dict[Hashable, list[Prediction]] = {}
    for row in rows:
        key = (row.level, row.unit, row.device, row.precision, row.op_class, row.measured, row.predicted)
        alike.setdefault(key, []).append(row)
    return [(same[0], len(same)) for same in alike.values()]


def factor(row: Prediction) -> float:
    """How many times the larger of measured and predicted is the smaller; at least 1."""
    return max(row.predicted / row.measured, row.measured / max(row.predicted, 1e-12))


def _grouped(
    rows: Iterable[Prediction], key: Callable[[Prediction], Hashable], *, per_class: bool
) -> tuple[Group, ...]:
    groups: dict[Hashable, list[Prediction]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return tuple(_group(members, members[0].op_class if per_class else "") for members in groups.values())


def _group(rows: Sequence[Prediction], op_class: str) -> Group:
    first = rows[0]
    errors = np.array([row.error for row in rows])
    with_baseline = [row for row in rows if row.baseline is not None]
    baseline = np.array([abs((row.baseline or 0.0) - row.measured) / row.measured for row in with_baseline])
    return Group(
        unit=first.unit,
        runtime=first.runtime,
        device=first.device,
        precision=first.precision,
        level=first.level,
        op_class=op_class,
        rows=len(rows),
        in_sample=sum(row.in_sample for row in rows),
        mape=float(errors.mean()),
        median_error=float(np.median(errors)),
        within_10pct=float((errors <= CLOSE).mean()),
        within_2x=float(np.mean([factor(row) <= WITHIN_A_FACTOR for row in rows])),
        spearman=rank_correlation([row.predicted for row in rows], [row.measured for row in rows]),
        coverage_90=float(np.mean([row.is_covered for row in rows])),
        interval_width=float(np.median([(row.high - row.low) / max(row.predicted, 1e-12) for row in rows])),
        baseline_mape=float(baseline.mean()) if with_baseline else None,
        baseline_within_10pct=float((baseline <= CLOSE).mean()) if with_baseline else None,
        mean_abs_error_points=_points(rows),
        bias=float(np.median([row.predicted / row.measured for row in rows])) - 1,
    )


def _points(rows: Sequence[Prediction]) -> float | None:
    """Mean |predicted - measured| in percentage points, of shares only."""
    if any(row.measure != SHARE for row in rows):
        return None
    return float(np.mean([100 * abs(row.predicted - row.measured) for row in rows]))


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Spearman's: the correlation of the ranks, equal values sharing the mean of theirs.

    >>> rank_correlation([1.0, 2.0, 3.0], [1.0, 4.0, 9.0])
    1.0
    """
    ranks = _ranks(a), _ranks(b)
    if len(a) < 2 or any(np.ptp(r) == 0 for r in ranks):
        return None
    return round(float(np.corrcoef(*ranks)[0, 1]), 9)


def _ranks(values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    _, inverse, counts = np.unique(np.asarray(values, float), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]
