"""A phone's GPU from the tables of qed-usc/mobile-ml-benchmark (MIT): its law's file and trees.

Kernels come from qed_ops_gpu.csv.gz, what a whole network adds to them from qed_e2e_real.csv.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from partita.devices.kernel_shape import KernelShape
from partita.devices.laws import gpu_kernels
from partita.devices.laws.delegate import Gpu
from partita.devices.laws.gpu_kernels import PER_BYTE, Columns
from partita.devices.laws.gpu_waves import KernelLaw
from partita.devices.laws.law import FORMAT
from partita.devices.laws.trees import Floats
from partita.errors import StudyError
from partita.studies.fitting import gpu
from partita.studies.fitting.phones import DIGITS, FOLDS, SOURCE, record_of
from partita.studies.validation.table import Progress, Record, Records
from partita.studies.validation.tables import qed_ops
from partita.units import US_PER_MS

WITHOUT_WINOGRAD = ("Adreno 640", "Adreno 616")
GPUS = {
    "Adreno 640": Gpu("adreno", 2), "Adreno 616": Gpu("adreno", 1), "Mali-G76 MP12": Gpu("mali", 12),
    "PowerVR GE8320": Gpu("powervr", 1), "A10 GPU": Gpu("apple", 6), "A12 GPU": Gpu("apple", 4),
}  # fmt: skip
"""Compute units: as OpenCL's drivers tell them; of Apple's, `gpu_info.cc` of the delegate (tensorflow 045c9963)."""
CONSTANTS = ("fixed_us", "scale", "gap_us", "elementwise_us", "scale_of_long", *PER_BYTE)
"""Of a model: per inference, on its kernels' time, per kernel, more per element-wise kernel, more on the time that
kernels take beyond `gpu_kernels.LONG_US`, per byte of element-wise kernels and the like."""


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """Kernels of one GPU with their times."""

    base: Floats
    """Rows of `gpu_kernels.BASE`."""
    time_us: Floats
    models: Sequence[str]
    chip: Gpu

    def but(self, held: np.ndarray[Any, np.dtype[np.bool_]]) -> KernelLaw:
        """The law fitted to all others."""
        return gpu.fit_kernels(self.base[~held], self.time_us[~held], self.chip)


def timed(records: Records, chip: str) -> Timed:
    """The kernels of a GPU; StudyError if the table has none."""
    own = [r for _, r in records if r["chip"] == chip and not qed_ops.why_not(r)]
    if not own:
        raise StudyError(f"{records.path}: has no kernel of {chip}")
    base = np.array([qed_ops.base_row_of(r, chip) for r in own])
    return Timed(base, np.array([float(r["latency_us"]) for r in own]), [r["model"] for r in own], GPUS[chip])


def gpu_law(
    kernels: Timed, rows: Sequence[Record], shapes: Mapping[str, Sequence[KernelShape]], chip: str, progress: Progress
) -> tuple[dict[str, Any], KernelLaw]:
    """The content of the law's file, and the law with the trees that lie beside it."""
    has_winograd = chip not in WITHOUT_WINOGRAD
    held_us, sums = np.zeros(len(kernels.base)), {}
    for number, held in enumerate(gpu.folds_by_group(kernels.models, FOLDS), start=1):
        progress(f"fitting without part {number} of {FOLDS}")
        law = kernels.but(held)
        held_us[held] = law.us(kernels.base[held])
        for name in sorted({kernels.models[i] for i in np.flatnonzero(held).tolist()} & shapes.keys()):
            sums[name] = model_terms(law, shapes[name], has_winograd=has_winograd)
    progress("fitting all kernels")
    law = gpu.fit_kernels(kernels.base, kernels.time_us, kernels.chip)
    return content_of(kernels, rows, sums, held_us, law, has_winograd=has_winograd), law


def content_of(
    kernels: Timed,
    rows: Sequence[Record],
    sums: Mapping[str, Sequence[float]],
    held_us: Floats,
    law: KernelLaw,
    *,
    has_winograd: bool,
) -> dict[str, Any]:
    """The law's file: `sums` are the terms of models and `held_us` the kernels, by laws fitted without them."""
    latency_us = {r["model"]: float(r["latency_ms"]) * US_PER_MS for r in rows}
    names = [name for name in sums if name in latency_us]
    terms, times_us = np.array([sums[n] for n in names]), np.array([latency_us[n] for n in names])
    constants, left_out = _constants(terms, times_us, names, least_of(kernels))
    fixed, scale, gap, per_kernel, of_long, *per_byte = constants.tolist()
    low, high = np.quantile(times_us / left_out, [gpu.SHARE_BELOW, gpu.SHARE_ABOVE])
    return {
        "format": FORMAT, "law": "gpu_waves", "winograd": has_winograd,
        "vendor": kernels.chip.vendor, "units": kernels.chip.units,
        "scale": round(scale, 5), "fixed_us": round(fixed, 2), "gap_us": float(f"{gap:.5g}"),
        "elementwise_us": float(f"{per_kernel:.5g}"), "scale_of_long": round(of_long, 5),
        "us_per_byte": {name: float(f"{x:.5g}") for name, x in zip(PER_BYTE, per_byte, strict=True)},
        "coefficients": {k: [float(f"{x:.6g}") for x in v] for k, v in law.coefficients.items()},
        "longest_us": {k: float(f"{x:.6g}") for k, x in law.longest_us.items()},
        "interval": gpu.intervals(kernels.time_us / held_us, kernels.base[:, 0]),
        "model_interval": [round(float(low), DIGITS), round(float(high), DIGITS)],
        "fit": {
            "source": f"{SOURCE}, {rows[0]['framework']}", "models": sorted(set(kernels.models)),
            "kernels": _record_of_kernels(kernels, law, held_us),
            "whole_models": _record(np.abs(terms @ constants / times_us - 1), times_us / left_out, names),
        },
    }  # fmt: skip


