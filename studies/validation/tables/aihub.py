"""Whole models through AI Hub's runtimes on Snapdragon phones (quic/ai-hub-models, BSD-3-Clause).

Float models compute in float16 on the NPU, w8a8 in int8, w8a16 with 16 bit activations. The table tells how many layers
ran on the CPU, not which. Of quantised models through ONNX Runtime `handed_over` tells them by their number; in other
rows as many operators are taken to run there, spread evenly.
"""

import tomllib
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from partita.devices import Number, Soc, load_soc
from partita.devices.npu_terms import normalises_channels
from partita.errors import ModelError
from partita.graph.dtypes import is_floating
from partita.graph.plan import Location
from partita.graph.quantisation import SCHEMES
from partita.studies.validation.accelerated import flops_of, placed, total_us
from partita.studies.validation.aihub_rows import COLUMNS, AihubRow, Lines, aihub_rows, lines, why_out_of_line
from partita.studies.validation.handed_over import fallen, law
from partita.studies.validation.models import graph_of, model_path
from partita.studies.validation.prediction import Prediction, Row, Unpredicted
from partita.studies.validation.table import Progress, Records, Table
from partita.studies.validation.whole_model import whole_model
from partita.units import BYTES_PER_KB, ms, transfer_us

RUNTIMES_FILE = Path(__file__).parents[1] / "aihub_runtimes.toml"
DTYPE_OF = {"float": "float16", "w8a8": "int8", "w8a16": "w8a16"}
"""Precision of the table -> dtype of the NPU."""
NPU, CPU, GPU, MIXED = "NPU", "CPU", "GPU", "NPU+CPU"
MIXED_SPREAD = 4.0
"""Factor either way for runs in part on the CPU of which `handed_over` tells nothing: what a layer there costs differs
by 100x between the 10th and the 90th percentile of the table."""
HANDING_OVER = "onnx"
"""The runtime that `handed_over` is about."""


def read(records: Records, models: Path | None, progress: Progress) -> Iterator[Row]:
    """Predictions of the rows, model by model."""
    rows = aihub_rows(records)
    known = lines(rows)
    by_model: dict[str, list[AihubRow]] = {}
    for row in rows:
        by_model.setdefault(row.model, []).append(row)
    for count, (model, members) in enumerate(by_model.items(), start=1):
        progress(f"{model} ({count} of {len(by_model)} models)")
        path = model_path(models, model) if models is not None else None
        for row in members:
            reason = why_not(row, path, known, has_folder=models is not None)
            if reason or path is None:
                yield Unpredicted(row.name, reason)
                continue
            yield row_of(row, path, known)


def row_of(row: AihubRow, path: Path, known: Lines) -> Row:
    """The prediction of one row, whose graph is at the path."""
    reason = why_not(row, path, known, has_folder=True)
    if reason:
        return Unpredicted(row.name, reason)
    try:
        return _predicted(row, path)
    except ModelError as error:
        return Unpredicted(row.name, f"its model cannot be placed: {error}")


def why_not(row: AihubRow, path: Path | None, known: Lines, *, has_folder: bool) -> str:
    """Why a row cannot be predicted; empty if it can."""
    if row.device not in settings()["presets"]:
        return f"no preset of {row.device}"
    if row.units not in (NPU, CPU, GPU, MIXED):
        return f"ran on {row.units or 'nothing that is named'}"
    if row.precision not in DTYPE_OF or (row.units in (CPU, GPU) and row.precision != "float"):
        return f"no prediction of {row.precision} on {row.units}"
    if row.units in (NPU, MIXED) and row.runtime not in settings()["runtimes"]:
        return f"nothing is known of the runtime {row.runtime}"
    if row.component:
        return "its model comes in parts"
    if row.time_us <= 0:
        return "its time is 0"
    if row.release.startswith(settings()["other_networks"]):
        return f"its release {row.release} measured other networks under the same names"
    if reason := why_out_of_line(row, known):
        return reason
    return "" if path is not None else "no graph of its model in the folder" if has_folder else "needs --models DIR"


def _predicted(row: AihubRow, path: Path) -> Prediction:
    preset = settings()["presets"][row.device]
    if row.units in (CPU, GPU):
        estimate = whole_model(path, preset, row.units.lower())
        times_ms = estimate.latency_ms, estimate.low_ms, estimate.high_ms
        return _prediction(row, times_ms, path, estimate.evidence)
    time_us, spread = _time_us(path, preset, row)
    return _prediction(row, (ms(time_us), ms(time_us / spread), ms(time_us * spread)), path, "fitted")


