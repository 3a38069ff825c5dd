"""Writing into Soc files: a small TOML writer, and entries put into a file whose other lines stay."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from partita.devices.soc import Latency, Soc

_TABLE = re.compile(r"^\s*\[")
_LATENCIES = "[[latencies]]"
_BARE_KEY = re.compile(r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)?$")
"""Dotted keys are table and key: "utilisation.gemm"."""


def latencies_text(unit: str, entries: Iterable[Latency]) -> str:
    """Entries as the tables that a Soc file holds them in."""
    return "\n".join(f"{_LATENCIES}\n{assignments({'unit': unit, **_fields(entry)})}" for entry in entries)


def _fields(entry: Latency) -> dict[str, Any]:
    return {name: value for name, value in entry.model_dump(mode="json", exclude_none=True).items() if value != ""}


def assignments(fields: Mapping[str, Any]) -> str:
    """`key = value` lines; a table is written inline, on its line."""
    return "".join(f"{key_text(key)} = {value_text(value)}\n" for key, value in fields.items())


def key_text(key: str) -> str:
    return key if _BARE_KEY.match(key) else json.dumps(key, ensure_ascii=False)


def value_text(value: Any) -> str:
    """A TOML value: text, number, list or inline table.

    >>> value_text({"value": 1.5, "source": "a test"})
    '{ value = 1.5, source = "a test" }'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float):
        return f"{value:g}" if value == float(f"{value:g}") else repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key_text(key)} = {value_text(each)}" for key, each in value.items())
        return f"{{ {inner} }}"
    return f"[{', '.join(value_text(each) for each in value)}]"


def with_latencies(text: str, unit: str, entries: Sequence[Latency], known: Mapping[int, tuple[Any, ...]]) -> str:
    """The text of a Soc file with new entries at its end; those that they replace are taken out.

    `known` holds, by its position in the file, the key of each entry that stands there.
    """
    new = {key_of(unit, entry) for entry in entries}
    replaced = {index for index, key in known.items() if key in new}
    kept, skipping, index = [], False, -1
    for line in text.splitlines(keepends=True):
        if _TABLE.match(line):
            is_entry = line.strip().startswith(_LATENCIES)
            index += is_entry
            skipping = is_entry and index in replaced
        if not skipping:
            kept.append(line)
    body = "".join(kept).rstrip("\n")
    return f"{body}\n\n\n{latencies_text(unit, entries)}" if body else latencies_text(unit, entries)


def soc_text(soc: Soc, heading: str) -> str:
    """A whole Soc as a file, with a comment at its top."""
    fields = soc.model_dump(mode="json", exclude_none=True)
    units, links, sources = fields.pop("units"), fields.pop("links"), fields.pop("sources")
    dram = fields.pop("dram")
    parts = ["".join(f"# {line}".rstrip() + "\n" for line in heading.splitlines()), assignments(fields)]
    parts += [f"[sources]\n{assignments(sources)}", f"[dram]\n{assignments(dram)}"]
    parts += [f"[[units]]\n{assignments(_dotted(unit))}" for unit in units]
    parts += [f"[[links]]\n{assignments(link)}" for link in links]
    return "\n".join(parts)


def _dotted(unit: Mapping[str, Any]) -> dict[str, Any]:
    """A unit's fields, its tables of numbers with one line for each number, empty ones left out."""
    found: dict[str, Any] = {}
    for name, value in unit.items():
        if isinstance(value, dict) and "value" not in value:
            found.update({f"{name}.{key}": number for key, number in value.items()})
        elif value != []:
            found[name] = value
    return found


def key_of(unit: str, entry: Latency) -> tuple[Any, ...]:
    return unit, entry.op, entry.attributes, entry.dtype, entry.inputs, entry.outputs


def keys_in(content: Mapping[str, Any]) -> dict[int, tuple[Any, ...]]:
    """The keys of the entries of a Soc file that has been read, by their position."""
    return {
        index: (
            entry["unit"], entry["op"], entry.get("attributes", ""), entry["dtype"],
            tuple(entry["inputs"]), tuple(entry["outputs"]),
        )
        for index, entry in enumerate(content.get("latencies", ()))
    }  # fmt: skip
