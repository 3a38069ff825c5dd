"""Predicted against measured, a picture for each unit of a table and for each kind of figure."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from partita.reports.scatter import Points, save_scatter
from partita.studies.validation.prediction import Prediction
from partita.studies.validation.validate import Validation

IMAGES = "images"
OTHERS = "others"
MOST_SERIES = 24
"""The largest ones; the rest is one series."""


def save_pictures(validation: Validation, folder: Path) -> Iterator[tuple[str, str]]:
    """Writes the pictures; title and path from the folder of each."""
    kinds: dict[tuple[str, str], list[Prediction]] = {}
    for row in validation.predictions:
        kinds.setdefault((row.unit, row.measure), []).append(row)
    units = [unit for unit, _ in kinds]
    (folder / IMAGES).mkdir(exist_ok=True)
    for (unit, measure), rows in kinds.items():
        kind = f"{unit}-{measure}" if units.count(unit) > 1 else unit
        name = f"{IMAGES}/fidelity-{validation.table.name}-{re.sub('[^a-z0-9]+', '-', kind.lower())}.png"
        title = f"{validation.table.name}: {unit}"
        save_scatter(folder / name, title, _series(rows), measure)
        yield title, name


def chip_of(device: str) -> str:
    """The chip where the device names one, without a set of cores.

    >>> chip_of("Google Pixel 4, Snapdragon 855, 1large2med")
    'Snapdragon 855'
    """
    return device.split(", ")[1] if ", " in device else device.partition(" (")[0]


def _series(rows: list[Prediction]) -> dict[str, Points]:
    """Points by chip and precision, by runtime where those are one or too many; all but the largest together."""
    by_chip = _grouped(rows, lambda row: f"{chip_of(row.device)} {row.precision}")
    if 1 < len(by_chip) <= MOST_SERIES:
        return by_chip
    series = _grouped(rows, lambda row: f"{row.runtime} {row.precision}")
    if len(series) <= MOST_SERIES:
        return series
    largest = sorted(series, key=lambda name: -len(series[name]))[: MOST_SERIES - 1]
    kept = {name: points for name, points in series.items() if name in largest}
    kept[OTHERS] = [point for name, points in series.items() if name not in largest for point in points]
    return kept


def _grouped(rows: list[Prediction], name: Callable[[Prediction], str]) -> dict[str, Points]:
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        series.setdefault(name(row).strip(), []).append((row.measured, row.predicted))
    return dict(series)
