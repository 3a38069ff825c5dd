"""Fits every law of `devices/fits` to the published tables: python benchmarks/fit_laws.py cpu|gpu DATA MODELS [CHIP].

Needs the extra [fit]. The tables are qed_e2e_real.csv and qed_ops_gpu.csv.gz of qed-usc/mobile-ml-benchmark (MIT); the
fitted parameters go into `devices/fits`, with what they were fitted on and the error on models that were left out.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from partita.devices import Soc, load_soc
from partita.devices.kernel_shape import DEPTHWISE, KernelShape, kernel_shape
from partita.devices.laws import gpu_waves
from partita.devices.laws.law import FITS, FORMAT
from partita.devices.laws.parameters import unpack
from partita.studies.fitting import cpu, gpu
from partita.studies.validation.models import cover, graph_of, model_path
from partita.studies.validation.table import Record, read_records
from partita.studies.validation.tables import qed_ops
from partita.units import US_PER_MS

CORES: dict[str, dict[str, int]] = {
    "Snapdragon 855": {"large": 1, "med": 3, "small": 4},
    "Exynos 9820": {"large": 2, "med": 2, "small": 4},
    "Snapdragon 710": {"large": 2, "small": 6},
    "Helio P35": {"large": 4, "small": 4},
    "A10 Fusion": {"large": 2},
    "A12 Bionic": {"large": 2, "small": 4},
}
"""Chip -> its cores as the table calls them, from the fastest."""
DEFAULT_CORES: dict[str, dict[str, int]] = {
    "Snapdragon 855": {"med": 3}, "Exynos 9820": {"large": 2}, "Snapdragon 710": {"large": 2},
    "Helio P35": {"large": 4},
    "A10 Fusion": {"large": 2}, "A12 Bionic": {"large": 2},
}  # fmt: skip
LAW_OF_CHIP = {
    "Snapdragon 855": "cpu-sd855-tflite", "Exynos 9820": "cpu-exynos9820-tflite", "Snapdragon 710": "cpu-sd710-tflite",
    "Helio P35": "cpu-helio-p35-tflite", "A10 Fusion": "cpu-a10-tflite", "A12 Bionic": "cpu-a12-tflite",
}  # fmt: skip
DTYPES = {"fp32": "float32", "int8": "int8"}
SIZES = {"float32": 4.0, "int8": 1.0}
SOURCE = "qed-usc/mobile-ml-benchmark c864a33, TFLite 2.10"
FOLDS = 3
WITHOUT_WINOGRAD = ("Adreno 640", "Adreno 616")
PRESET = "sd855-tflite"


def rows_of(data: Path) -> list[Record]:
    """The rows of convolutional networks in TensorFlow Lite."""
    records = [record for _, record in read_records(data / "qed_e2e_real.csv")]
    return [r for r in records if r["framework"].startswith("TFLite") and r["set"] == "real CNN"]


def shapes_by_model(rows: Sequence[Record], models: Path, unit: str) -> dict[str, list[KernelShape]]:
    """The kernels of each model on a unit."""
    found: dict[str, list[KernelShape]] = {}
    for record in rows:
        name = record["model"]
        path = model_path(models, name)
        if name in found or path is None:
            continue
        graph, matches = graph_of(path, float(record["flops"]))
        kernels = cover(graph, matches, without_laws(load_soc(PRESET)), unit)
        shapes = [kernel_shape(kernels.graph, node) for node in kernels.nodes]
        found[name] = [shape for shape in shapes if shape is not None]
    return found


def without_laws(soc: Soc) -> Soc:
    """The Soc by its own numbers alone: what is fitted must not depend on an earlier fit."""
    return soc.model_copy(update={"units": tuple(unit.model_copy(update={"law": None}) for unit in soc.units)})


def fit_cpu(data: Path, models: Path, chips: Sequence[str]) -> None:
    rows = rows_of(data)
    names, kernels, counts = cpu.gathered(shapes_by_model(rows, models, "cpu"))
    for chip in chips:
        dtypes: dict[str, Any] = {}
        for precision, dtype in DTYPES.items():
            own = [r for r in rows if (r["chip"], r["precision"], r["unit"]) == (chip, precision, "CPU")]
            sets = sorted({r["cores"] for r in own})
            latency = np.full((len(names), len(sets)), np.nan)
            for r in own:
                if r["model"] in names:
                    latency[names.index(r["model"]), sets.index(r["cores"])] = float(r["latency_ms"])
            measured = cpu.Measured(
                names, kernels, counts, tuple(cores_of(text) for text in sets), tuple(CORES[chip]), CORES[chip],
                latency, SIZES[dtype],
            )  # fmt: skip
            vector, left_out = cpu.cross_validated(measured, FOLDS)
            ratio = (latency / left_out)[np.isfinite(latency)]
            owners = [names[row] for row in np.nonzero(np.isfinite(latency))[0]]
            covered = gpu.coverage(ratio, np.zeros(len(ratio), dtype=int), owners)
            low, high = np.quantile(ratio, [gpu.SHARE_BELOW, gpu.SHARE_ABOVE])
            inside = np.abs(cpu.predicted_ms(vector, measured) / latency - 1)
            dtypes[dtype] = {
                "parameters": {k: rounded(v) for k, v in unpack(vector, measured.types).items()},
                "model_interval": [round(float(low), 4), round(float(high), 4)],
                "interval": {"all": [0.6, 1.7]},
                "fit": record_of(inside, np.abs(1 / ratio - 1), by_set(left_out, latency, sets))
                | {"cross_validated_coverage": round(covered, 4)},
            }
            print(chip, precision, dtypes[dtype]["fit"], flush=True)
        content = {
            "format": FORMAT, "law": "thread_pool", "types": list(CORES[chip]), "whole": CORES[chip],
            "cores": DEFAULT_CORES[chip], "fit": {"source": SOURCE, "models": list(names)}, "dtypes": dtypes,
        }  # fmt: skip
        (FITS / f"{LAW_OF_CHIP[chip]}.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")


def by_set(predicted: Any, measured: Any, sets: Sequence[str]) -> dict[str, float]:
    error = np.abs(predicted / measured - 1)
    return {name: round(float(np.nanmean(error[:, column])), 4) for column, name in enumerate(sets)}


def by_kind(error: Any, kinds: Any) -> dict[str, float]:
    return {gpu_waves.KINDS[int(k)]: round(float(error[kinds == k].mean()), 4) for k in np.unique(kinds)}


def record_of(inside: Any, left_out: Any, parts: Mapping[str, float]) -> dict[str, Any]:
    """What a fit says of itself."""
    return {
        "rows": int(np.isfinite(inside).sum()),
        "mape": round(float(np.nanmean(inside)), 4),
        "cross_validated_mape": round(float(np.nanmean(left_out)), 4),
        "cross_validated_median": round(float(np.nanmedian(left_out)), 4),
        "cross_validated_within_10pct": round(float(np.nanmean(left_out <= 0.1)), 4),
        "folds": FOLDS,
        "cross_validated_mape_of": dict(parts),
    }


def cores_of(text: str) -> dict[str, int]:
    """
    >>> cores_of("1large2med")
    {'large': 1, 'med': 2}
    """
    return {name: int(count) for count, name in re.findall(r"(\d)([a-z]+)", text)}


def rounded(values: Any) -> Any:
    return np.round(values, 4).tolist()


def fit_gpu(data: Path, models: Path, chips: Sequence[str]) -> None:
    rows = rows_of(data)
    shapes = shapes_by_model(rows, models, "gpu")
    table = [r for _, r in read_records(data / "qed_ops_gpu.csv.gz") if not qed_ops.why_not(r)]
    for chip in chips:
        own = [r for r in table if r["chip"] == chip]
        base = np.array([qed_ops.base_row_of(r, chip) for r in own])
        measured_us = np.array([float(r["latency_us"]) for r in own])
        groups = [r["model"] for r in own]
        latency = {r["model"]: float(r["latency_ms"]) for r in rows if r["unit"] == "GPU" and r["chip"].endswith(chip)}
        held_us, sums = np.zeros(len(own)), {}
        for held in gpu.folds_by_group(groups, FOLDS):
            law = gpu.fit_kernels(base[~held], measured_us[~held])
            held_us[held] = law.us(base[held])
            for name in sorted({groups[i] for i in np.flatnonzero(held)}):
                sums[name] = model_terms(law, shapes[name], has_winograd=chip not in WITHOUT_WINOGRAD)
        law = gpu.fit_kernels(base, measured_us)
        names = [name for name in sums if name in latency]
        terms, times = np.array([sums[n] for n in names]), np.array([latency[n] * US_PER_MS for n in names])
        constants = relative_nnls(terms, times)
        predicted = np.zeros(len(names))
        for held in gpu.folds_by_group(names, 10):
            predicted[held] = terms[held] @ relative_nnls(terms[~held], times[~held])
        low, high = np.quantile(times / predicted, [gpu.SHARE_BELOW, gpu.SHARE_ABOVE])
        error, kernels_error = np.abs(predicted / times - 1), np.abs(held_us / measured_us - 1)
        inside = np.abs(np.exp(law.log_us(base)) / measured_us - 1)
        one_kind = np.zeros(len(names), dtype=int)
        fixed, scale, per_kernel, per_byte, per_pad_byte = constants
        content = {
            "format": FORMAT, "law": "gpu_waves", "winograd": chip not in WITHOUT_WINOGRAD,
            "scale": round(float(scale), 5), "fixed_us": round(float(fixed), 2),
            "elementwise": [float(f"{x:.5g}") for x in (per_kernel, per_byte, per_pad_byte)],
            "coefficients": {k: [float(f"{x:.6g}") for x in v] for k, v in law.coefficients.items()},
            "longest_us": {k: float(f"{x:.6g}") for k, x in law.longest_us.items()},
            "interval": gpu.intervals(measured_us / held_us, base[:, 0]),
            "model_interval": [round(float(low), 4), round(float(high), 4)],
            "fit": {
                "source": SOURCE, "models": sorted(set(groups)),
                "kernels": record_of(inside, kernels_error, by_kind(kernels_error, base[:, 0]))
                | {"cross_validated_coverage": round(gpu.coverage(measured_us / held_us, base[:, 0], groups), 4)},
                "whole_models": record_of(np.abs(terms @ constants / times - 1), error, {})
                | {"cross_validated_coverage": round(gpu.coverage(times / predicted, one_kind, names), 4)},
            },
        }  # fmt: skip
        name = qed_ops.PRESET_OF_GPU[chip]
        (FITS / f"gpu-{name}.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")
        save_trees(law, FITS / f"gpu-{name}.npz")
        print(chip, content["fit"]["kernels"], content["fit"]["whole_models"], constants, flush=True)


def model_terms(law: gpu_waves.KernelLaw, shapes: Sequence[KernelShape], *, has_winograd: bool) -> list[float]:
    """What the constants of a model multiply: 1, kernels' time, kernels outside the law, their bytes, padded bytes."""
    kinds = [gpu_waves.kind_of(shape, has_winograd=has_winograd) for shape in shapes]
    rows = [gpu_waves.base_row(s, k) for s, k in zip(shapes, kinds, strict=True) if k is not None]
    count = moved = padded = 0.0
    for shape, kind in zip(shapes, kinds, strict=True):
        if kind is None or (kind == "winograd" and shape.followers):
            read = shape.read_elements if kind is None else shape.elements
            count += 1
            moved += (read + shape.elements * (1 + shape.extra_inputs)) * gpu_waves.SIZE_BYTES
        if shape.kind == DEPTHWISE and shape.pads:
            count += 1
            padded += 2 * shape.read_elements * gpu_waves.SIZE_BYTES
    return [1.0, float(law.us(np.array(rows)).sum()), count, moved, padded]


