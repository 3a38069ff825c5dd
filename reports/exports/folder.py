"""The folder that `partita export` writes: whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import onnx

from partita.devices import Soc
from partita.errors import OutputError
from partita.graph.external import WeightFile
from partita.graph.ir import Graph, Value
from partita.graph.onnx_export import to_model
from partita.graph.open_sizes import with_open_sizes
from partita.graph.pieces import Piece, pieces_of, primitives
from partita.graph.plan import Plan
from partita.graph.quantisation import Range
from partita.reports.exports.annotate import IR_VERSION, annotate
from partita.reports.exports.ort_profile import to_ort_profile
from partita.reports.exports.quantised import quantised_form
from partita.reports.exports.settings import litert_settings, onnxruntime_settings, pins
from partita.simulator.timeline import Timeline

PARTS = ("model", "segments", "settings", "profile")
FORMAT = "partita-export/1"
MODEL, WEIGHTS, MANIFEST, RUNNER = "model.onnx", "weights.bin", "manifest.json", "run_segments.py"
PROFILE, QUANTISED = "profile.json", "quantised.onnx"
FOLDER_MODE = 0o755


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What was written where."""

    folder: Path
    files: tuple[str, ...]
    size_bytes: int
    manifest: dict[str, Any]


def export_plan(
    plan: Plan,
    timeline: Timeline,
    folder: str | Path,
    parts: Sequence[str] = PARTS,
    ranges: Mapping[str, Range] | None = None,
) -> Export:
    """Writes the parts of an export into a new folder, or in place of an earlier export.

    With `ranges` of its tensors, a plan with quantised locations is also written as it computes, beside the model.
    Weights stay where they are mapped until they are written; the models are checked by onnx. Raises OutputError if
    the folder holds anything else, ModelError if the plan's model has no weights.
    """
    target = checked_folder(folder)
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        manifest = _write(plan, timeline, beside, parts, ranges or {})
        names = tuple(sorted(path.name for path in beside.iterdir()))
        size_bytes = sum(path.stat().st_size for path in beside.iterdir())
        beside.chmod(FOLDER_MODE)
        _put(beside, target)
    except OSError as error:
        raise OutputError(f"cannot write {str(folder)!r}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Export(folder=target, files=names, size_bytes=size_bytes, manifest=manifest)


def _put(made: Path, target: Path) -> None:
    """Renames the folder that was made; an earlier export is moved away first and removed after."""
    earlier = made.with_name(f"{made.name}.old")
    if target.is_dir():
        os.replace(target, earlier)
    os.replace(made, target)
    shutil.rmtree(earlier, ignore_errors=True)


def checked_folder(folder: str | Path) -> Path:
    """The folder to write; OutputError if something is in the way or it cannot be made."""
    target = Path(folder).absolute()
    if target.exists() and not target.is_dir():
        raise OutputError(f"cannot write {str(folder)!r}: it is a file; give the name of a folder")
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {str(folder)!r}: there is no folder {str(target.parent)!r}; make it first")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(f"cannot write {str(folder)!r}: permission denied; choose a folder that is writable")
    if target.is_dir() and any(target.iterdir()) and not _is_export(target):
        raise OutputError(f"cannot write {str(folder)!r}: it holds other files; give the name of a new folder")
    return target


def _is_export(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("format") == FORMAT


def _write(
    plan: Plan, timeline: Timeline, folder: Path, parts: Sequence[str], ranges: Mapping[str, Range]
) -> dict[str, Any]:
    soc = Soc.from_json(plan.soc_json)
    weights = WeightFile(WEIGHTS)
    models: list[str] = []
    pieces = pieces_of(plan) if "segments" in parts else ()
    if "model" in parts:
        model = to_model(with_open_sizes(plan.graph), weights.tensor, ir_version=IR_VERSION)
        annotate(model, plan, soc)
        _write_model(model, folder / MODEL)
        models.append(MODEL)
    if "model" in parts and ranges:
        _write_model(to_model(quantised_form(plan, ranges), weights.tensor), folder / QUANTISED)
        models.append(QUANTISED)
    for piece in pieces:
        name = file_of(piece)
        _write_model(to_model(primitives(piece.graph), weights.tensor), folder / name)
        models.append(name)
    weights.write(folder)
    for name in models:
        onnx.checker.check_model(str(folder / name), full_check=True)
    if pieces:
        shutil.copyfile(str(files("partita.reports.exports").joinpath(RUNNER)), folder / RUNNER)
    if "settings" in parts:
        _write_json(folder / "onnxruntime.json", onnxruntime_settings(plan, soc))
        _write_json(folder / "litert.json", litert_settings(plan, soc))
        (folder / "pins.txt").write_text(pins(plan), "utf-8")
    if "profile" in parts:
        (folder / PROFILE).write_text(to_ort_profile(plan, timeline), "utf-8")
    manifest = _manifest(plan, pieces, models, has_weights=weights.size_bytes > 0)
    _write_json(folder / MANIFEST, manifest)
    return manifest


def file_of(piece: Piece) -> str:
    return f"segment-{piece.segment.index:03d}-{piece.unit}.onnx"


def _write_model(model: onnx.ModelProto, path: Path) -> None:
    with path.open("wb") as file:
        file.write(model.SerializeToString())


def _write_json(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", "utf-8")


def _manifest(plan: Plan, pieces: Sequence[Piece], models: Sequence[str], *, has_weights: bool) -> dict[str, Any]:
    graph = with_open_sizes(plan.graph)
    return {
        "format": FORMAT,
        "name": plan.graph.name,
        "soc": plan.soc_name,
        "graph_digest": plan.graph_digest,
        "latency_us": plan.latency_us,
        "model": MODEL if MODEL in models else None,
        "quantised": QUANTISED if QUANTISED in models else None,
        "weights": WEIGHTS if has_weights else None,
        "inputs": [_tensor(graph, name) for name in graph.inputs],
        "outputs": [_tensor(graph, name) for name in graph.outputs],
        "segments": [_segment(plan, piece) for piece in pieces],
    }


def _segment(plan: Plan, piece: Piece) -> dict[str, Any]:
    return {
        "file": file_of(piece),
        "unit": piece.unit,
        "dtypes": list(piece.dtypes),
        "inputs": list(piece.graph.inputs),
        "outputs": list(piece.graph.outputs),
        "operators": sum(len(operator.covers) for operator in piece.operators),
        "latency_us": piece.segment.call_us + sum(operator.cost.latency_us for operator in piece.operators),
        "transfers_us": sum(t.latency_us for o in piece.operators for t in plan.transfers_before.get(o.node, ())),
    }


def _tensor(graph: Graph, name: str) -> dict[str, Any]:
    value = graph.values.get(name, Value("float32", None))
    return {"name": name, "dtype": value.dtype, "shape": None if value.shape is None else list(value.shape)}
