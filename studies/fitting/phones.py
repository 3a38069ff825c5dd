"""A phone's rows of qed_e2e_real.csv as what the fit of the thread-pool law takes, and the law's file from that fit.

The table is of qed-usc/mobile-ml-benchmark (MIT): whole networks, on every set of cores of six chips.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from partita.devices import Soc, load_soc
from partita.devices.kernel_shape import KernelShape, kernel_shape
from partita.devices.laws.core_sets import name_of
from partita.devices.laws.law import FORMAT, SIZE_BYTES
from partita.devices.laws.parameters import unpack
from partita.devices.laws.trees import Floats
from partita.errors import ModelError, StudyError
from partita.studies.fitting import core_sets, cpu, gpu
from partita.studies.validation.models import cover, graph_of, model_path
from partita.studies.validation.table import Progress, Record, Records
from partita.studies.validation.tables.qed_models import DTYPE_OF, GRAPHS, chip_of

CORE_TYPES = ("large", "med", "small")
"""As the table calls them, from the fastest."""
REAL_NETWORKS = "real CNN"
SOURCE = "qed-usc/mobile-ml-benchmark c864a33"
FOLDS = 10
FEWEST_MODELS = 12
OF_ONE_KERNEL = [0.6, 1.7]
"""The interval of one kernel, which is measured in no table: an estimate."""
PRESET = "sd855-tflite"
"""Whose rules of support and fusion tell which kernels a network becomes."""
DIGITS = 4


def rows_of(records: Records, framework: str, chip: str, unit: str) -> list[Record]:
    """The rows of convolutional networks on one unit; StudyError if there are none."""
    rows = [r for _, r in records if (r["framework"], chip_of(r), r["unit"]) == (framework, chip, unit)]
    rows = [r for r in rows if r["set"] == REAL_NETWORKS and r["precision"] in DTYPE_OF[unit]]
    if not rows:
        raise StudyError(f"{records.path}: has no row of {framework} on the {unit} of {chip}")
    return rows


def shapes_by_model(
    rows: Sequence[Record], models: Path, unit: str, progress: Progress
) -> dict[str, list[KernelShape]]:
    """The kernels of each model on a unit, of those models of which there is a graph."""
    found: dict[str, list[KernelShape]] = {}
    soc = without_laws(load_soc(PRESET))
    for record in rows:
        name = record["model"]
        path = model_path(models, name, GRAPHS)
        if name in found or path is None:
            continue
        progress(f"kernels of {name}")
        try:
            kernels = cover(*graph_of(path, float(record["flops"])), soc, unit)
        except ModelError:
            continue
        shapes = [kernel_shape(kernels.graph, node) for node in kernels.nodes]
        found[name] = [shape for shape in shapes if shape is not None]
    if len(found) < FEWEST_MODELS:
        raise StudyError(
            f"{models}: has graphs of {len(found)} of the table's models; a fit needs {FEWEST_MODELS} or more"
        )
    return found


def without_laws(soc: Soc) -> Soc:
    """The Soc by its own numbers alone: what is fitted must not depend on an earlier fit."""
    return soc.model_copy(update={"units": tuple(unit.model_copy(update={"law": None}) for unit in soc.units)})


def measured_cpu(rows: Sequence[Record], shapes: Mapping[str, Sequence[KernelShape]], precision: str) -> cpu.Measured:
    """The rows of one precision as an array over models and sets of cores."""
    names, kernels, counts = cpu.gathered(shapes)
    own = [r for r in rows if r["precision"] == precision]
    sets = sorted({r["cores"] for r in own})
    latency = np.full((len(names), len(sets)), np.nan)
    for r in own:
        if r["model"] in names:
            latency[names.index(r["model"]), sets.index(r["cores"])] = float(r["latency_ms"])
    whole = whole_of(rows)
    cores = tuple(cores_of(text) for text in sets)
    size = SIZE_BYTES[DTYPE_OF["CPU"][precision]]
    return cpu.Measured(names, kernels, counts, cores, tuple(whole), whole, latency, size)


def whole_of(rows: Sequence[Record]) -> dict[str, int]:
    """Cores of each type, from the fastest: as many as the largest set in the table uses."""
    sets = [cores_of(record["cores"]) for record in rows]
    most = {name: max(cores.get(name, 0) for cores in sets) for name in CORE_TYPES}
    return {name: count for name, count in most.items() if count}


def cores_of(text: str) -> dict[str, int]:
    """
    >>> cores_of("1large2med")
    {'large': 1, 'med': 2}
    """
    return {name: int(count) for count, name in re.findall(r"(\d)([a-z]+)", text)}


def cpu_law(rows: Sequence[Record], shapes: Mapping[str, Sequence[KernelShape]], progress: Progress) -> dict[str, Any]:
    """The content of the law's file, every precision of the rows cross-validated by model."""
    dtypes: dict[str, Any] = {}
    quickest: dict[str, int] = {}
    for precision in [name for name in DTYPE_OF["CPU"] if any(r["precision"] == name for r in rows)]:
        progress(f"fitting {precision}")
        measured = measured_cpu(rows, shapes, precision)
        dtypes[DTYPE_OF["CPU"][precision]] = _part(measured)
        quickest = quickest or dict(measured.cores[int(np.argmin(np.nanmedian(measured.latency_ms, axis=0)))])
    first = rows[0]
    return {
        "format": FORMAT, "law": "thread_pool", "types": list(whole_of(rows)), "whole": whole_of(rows),
        "cores": quickest, "fit": {"source": f"{SOURCE}, {first['framework']}", "models": list(shapes)},
        "dtypes": dtypes,
    }  # fmt: skip