def _prediction(row: AihubRow, times_ms: tuple[float, float, float], path: Path, evidence: str) -> Prediction:
    return Prediction(
        level="model",
        unit=row.units,
        runtime=row.runtime,
        device=row.device,
        precision=row.precision,
        op_class="",
        name=row.name,
        measured=ms(row.time_us),
        predicted=times_ms[0],
        low=times_ms[1],
        high=times_ms[2],
        work=flops_of(graph_of(path)[0]),
        in_sample=_was_fitted(row),
        evidence=evidence,
    )


def _was_fitted(row: AihubRow) -> bool:
    """Whether the preset's law was fitted to this model on this chip."""
    if row.units != NPU:
        return False
    law = load_soc(settings()["presets"][row.device]).unit_named("npu").npu_law
    fit = law.fit.get(DTYPE_OF[row.precision]) if law is not None else None
    return fit is not None and row.device in fit.devices and row.model in fit.models


@cache
def settings() -> dict[str, Any]:
    """The presets of the devices, and what runtimes add."""
    return tomllib.loads(RUNTIMES_FILE.read_text(encoding="utf-8"))


@cache
def soc_through(preset: str, runtime: str) -> Soc:
    """The preset as it is seen through a runtime that adds a cost to each call and to each byte that crosses."""
    soc, extra = load_soc(preset), settings()["runtimes"][runtime]
    if "call_us" not in extra:
        return soc
    units = tuple(
        unit.model_copy(update={"call_us": _number(unit.call_us.value + extra["call_us"])})
        if unit.name == "npu"
        else unit
        for unit in soc.units
    )
    through = extra["border_gb_per_s"]
    links = tuple(
        link.model_copy(update={"copy_gb_per_s": _number(1 / (1 / link.copy_gb_per_s.value + 1 / through))})
        if "npu" in (link.source, link.target)
        else link
        for link in soc.links
    )
    return soc.model_copy(update={"units": units, "links": links})


def _number(value: float) -> Number:
    return Number(value=value, kind="derived", source=RUNTIMES_FILE.name)


def _time_us(path: Path, preset: str, row: AihubRow) -> tuple[float, float]:
    """The predicted time, and the factor either way that should hold nine of ten measurements."""
    dtype = DTYPE_OF[row.precision]
    if row.cpu_layers and not is_handed_over(row):
        soc = soc_through(preset, row.runtime)
        whole = placed(*graph_of(path), soc, Location("npu", dtype), on_host=row.cpu_layers)
        return total_us(whole, soc), MIXED_SPREAD
    soc = load_soc(preset)
    time_us = whole_us(path, preset, row)
    if row.cpu_layers:
        return time_us + law().extra_us(row.model, fallen(graph_of(path)[0], row.cpu_layers), soc), law().spread
    npu_law = soc.unit_named("npu").npu_law
    return time_us, (soc.unit_named("npu").spread if npu_law is None else npu_law.dtypes[dtype].spread).value


def is_handed_over(row: AihubRow) -> bool:
    """Whether it is known which layers of a row in part on the CPU ran there."""
    return row.units == MIXED and row.runtime == HANDING_OVER and DTYPE_OF[row.precision] in SCHEMES


def whole_us(path: Path, preset: str, row: AihubRow) -> float:
    """The row's model through its runtime, as if all of it ran on the NPU."""
    dtype, extra = DTYPE_OF[row.precision], settings()["runtimes"][row.runtime]
    time_us, border_kb, normalising_us = _alone_us(path, preset, dtype)
    if "call_us" in extra:
        time_us += extra["call_us"] + transfer_us(border_kb * BYTES_PER_KB, extra["border_gb_per_s"])
    return time_us - normalising_us * (1 - 1 / extra.get("normalising", {}).get(dtype, 1.0))


@lru_cache(maxsize=16)
def _alone_us(path: Path, preset: str, dtype: str) -> tuple[float, float, float]:
    """The whole model on the NPU, the 10^3 bytes that cross as float32, and the time of normalising its image."""
    soc = load_soc(preset)
    whole = placed(*graph_of(path), soc, Location("npu", dtype))
    graph = whole.formulation.graph
    crossing = [graph.value(name) for name in (*graph.inputs, *graph.outputs)]
    border_kb = sum(value.size_bytes for value in crossing if is_floating(value.dtype)) / BYTES_PER_KB
    normalising_us = sum(cost.latency_us for node, cost, _ in whole.kernels if normalises_channels(graph, node))
    return total_us(whole, soc), border_kb, normalising_us


TABLE = Table("aihub_perf", COLUMNS, read, "whole models through AI Hub's runtimes on Snapdragon phones")
