"""The commands end to end on the embedded model, and their JSON against the schemas."""

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import partita as pt
from partita.devices import preset_names
from partita.simulator.timeline_file import read_timeline
from tests.partita.command_line import Result, run_cli

Run = Callable[..., Result]
MODEL = str(Path(__file__).parents[2] / "examples" / "models" / "mobilenet_v2.onnx")
PLACED = (MODEL, "--soc", "sd8gen3-qnn", "--shape", "batch=1")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run_cli(capsys, monkeypatch, *arguments)


def document(result: Result, schema: str) -> dict[str, Any]:
    """The one object on standard output, as its schema says."""
    assert result.code == 0, result
    content: dict[str, Any] = json.loads(result.out)
    text = files("partita.reports").joinpath("templates", f"{schema}.schema.json").read_text()
    jsonschema.validate(content, json.loads(text))
    return content


def test_place_says_in_json_what_it_found(run: Run) -> None:
    found = document(run("place", *PLACED, "--json"), "plan")
    assert 0 < found["bound_ms"] <= found["latency_ms"] + 1e-9
    assert found["gap"] <= 1e-4
    assert found["operators"] == len(found["placement"]) == 100
    assert found["segments"] >= 1
    assert found["transfers"] == len(found["boundaries"])
    assert "elimination" in found["solver"]
    assert found["bound_any_order"] <= found["latency_ms"]
    assert all(found["latency_ms"] <= ms + 1e-9 for ms in found["baselines"].values())
    assert {"unit", "dtype", "kernel", "segment"} <= set(found["placement"]["features.0"])


def test_a_plan_file_goes_through_every_other_command(run: Run) -> None:
    assert run("place", *PLACED, "--random-weights", "-o", "m.plan.json").code == 0
    ran = document(run("run", "m.plan.json", "--check", "--save", "y.npz", "--json"), "run")
    assert ran["is_right"]
    assert set(ran["checks"]) == {"onnxruntime", "placed_float32", "placed"}
    assert ran["checks"]["placed"]["outputs"]["logits"]["snr_db"] > 30
    assert np.load("y.npz")["logits"].shape == (1, 1000)
    simulated = document(
        run("simulate", "m.plan.json", "-o", "m.timeline.json", "--trace", "t.json", "--json"), "simulation"
    )
    assert simulated["latency_ms"] == pytest.approx(simulated["predicted_ms"], abs=1e-3)
    written = document(run("report", "m.plan.json", "-o", "r.html", "-o", "r.md", "--json"), "written")
    assert written["written"] == ["r.html", "r.md"]
    assert Path("r.html").read_text().startswith("<!doctype html>")
    assert json.loads(Path("t.json").read_text())["traceEvents"]


def test_a_run_is_measured_in_the_form_of_a_simulation(run: Run) -> None:
    rules = ("--random-weights", "--ban", "features.1.*=npu")
    assert run("run", *PLACED, *rules, "--concurrent", "--timeline", "m.timeline.json", "--save", "a.npz").code == 0
    assert run("run", *PLACED, *rules, "--save", "b.npz").code == 0
    assert np.array_equal(np.load("a.npz")["logits"], np.load("b.npz")["logits"])
    measured = read_timeline("m.timeline.json")
    assert measured.scenario == "measured"
    plan = pt.partition(pt.load(MODEL, {"batch": 1}), pt.soc("sd8gen3-qnn"), bans=[pt.Rule("features.1.*", "npu")])
    assert sorted(s.name for s in measured.spans if s.kind == "operator") == sorted(o.node for o in plan.operators)
    assert {s.track for s in measured.spans if s.kind == "operator"} == {s.unit for s in plan.segments}


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_simulate_draws_the_timeline(run: Run, suffix: str) -> None:
    assert run("simulate", *PLACED, "--plot", f"timeline{suffix}").code == 0
    assert Path(f"timeline{suffix}").stat().st_size > 5000


def test_the_same_input_gives_the_same_plan_bytes(run: Run) -> None:
    for name in ("a.json", "b.json"):
        assert run("place", *PLACED, "-o", name).code == 0
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()


def test_a_plan_read_from_its_file_is_the_plan_that_was_written(run: Run) -> None:
    run("place", *PLACED, "--ban", "Gemm=npu", "-o", "m.plan.json")
    plan = pt.load_plan("m.plan.json")
    assert plan.placed["logits"].unit != "npu"
    pt.save_plan(plan, "again.json")
    assert Path("again.json").read_bytes() == Path("m.plan.json").read_bytes()


def test_rules_of_the_user_hold(run: Run) -> None:
    found = document(run("place", *PLACED, "--pin", "Gemm=cpu", "--ban", "features.0=npu", "--json"), "plan")
    assert found["placement"]["logits"]["unit"] == "cpu"
    assert found["placement"]["features.0"]["unit"] != "npu"


def test_presets_are_listed_and_shown(run: Run) -> None:
    listed = document(run("soc", "list", "--json"), "soc_list")
    assert tuple(soc["name"] for soc in listed["socs"]) == preset_names()
    for name in preset_names():
        shown = document(run("soc", "show", name, "--json"), "soc")
        assert all(fact["source"] for fact in shown["facts"])
        assert name in run("soc", "show", name).out


@pytest.mark.parametrize("command", [("place",), ("run",), ("simulate",), ("report",), ("soc", "show"), ("validate",)])
def test_help_shows_examples(run: Run, command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.code == 0
    assert f"partita {' '.join(command)}" in result.out


def test_data_of_the_user_is_used(run: Run) -> None:
    for seed in (1, 2):
        np.save("x.npy", np.random.default_rng(seed).standard_normal((1, 3, 224, 224), np.float32))
        run("run", *PLACED, "--random-weights", "--input", "image=x.npy", "--save", f"{seed}.npz")
    assert not np.array_equal(np.load("1.npz")["logits"], np.load("2.npz")["logits"])
