"""A Soc file to start from: it builds on another and shows every number of it, ready to be changed."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from partita.devices.compose import BASE
from partita.devices.facts import UNIT_OF_SUFFIX
from partita.devices.soc import Number, Soc, Strict

_HEAD = """\
# {name}: what it says differently from {base}, which it builds on; all else is taken over.
# Take away the "# " before a line and change it. A number is taken whole, with its range and source:
#   value   the figure, in the unit of measure that the name ends with ({suffixes})
#   low, high   the range in which it may lie; leave them out if it is sure
#   kind    vendor, measured, derived, or estimated: a placement that hangs on an estimated number is reported
#   source  who says so; what stands before a colon may be a key that [sources] explains
# Units and links are matched by name; a new name adds one, which then needs all of its fields.
# Print it whole with `partita soc show FILE`; `partita soc schema` gives editors the JSON Schema.
"""
_STRUCTURAL = ("name", "source", "target")
"""Fields by which the entries of a list are matched, and which therefore are not commented out."""


def draft(soc: Soc, base: str, name: str) -> str:
    """The text of a file that builds on `base`, whose Soc is `soc`, and changes only its name."""
    suffixes = ", ".join(suffix.lstrip("_") for suffix in UNIT_OF_SUFFIX)
    lines = [_HEAD.format(name=name, base=base, suffixes=suffixes), f"{BASE} = {_text(base)}", f"name = {_text(name)}"]
    lines.append("")
    tables: list[str] = []
    for field, value in _fields(soc):
        if field in ("format", "name", "sources"):
            continue
        if _is_matched(value):
            tables += [line for entry in value for line in _entry(f"[[{field}]]", entry)]
        elif isinstance(value, Strict) and not isinstance(value, Number):
            tables += _entry(f"[{field}]", value)
        else:
            lines += _lines(field, value)
    sources = ["", "[sources]", *(f"# {_key(key)} = {_text(text)}" for key, text in soc.sources.items())]
    return "\n".join([*lines, *sources, *tables]) + "\n"


def _entry(header: str, record: Strict) -> Iterator[str]:
    """A table: its own fields, then the tables inside it."""
    yield ""
    yield header
    inner: list[str] = []
    for field, value in _fields(record):
        if _is_matched(value):
            inner += [line for entry in value for line in _entry(f"[[{header.strip('[]')}.{field}]]", entry)]
        elif field in _STRUCTURAL and isinstance(value, str):
            yield f"{field} = {_text(value)}"
        else:
            yield from _lines(field, value)
    yield from inner


def _is_matched(value: Any) -> bool:
    """Whether it is a list whose entries a file may change one by one, because names tell them apart."""
    if not (isinstance(value, tuple) and value and isinstance(value[0], Strict)):
        return False
    fields = type(value[0]).model_fields
    return "name" in fields or {"source", "target"} <= set(fields)


def _fields(record: Strict) -> Iterator[tuple[str, Any]]:
    for field in type(record).model_fields:
        value = getattr(record, field)
        if value is not None and value not in ((), {}):
            yield field, value


def _lines(field: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield f"# {field}.{_key(key)} = {_text(inner)}"
    else:
        yield f"# {field} = {_text(value)}"


def _key(key: str) -> str:
    return key if key.isascii() and key.replace("_", "").replace("-", "").isalnum() else json.dumps(key)


def _text(value: Any) -> str:
    """A value as TOML on one line."""
    if isinstance(value, Strict):
        return f"{{ {', '.join(f'{field} = {_text(inner)}' for field, inner in _fields(value))} }}"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(key)} = {_text(inner)}' for key, inner in value.items())} }}"
    if isinstance(value, tuple):
        return f"[{', '.join(_text(inner) for inner in value)}]"
    if isinstance(value, float):
        return f"{value:.15g}"
    return json.dumps(value, ensure_ascii=False)
