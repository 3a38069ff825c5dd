"""Whole models on Rockchip's NPUs (airockchip/rknn_model_zoo, Apache-2.0): one core of the RK3588.

The zoo gives frames per second at the NPU's highest clock, without pre- and post-processing, so what a call costs and
the kernels are predicted, and not the way of inputs and outputs.
"""

from collections.abc import Iterator
from pathlib import Path

from partita.devices import load_soc
from partita.errors import ModelError
from partita.graph.plan import Location
from partita.studies.validation.accelerated import flops_of, placed
from partita.studies.validation.models import graph_of, model_path
from partita.studies.validation.prediction import Prediction, Row, Unpredicted
from partita.studies.validation.table import Progress, Record, Records, Table, number, where
from partita.units import ms

COLUMNS = frozenset(("model", "device", "chip", "unit", "threads", "precision", "runtime", "latency_ms", "commit"))
RUNTIME, PRESET, CHIP, ONE_CORE = "RKNPU", "rk3588-rknn", "RK3588", "1 core"
DTYPE_OF = {"INT8": "int8", "FP16": "float16"}
FILE_OF = {"resnet50-v2-7": "resnet50", "mobilenetv2-12": "mobilenet_v2"}
"""The zoo's name -> that of the same network among the graphs, where it is another."""


def read(records: Records, models: Path | None, progress: Progress) -> Iterator[Row]:
    """Predictions of the rows, in the table's order."""
    for line, record in records:
        progress(record["model"])
        yield _row(record, models, where(records, line))


def _row(record: Record, models: Path | None, at: str) -> Row:
    path = _path(record["model"], models)
    reason = _why_not(record, path, has_folder=models is not None)
    return row_of(record, path, at) if path is not None and not reason else Unpredicted(_name(record), reason)


def _name(record: Record) -> str:
    return " ".join(record[column] for column in ("model", "chip", "threads", "precision"))


def row_of(record: Record, path: Path, at: str) -> Row:
    """The prediction of one row, whose graph is at the path."""
    name, reason = _name(record), _why_not(record, path, has_folder=True)
    if reason:
        return Unpredicted(name, reason)
    soc, dtype = load_soc(PRESET), DTYPE_OF[record["precision"]]
    try:
        graph, matches = graph_of(path)
        whole = placed(graph, matches, soc, Location("npu", dtype))
    except ModelError as error:
        return Unpredicted(name, f"its model cannot be placed: {error}")
    npu = soc.unit_named("npu")
    law = npu.npu_law
    spread = (npu.spread if law is None else law.dtypes[dtype].spread).value
    fit = law.fit.get(dtype) if law is not None else None
    time_ms = ms(npu.call_us.value + sum(cost.latency_us for _, cost, _ in whole.kernels))
    return Prediction(
        level="model",
        unit="NPU" if whole.is_whole else "NPU+CPU",
        runtime=record["runtime"],
        device=record["device"],
        precision=record["precision"],
        op_class="",
        name=name,
        measured=number(record, "latency_ms", at),
        predicted=time_ms,
        low=time_ms / spread,
        high=time_ms * spread,
        work=flops_of(graph),
        in_sample=fit is not None and path.stem in fit.models,
        evidence="roofline" if law is None else "fitted",
    )


def _path(model: str, models: Path | None) -> Path | None:
    if models is None:
        return None
    return model_path(models, model) or model_path(models, file_of(model))


def file_of(model: str) -> str:
    """The name of a network's graph."""
    return FILE_OF.get(model, model)


def _why_not(record: Record, path: Path | None, *, has_folder: bool) -> str:
    reason = why_not(record)
    if reason:
        return reason
    return "" if path is not None else "no graph of its model in the folder" if has_folder else "needs --models DIR"


def why_not(record: Record) -> str:
    """Why a row cannot be predicted whatever graphs there are; empty if it can."""
    if record["runtime"] != RUNTIME or record["chip"] != CHIP or record["threads"] != ONE_CORE:
        return f"no preset of {record['runtime']} on {record['threads']} of {record['chip']}"
    if record["precision"] not in DTYPE_OF:
        return f"no prediction of {record['precision']}"
    if not record["latency_ms"].strip():
        return "no latency is given"
    return ""


def _is_rockchips(record: Record) -> bool:
    return record["runtime"].startswith(RUNTIME)


TABLE = Table("rknn_zoo", COLUMNS, read, "whole models on one core of the RK3588's NPU", _is_rockchips)