def least_of(kernels: Timed) -> Floats:
    """The least of a model's constants: a kernel that is not linked takes no less than the quickest that was measured.

    Nor are its bytes moved any faster than those of the best pool or concatenation.
    """
    columns = Columns(kernels.base)
    per_byte = kernels.time_us / (columns.read_bytes + columns.written_bytes)
    moving = columns.is_kind("concat", "max_pool", "average_pool")
    least = np.zeros(len(CONSTANTS))
    least[CONSTANTS.index("elementwise_us")] = kernels.time_us.min()
    least[CONSTANTS.index("elementwise")] = per_byte[moving].min() if moving.any() else 0.0
    return least


def _constants(terms: Floats, times_us: Floats, names: Sequence[str], least: Floats) -> tuple[Floats, Floats]:
    """What a model adds to its kernels, and each model's time by constants fitted without it."""
    left_out = np.zeros(len(names))
    for held in gpu.folds_by_group(names, FOLDS):
        left_out[held] = terms[held] @ relative_nnls(terms[~held], times_us[~held], least)
    return relative_nnls(terms, times_us, least), left_out


def _record_of_kernels(kernels: Timed, law: KernelLaw, held_us: Floats) -> dict[str, Any]:
    error, kinds = np.abs(held_us / kernels.time_us - 1), kernels.base[:, 0]
    inside = np.abs(np.exp(law.log_us(kernels.base)) / kernels.time_us - 1)
    of_kind = {gpu_kernels.KINDS[int(kind)]: float(error[kinds == kind].mean()) for kind in np.unique(kinds)}
    covered = gpu.coverage(kernels.time_us / held_us, kinds, kernels.models)
    return record_of(inside, error, of_kind, FOLDS) | {"cross_validated_coverage": round(covered, DIGITS)}


def _record(inside: Floats, ratio: Floats, names: Sequence[str]) -> dict[str, Any]:
    covered = gpu.coverage(ratio, np.zeros(len(names), dtype=int), names)
    return record_of(inside, np.abs(1 / ratio - 1), {}, FOLDS) | {"cross_validated_coverage": round(covered, DIGITS)}


def model_terms(law: KernelLaw, shapes: Sequence[KernelShape], *, has_winograd: bool) -> list[float]:
    """What the `CONSTANTS` of a model multiply."""
    kinds = [gpu_kernels.kind_of(shape, has_winograd=has_winograd) for shape in shapes]
    rows = [gpu_kernels.base_row(s, k) for s, k in zip(shapes, kinds, strict=True) if k is not None]
    known_us = law.us(np.array(rows)) if rows else np.zeros(0)
    moved = [gpu_kernels.unlinked_bytes(shape, kind) for shape, kind in zip(shapes, kinds, strict=True)]
    totals = [sum(each[name] for each in moved) for name in PER_BYTE]
    long_us = float(gpu_kernels.long_us(known_us).sum())
    return [1.0, float(known_us.sum()), len(shapes), kinds.count(None), long_us, *totals]


def relative_nnls(terms: Floats, times: Floats, least: Floats) -> Floats:
    """Constants of at least `least` for small relative errors, re-weighted towards absolute ones."""
    from scipy.optimize import nnls

    relative, target = terms / times[:, None], 1 - terms @ least / times
    scale = relative.mean(axis=0) + 1e-12
    relative, weights = relative / scale, np.ones(len(times))
    for _ in range(4):
        solution, _ = nnls(relative * weights[:, None], target * weights)
        weights = 1 / np.sqrt(np.maximum(np.abs(relative @ solution - target), 0.01))
    result: Floats = least + solution / scale
    return result


def save_trees(law: KernelLaw, file: BinaryIO) -> None:
    trees = law.trees
    if trees is None:
        raise ValueError("a law without trees has none to save")
    np.savez_compressed(
        file, feature=trees.feature.astype(np.uint8), threshold=trees.threshold.astype(np.float32),
        left=trees.left.astype(np.uint16), right=trees.right.astype(np.uint16), value=trees.value.astype(np.float16),
        roots=trees.roots.astype(np.uint16), depth=np.int64(trees.depth),
    )  # fmt: skip
