"""Thirty standard networks on whatever was published of them: phones, boards and accelerators through many runtimes.

Rows that stand in a table of their own (qed_e2e_real, aihub_perf, rknn_zoo) are predicted as there. Of the others most
come from chips and runtimes that no preset describes: a row is predicted from the other networks that were measured on
the same unit, in the same setting, by the law of another chip and a few factors (`studies.fitting.transfer`). No row
is used for its own prediction, nor is another row of the same network.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from partita.errors import ModelError, StudyError
from partita.studies.validation.aihub_rows import AihubRow, Lines, lines
from partita.studies.validation.models import model_path
from partita.studies.validation.prediction import Row, Unpredicted
from partita.studies.validation.table import Progress, Record, Records, Table, number, where
from partita.studies.validation.tables import aihub, qed_models, rknn
from partita.studies.validation.tables.neighbours import Asked, from_neighbours
from partita.units import US_PER_MS

COLUMNS = frozenset(
    ("canonical_model", "input_hw", "name_in_source", "device", "chip", "unit", "threads_or_cores", "precision",
     "runtime", "latency_ms", "data_file")
)  # fmt: skip
OF_QED, OF_AIHUB, OF_RKNN = "qed_e2e_real.csv", "aihub_perf.csv", "rknn_zoo.csv"
FOLDER_OF = {OF_QED: "qed", OF_AIHUB: "aihub"}
FILES_OF = {
    "mobilenet_v1": ("mobilenet_w1",), "mobilenet_v2": ("mobilenetv2b_w1",), "mnasnet1_0": ("mnasnet_b1",),
    "mobilenet_v3_small": ("mobilenetv3_small_w1",), "mobilenet_v3_large": ("mobilenetv3_large_w1",),
    "regnet_y_400mf": ("regnety004",), "regnet_y_800mf": ("regnety008",), "squeezenet1_0": ("squeezenet_v1_0",),
    "squeezenet1_1": ("squeezenet_v1_1",), "vit_b16": ("vit",), "resnet50_v2": (),
}  # fmt: skip
"""Network -> files of it among other tables' graphs, beside one of its own name."""


def read(records: Records, models: Path | None, progress: Progress) -> Iterator[Row]:
    """Rows of other tables as there; all others together at the end, because they are predicted from one another."""
    waiting: list[Asked] = []
    known = lines(
        _as_aihub(record, where(records, line)) for line, record in records if record["data_file"] == OF_AIHUB
    )
    for line, record in records:
        progress(record["canonical_model"])
        found = _row(record, models, where(records, line), known)
        if isinstance(found, Asked):
            waiting.append(found)
        else:
            yield found
    yield from from_neighbours(waiting, progress)


def _row(record: Record, models: Path | None, at: str, known_lines: Lines) -> Row | Asked:
    name = " ".join(
        word
        for column in ("canonical_model", "chip", "threads_or_cores", "unit", "precision", "runtime")
        if (word := record[column].strip())
    )
    if models is None:
        return Unpredicted(name, "needs --models DIR")
    path = _graph(record, models)
    if path is None:
        return Unpredicted(name, "no graph of its model in the folder")
    source = record["data_file"]
    try:
        if source == OF_QED:
            return qed_models.row_of(_as_qed(record), path, at)
        if source == OF_AIHUB:
            return aihub.row_of(_as_aihub(record, at), path, known_lines)
        if source == OF_RKNN:
            return rknn.row_of({**record, "model": record["name_in_source"], "threads": record["threads_or_cores"]},
                               path, at)  # fmt: skip
    except ModelError as error:
        return Unpredicted(name, f"its model cannot be placed: {error}")
    return Asked(
        name=name, model=record["canonical_model"], path=path, side=int(number(record, "input_hw", at)),
        device=record["device"].partition(" (")[0], unit=record["unit"], threads=record["threads_or_cores"],
        precision=record["precision"], runtime=record["runtime"], latency_ms=number(record, "latency_ms", at),
    )  # fmt: skip


def _graph(record: Record, models: Path) -> Path | None:
    """By the name in the source where that has graphs of its own, else by the network's names elsewhere."""
    folder = FOLDER_OF.get(record["data_file"])
    if folder is not None:
        return model_path(models, record["name_in_source"], folder)
    known = record["canonical_model"]
    paths = (model_path(models, name) for name in (*FILES_OF.get(known, ()), known))
    return next((path for path in paths if path is not None), None)


def _as_qed(record: Record) -> Mapping[str, str]:
    return {
        "framework": record["runtime"],
        "set": "real ViT" if record["canonical_model"].startswith("vit") else "real CNN",
        "model": record["name_in_source"],
        "flops": _told(record, r"flops (\d+)"),
        "device": record["device"],
        "chip": record["chip"],
        "unit": record["unit"],
        "cores": record["threads_or_cores"],
        "precision": record["precision"],
        "latency_ms": record["latency_ms"],
    }


def _as_aihub(record: Record, at: str) -> AihubRow:
    layers = [int(count) for count in _told(record, r"layers NPU/GPU/CPU (\d+/\d+/\d+)").split("/") if count]
    if len(layers) != 3:
        raise StudyError(f"{at}: column 'notes' of a row of {OF_AIHUB} must tell the layers on NPU/GPU/CPU")
    return AihubRow(
        at=at, model=record["name_in_source"], component="", precision=record["precision"], device=record["device"],
        runtime=record["runtime"].removeprefix("AI Hub "), time_us=number(record, "latency_ms", at) * US_PER_MS,
        layers=sum(layers), npu_layers=layers[0], gpu_layers=layers[1], cpu_layers=layers[2],
        release=_told(record, r"(v\d+(?:\.\w+)+)"),
    )  # fmt: skip


def _told(record: Record, pattern: str) -> str:
    """What the notes say; empty if nothing."""
    found = re.search(pattern, record.get("notes", ""))
    return found[1] if found else ""


TABLE = Table("canonical_models", COLUMNS, read, "standard networks on phones, boards and accelerators")
