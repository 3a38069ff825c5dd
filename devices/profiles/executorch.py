"""ExecuTorch's profile: the table of `Inspector.to_dataframe()` as CSV, or of `save_data_to_tsv`."""

import ast
import re
from collections.abc import Mapping

from partita.devices.profiles.profile import Profile, Row, number, profile_format
from partita.devices.profiles.read import parse_csv
from partita.errors import SocError

COLUMNS = ("event_name", "op_types", "is_delegated_op")
FRAMEWORK_EVENTS = ("Method::", "Program::", "OPERATOR_CALL")
"""Beginnings of events that are no operators: OPERATOR_CALL is the kernel's own event once more, with its overhead."""
WHOLE = "Method::execute"
DELEGATE_CALL = "DELEGATE_CALL"
US_PER = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
_TIME_COLUMN = re.compile(r"^(p50|avg)\s*\((?P<unit>\w+)\)$")
_KERNEL = "native_call_"


def _recognises(text: str) -> bool:
    header = text.lstrip().partition("\n")[0]
    return "event_name" in header and "is_delegated_op" in header


@profile_format("executorch", "ExecuTorch Inspector table (CSV or TSV)", _recognises)
def read(text: str, where: str) -> Profile:
    """The median of each event that is an operator; a delegate's call only if its operators are not listed."""
    events = parse_csv(text, where, COLUMNS)
    if not events:
        raise SocError(f"{where}: the table has no rows; was the program run with an ETDump?")
    column, unit = _time_column(events[0], where)
    inner = any(_is_delegated(event) and event["event_name"] != DELEGATE_CALL for event in events)
    rows: list[Row] = []
    for line, event in enumerate(events, start=2):
        name = event["event_name"]
        if name.startswith(FRAMEWORK_EVENTS) or (inner and name == DELEGATE_CALL):
            continue
        time = number(event, column, f"{where}, line {line}")
        rows.append(_row(event, time, unit, len(rows)))
    whole = [number(event, column, where) for event in events if event["event_name"] == WHOLE]
    known = [time for time in whole if time is not None and unit in US_PER]
    return Profile(format="executorch", rows=tuple(rows), total_us=known[0] * US_PER[unit] if known else None)


def _time_column(event: Mapping[str, str], where: str) -> tuple[str, str]:
    """The median's column if there is one, else the average's, and the unit in which it counts."""
    found = {match[1]: (name, match["unit"]) for name in event if (match := _TIME_COLUMN.match(name))}
    if not found:
        raise SocError(f"{where}: column 'p50 (ms)' is missing, and so is 'avg (ms)'")
    name, unit = found.get("p50") or found["avg"]
    if unit not in US_PER and unit != "cycles":
        raise SocError(f"{where}: column {name!r} counts in {unit!r}; known: {', '.join((*US_PER, 'cycles'))}")
    return name, unit


def _is_delegated(event: Mapping[str, str]) -> bool:
    return event["is_delegated_op"].lower() == "true"


def _row(event: Mapping[str, str], time: float | None, unit: str, order: int) -> Row:
    types = _names(event["op_types"])
    name = event.get("delegate_debug_identifier") or event["event_name"].removeprefix(_KERNEL)
    own_type = "" if event["event_name"] == DELEGATE_CALL else event["event_name"].removeprefix(_KERNEL)
    is_time = unit in US_PER
    return Row(
        name=name,
        op=types[0] if types else own_type,
        order=order,
        duration_us=time * US_PER[unit] if time is not None and is_time else None,
        cycles=None if is_time else time,
    )


def _names(text: str) -> tuple[str, ...]:
    """A printed Python list of names: ['aten.convolution.default']."""
    try:
        value = ast.literal_eval(text or "[]")
    except (ValueError, SyntaxError):
        return ()
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()
