"""Whole networks on six phones, every set of cores and the GPU (qed-usc/mobile-ml-benchmark, MIT)."""

from collections.abc import Iterator
from pathlib import Path

from partita.devices import Soc, load_soc
from partita.errors import ModelError
from partita.studies.validation.models import graph_of, model_path, whole_model
from partita.studies.validation.prediction import Prediction, Row, Unpredicted
from partita.studies.validation.table import Progress, Record, Records, Table, number, where

COLUMNS = frozenset(
    ("framework", "set", "model", "flops", "device", "chip", "unit", "cores", "precision", "latency_ms")
)
PRESET_OF = {"Snapdragon 855": "sd855-tflite", "Exynos 9820": "exynos9820-tflite", "Snapdragon 710": "sd710-tflite"}
"""Chip -> preset of TensorFlow Lite on it."""
CORES_OF = {"sd855-tflite": "3med", "exynos9820-tflite": "2large", "sd710-tflite": "2large"}
"""Preset -> the set of cores that it is about."""


def read(records: Records, models: Path | None, progress: Progress) -> Iterator[Row]:
    """Predictions of the rows, model by model."""
    by_model: dict[str, list[tuple[int, Record]]] = {}
    for line, record in records:
        by_model.setdefault(record["model"], []).append((line, record))
    for count, (name, rows) in enumerate(by_model.items(), start=1):
        progress(f"{name} ({count} of {len(by_model)} models)")
        path = model_path(models, name) if models is not None else None
        for line, record in rows:
            yield _row(record, path, where(records, line), has_folder=models is not None)


def _row(record: Record, path: Path | None, at: str, *, has_folder: bool) -> Row:
    name = " ".join((record["model"], record["chip"], record["cores"] or record["unit"], record["precision"]))
    reason = _why_not(record)
    if reason:
        return Unpredicted(name, reason)
    if path is None:
        return Unpredicted(name, "no graph of its model in the folder" if has_folder else "needs --models DIR")
    soc = load_soc(PRESET_OF[_chip(record)])
    try:
        graph, matches = graph_of(path)
        estimate = whole_model(graph, matches, soc, record["unit"].lower())
    except ModelError as error:
        return Unpredicted(name, f"its model cannot be placed: {error}")
    return Prediction(
        level="model",
        unit=record["unit"],
        runtime=record["framework"],
        device=device_of(record, soc),
        precision=record["precision"],
        op_class=record["set"],
        name=name,
        measured=number(record, "latency_ms", at),
        predicted=estimate.latency_ms,
        low=estimate.low_ms,
        high=estimate.high_ms,
        work=number(record, "flops", at),
        evidence=estimate.evidence,
    )


def device_of(record: Record, soc: Soc) -> str:
    """Phone, chip and, of a CPU, its cores."""
    return ", ".join(part for part in (record["device"], record["chip"], record["cores"]) if part)


def _chip(record: Record) -> str:
    return record["chip"].partition(" / ")[0]


def _why_not(record: Record) -> str:
    preset = PRESET_OF.get(_chip(record))
    if preset is None or not record["framework"].startswith("TFLite"):
        return f"no preset of {record['framework']} on {_chip(record)}"
    if record["unit"] == "CPU" and (record["cores"], record["precision"]) != (CORES_OF[preset], "fp32"):
        return "no preset of this set of cores in this precision"
    return ""


TABLE = Table("qed_e2e_real", COLUMNS, read, "whole networks on phone CPUs and GPUs")
