"""What `partita place` offers beside the latency: objectives, constraints, answers to why."""

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import partita as pt
from tests.partita.command_line import Result, run_cli

Run = Callable[..., Result]
MODEL = str(Path(__file__).parents[2] / "examples" / "models" / "mobilenet_v2.onnx")
PLACED = ("place", MODEL, "--soc", "sd855-tflite", "--shape", "batch=1", "--gap", "1e-3")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run_cli(capsys, monkeypatch, *arguments)


def document(result: Result, schema: str = "plan") -> dict[str, Any]:
    assert result.code == 0, result
    content: dict[str, Any] = json.loads(result.out)
    text = files("partita.reports").joinpath("templates", f"{schema}.schema.json").read_text()
    jsonschema.validate(content, json.loads(text))
    return content


@pytest.mark.parametrize(
    ("objective", "unit"),
    [("latency", "ms"), ("energy", "mJ"), ("edp", "mJ ms"), ("makespan", "ms"), ("latency=1,energy=0.2", "score")],
)
def test_every_objective_is_told_with_bound_gap_and_latency(run: Run, objective: str, unit: str) -> None:
    found = document(run(*PLACED, "--objective", objective, "--json"))
    assert (found["objective"], found["unit"]) == (objective, unit)
    assert 0 < found["bound"] <= found["value"]
    assert found["gap"] == pytest.approx((found["value"] - found["bound"]) / found["value"], abs=1e-9)
    assert found["latency_ms"] > 0
    assert (found["bound_ms"] is None) == (objective != "latency")
    assert all(found["value"] <= value * (1 + 1e-9) for value in found["baseline_values"].values())
    figure = {
        "latency": found["latency_ms"],
        "energy": found["energy_mj"],
        "edp": found["latency_ms"] * found["energy_mj"],
        "latency=1,energy=0.2": found["latency_ms"] + 0.2 * found["energy_mj"],
    }.get(objective)
    assert figure is None or found["value"] == pytest.approx(figure)


def test_a_makespan_is_what_the_simulator_says(run: Run) -> None:
    assert run(*PLACED, "--objective", "makespan", "-o", "m.plan.json").code == 0
    plan = pt.load_plan("m.plan.json")
    assert plan.proof.value == pytest.approx(pt.simulate(plan, overlap=True).latency_us)


def test_a_plan_for_another_objective_survives_its_file_and_every_report(run: Run) -> None:
    rules = ("--objective", "energy", "--deadline-ms", "9", "--max-segments", "gpu=2", "--memory", "gpu=64MB")
    assert run(*PLACED, *rules, "-o", "m.plan.json").code == 0
    plan = pt.load_plan("m.plan.json")
    assert [limit.option for limit in plan.limits] == ["--deadline-ms", "--max-segments gpu", "--memory gpu"]
    pt.save_plan(plan, "again.plan.json")
    assert Path("again.plan.json").read_bytes() == Path("m.plan.json").read_bytes()
    result = run("report", "m.plan.json", "-o", "r.html", "-o", "r.md", "-o", "r.json", "-o", "r.png")
    assert result.code == 0, result
    assert "mJ of energy" in Path("r.html").read_text()
    assert "mJ of energy" in Path("r.md").read_text()
    again = Path("r.html").read_text()
    assert "--objective energy" in again
    assert "--max-segments gpu=2" in again


def test_limits_are_kept_and_told(run: Run) -> None:
    found = document(run(*PLACED, "--max-segments", "1", "--min-snr", "40", "--deadline-ms", "10", "--json"))
    assert found["segments"] == 1
    limits = {limit["option"]: limit for limit in found["limits"]}
    assert limits["--max-segments"]["demand"] == 1
    assert limits["--min-snr"]["demand"] >= 40
    assert limits["--deadline-ms"]["demand"] == pytest.approx(found["latency_ms"])


def test_every_operator_is_explained_at_once(run: Run) -> None:
    found = document(run(*PLACED, "--explain", "--json"))
    assert {a["node"] for a in found["alternatives"]} == set(found["placement"])
    assert any(a["extra"] for a in found["alternatives"])


