"""Timelines as files: `*.timeline.json`, the same bytes for the same timeline."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from partita.devices.soc import explain
from partita.errors import SimulationError
from partita.files import write_atomically
from partita.simulator.timeline import Counter, Span, Timeline

FORMAT = "partita-timeline/1"


class _Document(BaseModel):
    """A timeline file; Span and Counter are checked as strictly as the document."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    format: Literal["partita-timeline/1"]
    soc_name: str
    model_name: str
    graph_digest: str
    scenario: Literal["sequential", "overlap", "measured"]
    tracks: tuple[str, ...]
    spans: tuple[Span, ...]
    counters: tuple[Counter, ...]


def timeline_bytes(timeline: Timeline) -> bytes:
    """The canonical content of a timeline file: sorted keys, one span and one counter to a line, UTF-8."""
    head = {
        "format": FORMAT,
        "soc_name": timeline.soc_name,
        "model_name": timeline.model_name,
        "graph_digest": timeline.graph_digest,
        "scenario": timeline.scenario,
        "tracks": timeline.tracks,
    }
    fields = [f"{_json(key)}: {_json(value)}" for key, value in sorted(head.items())]
    fields.append(f'"counters": {_lines([_json(asdict(counter)) for counter in timeline.counters])}')
    fields.append(f'"spans": {_lines([_json(asdict(span)) for span in timeline.spans])}')
    return ("{\n" + ",\n".join(fields) + "\n}\n").encode()


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _lines(items: list[str]) -> str:
    return "[\n" + ",\n".join(items) + "\n]" if items else "[]"


def write_timeline(timeline: Timeline, path: str | Path) -> None:
    """Write a timeline file; OutputError if that is not possible, and then nothing is left behind."""
    write_atomically(path, timeline_bytes(timeline))


def read_timeline(path: str | Path) -> Timeline:
    """Read a timeline file; SimulationError that names the field if it is not one."""
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SimulationError(f"cannot read timeline {path}: {error.strerror}") from error
    try:
        document = _Document.model_validate_json(content)
    except ValidationError as error:
        raise SimulationError(f"{path} is no timeline file ({FORMAT}): {explain(error, None)}") from None
    _check(document, path)
    return Timeline(
        soc_name=document.soc_name,
        model_name=document.model_name,
        graph_digest=document.graph_digest,
        scenario=document.scenario,
        tracks=document.tracks,
        spans=document.spans,
        counters=document.counters,
    )


def _check(document: _Document, path: Path) -> None:
    for index, span in enumerate(document.spans):
        if not 0 <= span.start_ns <= span.end_ns:
            raise SimulationError(
                f"{path}: spans.{index}: 0 <= start_ns <= end_ns must hold, is {span.start_ns}, {span.end_ns}"
            )
        if span.track not in document.tracks:
            raise SimulationError(f"{path}: spans.{index}: track {span.track!r} is not among the tracks")