def relative_nnls(terms: Any, times: Any) -> Any:
    """Non-negative constants for small relative errors, re-weighted towards absolute ones."""
    from scipy.optimize import nnls

    scale = terms.mean(axis=0) + 1e-9
    relative, weights = terms / scale / times[:, None], np.ones(len(times))
    for _ in range(4):
        solution, _ = nnls(relative * weights[:, None], weights)
        weights = 1 / np.sqrt(np.maximum(np.abs(relative @ solution - 1), 0.01))
    return solution / scale


def save_trees(law: gpu_waves.KernelLaw, path: Path) -> None:
    trees = law.trees
    assert trees is not None
    np.savez_compressed(
        path, feature=trees.feature.astype(np.uint8), threshold=trees.threshold.astype(np.float32),
        left=trees.left.astype(np.uint16), right=trees.right.astype(np.uint16), value=trees.value.astype(np.float16),
        roots=trees.roots.astype(np.uint16), depth=np.int64(trees.depth),
    )  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    what, data, models, *chips = arguments
    FITS.mkdir(exist_ok=True)
    if what == "cpu":
        fit_cpu(Path(data), Path(models), chips or list(CORES))
    else:
        fit_gpu(Path(data), Path(models), chips or list(qed_ops.PRESET_OF_GPU))


if __name__ == "__main__":
    main(sys.argv[1:])
