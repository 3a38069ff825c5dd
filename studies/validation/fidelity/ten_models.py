"""How well ten measured models tell a phone: every chip's rows by the laws of the other chips, a few factors fitted.

Two random draws of ten models for each set of cores and each precision; the error is that of the other models.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from partita.devices import load_soc
from partita.devices.kernel_shape import KernelShape, kernel_shape
from partita.devices.laws.law import kernel_times_us, law_file
from partita.devices.laws.trees import Floats
from partita.errors import ModelError
from partita.studies.fitting.transfer import Offered, mean_us, parts_us
from partita.studies.validation.models import kernels_of, model_path
from partita.studies.validation.report import percent
from partita.studies.validation.table import Record, read_records
from partita.studies.validation.tables.qed_models import DTYPE_OF, GRAPHS, PRESET_OF, chip_of, on_cores
from partita.units import US_PER_MS

TABLE = "qed_e2e_real.csv"
MEASURED, DRAWS, SEED = 10, 2, 7


@dataclass(frozen=True, slots=True)
class Draws:
    """Errors of all draws on one chip in one precision."""

    mape: float
    worst: float


def ten_models(data: Path, models: Path) -> dict[tuple[str, str], Draws]:
    """(chip, precision) -> errors; empty if the table is not in the folder."""
    path = data / TABLE
    if not path.is_file():
        return {}
    rows = [r for _, r in read_records(path) if r["framework"].startswith("TFLite") and r["set"] == "real CNN"]
    groups: dict[tuple[str, str, str, str], dict[str, float]] = {}
    for r in rows:
        key = (chip_of(r), r["unit"], r["precision"], r["cores"])
        groups.setdefault(key, {})[r["model"]] = float(r["latency_ms"]) * US_PER_MS
    shapes = {unit: _shapes(rows, models, unit) for unit in DTYPE_OF}
    errors: dict[tuple[str, str], list[float]] = {}
    offers: dict[tuple[str, str, tuple[str, ...]], list[Offered]] = {}
    for (chip, unit, precision, _), measured in groups.items():
        names = tuple(name for name in measured if name in shapes[unit])
        if len(names) <= MEASURED:
            continue
        wanted = (unit, precision, names)
        if wanted not in offers:
            offers[wanted] = [
                each for other in PRESET_OF for each in _offered(other, unit, precision, shapes[unit], names)
            ]
        foreign = [each for each in offers[wanted] if not each.name.startswith(f"{chip}:")]
        latency_us = np.array([measured[name] for name in names])
        errors.setdefault((chip, precision), []).extend(_draws(foreign, latency_us))
    return {key: Draws(float(np.mean(found)), max(found)) for key, found in errors.items()}


def _shapes(rows: Sequence[Record], models: Path, unit: str) -> dict[str, list[KernelShape]]:
    found: dict[str, list[KernelShape]] = {}
    for record in rows:
        name = record["model"]
        path = model_path(models, name, GRAPHS)
        if name in found or path is None:
            continue
        try:
            kernels = kernels_of(path, float(record["flops"]), next(iter(PRESET_OF.values())), unit.lower())
        except ModelError:
            continue
        shapes = [kernel_shape(kernels.graph, node) for node in kernels.nodes]
        found[name] = [shape for shape in shapes if shape is not None]
    return found


def _offered(
    chip: str, unit: str, precision: str, shapes: Mapping[str, Sequence[KernelShape]], names: Sequence[str]
) -> Iterator[Offered]:
    """The laws of a chip: of its GPU, or of its CPU with every number of cores of one type."""
    soc = load_soc(PRESET_OF[chip])
    plain, dtype = soc.unit_named(unit.lower()), DTYPE_OF[unit][precision]
    content = law_file(plain.law or "")
    sets = [f"{n}{core}" for core, most in content.get("whole", {}).items() for n in range(1, most + 1)] or [""]
    for cores in sets:
        on = on_cores(plain, cores)
        fixed_us = content.get("fixed_us", on.call_us.value)
        parts = [parts_us(shapes[name], kernel_times_us(on, dtype, shapes[name]), fixed_us) for name in names]
        yield Offered(f"{chip}: {cores}", np.array(parts))


def _draws(laws: Sequence[Offered], latency_us: Floats) -> Iterator[float]:
    random = np.random.default_rng(SEED)
    for _ in range(DRAWS):
        known = random.choice(len(latency_us), MEASURED, replace=False)
        others = np.setdiff1d(np.arange(len(latency_us)), known)
        predicted = mean_us(laws, known.tolist(), latency_us[known])
        yield float(np.mean(np.abs(predicted[others] / latency_us[others] - 1)))


def table(found: Mapping[tuple[str, str], Draws]) -> Iterator[str]:
    """Markdown lines: a chip a line, a precision a column."""
    precisions = list(dict.fromkeys(precision for _, precision in found))
    yield "| chip | " + " | ".join(f"{precision}: mean (worst draw)" for precision in precisions) + " |"
    yield "|---|" + "---|" * len(precisions)
    for chip in dict.fromkeys(chip for chip, _ in found):
        cells = []
        for precision in precisions:
            draws = found.get((chip, precision))
            cells.append(f"{percent(draws.mape)} ({percent(draws.worst)})" if draws else "")
        yield f"| {chip} | " + " | ".join(cells) + " |"
    yield ""
