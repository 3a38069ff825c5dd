"""Whole networks on six phones, every set of cores and the GPU (qed-usc/mobile-ml-benchmark, MIT)."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from partita.devices import Soc, load_soc, operator_cost
from partita.devices.kernel_shape import KernelShape, kernel_shape
from partita.devices.laws.law import kernel_times_us, law_file, names_of_laws, whole_model_interval
from partita.devices.soc import Unit
from partita.errors import ModelError
from partita.studies.validation.models import Kernels, kernels_of, model_path
from partita.studies.validation.prediction import Prediction, Row, Unpredicted
from partita.studies.validation.table import Progress, Record, Records, Table, number, where
from partita.units import US_PER_MS

COLUMNS = frozenset(
    ("framework", "set", "model", "flops", "device", "chip", "unit", "cores", "precision", "latency_ms")
)
PRESET_OF = {
    "Snapdragon 855": "sd855-tflite", "Exynos 9820": "exynos9820-tflite", "Snapdragon 710": "sd710-tflite",
    "Helio P35": "helio-p35-tflite", "A10 Fusion": "a10-tflite", "A12 Bionic": "a12-tflite",
}  # fmt: skip
"""Chip -> preset of TensorFlow Lite on it."""
RUNTIMES = {"TFLite": "tflite", "PyTorch Mobile": "pytorch"}
"""How a runtime's name begins -> how the names of the laws fitted to it end."""
DTYPE_OF = {"CPU": {"fp32": "float32", "int8": "int8"}, "GPU": {"fp16": "float16"}}
GRAPHS = "qed"
"""Where the table's own graphs lie in a folder with those of several tables, which share names of networks."""
WIDE = (0.5, 2.0)
"""Factors for a model on a unit without a fitted law."""


def read(records: Records, models: Path | None, progress: Progress) -> Iterator[Row]:
    """Predictions of the rows, model by model."""
    by_model: dict[str, list[tuple[int, Record]]] = {}
    for line, record in records:
        by_model.setdefault(record["model"], []).append((line, record))
    for count, (name, rows) in enumerate(by_model.items(), start=1):
        progress(f"{name} ({count} of {len(by_model)} models)")
        path = model_path(models, name, GRAPHS) if models is not None else None
        for line, record in rows:
            yield _row(record, path, where(records, line), has_folder=models is not None)


def _row(record: Record, path: Path | None, at: str, *, has_folder: bool) -> Row:
    if path is None and not _why_not(record):
        return Unpredicted(_name(record), "no graph of its model in the folder" if has_folder else "needs --models DIR")
    return row_of(record, path or Path(), at)


def _name(record: Record) -> str:
    return " ".join((record["model"], record["chip"], record["cores"] or record["unit"], record["precision"]))


def row_of(record: Record, path: Path, at: str) -> Row:
    """The prediction of one row, whose graph is at the path."""
    name, reason = _name(record), _why_not(record)
    if reason:
        return Unpredicted(name, reason)
    flops = number(record, "flops", at)
    preset, unit_name = PRESET_OF[chip_of(record)], record["unit"].lower()
    try:
        kernels = kernels_of(path, flops, preset, unit_name)
    except ModelError as error:
        return Unpredicted(name, f"its model cannot be placed: {error}")
    soc = load_soc(preset)
    unit = on_cores(_through(soc.unit_named(unit_name), law_name(record)), record["cores"])
    dtype = DTYPE_OF[record["unit"]][record["precision"]]
    latency_us, low_us, high_us = whole_model_us(kernels, soc, unit, dtype)
    return Prediction(
        level="model",
        unit=record["unit"],
        runtime=record["framework"],
        device=", ".join(part for part in (record["device"], record["chip"], record["cores"]) if part),
        precision=record["precision"],
        op_class=record["set"],
        name=name,
        measured=number(record, "latency_ms", at),
        predicted=latency_us / US_PER_MS,
        low=low_us / US_PER_MS,
        high=high_us / US_PER_MS,
        work=flops,
        in_sample=_was_fitted_on(unit, record["model"]),
        evidence="fitted" if unit.law else "roofline",
    )


def law_name(record: Record) -> str:
    """Of the fitted law of a row's unit, chip and runtime; empty if there is none.

    >>> law_name({"chip": "A10 Fusion / A10 GPU", "framework": "TFLite v2.10", "unit": "GPU"})
    'gpu-a10-tflite'
    """
    preset = PRESET_OF.get(chip_of(record))
    ending = next((end for start, end in RUNTIMES.items() if record["framework"].startswith(start)), None)
    name = f"{record['unit'].lower()}-{(preset or '').rpartition('-')[0]}-{ending}"
    return name if preset and name in names_of_laws() else ""


def _through(unit: Unit, law: str) -> Unit:
    """The unit with the law of another runtime; its kernels are those of the preset's own."""
    return unit.model_copy(update={"law": law})


def on_cores(unit: Unit, text: str) -> Unit:
    """The unit on a set of cores as the table writes it, such as 1large2med; itself for none."""
    cores = {name: int(count) for count, name in re.findall(r"(\d+)([a-z]+)", text)}
    return unit.model_copy(update={"cores": cores}) if cores else unit


def whole_model_us(kernels: Kernels, soc: Soc, unit: Unit, dtype: str) -> tuple[float, float, float]:
    """Latency of a model on the unit, low and high: by the same costs as a plan's, for all kernels at once."""
    shapes = [kernel_shape(kernels.graph, node) for node in kernels.nodes]
    known = [index for index, shape in enumerate(shapes) if shape is not None]
    found: list[KernelShape] = [shape for shape in shapes if shape is not None]
    times_us = np.full(len(shapes), np.nan)
    times_us[known] = kernel_times_us(unit, dtype, found)
    total_us = kernels.fixed_us + sum(cost.latency_us for cost in kernels.elsewhere) + float(np.nansum(times_us))
    base = dtype if dtype in unit.peak_gmac_per_s else unit.dtypes[0]
    for index in np.flatnonzero(np.isnan(times_us)):
        total_us += operator_cost(kernels.graph, kernels.nodes[index], unit, base).latency_us
    low, high = whole_model_interval(unit, dtype) or WIDE
    return total_us, total_us * low, total_us * high


def _was_fitted_on(unit: Unit, model: str) -> bool:
    return unit.law is not None and model in law_file(unit.law)["fit"]["models"]


def chip_of(record: Record) -> str:
    """Without the name of its GPU."""
    return record["chip"].partition(" / ")[0]


def _why_not(record: Record) -> str:
    chip = chip_of(record)
    if not law_name(record):
        return f"no law of {record['framework']} on the {record['unit']} of {chip}"
    if record["precision"] not in DTYPE_OF.get(record["unit"], {}):
        return f"no law of the {record['unit']} in {record['precision']}"
    return ""


TABLE = Table("qed_e2e_real", COLUMNS, read, "whole networks on phone CPUs and GPUs")
