"""The JSON Schema of Soc files, for editors: made from the types in `soc`, their docstrings as descriptions."""

import ast
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

from partita.devices.compose import BASE
from partita.devices.load import part_names, preset_names
from partita.devices.soc import Soc, Strict

SCHEMA_FILE = "soc.schema.json"
"""Where it is published, beside this module; a test holds it in step."""
PARTIAL = "Partial"
"""Begins the names of the records of a file that builds on others and so may leave fields out."""
_TAKEN_WHOLE = ("Number", "Tile")
_TITLE = "A chip through one runtime"


def soc_file_schema() -> dict[str, Any]:
    """The schema of a Soc file; one with the field `base` may leave out what it takes over."""
    whole = Soc.model_json_schema()
    records = {**whole.pop("$defs"), "Soc": whole}
    types = {each.__name__: each for each in Strict.__subclasses__()}
    described = {name: _described(types[name], record) for name, record in records.items()}
    partial = {f"{PARTIAL}{name}": _partial(record) for name, record in described.items() if name not in _TAKEN_WHOLE}
    partial[f"{PARTIAL}Soc"]["properties"] = {BASE: _base(), **partial[f"{PARTIAL}Soc"]["properties"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": _TITLE,
        "type": "object",
        "if": {"required": [BASE]},
        "then": {"$ref": f"#/$defs/{PARTIAL}Soc"},
        "else": {"$ref": "#/$defs/Soc"},
        "$defs": {name: (described | partial)[name] for name in sorted(described | partial)},
    }


def _base() -> dict[str, Any]:
    name = {"anyOf": [{"enum": [*preset_names(), *part_names()]}, {"type": "string", "pattern": r"\.toml$"}]}
    return {
        "description": "Soc files that this one builds on; the later stands over the earlier.",
        "anyOf": [name, {"type": "array", "items": name, "minItems": 1}],
    }


def _described(kind: type[Strict], record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with what its fields' docstrings say, and without nulls, which TOML does not have."""
    texts = _docstrings(kind)
    fields = {field: _field(content, texts.get(field)) for field, content in record["properties"].items()}
    return {**record, "properties": fields}


def _field(content: Mapping[str, Any], text: str | None) -> dict[str, Any]:
    kept = {key: value for key, value in content.items() if key not in ("title", "default", "anyOf")}
    choices = [choice for choice in content.get("anyOf", ()) if choice != {"type": "null"}]
    only = choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {}
    return {**({"description": text} if text else {}), **kept, **only}


def _docstrings(record: type[Strict]) -> dict[str, str]:
    """The text that stands under each field of a class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(record))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            found[field.target.id] = " ".join(str(ast.literal_eval(below.value)).split())
    return found


def _partial(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record that may leave fields out, and so may the records in it; what matches it with its base must be there."""
    keys = [field for field in ("name", "source", "target") if field in record["properties"]]
    loose = {key: _loosened(value) for key, value in record.items() if key != "required"}
    return loose if "format" in record["properties"] or not keys else {**loose, "required": keys}


def _loosened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reference(inner) if key == "$ref" else _loosened(inner) for key, inner in value.items()}
    return [_loosened(inner) for inner in value] if isinstance(value, list) else value


def _reference(target: str) -> str:
    name = target.removeprefix("#/$defs/")
    return target if name in _TAKEN_WHOLE else f"#/$defs/{PARTIAL}{name}"
