"""The command `partita calibrate` on profiles: into a new file, into one that exists, and what it says."""

import json
import re
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import partita as pt
from partita.graph.build import GraphBuilder
from partita.graph.onnx_export import to_model
from partita.partitioner import Rule
from partita.passes.find_matches import find_matches
from tests.partita.command_line import Result, run_cli

Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARTITA_PRESETS", str(tmp_path / "presets"))
    b = GraphBuilder("net")
    rng = np.random.default_rng(0)
    x = b.input("x", "float32", (1, 8, 32, 32))
    for i in range(3):
        w = b.constant(f"w{i}", rng.standard_normal((8, 8, 3, 3)).astype(np.float32))
        x = b.node("Relu", b.node("Conv", x, w, name=f"conv{i}", pads=(1, 1, 1, 1)), name=f"relu{i}")
    b.output(b.node("Softmax", x, name="prob"))
    (tmp_path / "net.onnx").write_bytes(to_model(b.build()).SerializeToString())
    return lambda *arguments: run_cli(capsys, monkeypatch, *arguments)


def qnn(tmp_path: Path, *rows: tuple[str, float]) -> str:
    """A profile that books times in microseconds on names."""
    head = "Msg Timestamp,Message,Time,Unit of Measurement,Timing Source,Event Level,Event Identifier"
    lines = [f"0,NODE,{us},US,BACKEND,SUB-EVENT,{name}:OpId_{i}" for i, (name, us) in enumerate(rows)]
    (tmp_path / "run.csv").write_text("\n".join([head, *lines]))
    return "run.csv"


ROWS = (
    ("conv0", 100.0),
    ("relu0", 0.0),
    ("conv1", 90.0),
    ("relu1", 0.0),
    ("conv2", 110.0),
    ("relu2", 0.0),
    ("prob", 40.0),
)
INTO = ("--unit", "npu", "--into", "mine.toml")
CSV = ("net.onnx", "--profile", "run.csv")
NEW = (*INTO, "--soc", "sd8gen3-qnn")


def document(result: Result) -> dict[str, Any]:
    assert result.code == 0, result
    content: dict[str, Any] = json.loads(result.out)
    text = files("partita.reports").joinpath("templates", "calibration.schema.json").read_text()
    jsonschema.validate(content, json.loads(text))
    return content


def test_a_profile_makes_a_file_that_places_at_the_measured_times(run: Run, tmp_path: Path) -> None:
    profile = qnn(tmp_path, *ROWS, ("Transpose", 60.0))
    found = document(run("calibrate", "net.onnx", "--profile", profile, *INTO, "--soc", "sd8gen3-qnn", "--json"))
    assert found["matched"] == {
        "rows": 7, "operators": 7, "kernels": 4, "by_order": 0, "ms": pytest.approx(0.34), "share": pytest.approx(0.85)
    }  # fmt: skip
    assert found["unmatched_rows"] == [{"name": "Transpose", "op": "", "ms": pytest.approx(0.06)}]
    soc = pt.soc(tmp_path / "mine.toml")
    plan = pt.partition(pt.load("net.onnx"), soc, pins=[Rule("*", "npu")])
    assert sum(o.cost.latency_us for o in plan.operators) == pytest.approx(340)
    assert {o.cost.evidence for o in plan.operators} == {"measured"}
    assert "run.csv: QNN provider profile, detailed (CSV) of net" in run("soc", "show", "mine.toml", "--json").out


def test_equal_operators_are_one_entry_with_the_median_and_the_range(run: Run, tmp_path: Path) -> None:
    run("calibrate", "net.onnx", "--profile", qnn(tmp_path, *ROWS), *INTO, "--soc", "sd8gen3-qnn")
    entries = tomllib.loads((tmp_path / "mine.toml").read_text())["latencies"]
    fused = next(entry for entry in entries if entry["op"] == "Conv+Relu")
    assert fused["latency_us"]["value"] == 100
    assert (fused["latency_us"]["low"], fused["latency_us"]["high"]) == (90, 110)
    assert fused["latency_us"]["kind"] == "measured"
    alone = [entry for entry in entries if entry["op"] in ("Conv", "Relu")]
    assert {entry["latency_us"]["kind"] for entry in alone} == {"derived"}
    assert sum(entry["latency_us"]["value"] for entry in alone) > 100


