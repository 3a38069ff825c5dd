"""Single kernels on six phone GPUs, as the runtime's profiler saw them (qed-usc/mobile-ml-benchmark, MIT)."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from partita.devices import load_soc
from partita.devices.laws.gpu_kernels import KINDS, SLICE
from partita.devices.laws.law import gpu_kernel_us, law_file
from partita.devices.soc import Unit
from partita.errors import StudyError
from partita.studies.validation.prediction import Prediction, Row, Unpredicted
from partita.studies.validation.table import Progress, Record, Records, Table, number, where
from partita.units import US_PER_MS

COLUMNS = frozenset(
    ("framework", "model", "op_index", "op", "in_hw", "in_ch", "out_hw", "stride", "kernel", "out_ch", "groups", "chip",
     "latency_us", "gpu_kernel")
)  # fmt: skip
PRESET_OF_GPU = {
    "Adreno 640": "sd855-tflite", "Mali-G76 MP12": "exynos9820-tflite", "Adreno 616": "sd710-tflite",
    "PowerVR GE8320": "helio-p35-tflite", "A10 GPU": "a10-tflite", "A12 GPU": "a12-tflite",
}  # fmt: skip
KIND_OF_OP = {
    "DEPTHWISE_CONV_2D": "depthwise", "CONV_2D_GROUP": "grouped", "CONCATENATION": "concat", "MEAN": "mean",
    "MAX_POOL_2D": "max_pool", "AVERAGE_POOL_2D": "average_pool", "FULLY_CONNECTED": "fully_connected",
    "CONV_2D": "conv",
}  # fmt: skip
KIND_OF_KERNEL = (("convolution_winograd", "winograd"), ("fully_connected", "fully_connected"), ("mean", "mean"))
"""What the kernel's name says about the kind, beyond the operator."""
TWO_IN_ONE = "depthwise_conv_plus_1x1_conv"
BATCH = 2048


def read(records: Records, models: Path | None, progress: Progress) -> Iterator[Row]:
    """Predictions of the rows, GPU by GPU."""
    waiting: dict[str, list[tuple[int, Record, list[float]]]] = {}
    for line, record in records:
        reason = why_not(record)
        if reason:
            yield Unpredicted(_name(record), reason)
        else:
            row = base_row_of(record, where(records, line))
            waiting.setdefault(record["chip"], []).append((line, record, row))
    for chip, rows in waiting.items():
        progress(f"{chip}: {len(rows)} kernels")
        unit = load_soc(PRESET_OF_GPU[chip]).unit_named("gpu")
        for start in range(0, len(rows), BATCH):
            yield from _predicted(rows[start : start + BATCH], unit, records)


def _predicted(rows: Sequence[tuple[int, Record, list[float]]], unit: Unit, records: Records) -> Iterator[Row]:
    content = law_file(unit.law or "")
    seen = frozenset(content["fit"]["models"])
    times_us = gpu_kernel_us(unit, np.array([row for _, _, row in rows]))
    for (line, record, row), time_us in zip(rows, times_us, strict=True):
        kind = KINDS[int(row[0])]
        low, high = content["interval"].get(kind, content["interval"]["all"])
        flops = record.get("flops", "").strip()
        yield Prediction(
            level="op",
            unit="GPU",
            runtime=record["framework"],
            device=", ".join(part for part in (record.get("device", ""), record["chip"]) if part),
            precision="fp16",
            op_class=kind,
            name=_name(record),
            measured=number(record, "latency_us", where(records, line)) / US_PER_MS,
            predicted=time_us / US_PER_MS,
            low=low * time_us / US_PER_MS,
            high=high * time_us / US_PER_MS,
            work=number(record, "flops", where(records, line)) if flops else 0.0,
            in_sample=record["model"] in seen,
            evidence="fitted",
        )


def _name(record: Record) -> str:
    shape = "x".join(record[column] or "-" for column in ("in_hw", "in_ch", "out_ch", "kernel"))
    return f"{record['model']} {record['op_index']} {record['op']} {shape}"


def why_not(record: Record) -> str:
    if not record["framework"].startswith("TFLite"):
        return f"no law of {record['framework']}"
    if record["chip"] not in PRESET_OF_GPU:
        return f"no preset of {record['chip']}"
    if record["gpu_kernel"].startswith(TWO_IN_ONE):
        return "one kernel for two operators, whose time the table does not split"
    return "" if record["op"] in KIND_OF_OP else f"no law of {record['op']}"


def base_row_of(record: Record, at: str) -> list[float]:
    """A row of `gpu_kernels.BASE`; what it reads over is as large as its windows need."""
    kind = KIND_OF_OP[record["op"]]
    kind = next((name for start, name in KIND_OF_KERNEL if record["gpu_kernel"].startswith(start)), kind)

    def cell(column: str, otherwise: float) -> float:
        return number(record, column, at) if record[column].strip() else otherwise

    in_side, out_side, side = cell("in_hw", 1), cell("out_hw", 1), cell("kernel", 1)
    in_channels, channels, groups = cell("in_ch", 1), cell("out_ch", 0), cell("groups", 1)
    if min(in_side, out_side, in_channels) < 1:
        raise StudyError(f"{at}: sizes and channels must be at least 1")
    inputs, taps, first_channels = 1.0, side * side, 0.0
    if kind == "concat":
        first_channels = in_channels
        inputs, side, taps, in_channels, groups = side, 1, 1, channels, 1
    elif kind == "mean":
        out_side, side, taps, channels, groups = 1, 1, in_side * in_side, in_channels, 1
    elif kind == "fully_connected":
        out_side, side, taps, groups = 1, 1, 1, 1
    elif kind in ("depthwise", "max_pool", "average_pool"):
        channels, groups = in_channels, in_channels if kind == "depthwise" else 1
    links = re.findall(r"linked_:_([a-z_]+?)_\d+", record["gpu_kernel"])
    stride = 1.0 if kind in ("mean", "fully_connected", "concat") else cell("stride", 1)
    return [
        KINDS.index(kind), out_side, out_side, in_channels, channels or in_channels, side, taps, stride, groups, inputs,
        len(links), sum(link in ("add", "mul") for link in links),
        any(link in ("sigmoid", "minimum") for link in links), "hard_swish" in links,
        bool(links) and links[-1] == "relu", first_channels,
        kind == "concat" and bool(first_channels % SLICE or channels % SLICE),
    ]  # fmt: skip


TABLE = Table("qed_ops_gpu", COLUMNS, read, "kernels on phone GPUs")
