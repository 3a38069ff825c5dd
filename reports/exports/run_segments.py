#!/usr/bin/env python3
"""Runs an exported plan segment by segment with ONNX Runtime; `partita export` puts this file beside the segments.

    python run_segments.py --inputs inputs.npz --outputs outputs.npz
    python run_segments.py --check
    python run_segments.py --provider npu=QNNExecutionProvider

Needs numpy and onnxruntime, nothing of partita. Inputs that are not given are random. A provider gets the options that
onnxruntime.json has for the unit; a unit whose provider is not installed runs on the CPU.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

FOLDER = Path(__file__).resolve().parent
CPU = "CPUExecutionProvider"
TOLERANCE = 1e-4
"""Largest difference from the whole model, relative to the largest value of an output."""
Tensors = dict[str, Any]


def run_segments(
    folder: Path, feeds: Mapping[str, Any], providers: Mapping[str, str], show: Callable[[str], None]
) -> Tensors:
    """The outputs of the model, its segments run in order; `providers` names one for a unit."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    last_use = {name: n for n, segment in enumerate(manifest["segments"]) for name in segment["inputs"]}
    outputs = [output["name"] for output in manifest["outputs"]]
    known: Tensors = dict(feeds)
    for number, segment in enumerate(manifest["segments"]):
        provider = providers.get(segment["unit"], CPU)
        session = session_of(folder / segment["file"], provider, options_of(folder, segment["unit"], provider))
        began = time.perf_counter()
        results = session.run(segment["outputs"], {name: known[name] for name in segment["inputs"]})
        spent_ms = (time.perf_counter() - began) * 1e3
        show(f"{segment['file']}: {spent_ms:.2f} ms on {session.get_providers()[0]}")
        known.update(zip(segment["outputs"], results, strict=True))
        for name in segment["inputs"]:
            if last_use[name] == number and name not in outputs:
                del known[name]
    return {name: known[name] for name in outputs}


def options_of(folder: Path, unit: str, provider: str) -> dict[str, str]:
    """What the settings say of the provider on this unit; nothing if there are none."""
    path = folder / "onnxruntime.json"
    listed = json.loads(path.read_text("utf-8"))["providers"] if path.is_file() else []
    return next((dict(e["options"]) for e in listed if (e["unit"], e["provider"]) == (unit, provider)), {})


def session_of(path: Path, provider: str = CPU, settings: Mapping[str, str] | None = None) -> Any:
    """A session on the provider, with nothing of another one hidden behind it but the CPU."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    wanted = [(provider, dict(settings or {}))] if provider in ort.get_available_providers() else []
    fallback: list[tuple[str, dict[str, str]]] = [] if provider == CPU else [(CPU, {})]
    return ort.InferenceSession(str(path), options, providers=[*wanted, *fallback])


def random_feeds(folder: Path, seed: int) -> Tensors:
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    generator = np.random.default_rng(seed)
    return {entry["name"]: random_tensor(entry, generator) for entry in manifest["inputs"]}


def random_tensor(entry: Mapping[str, Any], generator: np.random.Generator) -> Any:
    """Small numbers of the input's type; zeros for indices, so that they fit every table."""
    if entry["shape"] is None:
        raise SystemExit(f"input {entry['name']!r} is no tensor: give it with --inputs")
    if entry["dtype"].startswith("float"):
        return generator.standard_normal(entry["shape"]).astype(entry["dtype"])
    return np.zeros(entry["shape"], entry["dtype"])


def largest_difference(wanted: Any, given: Any) -> float:
    """Relative to the largest value; infinite if the shapes differ."""
    if isinstance(wanted, list):
        return max(map(largest_difference, wanted, given), default=0.0) if len(wanted) == len(given) else np.inf
    if wanted.shape != given.shape:
        return np.inf
    if wanted.dtype.kind in "OUS":
        return 0.0 if (wanted == given).all() else np.inf
    difference = np.abs(wanted.astype(np.float64) - given.astype(np.float64)).max(initial=0.0)
    return float(difference / max(np.abs(wanted.astype(np.float64)).max(initial=0.0), 1e-30))


def differences(folder: Path, feeds: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, float]:
    """How far each output is from what the whole model gives."""
    results = session_of(folder / "model.onnx").run(list(outputs), dict(feeds))
    return {name: largest_difference(wanted, outputs[name]) for name, wanted in zip(outputs, results, strict=True)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=Path, help="an .npz archive with the inputs by name")
    parser.add_argument("--outputs", type=Path, help="an .npz archive to write")
    parser.add_argument("--provider", action="append", default=[], metavar="UNIT=PROVIDER")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true", help="compare with the whole model on the CPU")
    arguments = parser.parse_args()
    feeds = random_feeds(FOLDER, arguments.seed) if arguments.inputs is None else dict(np.load(arguments.inputs))
    providers = dict(text.split("=", 1) for text in arguments.provider)
    outputs = run_segments(FOLDER, feeds, providers, print)
    if arguments.outputs is not None:
        np.savez(arguments.outputs, **outputs)
    found = differences(FOLDER, feeds, outputs) if arguments.check else {}
    for name, difference in found.items():
        print(f"{name}: {difference:.1e} from the whole model")  # noqa: T201  (a program of its own)
    return int(any(difference > TOLERANCE for difference in found.values()))


if __name__ == "__main__":
    sys.exit(main())