def test_a_second_profile_replaces_what_it_measures_anew_and_keeps_the_rest_and_every_other_line(
    run: Run, tmp_path: Path
) -> None:
    run("calibrate", "net.onnx", "--profile", qnn(tmp_path, *ROWS), *INTO, "--soc", "sd8gen3-qnn")
    path = tmp_path / "mine.toml"
    path.write_text("# my own words\n" + path.read_text())
    before = tomllib.loads(path.read_text())["latencies"]
    again = run("calibrate", "net.onnx", "--profile", qnn(tmp_path, ("prob", 50.0)), *INTO)
    assert again.code == 0
    after = tomllib.loads(path.read_text())["latencies"]
    assert path.read_text().startswith("# my own words\n")
    assert len(after) == len(before)
    value_of = {entry["op"]: entry["latency_us"]["value"] for entry in after}
    assert value_of["Softmax"] == 50
    assert value_of["Conv+Relu"] == 100


def test_calibrating_twice_with_the_same_profile_gives_the_same_bytes(run: Run, tmp_path: Path) -> None:
    profile = qnn(tmp_path, *ROWS)
    run("calibrate", "net.onnx", "--profile", profile, *INTO, "--soc", "sd8gen3-qnn")
    first = (tmp_path / "mine.toml").read_bytes()
    run("calibrate", "net.onnx", "--profile", profile, *INTO)
    assert (tmp_path / "mine.toml").read_bytes() == first


def test_the_summary_says_what_was_left_out(run: Run, tmp_path: Path) -> None:
    profile = qnn(tmp_path, ("conv0", 100.0), ("Input", 60.0))
    said = run("calibrate", "net.onnx", "--profile", profile, *INTO, "--soc", "sd8gen3-qnn").out
    assert "Rows that are no operator of the model: 1, 38 % of the time" in said
    assert "Operators without a time, priced by the law: 5" in said
    assert "wrote mine.toml" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("net.onnx",), "calibrate needs a model, --profile FILE"),
        ((*CSV, *INTO), "mine.toml does not exist yet: say with --soc NAME"),
        ((*CSV, "--unit", "tpu", "--into", "m.toml", "--soc", "sd8gen3-qnn"), "has no unit 'tpu'"),
        ((*CSV, *NEW, "--dtype", "float32"), "does not compute in float32"),
        ((*CSV, *INTO, "--soc", "nothing"), "there is no preset 'nothing'"),
        (("net.onnx", "--profile", "none.csv", *NEW), "none.csv: cannot be read"),
        ((*CSV, *NEW, "--format", "perf"), "'perf' is not known"),
        ((*CSV, "--unit", "npu", "--into", "mine.txt"), "Soc files end in .toml"),
        (("net.onnx", "--host"), "--host measures this machine and takes no model"),
        (("net.onnx", "--profile", "other.csv", *NEW), "none of its 1 rows is an operator of"),
        (("net.onnx", "--profile", "vela.csv", *NEW), "counts clocks, not time; give .* --clock-mhz"),
        (("net.onnx", "--profile", "litert.json", *NEW), "time of the whole model only"),
    ],
)  # fmt: skip
def test_wrong_wishes_are_one_line_and_leave_nothing_behind(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    data = Path(__file__).parents[1] / "data" / "profiles"
    for name in ("vela.csv", "litert.json"):
        (tmp_path / name).write_text((data / name).read_text())
    text = (tmp_path / qnn(tmp_path, ("elsewhere", 3.0))).read_text()
    (tmp_path / "other.csv").write_text(text)
    qnn(tmp_path, *ROWS)
    found = run("calibrate", *arguments)
    assert found.code == 2
    assert found.err.count("\n") == 1
    assert re.search(message, found.err)
    assert not (tmp_path / "mine.toml").exists()


@pytest.mark.slow
def test_a_model_that_onnxruntime_profiled_is_predicted_at_the_sum_of_its_rows(run: Run, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.enable_profiling, options.intra_op_num_threads = True, 1
    options.profile_file_prefix = str(tmp_path / "ort")
    session = ort.InferenceSession("net.onnx", options, providers=["CPUExecutionProvider"])
    for _ in range(9):
        session.run(None, {"x": np.zeros((1, 8, 32, 32), np.float32)})
    profile = session.end_profiling()
    found = document(run("calibrate", "net.onnx", "--profile", profile, "--unit", "cpu", "--into", "cpu.toml",
                         "--soc", "sd8gen3-qnn", "--json"))  # fmt: skip
    assert found["matched"]["operators"] == 7
    graph = pt.load("net.onnx")
    plan = pt.partition(graph, pt.soc(tmp_path / "cpu.toml"), pins=[Rule("*", "cpu")])
    assert len(find_matches(graph)) >= 3
    predicted_ms = sum(o.cost.latency_us for o in plan.operators) / 1e3
    assert predicted_ms == pytest.approx(found["matched"]["ms"], rel=0.25)  # equal operators share their median
