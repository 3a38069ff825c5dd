"""Qualcomm's HTP library on its x86 emulator, through onnxruntime-qnn, in a process of its own for each segment."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from partita.backends.backend import Run, SubModel, backend
from partita.devices.providers import provider_of
from partita.errors import BackendError

TIME_LIMIT_S = 3600
PLAIN_KINDS = "fiub"
"""Kinds of numpy dtypes that an archive holds as they are."""


@backend(
    "qnn-emulator",
    "Qualcomm HTP on its x86 emulator",
    packages=("onnxruntime", "onnxruntime_qnn"),
    extra="qnn",
    precision="float16",
)
def load(sub_model: SubModel) -> Run:
    provider = provider_of(sub_model.unit, "float16")
    soc_model = "" if provider is None else provider.options.get("soc_model", "")
    if not soc_model:
        raise BackendError(
            f"qnn-emulator stands for Qualcomm's NPUs, and {sub_model.unit.name} ({sub_model.unit.title}) is none"
        )

    def run(feeds: Mapping[str, Any]) -> dict[str, Any]:
        odd = [name for name, x in feeds.items() if not isinstance(x, np.ndarray) or x.dtype.kind not in PLAIN_KINDS]
        if odd:
            raise BackendError(f"qnn-emulator cannot be given {odd[0]!r}: it is no array of numbers")
        results = _in_a_process(sub_model, soc_model, list(feeds.values()))
        return dict(zip(sub_model.piece.graph.outputs, results, strict=True))

    return run


def _in_a_process(sub_model: SubModel, soc_model: str, inputs: list[Any]) -> list[Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given, made, error = folder / "inputs.npz", folder / "outputs.npz", folder / "error.txt"
        np.savez(given, *inputs)
        command = [sys.executable, "-m", "partita.backends.qnn_process"]
        arguments = [str(sub_model.path), soc_model, str(given), str(made), str(error)]
        try:
            done = subprocess.run([*command, *arguments], capture_output=True, timeout=TIME_LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            raise BackendError(f"qnn-emulator did not finish {sub_model.title} within {TIME_LIMIT_S} s") from None
        if error.is_file():
            raise BackendError(f"qnn-emulator does not take {sub_model.title}: {error.read_text('utf-8')}")
        if not made.is_file():
            told = done.stderr.decode(errors="replace").strip().splitlines()
            raise BackendError(
                f"qnn-emulator ended in {sub_model.title} with exit code {done.returncode}: {''.join(told[-1:])}"
            )
        with np.load(made) as archive:
            return [archive[key] for key in archive.files]
