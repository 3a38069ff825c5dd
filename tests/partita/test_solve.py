"""The command `partita solve`, end to end."""

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from partita.partitioner.problem_file import schema
from tests.partita.command_line import Result, run_cli
from tests.partitioner.formats.test_formats import MOIRAI, MSR, OURS

Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    for name, document in (("msr", MSR), ("moirai", MOIRAI), ("partita", OURS)):
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    return lambda *arguments: run_cli(capsys, monkeypatch, "solve", *arguments)


def template(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        files("partita.reports").joinpath("templates", f"{name}.schema.json").read_text()
    )
    jsonschema.Draft202012Validator.check_schema(found)
    return found


@pytest.mark.parametrize("problem", ["msr", "moirai", "partita"])
@pytest.mark.parametrize("objective", ["throughput", "latency", "makespan", "sum"])
def test_every_format_and_objective_gives_a_document_of_the_schema(run: Run, problem: str, objective: str) -> None:
    result = run(f"{problem}.json", "--objective", objective, "--json")
    document = json.loads(result.out)
    jsonschema.validate(document, template("solution"))
    assert document["gap"] == 0.0 or document["objective"] > document["bound"]
    assert json.loads(run(f"{problem}.json", "--from", problem, "--objective", objective, "--json").out)["bound"] >= 0


def test_the_figures_are_those_of_the_format(run: Run) -> None:
    document = json.loads(run("moirai.json", "--objective", "sum", "--json").out)
    assert document["objective"] == 1.0 + 0.25 + 1.0
    assert document["placement"] == {"0": "device0", "1": "device1"}
    document = json.loads(run("msr.json", "--objective", "throughput", "--json").out)
    assert document["objective"] == 2.0
    assert document["placement"]["7"].startswith("accelerator")


def test_runs_are_drawn_together_when_the_order_is_free(run: Run, tmp_path: Path) -> None:
    """Two operators for unit b alone, with one for unit a between them that neither needs."""
    document = {
        "format": "partita-problem/1",
        "units": [{"name": "a", "call": 1.0}, {"name": "b", "call": 10.0}],
        "operators": [{"name": n, "times": {u: 2.0}} for n, u in (("one", "b"), ("two", "a"), ("three", "b"))],
        "tensors": [],
    }
    (tmp_path / "runs.json").write_text(json.dumps(document))
    assert json.loads(run("runs.json", "--json").out)["objective"] == 6 + 10 + 1 + 10
    found = json.loads(run("runs.json", "--order", "free", "--json").out)
    jsonschema.validate(found, template("solution"))
    assert found["objective"] == found["bound"] == 6 + 10 + 1
    assert found["order"] in (["one", "three", "two"], ["two", "one", "three"], ["three", "one", "two"])


def test_copies_over_a_link_are_in_the_document(run: Run, tmp_path: Path) -> None:
    units, every = ("a", "b", "c"), {"a": 4.0, "b": 4.0, "c": 4.0}
    document = {
        "format": "partita-problem/1",
        "units": [{"name": unit} for unit in units],
        "operators": [{"name": unit.upper(), "times": {unit: 1.0}} for unit in units],
        "tensors": [{"producer": "A", "consumers": ["B", "C"], "receive": every}],
        "links": [{"name": "bus"}],
    }
    (tmp_path / "bus.json").write_text(json.dumps(document))
    found = json.loads(run("bus.json", "--objective", "makespan", "--json").out)
    jsonschema.validate(found, template("solution"))
    assert found["objective"] == pytest.approx(1 + 4 + 4 + 1)
    assert [copy["producer"] for copy in found["copies"]] == ["A", "A"]
    assert [copy["start"] for copy in found["copies"]] == [1.0, 5.0]
    assert "knows no links" in run("bus.json", "--objective", "throughput").err


def test_the_placement_is_written_as_it_is_printed(run: Run, tmp_path: Path) -> None:
    result = run("msr.json", "-o", "placement.json", "--json")
    assert json.loads((tmp_path / "placement.json").read_text()) == json.loads(result.out)
    assert "accelerator0" in run("msr.json").out


def test_the_published_schema_of_problems_is_that_of_the_reader() -> None:
    assert template("problem") == schema()
    jsonschema.validate(OURS, template("problem"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.json",), "cannot read 'none.json'"),
        (("msr.json", "--objective", "speed"), "there is no such objective; there are throughput, latency"),
        (("msr.json", "--from", "onnx"), "there is no such format"),
        (("moirai.json", "--from", "msr"), "moirai.json: maxSizePerFPGA: Field required"),
        (("msr.json", "--order", "any"), "there is no such choice; there are given, free"),
        (("msr.json", "--gap", "2"), "--gap is a share"),
        (("msr.json", "--time-limit", "0"), "--time-limit and --work are seconds above 0"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run: Run, arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert message in result.err
