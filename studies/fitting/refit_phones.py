"""Laws of a phone's CPU or GPU from the tables of qed-usc and nn-Meter, as files beside a Soc file that names them."""

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from partita.devices.calibration.soc_text import assignments
from partita.errors import StudyError
from partita.studies.fitting import blocks, phone_gpu, phones
from partita.studies.fitting.extra import check_installed
from partita.studies.fitting.refit import Asked, Part, Refit, chosen
from partita.studies.validation.table import Progress, read_records
from partita.studies.validation.tables import nnmeter_blocks
from partita.studies.validation.tables.qed_models import PRESET_OF, chip_of
from partita.studies.validation.tables.qed_ops import PRESET_OF_GPU

NETWORKS = "qed_e2e_real.csv"


def cpu_of_phone(asked: Asked, progress: Progress) -> Refit:
    """The thread-pool law of one chip's CPU in one runtime, over all its sets of cores."""
    check_installed()
    rows = [r for _, r in asked.records if r["unit"] == "CPU" and r["set"] == phones.REAL_NETWORKS]
    chip = chosen([chip_of(r) for r in rows], asked.device, "--device", asked)
    runtime = chosen([r["framework"] for r in rows if chip_of(r) == chip], asked.runtime, "--runtime", asked)
    own = phones.rows_of(asked.records, runtime, chip, "CPU")
    content = phones.cpu_law(own, phones.shapes_by_model(own, asked.models_needed(), "cpu", progress), progress)
    parts = [_part(dtype, part["fit"]) for dtype, part in content["dtypes"].items()]
    return _refit(asked, chip, runtime, "cpu", PRESET_OF.get(chip), content, parts)


def core_of_phone(asked: Asked, progress: Progress) -> Refit:
    """The same law of one core, from blocks of networks."""
    phone = chosen(tuple(nnmeter_blocks.PHONES), asked.device, "--device", asked)
    progress(f"fitting {phone}")
    content = blocks.law_of(blocks.gathered(asked.records, phone))
    parts = [_part(dtype, part["fit"]) for dtype, part in content["dtypes"].items()]
    return _refit(asked, phone, nnmeter_blocks.RUNTIME, "cpu", None, content, parts)


def gpu_of_phone(asked: Asked, progress: Progress) -> Refit:
    """The law of waves and its trees, from kernels and, in the table beside it, whole networks."""
    check_installed()
    chip = chosen([r["chip"] for _, r in asked.records if r["chip"] in PRESET_OF_GPU], asked.device, "--device", asked)
    beside = Path(asked.records.path).parent / NETWORKS
    if not beside.is_file():
        raise StudyError(f"{beside}: there is no such file; what whole networks add to their kernels is read from it")
    networks = read_records(beside)
    own = [
        r for _, r in networks
        if r["unit"] == "GPU" and r["chip"].endswith(chip) and r["framework"].startswith("TFLite")
    ]  # fmt: skip
    shapes = phones.shapes_by_model(own, asked.models_needed(), "gpu", progress)
    content, law = phone_gpu.gpu_law(phone_gpu.timed(asked.records, chip), own, shapes, chip, progress)
    trees = BytesIO()
    phone_gpu.save_trees(law, trees)
    parts = [_part(name.replace("_", " "), content["fit"][name]) for name in ("kernels", "whole_models")]
    made = _refit(asked, chip, own[0]["framework"], "gpu", PRESET_OF_GPU[chip], content, parts, trees.getvalue())
    return made


def _part(what: str, fit: Mapping[str, Any]) -> Part:
    return Part(
        what=what, rows=fit["rows"], in_sample=fit["mape"], left_out=fit["cross_validated_mape"], measure="mean",
        within_10pct=fit["cross_validated_within_10pct"], coverage=fit["cross_validated_coverage"],
    )  # fmt: skip


def _refit(  # noqa: PLR0913  (all that a Soc file with a law beside it says)
    asked: Asked,
    device: str,
    runtime: str,
    unit: str,
    known: str | None,
    content: dict[str, Any],
    parts: list[Part],
    trees: bytes | None = None,
) -> Refit:
    base = asked.soc or known
    if base is None:
        raise StudyError(f"{asked.records.path}: no preset is known for {device}; say with --soc which to build on")
    law = f"{asked.name}-{unit}"
    source = content["fit"]["source"]
    errors = "; ".join(
        f"{part.what}: {part.left_out:.1%} in the mean on models left out ({part.in_sample:.1%} in sample)"
        for part in parts
    )
    text = f"# {unit} of {base} fitted to {device}, {runtime}. {errors}.\n\n"
    text += assignments({"format": "partita-soc/1", "name": asked.name, "base": base, "runtime": runtime})
    text += f"\n[sources]\nFITTED = {json.dumps(source)}\n\n[[units]]\n"
    text += assignments({"name": unit, "law": f"{law}.json"})
    content = content | {"rated": {"unit": unit, "soc": base}}
    files = {f"{law}.json": (json.dumps(content, separators=(",", ":")) + "\n").encode()}
    if trees is not None:
        files[f"{law}.npz"] = trees
    return Refit(
        device=device, runtime=runtime, unit=unit, base=base, source=source, models=content["fit"]["models"],
        parts=parts, text=text, beside=files,
    )  # fmt: skip
