"""Runs a plan segment by segment, each on the backend chosen for its unit."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from partita.backends import BACKENDS, Backend, SubModel, backend_called
from partita.backends.backend import check_takes
from partita.devices import Soc
from partita.errors import BackendError
from partita.graph.external import WeightFile
from partita.graph.onnx_export import to_model
from partita.graph.pieces import Piece, pieces_of, primitives
from partita.graph.plan import Plan
from partita.graph.quantisation import Range
from partita.kernels.calibration import calibrate
from partita.kernels.executor import checked_feeds
from partita.kernels.placed import is_quantised

DEFAULT = "numpy"


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRun:
    """What one segment took on this machine."""

    segment: int
    unit: str
    backend: str
    load_s: float
    wall_s: float


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class BackendRun:
    """Outputs in the model's own dtypes, and what each segment took."""

    outputs: Mapping[str, Any]
    segments: tuple[SegmentRun, ...]


def chosen_backends(plan: Plan, names: Mapping[str, str]) -> dict[str, Backend]:
    """The backend of each unit that runs something, ours where none is named; BackendError for what cannot be."""
    soc = Soc.from_json(plan.soc_json)
    for unit in names:
        if unit not in {each.name for each in soc.units}:
            known = ", ".join(each.name for each in soc.units)
            raise BackendError(f"the plan's Soc {plan.soc_name!r} has no unit {unit!r}; it has: {known}")
    found = {unit: backend_called(name) for unit, name in names.items()}
    used = dict.fromkeys(segment.unit for segment in plan.segments)
    return {unit: found.get(unit, BACKENDS[DEFAULT]) for unit in used}


def run_on_backends(
    plan: Plan, feeds: Mapping[str, Any], backends: Mapping[str, Backend], ranges: Mapping[str, Range] | None = None
) -> BackendRun:
    """The plan's outputs. A unit's segments run as sub-models on its backend, in the plan's order.

    Tensors cross between segments in the model's own dtypes. Raises BackendError if a backend refuses a segment,
    ModelError if weights are missing or the feeds do not fit.
    """
    known = dict(checked_feeds(plan.graph, feeds))
    pieces = pieces_of(plan)
    for piece in pieces:
        check_takes(backends[piece.unit], piece)
    if ranges is None:
        ranges = calibrate(plan.graph, [feeds]) if is_quantised(plan) else {}
    runs: list[SegmentRun] = []
    with tempfile.TemporaryDirectory() as folder:
        for sub_model in _written(plan, pieces, Path(folder), ranges):
            outputs, took = _run(sub_model, backends[sub_model.unit.name], known)
            known |= outputs
            runs.append(took)
    return BackendRun(outputs={name: known[name] for name in plan.graph.outputs}, segments=tuple(runs))


def _written(plan: Plan, pieces: tuple[Piece, ...], folder: Path, ranges: Mapping[str, Range]) -> list[SubModel]:
    soc, weights = Soc.from_json(plan.soc_json), WeightFile("weights.bin")
    found: list[SubModel] = []
    for piece in pieces:
        path = folder / f"{piece.segment.index}.onnx"
        path.write_bytes(to_model(primitives(piece.graph), weights.tensor).SerializeToString())
        found.append(SubModel(piece=piece, path=path, unit=soc.unit_named(piece.unit), ranges=ranges))
    weights.write(folder)
    return found


def _run(sub_model: SubModel, backend: Backend, known: Mapping[str, Any]) -> tuple[dict[str, Any], SegmentRun]:
    began = time.perf_counter()
    run = backend.load(sub_model)
    loaded = time.perf_counter()
    outputs = run({name: known[name] for name in sub_model.piece.graph.inputs})
    ended = time.perf_counter()
    took = SegmentRun(
        segment=sub_model.piece.segment.index,
        unit=sub_model.unit.name,
        backend=backend.name,
        load_s=loaded - began,
        wall_s=ended - loaded,
    )
    return outputs, took