def test_why_answers_for_one_operator(run: Run) -> None:
    found = document(run(*PLACED, "--why", "Gemm", "--json"), "why")
    assert found["operators"][0]["op"] == "Gemm"
    assert found["operators"][0]["elsewhere"][0]["extra"] > 0
    assert "more in total" in run(*PLACED, "--why", "Gemm").out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--deadline-ms", "0.1"),
            "no placement keeps --deadline-ms 0.1: --deadline-ms is 0.1 ms, ",
        ),
        (("--deadline-ms", "0"), "the deadline must be above 0 ms, is 0"),
        (("--max-segments", "many"), "--max-segments 'many' is not understood; write a number or UNIT=NUMBER"),
        (("--max-segments", "tpu=1"), "no unit 'tpu'; it has: cpu, gpu"),
        (("--min-segment", "gpu=x"), "--min-segment 'gpu=x' is not understood"),
        (("--memory", "gpu"), "--memory 'gpu' is not understood; write UNIT=SIZE, for example npu=64MB"),
        (("--memory", "tpu=1MB"), "no unit 'tpu'"),
        (("--together", "Softmax"), "--together 'Softmax': no operator"),
        (("--objective", "speed"), "objective 'speed' is not known; there is: latency, makespan"),
        (("--min-snr", "nan"), "must be a number of dB"),
        (("--why", "Softmax"), "--why 'Softmax': no operator"),
        (("--objective", "throughput", "--explain"), "ask for single operators with --why"),
    ],
)
def test_what_cannot_be_is_one_line_and_code_2(run: Run, options: tuple[str, ...], message: str) -> None:
    result = run(*PLACED, *options)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1


def test_buckets_of_a_moving_size_are_placed_and_written(run: Run) -> None:
    moving = tuple(word for word in PLACED if word not in ("--shape", "batch=1"))
    found = document(run(*moving, "--shapes", "batch=1..3", "-o", "plans", "--json"), "buckets")
    assert [bucket["size"] for bucket in found["buckets"]] == [1, 2, 3]
    times = [bucket["latency_ms"] for bucket in found["buckets"]]
    assert times == sorted(times)
    plan = pt.load_plan("plans/mobilenet_v2.2.plan.json")
    assert plan.latency_us == pytest.approx(times[1] * 1e3)
    assert "batch=2" in found["buckets"][1]["command"]
    told = run(*moving, "--shapes", "batch=1..2").out
    assert "batch" in told
    assert "best placement" in told or "placement is the best" in told


def test_buckets_say_what_is_wrong_in_one_line(run: Run) -> None:
    Path("file").write_text("")
    for options, message in (
        (("--shapes", "batch=3"), "write NAME=LEAST..MOST"),
        (("--shapes", "batch=1..2", "-o", "file"), "which is to be a folder"),
        (("--shapes", "rows=1..2"), "rows"),
    ):
        result = run(*PLACED, *options)
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert message in result.err


def test_a_report_that_ran_the_model_says_what_its_arithmetic_does(run: Run) -> None:
    assert run(*PLACED, "--random-weights", "-o", "m.plan.json").code == 0
    assert run("report", "m.plan.json", "--check", "-o", "r.json", "-o", "r.html").code == 0
    found = document(Result(0, Path("r.json").read_text(), ""))
    assert 20 < found["checks"]["logits"]["snr_db"] < 100
    assert "The placed model was run against the unplaced one" in Path("r.html").read_text()
    assert run("report", "m.plan.json", "-o", "plain.html").code == 0
    assert "partita report --check" in Path("plain.html").read_text()


def test_a_plan_whose_kernels_list_their_operators_in_another_order_is_read_again(run: Run) -> None:
    assert run(*PLACED, "-o", "m.plan.json").code == 0
    document = json.loads(Path("m.plan.json").read_text())
    assert any(len(operator["covers"]) > 1 for operator in document["operators"])
    for operator in document["operators"]:
        operator["covers"].reverse()
    Path("other.plan.json").write_text(json.dumps(document))
    assert pt.load_plan("other.plan.json").latency_us == pt.load_plan("m.plan.json").latency_us
