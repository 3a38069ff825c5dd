"""The JSON Schema of Soc files: as strict as the loader, and published in step with it."""

import json
import tomllib
from typing import Any

import jsonschema
import pytest

from partita.devices import preset_names
from partita.devices.load import FOLDER, part_names
from partita.devices.schema import PARTIAL, SCHEMA_FILE, soc_file_schema

SCHEMA = soc_file_schema()


def problem(content: dict[str, Any]) -> str | None:
    """What the schema finds wrong; None if nothing."""
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(SCHEMA).iter_errors(content))
    return error.message if error is not None else None


def test_the_published_schema_is_the_one_that_the_command_prints() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    published = json.loads((FOLDER / SCHEMA_FILE).read_text())
    assert published == SCHEMA, f"renew it: partita soc schema > devices/{SCHEMA_FILE}"


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_fits_the_schema(name: str) -> None:
    assert problem(tomllib.loads((FOLDER / "presets" / f"{name}.toml").read_text())) is None


@pytest.mark.parametrize("name", part_names())
def test_every_part_of_a_soc_fits_the_schema_of_parts(name: str) -> None:
    schema = SCHEMA | {"then": {"$ref": f"#/$defs/{PARTIAL}Soc"}, "else": {"$ref": f"#/$defs/{PARTIAL}Soc"}}
    jsonschema.validate(tomllib.loads((FOLDER / f"{name}.toml").read_text()), schema)


NUMBER = {"value": 3, "kind": "measured", "source": "me"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"name": "x"}, "is a required property"),
        ({"base": "sd9"}, "does not match"),
        ({"base": []}, "is not valid under any of the given schemas"),
        ({"base": "sd8gen3-qnn", "speed": 3}, "'speed' was unexpected"),
        ({"base": "sd8gen3-qnn", "units": [{"call_us": NUMBER}]}, "'name' is a required property"),
        ({"base": "sd8gen3-qnn", "units": [{"name": "npu", "call_us": 3}]}, "3 is not of type 'object'"),
        ({"base": "sd8gen3-qnn", "inference_us": {"value": 3, "kind": "measured"}}, "'source' is a required property"),
        ({"base": "sd8gen3-qnn", "inference_us": NUMBER | {"kind": "rumour"}}, "'rumour' is not one of"),
    ],
)
def test_what_the_loader_refuses_the_schema_refuses_too(content: dict[str, Any], message: str) -> None:
    assert message in str(problem(content))


def test_a_file_that_builds_on_another_may_say_one_number_only() -> None:
    assert problem({"base": "sd8gen3-qnn", "units": [{"name": "npu", "dispatch_us": NUMBER}]}) is None
    assert problem({"base": ["chips/rpi5", "mine.toml"], "name": "x"}) is None


def test_fields_are_described_as_in_the_code() -> None:
    assert SCHEMA["$defs"]["Unit"]["properties"]["call_us"]["description"] == "Fixed cost of one segment."
    assert SCHEMA["$defs"]["Unit"]["properties"]["on_chip_bytes"]["$ref"] == "#/$defs/Number"
