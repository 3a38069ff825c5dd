"""The law of an accelerator from whole networks: AI Hub's on Snapdragons, the RKNN zoo's on the RK3588."""

import json
from collections.abc import Mapping
from typing import Any

from partita.devices import load_soc
from partita.devices.calibration.soc_text import assignments
from partita.errors import StudyError
from partita.studies.fitting import npu
from partita.studies.fitting.npu_law import Priors, read_priors
from partita.studies.fitting.npu_zoo import zoo_us
from partita.studies.fitting.preset_block import Record, law_tables
from partita.studies.fitting.refit import Asked, Part, Refit, chosen
from partita.studies.validation.aihub_rows import aihub_rows
from partita.studies.validation.table import Progress
from partita.studies.validation.tables.aihub import settings
from partita.studies.validation.tables.rknn import CHIP, ONE_CORE, PRESET, RUNTIME

UNIT = "npu"
HOST = "cpu"
OF_THE_UNIT = ("call_us", "dispatch_us", "weights_gb_per_s", "bandwidth_gb_per_s")
OF_THE_BORDER = ("cast_gb_per_s", "layout_gb_per_s")
FEWEST_MODELS = 5
AIHUB_SOURCE = "quic/ai-hub-models, whole on the NPU through qnn_dlc, qnn, tflite (median)"
ZOO_SOURCE = "airockchip/rknn_model_zoo, frames per second on one core at the highest clock"


def npu_of_phone(asked: Asked, progress: Progress) -> Refit:
    rows = aihub_rows(asked.records)
    known: Mapping[str, str] = settings()["presets"]
    device = chosen([row.device for row in rows if row.units == "NPU"], asked.device, "--device", asked)
    base = asked.soc or known.get(device)
    if base is None:
        raise StudyError(f"{asked.records.path}: no preset is known for {device}; say with --soc which to build on")
    measured = npu.measured_us(rows, device)
    data = npu.gathered(measured, asked.models_needed(), load_soc(base), UNIT, progress)
    runtime = "QNN and TensorFlow Lite"
    return _fitted(asked, data, read_priors("hexagon"), (device, runtime, base, AIHUB_SOURCE), progress)


def npu_of_board(asked: Asked, progress: Progress) -> Refit:
    measured = zoo_us(asked.records)
    base = asked.soc or PRESET
    data = npu.gathered(measured, asked.models_needed(), load_soc(base), UNIT, progress, borders=False)
    told = (f"{CHIP}, {ONE_CORE}", RUNTIME, base, ZOO_SOURCE)
    return _fitted(asked, data, read_priors("rknpu"), told, progress, borders=False)


def _fitted(
    asked: Asked,
    data: npu.Data,
    priors: Priors,
    told: tuple[str, str, str, str],
    progress: Progress,
    *,
    borders: bool = True,
) -> Refit:
    """`borders` is whether the times include the way of inputs and outputs."""
    device, runtime, base, source = told
    if len(data.models) < FEWEST_MODELS:
        raise StudyError(
            f"{asked.records.path}: {len(data.models)} models of {device} have a graph in {asked.models}; a fit needs "
            f"{FEWEST_MODELS} or more"
        )
    progress(f"fitting {len(data.models)} models")
    x = npu.fit(data, priors)
    progress("leaving out one model after the other")
    inside, outside = npu.errors(data, priors.named(x)), npu.cross_validated(data, priors)
    spreads = npu.spreads(outside)
    records = {
        stack.dtype: Record(
            data=source, devices=(device,), models=stack.models,
            median_error=npu.median_error(inside[stack.dtype]),
            cross_validated_error=npu.median_error(outside[stack.dtype]), spread=spreads[stack.dtype],
        )
        for stack in data.stacks
    }  # fmt: skip
    parts = [
        Part(what=dtype, rows=len(record.models), in_sample=record.median_error, left_out=record.cross_validated_error,
             measure="median", within_10pct=npu.within(outside[dtype], 0.1))
        for dtype, record in records.items()
    ]  # fmt: skip
    text = _head(asked.name, base, source, records) + _unit(base, priors.named(x), records, borders=borders)
    return Refit(
        device=device, runtime=runtime, unit=UNIT, base=base, source=source, models=data.models, parts=parts, text=text
    )


def _head(name: str, base: str, source: str, records: Mapping[str, Record]) -> str:
    errors = "; ".join(
        f"{dtype}: {record.cross_validated_error:.1%} in the median on models left out ({record.median_error:.1%} in "
        "sample)"
        for dtype, record in records.items()
    )
    text = f"# {UNIT} of {base}, fitted. {errors}.\n\n"
    text += assignments({"format": "partita-soc/1", "name": name, "base": base})
    return f"{text}\n[sources]\nFITTED = {json.dumps(source)}\n"


def _unit(base: str, p: Mapping[str, float], records: Mapping[str, Record], *, borders: bool) -> str:
    """The unit's fitted numbers, and those of its links if the measurements say something of them."""
    names = (*OF_THE_UNIT, *(OF_THE_BORDER if borders else ()))
    text = "\n[[units]]\n" + assignments({"name": UNIT, **{name: _number(p[name]) for name in names}})
    text += "\n" + law_tables(p, records, "FITTED", load_soc(base).unit_named(UNIT))
    if borders:
        for source, target, rate in ((HOST, UNIT, "copy_in_gb_per_s"), (UNIT, HOST, "copy_out_gb_per_s")):
            link = {"source": source, "target": target, "copy_gb_per_s": _number(p[rate])}
            text += "\n[[links]]\n" + assignments(link)
    return text


def _number(value: float) -> dict[str, Any]:
    return {"value": float(f"{value:.4g}"), "kind": "derived", "source": "FITTED"}