def _part(measured: cpu.Measured) -> dict[str, Any]:
    """One precision: parameters, intervals and what the fit says of itself."""
    found, left_out = cpu.cross_validated(measured, FOLDS)
    latency = measured.latency_ms
    known = np.isfinite(latency)
    ratio = (latency / left_out)[known]
    owners = [measured.models[row] for row in np.nonzero(known)[0]]
    low, high = np.quantile(ratio, [gpu.SHARE_BELOW, gpu.SHARE_ABOVE])
    inside = np.abs(core_sets.predicted_ms(measured, found.vector, found.sets) / latency - 1)
    covered = gpu.coverage(ratio, np.zeros(len(ratio), dtype=int), owners)
    of_set = np.nanmean(np.abs(left_out / latency - 1), axis=0)
    sets = [name_of({name: cores.get(name, 0) for name in measured.types}) for cores in measured.cores]
    return {
        "parameters": {k: np.round(v, DIGITS).tolist() for k, v in unpack(found.vector, measured.types).items()},
        "sets": dict(zip(sets, np.round(found.sets, DIGITS).tolist(), strict=True)),
        "model_interval": [round(float(low), DIGITS), round(float(high), DIGITS)],
        "interval": {"all": OF_ONE_KERNEL},
        "fit": record_of(inside, np.abs(1 / ratio - 1), dict(zip(sets, of_set.tolist(), strict=True)), FOLDS)
        | {"cross_validated_coverage": round(covered, DIGITS)},
    }


def record_of(inside: Floats, left_out: Floats, parts: Mapping[str, float], folds: int) -> dict[str, Any]:
    """What a fit says of itself: errors in sample, on models left out, and the latter by part."""
    return {
        "rows": int(np.isfinite(inside).sum()),
        "mape": round(float(np.nanmean(inside)), DIGITS),
        "cross_validated_mape": round(float(np.nanmean(left_out)), DIGITS),
        "cross_validated_median": round(float(np.nanmedian(left_out)), DIGITS),
        "cross_validated_within_10pct": round(float(np.nanmean(left_out <= 0.1)), DIGITS),
        "folds": folds,
        "cross_validated_mape_of": {name: round(float(error), DIGITS) for name, error in parts.items()},
    }
