"""The commands `partita soc`, and the files that `soc new` starts."""

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from partita.devices import load_soc, preset_names
from partita.devices.draft import draft
from tests.partita.command_line import Result, run_cli

Run = Callable[..., Result]
OWN = ("name", "description")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run_cli(capsys, monkeypatch, *arguments)


def contents(name: str) -> dict[str, Any]:
    return load_soc(name).model_dump(exclude=set(OWN))


def test_a_started_file_is_the_preset_under_another_name(run: Run) -> None:
    result = run("soc", "new", "--from", "sd8gen2-qnn", "-o", "my-soc.toml")
    assert (result.code, result.out) == (0, "wrote my-soc.toml\n")
    assert load_soc("my-soc.toml").name == "my-soc"
    assert contents("my-soc.toml") == contents("sd8gen2-qnn")


@pytest.mark.parametrize("name", preset_names())
def test_every_line_of_a_started_file_may_be_taken_out_of_its_comment(name: str, tmp_path: Path) -> None:
    head, _, body = draft(load_soc(name), name, "mine").partition("\n\n")
    assert head.count("\n") > 5
    path = tmp_path / "mine.toml"
    path.write_text(body.replace("\n# ", "\n"))
    assert contents(str(path)) == contents(name)


def test_a_file_of_ones_own_can_be_started_from_too(run: Run) -> None:
    Path("house").mkdir()
    assert run("soc", "new", "--from", "sd855-tflite", "-o", "house/first.toml").code == 0
    assert run("soc", "new", "--from", "house/first.toml", "-o", "second.toml", "--name", "2nd").code == 0
    assert load_soc("second.toml").name == "2nd"
    assert contents("second.toml") == contents("sd855-tflite")


def test_a_started_file_is_printed_where_no_file_is_named_and_told_as_json(run: Run) -> None:
    told = json.loads(run("soc", "new", "--from", "sd8gen3-qnn", "--json").out)
    schema = json.loads(files("partita.reports").joinpath("templates", "soc_draft.schema.json").read_text())
    jsonschema.validate(told, schema)
    assert told["written"] is None
    assert run("soc", "new", "--from", "sd8gen3-qnn").out == told["text"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "sd9"), "there is no preset 'sd9'; presets: "),
        ((), "Missing option '--from'"),
        (("--from", "sd8gen3-qnn", "-o", "nowhere/x.toml"), "there is no folder"),
    ],
)
def test_what_cannot_be_started_is_one_line(run: Run, arguments: tuple[str, ...], message: str) -> None:
    result = run("soc", "new", *arguments)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1


def test_the_base_is_never_written_over(run: Run) -> None:
    assert run("soc", "new", "--from", "sd8gen3-qnn", "-o", "a.toml").code == 0
    result = run("soc", "new", "--from", "a.toml", "-o", "a.toml")
    assert result.code == 2
    assert "is read by this very command" in result.err


def test_the_schema_is_printed_as_one_object(run: Run) -> None:
    plain, as_json = run("soc", "schema"), run("soc", "schema", "--json")
    assert plain.out == as_json.out
    assert json.loads(plain.out)["$defs"]["Number"]["required"] == ["value", "kind", "source"]


def test_the_list_has_the_presets_of_the_user_after_those_of_the_package(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PARTITA_PRESETS", str(tmp_path))
    run("soc", "new", "--from", "sd8gen2-qnn", "-o", "mine.toml")
    names = [soc["name"] for soc in json.loads(run("soc", "list", "--json").out)["socs"]]
    assert names == [*preset_names(), "mine"]
    assert run("soc", "show", "mine").code == 0
