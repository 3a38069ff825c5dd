"""The profile of ONNX Runtime's QNN provider: `profiling_level=detailed` and `profiling_file_path`, a CSV of events."""

import re
import statistics
from collections.abc import Mapping, Sequence

from partita.devices.profiles.profile import Profile, Row, number, profile_format
from partita.devices.profiles.read import parse_csv
from partita.errors import SocError

HEADER = "Msg Timestamp,Message,Time,Unit of Measurement"
COLUMNS = ("Message", "Time", "Unit of Measurement", "Event Identifier")
SOURCE_COLUMNS = ("Original ONNX Source Ops", "ONNX Source Ops")
"""Where the provider was asked to trace operators: the ONNX operators of a row, separated by semicolons."""
ACCELERATOR_CYCLES = "Accelerator (execute) time (cycles)"
ACCELERATOR_TIME = "Accelerator (execute) time"
EXECUTE = "EXECUTE"
_NODE = re.compile(r"^(?P<name>.*?)[:\s]OpId_\d+(?:\s*\((?P<unit>\w+)\))?$")
_COUNT = re.compile(r"\s*\((?:cycles|us)\)$")

Event = Mapping[str, str]


def _recognises(text: str) -> bool:
    return text.lstrip("\ufeff\n\r").startswith(HEADER)


@profile_format("qnn", "QNN provider profile, detailed (CSV)", _recognises)
def read(text: str, where: str) -> Profile:
    """Cycles of each operator, the median over the runs, as time by the accelerator's own ratio of the two.

    Cycles are summed over the threads, so only their shares mean something. A row of 0 was merged into another.
    """
    events = parse_csv(text, where, COLUMNS)
    durations: dict[str, list[float]] = {}
    first: dict[str, Event] = {}
    for line, event in enumerate(events, start=2):
        if event["Message"] == "NODE" and event["Unit of Measurement"] in ("CYCLES", "US"):
            durations.setdefault(event["Event Identifier"], []).append(_time(event, f"{where}, line {line}"))
            first.setdefault(event["Event Identifier"], event)
    if not durations:
        raise SocError(f"{where}: no NODE rows: profile with profiling_level=detailed, and run the model")
    us_per_cycle = _us_per_cycle(events, where)
    rows = tuple(
        _row(identifier, first[identifier], spans, us_per_cycle, order)
        for order, (identifier, spans) in enumerate(durations.items())
    )
    whole = [_time(e, where) for e in events if e["Message"] == EXECUTE and e["Unit of Measurement"] == "US"]
    return Profile(
        format="qnn",
        rows=rows,
        total_us=statistics.median(whole) if whole else None,
        runs=max(len(spans) for spans in durations.values()),
    )


def _time(event: Event, where: str) -> float:
    found = number(event, "Time", where)
    if found is None:
        raise SocError(f"{where}: Time is empty; the file is cut short or broken")
    return found


def _us_per_cycle(events: Sequence[Event], where: str) -> float | None:
    cycles = sum(_time(e, where) for e in events if e["Event Identifier"] == ACCELERATOR_CYCLES)
    time_us = sum(
        _time(e, where)
        for e in events
        if e["Event Identifier"] == ACCELERATOR_TIME and e["Unit of Measurement"] == "US"
    )
    return time_us / cycles if cycles and time_us else None


def _row(identifier: str, event: Event, spans: Sequence[float], us_per_cycle: float | None, order: int) -> Row:
    in_us = event["Unit of Measurement"] == "US"
    factor = 1.0 if in_us else us_per_cycle
    found = _NODE.match(identifier)
    sources = next((event[column] for column in SOURCE_COLUMNS if event.get(column)), "")
    return Row(
        name=found["name"] if found else _COUNT.sub("", identifier),
        op="",
        order=order,
        unit="npu",
        duration_us=None if factor is None else statistics.median(spans) * factor,
        low_us=None if factor is None else min(spans) * factor,
        high_us=None if factor is None else max(spans) * factor,
        cycles=None if in_us else statistics.median(spans),
        covers=tuple(part.strip() for part in sources.split(";") if part.strip()),
    )
