"""Settings as files for the other commands: a Soc file, and a study of what each change is worth."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from partita.devices import Soc, preset_names
from partita.devices.compose import BASE
from partita.devices.load import OF_ONE_CHIP
from partita.studies.change import Change, changed
from partita.studies.study_file import FORMAT, ModelEntry
from partita.studio.settings import Settings

Fields = dict[str, Any]


def file_name(model: str, ending: str) -> str:
    """A name for a download that no file system and no shell stumbles over."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", model).strip("-") or "model"
    return f"{plain}-studio{ending}"


def soc_text(soc: Soc, soc_name: str, settings: Settings, name: str) -> str:
    """The Soc with the settings as a file: on top of a preset what differs, else all of it."""
    new = changed(soc, settings.change)
    fields = _plain(new)
    is_on_top = soc_name in preset_names() and not settings.remove
    content = _on_top(soc_name, _plain(soc), fields) if is_on_top else _whole(fields)
    content["name"] = name
    asked = [f"--allow {text}" for text in settings.allow]
    if settings.objective != "latency":
        asked.append(f"--objective {settings.objective}")
    with_options = f"; place with {' '.join(asked)}" if asked else ""
    return f"# {soc.name} as changed in Partita Studio{with_options}.\n{toml(content)}"


def study_text(model: ModelEntry, soc_name: str, settings: Settings) -> str:
    """A study that places the model as it is, with all changes, and with each of them alone."""
    choices = [{"name": "all changes", **_change(settings.change)}] if settings.change != Change() else []
    singles = list(_one_by_one(settings.change))
    if len(singles) > 1:
        choices += singles
    content: Fields = {
        "format": FORMAT,
        "name": file_name(model.title, ""),
        "socs": [soc_name],
        "objective": settings.objective,
        "allow": list(settings.allow),
        "design": {"kind": "one_at_a_time"},
        "models": [model.model_dump(mode="json", include={"path", "shapes"})],
    }
    if choices:
        content["variables"] = [{"name": "change", "choices": choices}]
    else:
        content["analyses"] = [{"kind": "tornado"}]
    return f"# What each change made in Partita Studio is worth, alone and together.\n{toml(content)}"


def _change(change: Change) -> Fields:
    return {field: value for field, value in change.model_dump(mode="json", exclude_none=True).items() if value}


def _one_by_one(change: Change) -> Iterator[Fields]:
    for path, value in change.set.items():
        yield {"name": f"{path} = {value:g}", "set": {path: value}}
    for verb, operators_of in (("gain", change.gain_operators), ("lose", change.lose_operators)):
        for unit, operators in operators_of.items():
            for op in operators:
                yield {"name": f"{unit} {verb}s {op}", f"{verb}_operators": {unit: [op]}}
    for unit in change.remove:
        yield {"name": f"no {unit}", "remove": [unit]}


def _plain(soc: Soc) -> Fields:
    """The fields as a Soc file has them: measured latencies beside the units, each with its unit's name."""
    fields = soc.model_dump(mode="json", exclude_none=True)
    latencies = [{"unit": unit["name"], **entry} for unit in fields["units"] for entry in unit.pop("latencies")]
    return {**fields, "latencies": latencies} if latencies else fields


def _on_top(base: str, before: Fields, after: Fields) -> Fields:
    """A file that builds on `base`; tables of the chip alone are taken over by being there, even empty."""
    own: Fields = {table: {} for table in OF_ONE_CHIP if table in after}
    return {BASE: base, **own, **_difference(before, after)}


def _whole(fields: Fields) -> Fields:
    return {key: value for key, value in fields.items() if value not in ([], {})}


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Fields:
    """What `after` says differently, so that it can be laid over `before`; numbers whole, entries by their names."""
    found: Fields = {}
    for key, value in after.items():
        old = before.get(key)
        if value == old:
            continue
        if isinstance(value, dict) and isinstance(old, dict) and "value" not in value:
            found[key] = _difference(old, value)
        elif isinstance(value, list) and isinstance(old, list) and value and _key(value[0]):
            entries = zip(old, value, strict=True)
            found[key] = [{**_key(new), **_difference(one, new)} for one, new in entries if new != one]
        else:
            found[key] = value
    return found


def _key(entry: Any) -> Fields:
    """The fields by which an entry of a list is told from the others; empty if it has none."""
    if not isinstance(entry, dict):
        return {}
    names = ("name",) if "name" in entry else ("source", "target")
    return {name: entry[name] for name in names if name in entry}


def toml(content: Mapping[str, Any]) -> str:
    """A file with a table for each record of the first level; what is deeper stands on one line.

    >>> print(toml({"name": "a", "units": [{"name": "npu", "call_us": {"value": 5}}]}), end="")
    name = "a"
    <BLANKLINE>
    [[units]]
    name = "npu"
    call_us = { value = 5 }
    """
    lines: list[str] = []
    tables: list[str] = []
    for key, value in content.items():
        if isinstance(value, dict) and "value" not in value:
            tables += ["", f"[{_bare(key)}]", *_lines(value)]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for entry in value:
                tables += ["", f"[[{_bare(key)}]]", *_lines(entry)]
        else:
            lines.append(f"{_bare(key)} = {_inline(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    for key, value in record.items():
        yield f"{_bare(key)} = {_inline(value)}"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(_lines(value)) + " }" if value else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(inner) for inner in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _bare(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)
