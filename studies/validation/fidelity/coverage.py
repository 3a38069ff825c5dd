"""Whether intervals hold what they say: the share of rows inside the one that ought to hold 90 % of them."""

from collections.abc import Iterator, Sequence

import numpy as np

from partita.studies.validation.fidelity.left_out import records
from partita.studies.validation.prediction import Prediction
from partita.studies.validation.report import percent
from partita.studies.validation.validate import Validation

HONEST = (0.85, 0.95)


def table(done: Sequence[Validation]) -> Iterator[str]:
    """Markdown lines: by table, unit and precision, rows that were fitted on apart from those that were not."""
    yield "| table | unit | precision | rows | inside | usual width | |"
    yield "|---|---|---|---|---|---|---|"
    for validation in done:
        groups: dict[tuple[str, str, bool], list[Prediction]] = {}
        for row in validation.predictions:
            groups.setdefault((row.unit, row.precision, row.in_sample), []).append(row)
        for (unit, precision, in_sample), rows in groups.items():
            yield _line(f"{validation.table.name}{', in sample' if in_sample else ''}", unit, precision, rows)
    yield ""


def _line(name: str, unit: str, precision: str, rows: Sequence[Prediction]) -> str:
    inside = float(np.mean([row.is_covered for row in rows]))
    width = float(np.median([row.high / max(row.low, 1e-12) for row in rows])) ** 0.5
    low, high = HONEST
    verdict = "" if low <= inside <= high else "too narrow" if inside < low else "too wide"
    return f"| {name} | {unit} | {precision} | {len(rows)} | {percent(inside)} | x/÷ {width:.2f} | {verdict} |"


def of_left_out() -> str:
    """One sentence on the fits that recorded it."""
    shares = [record.coverage for record in records() if record.coverage is not None]
    outside = sum(not HONEST[0] <= share <= HONEST[1] for share in shares)
    return (
        f"Of {len(shares)} fits that recorded it, {len(shares) - outside} hold 85 to 95 % of their left-out "
        f"measurements, from {percent(min(shares))} to {percent(max(shares))}."
    )
