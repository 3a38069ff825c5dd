"""Models and inputs as the engines of the benchmarks read them, and the machine that they run on."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import onnx

import partita as pt
from partita.graph.ir import Graph
from partita.graph.onnx_export import to_model
from partita.passes.random_feeds import random_feeds

DEFAULT_SIZES = ("batch=1", "seq=128", "sequence=128")
SMALLEST_IN_FILE_BYTES = 1024
"""Constants from this size on go to the file beside the model."""


def load_with_sizes(path: Path, sizes: list[str]) -> Graph:
    """The model with those of the sizes (as batch=1) and DEFAULT_SIZES that it has open dimensions for, and weights."""
    pairs = dict(text.split("=", 1) for text in (*DEFAULT_SIZES, *sizes))
    names = {d.dim_param for i in onnx.load(path, load_external_data=False).graph.input
             for d in i.type.tensor_type.shape.dim if d.dim_param}  # fmt: skip
    return pt.load(path, {name: int(size) for name, size in pairs.items() if name in names}, random_weights=True)


def write_for_engines(graph: Graph, folder: Path, name: str) -> Path:
    """The model with its weights in a file beside it, and inputs for it."""
    path = folder / f"{name}.onnx"
    onnx.save(
        to_model(graph),
        path,
        save_as_external_data=True,
        location=f"{name}.weights",
        size_threshold=SMALLEST_IN_FILE_BYTES,
    )
    np.savez(path.with_suffix(".npz"), **random_feeds(graph))
    return path


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    packages = {}
    for package in ("numpy", "onnx", "onnxruntime", "numba"):
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            packages[package] = "not installed"
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = f"{models[0]}, {len(models)} cores" if models else platform.processor()
    return {"processor": processor, "system": platform.system(), "python": platform.python_version(), **packages}
