"""`partita simulate --scenario` end to end: documents, pictures, comparisons, bad scenarios, and Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import partita as pt
from tests.partita.command_line import Result, run_cli
from tests.partita.test_cli import MODEL, document

Run = Callable[..., Result]
EXAMPLES = Path(__file__).parents[2] / "examples" / "scenarios"
CAMERA = """
format = "partita-scenario/1"
name = "camera"
duration_s = 0.2
[[streams]]
mode = "periodic"
period_ms = 20.0
deadline_ms = 10.0
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run_cli(capsys, monkeypatch, *arguments)


@pytest.fixture(scope="module")
def plan_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with MobileNetV2 placed on the NPU and, the NPU banned, on the GPU."""
    folder = tmp_path_factory.mktemp("plans")
    for name, extra in (("npu", []), ("gpu", ["--ban", "*=npu"])):
        arguments = ["place", MODEL, "--soc", "sd8gen3-qnn", "--shape", "batch=1", "-o", f"{name}.plan.json", *extra]
        subprocess.run([sys.executable, "-m", "partita", *arguments], cwd=folder, check=True, capture_output=True)
    return folder


def test_a_scenario_gives_one_document_and_pictures(run: Run, plan_files: Path) -> None:
    Path("camera.toml").write_text(CAMERA)
    arguments = (str(plan_files / "npu.plan.json"), "--scenario", "camera.toml")
    found = document(run("simulate", *arguments, "--trace", "t.json", "--plot", "t.png", "--json"), "scenario_run")
    (stream,) = found["streams"]
    assert (stream["asked"], stream["answered"], stream["missed_deadlines"]) == (10, 10, 0)
    assert sum(stream["critical_path_ms"].values()) == pytest.approx(stream["latency_ms"]["mean"])
    assert found["energy"]["unaccounted_quanta"] == 0
    assert Path("t.png").read_bytes().startswith(b"\x89PNG")
    slices = [e for e in json.loads(Path("t.json").read_text())["traceEvents"] if e["ph"] == "X"]
    assert len({e["args"]["inference"] for e in slices}) == 10
    again = run("simulate", *arguments, "--json")
    assert {**json.loads(again.out)} == found
    assert "What the time of an inference is made of" in run("simulate", *arguments).out


def test_the_library_gives_the_same_figures(run: Run, plan_files: Path) -> None:
    Path("camera.toml").write_text(CAMERA)
    path = str(plan_files / "npu.plan.json")
    found = document(run("simulate", path, "--scenario", "camera.toml", "--json"), "scenario_run")
    outcome = pt.simulate_scenario([pt.load_plan(path)], "camera.toml")
    assert outcome.energy_per_inference_mj == found["energy_per_inference_mj"]


def test_two_plans_are_compared_cold_and_warm(run: Run, plan_files: Path) -> None:
    plans = [str(plan_files / f"{name}.plan.json") for name in ("gpu", "npu")]
    Path("long.toml").write_text(
        'format = "partita-scenario/1"\nname = "long"\nduration_s = 30.0\n[[streams]]\nmode = "single_stream"\n'
    )
    result = run("simulate", *plans, "--scenario", "long.toml", "-o", "both.json", "--json")
    found = document(result, "scenario_comparison")
    assert found["best_cold"] == found["best_warm"] == "npu"
    assert json.loads(Path("both.json").read_text()) == found


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_examples_run(run: Run, plan_files: Path, path: Path) -> None:
    text = (
        path.read_text()
        .replace("duration_s = 1800.0", "duration_s = 2.0")
        .replace("duration_s = 600.0", "duration_s = 2.0")
    )
    Path("s.toml").write_text(text)
    count = text.count("[[streams]]")
    plans = [str(plan_files / name) for name in ("npu.plan.json", "gpu.plan.json")][:count]
    assert document(run("simulate", *plans, "--scenario", "s.toml", "--json"), "scenario_run")["inferences"] > 0


BAD = [
    ("period_ms = 20.0", "period_ms = -20.0", ("streams[0].period_ms", "above 0", "-20")),
    ("period_ms = 20.0", "", ("period_ms is missing",)),
    ("deadline_ms = 10.0", "deadline_ms = 0.01", ("deadline_ms is 0.01", "no query can meet it")),
    ("deadline_ms = 10.0", 'plan = "nowhere.plan.json"', ("0 of its streams name no plan",)),
    ("deadline_ms = 10.0", "speed = 3", ("streams[0].speed", "not a known field")),
    ("deadline_ms = 10.0", "[[background]]\ndram_gb_per_s = 0.0", ("background[0].dram_gb_per_s", "above 0")),
    ("deadline_ms = 10.0", "[[background]]\ndram_gb_per_s = 500.0", ("nothing would be left",)),
    ("deadline_ms = 10.0", '[[background]]\nunit = "dsp"\nshare = 0.5', ("'dsp'", "cpu, gpu, npu")),
    ("duration_s = 0.2", "", ("duration_s is missing",)),
    ("duration_s = 0.2", "duration_s = 1e9", ("duration_s", "86400")),
    ("duration_s = 0.2", 'duration_s = "long"', ("duration_s", "number")),
    ("duration_s = 0.2", 'duration_s = 0.2\ngovernor = "fixed"', ("clocks_mhz",)),
    ('mode = "periodic"', 'mode = "sometimes"', ("streams[0].mode", "'periodic'")),
    ("[[streams]]", "[[streams", ("not a TOML file",)),
]


@pytest.mark.parametrize(("old", "new", "words"), BAD)
def test_a_bad_scenario_is_one_line(
    run: Run,
    plan_files: Path,
    old: str,
    new: str,
    words: tuple[str, ...],
) -> None:
    Path("bad.toml").write_text(CAMERA.replace(old, new))
    result = run("simulate", str(plan_files / "npu.plan.json"), "--scenario", "bad.toml", "-o", "x.json")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert all(word in result.err for word in words), result.err
    assert not Path("x.json").exists()


def test_the_number_of_plans_must_fit(run: Run, plan_files: Path) -> None:
    Path("two.toml").write_text(CAMERA + CAMERA.partition("0.2")[2])
    plan = str(plan_files / "npu.plan.json")
    result = run("simulate", plan, "--scenario", "two.toml")
    assert (result.code, "2 of its streams name no plan, but 1 are given" in result.err) == (2, True)
    assert run("simulate", plan, plan).code == 2


def test_a_scenario_names_its_plans_beside_itself(run: Run, plan_files: Path) -> None:
    named = CAMERA.replace('mode = "periodic"', 'mode = "periodic"\nplan = "npu.plan.json"')
    (plan_files / "named.toml").write_text(named)
    assert run("simulate", "--scenario", str(plan_files / "named.toml")).code == 0
    (plan_files / "named.toml").write_text(named.replace("npu.plan", "nowhere.plan"))
    assert "there is no file" in run("simulate", "--scenario", str(plan_files / "named.toml")).err


@pytest.mark.skipif(os.name == "nt", reason="signals differ")
def _hears_ctrl_c() -> None:
    """What a shell starts in the background ignores the signal, and so does what that starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_leaves_no_file(plan_files: Path, tmp_path: Path) -> None:
    text = 'format = "partita-scenario/1"\nname = "x"\nduration_s = 80000.0\n[[streams]]\nmode = "single_stream"\n'
    (tmp_path / "long.toml").write_text(text)
    arguments = [str(plan_files / "npu.plan.json"), "--scenario", "long.toml", "-o", "out.json", "--plot", "out.png"]
    child = subprocess.Popen(
        [sys.executable, "-m", "partita", "simulate", *arguments], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        preexec_fn=_hears_ctrl_c,
    )  # fmt: skip
    time.sleep(4)
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=30)
    found: Any = sorted(path.name for path in tmp_path.iterdir())
    assert (child.returncode, found) == (130, ["long.toml"])
    assert "stopped" in told
