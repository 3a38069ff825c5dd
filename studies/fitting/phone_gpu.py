"""A phone's GPU from the tables of qed-usc/mobile-ml-benchmark (MIT): its law's file and trees.

Kernels come from qed_ops_gpu.csv.gz, what a whole network adds to them from qed_e2e_real.csv.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from partita.devices.kernel_shape import DEPTHWISE, KernelShape
from partita.devices.laws import gpu_waves
from partita.devices.laws.gpu_waves import KernelLaw
from partita.devices.laws.law import FORMAT
from partita.devices.laws.trees import Floats
from partita.errors import StudyError
from partita.studies.fitting import gpu
from partita.studies.fitting.phones import FOLDS, SOURCE, record_of
from partita.studies.validation.table import Progress, Record, Records
from partita.studies.validation.tables import qed_ops
from partita.units import US_PER_MS

WITHOUT_WINOGRAD = ("Adreno 640", "Adreno 616")
FOLDS_OF_CONSTANTS = 10
DIGITS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """Kernels of one GPU with their times."""

    base: Floats
    """Rows of `gpu_waves.BASE`."""
    time_us: Floats
    models: Sequence[str]

    def but(self, held: np.ndarray[Any, np.dtype[np.bool_]]) -> KernelLaw:
        """The law fitted to all others."""
        return gpu.fit_kernels(self.base[~held], self.time_us[~held])


def timed(records: Records, chip: str) -> Timed:
    """The kernels of a GPU; StudyError if the table has none."""
    own = [r for _, r in records if r["chip"] == chip and not qed_ops.why_not(r)]
    if not own:
        raise StudyError(f"{records.path}: has no kernel of {chip}")
    base = np.array([qed_ops.base_row_of(r, chip) for r in own])
    return Timed(base, np.array([float(r["latency_us"]) for r in own]), [r["model"] for r in own])


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
    law = gpu.fit_kernels(kernels.base, kernels.time_us)
    latency_us = {r["model"]: float(r["latency_ms"]) * US_PER_MS for r in rows}
    names = [name for name in sums if name in latency_us]
    terms, times_us = np.array([sums[n] for n in names]), np.array([latency_us[n] for n in names])
    constants, left_out = _constants(terms, times_us, names)
    fixed, scale, per_kernel, per_byte, per_pad_byte = constants
    low, high = np.quantile(times_us / left_out, [gpu.SHARE_BELOW, gpu.SHARE_ABOVE])
    content = {
        "format": FORMAT, "law": "gpu_waves", "winograd": has_winograd,
        "scale": round(float(scale), 5), "fixed_us": round(float(fixed), 2),
        "elementwise": [float(f"{x:.5g}") for x in (per_kernel, per_byte, per_pad_byte)],
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
    return content, law


def _constants(terms: Floats, times_us: Floats, names: Sequence[str]) -> tuple[Floats, Floats]:
    """What a model adds to its kernels, and each model's time by constants fitted without it."""
    left_out = np.zeros(len(names))
    for held in gpu.folds_by_group(names, FOLDS_OF_CONSTANTS):
        left_out[held] = terms[held] @ relative_nnls(terms[~held], times_us[~held])
    return relative_nnls(terms, times_us), left_out


def _record_of_kernels(kernels: Timed, law: KernelLaw, held_us: Floats) -> dict[str, Any]:
    error, kinds = np.abs(held_us / kernels.time_us - 1), kernels.base[:, 0]
    inside = np.abs(np.exp(law.log_us(kernels.base)) / kernels.time_us - 1)
    of_kind = {gpu_waves.KINDS[int(kind)]: float(error[kinds == kind].mean()) for kind in np.unique(kinds)}
    covered = gpu.coverage(kernels.time_us / held_us, kinds, kernels.models)
    return record_of(inside, error, of_kind) | {"cross_validated_coverage": round(covered, DIGITS)}


def _record(inside: Floats, ratio: Floats, names: Sequence[str]) -> dict[str, Any]:
    covered = gpu.coverage(ratio, np.zeros(len(names), dtype=int), names)
    return record_of(inside, np.abs(1 / ratio - 1), {}) | {"cross_validated_coverage": round(covered, DIGITS)}


def model_terms(law: KernelLaw, shapes: Sequence[KernelShape], *, has_winograd: bool) -> list[float]:
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


def relative_nnls(terms: Floats, times: Floats) -> Floats:
    """Non-negative constants for small relative errors, re-weighted towards absolute ones."""
    from scipy.optimize import nnls

    scale = terms.mean(axis=0) + 1e-9
    relative, weights = terms / scale / times[:, None], np.ones(len(times))
    for _ in range(4):
        solution, _ = nnls(relative * weights[:, None], weights)
        weights = 1 / np.sqrt(np.maximum(np.abs(relative @ solution - 1), 0.01))
    result: Floats = solution / scale
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
