"""`partita export` end to end on the embedded model."""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from tests.partita.command_line import Result, run_cli

Run = Callable[..., Result]
MODEL = str(Path(__file__).parents[2] / "examples" / "models" / "mobilenet_v2.onnx")
RULES = ("--soc", "sd8gen3-qnn", "--shape", "batch=1", "--random-weights", "--pin", "features.1.*=gpu")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run_cli(capsys, monkeypatch, *arguments)


@pytest.mark.slow
def test_a_plan_is_exported_checked_and_run_by_its_own_runner(run: Run) -> None:
    assert run("place", MODEL, *RULES, "-o", "m.plan.json").code == 0
    result = run("export", "m.plan.json", "-o", "out", "--check", "--json")
    assert result.code == 0, result
    found = json.loads(result.out)
    schema = files("partita.reports").joinpath("templates", "exported.schema.json").read_text()
    jsonschema.validate(found, json.loads(schema))
    assert found["is_right"]
    assert found["segments"] >= 2
    alone = subprocess.run([sys.executable, "out/run_segments.py", "--check"], capture_output=True, text=True)
    assert alone.returncode == 0, alone
    assert "from the whole model" in alone.stdout
    again = run("place", MODEL, *RULES[:-2], "--pin", "@out/pins.txt", "-o", "again.plan.json")
    assert again.code == 0, again
    units = [
        {name: operator["unit"] for operator in json.loads(Path(plan).read_text())["operators"]
         for name in operator["covers"]}
        for plan in ("m.plan.json", "again.plan.json")
    ]  # fmt: skip
    assert units[0] == units[1]


def test_a_plan_runs_on_other_backends(run: Run) -> None:
    result = run("run", MODEL, *RULES, "--backend", "gpu=onnxruntime,npu=numpy", "--check", "--json", "--save", "y.npz")
    assert result.code == 0, result
    found = json.loads(result.out)
    schema = files("partita.reports").joinpath("templates", "backend_run.schema.json").read_text()
    jsonschema.validate(found, json.loads(schema))
    assert found["is_right"]
    assert {(s["unit"], s["backend"]) for s in found["segments"]} >= {("gpu", "onnxruntime"), ("npu", "numpy")}
    assert 0 < found["differences"]["logits"]["max_relative"] <= found["tolerance"]
    assert Path("y.npz").is_file()


def test_what_cannot_be_asked_is_refused_in_one_line(run: Run) -> None:
    cases = {
        ("export", "m.plan.json", "-o", "out", "--only", "models"): "--only models: there is no such part",
        ("export", "m.plan.json", "-o", "out", "--only", "model", "--check"): "write both",
        ("export", "m.plan.json", "-o", "no/such/folder"): "there is no folder",
        ("export", "m.plan.json", "-o", "out"): "cannot read the plan",
        ("run", MODEL, *RULES, "--backend", "cpu"): "--backend 'cpu' is not understood",
        ("run", MODEL, *RULES, "--backend", "npu=numpy,npu=openvino"): "--backend gives 'npu' two backends",
        ("run", MODEL, *RULES, "--backend", "npu=numpy", "--concurrent"): "go without --backend",
        ("place", MODEL, "--soc", "sd8gen3-qnn", "--pin", "@pins.txt"): "--pin @pins.txt: cannot read the file",
    }
    for arguments, message in cases.items():
        result = run(*arguments)
        assert result.code == 2, result
        assert message in result.err
        assert result.err.count("\n") == 1
