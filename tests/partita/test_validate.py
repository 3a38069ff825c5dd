"""`partita validate` end to end on the embedded model."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import onnx
import pytest
from onnx import TensorProto, helper

from partita.api import load, partition
from partita.devices import load_soc
from partita.graph.plan import Location
from partita.partitioner import Rule
from partita.studies.validation.models import kernels_of
from partita.studies.validation.sample import SAMPLE
from partita.studies.validation.tables.qed_models import whole_model_us
from tests.partita.command_line import run_cli

HEADER = "framework,set,model,flops,size_bytes,device,chip,unit,cores,precision,latency_ms,std_ms,source"
ROWS = (
    "TFLite v2.10,real CNN,net,1e8,1,Google Pixel 4,Snapdragon 855,CPU,3med,fp32,{ms},0,test",
    "TFLite v2.10,real CNN,net,1e8,1,Google Pixel 4,Snapdragon 855 / Adreno 640,GPU,,fp16,2.5,0,test",
    "TFLite v2.10,real CNN,absent,1e8,1,Google Pixel 4,Snapdragon 855,CPU,3med,fp32,9,0,test",
    "Caffe,real CNN,net,1e8,1,Google Pixel 4,Snapdragon 855,CPU,3med,fp32,9,0,test",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table, and beside it a folder `models` with a network of one convolution."""
    (tmp_path / "models").mkdir()
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 16, 56, 56])
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, [1, 32, 56, 56])
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [32, 16, 3, 3], [0.0] * (32 * 16 * 9))
    conv = helper.make_node("Conv", ["image", "weight"], ["result"], pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    graph = helper.make_graph([conv], "net", [image], [result], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "models" / "net.onnx")
    (tmp_path / "table.csv").write_text("\n".join((HEADER, *ROWS)).format(ms="2"))
    return tmp_path


def document(text: str) -> dict[str, Any]:
    schema = json.loads(files("partita.reports").joinpath("templates", "validation.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    content: dict[str, Any] = json.loads(text)
    jsonschema.validate(content, schema)
    return content


def test_groups_say_how_far_off_the_predictions_are(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("validate", str(folder / "table.csv"), "--models", str(folder))
    content = document(run_cli(capsys, monkeypatch, *arguments, "--json").out)
    assert [(group["unit"], group["rows"]) for group in content["groups"]] == [("CPU", 1), ("GPU", 1)]
    assert content["rows"] == 4
    reasons = {each["reason"]: each["rows"] for each in content["unpredicted"]}
    assert reasons["no graph of its model in the folder"] == 1
    assert sum(reasons.values()) == 2
    shown = run_cli(capsys, monkeypatch, *arguments).out
    assert "2 of 4 rows predicted" in shown
    assert "not predicted: 1 rows: no graph of its model" in shown


def test_without_models_the_rows_are_counted_not_dropped(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = document(run_cli(capsys, monkeypatch, "validate", str(folder / "table.csv"), "--json").out)
    assert content["predicted"] == 0
    assert {each["reason"] for each in content["unpredicted"]} >= {"needs --models DIR"}


@pytest.mark.parametrize("cell", ["", "fast", "nan"])
def test_a_malformed_cell_is_one_line_and_exit_code_2(
    folder: Path, cell: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = folder / "table.csv"
    table.write_text("\n".join((HEADER, *ROWS)).format(ms=cell))
    result = run_cli(capsys, monkeypatch, "validate", str(table), "--models", str(folder))
    assert result.code == 2
    assert "table.csv, line 2: column 'latency_ms'" in result.err
    assert len(result.err.splitlines()) == 1


def test_the_sample_that_ships_is_predicted_in_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in sorted(SAMPLE.glob("*.csv")):
        content = document(run_cli(capsys, monkeypatch, "validate", str(path), "--json").out)
        assert content["predicted"] == content["rows"] > 0
        assert sum(group["rows"] for group in content["by_class"]) == content["rows"]
        assert all(group["within_2x"] == 1 for group in content["groups"])


def test_every_set_of_cores_and_int8_are_predicted(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = folder / "table.csv"
    start = "TFLite v2.10,real CNN,net,1e8,1,Google Pixel 4,Snapdragon 855,CPU"
    rows = [
        f"{start},{cores},{precision},2,0,test" for cores in ("1small", "1large1med") for precision in ("fp32", "int8")
    ]
    table.write_text("\n".join((HEADER, *rows)))
    content = document(run_cli(capsys, monkeypatch, "validate", str(table), "--models", str(folder), "--json").out)
    assert content["predicted"] == 4
    measured = {(worst["device"].split()[-1], worst["precision"]): worst["predicted"] for worst in content["worst"]}
    assert measured["1small", "fp32"] > measured["1large1med", "fp32"] > measured["1large1med", "int8"]


def test_a_model_in_a_table_costs_what_the_placement_alone_on_that_unit_costs(folder: Path) -> None:
    path = folder / "models" / "net.onnx"
    graph = load(path)
    device = load_soc("sd855-tflite")
    baselines = {baseline.name: baseline.latency_us for baseline in partition(graph, device).baselines}
    for unit, dtype, name in (("cpu", "float32", "cpu_only"), ("gpu", "float16", "gpu_with_fallback")):
        kernels = kernels_of(path, None, "sd855-tflite", unit)
        latency_us, low_us, high_us = whole_model_us(kernels, device, device.unit_named(unit), dtype)
        assert latency_us == pytest.approx(baselines[name])
        assert low_us < latency_us < high_us


def test_a_phone_s_cpu_computes_in_int8_where_it_is_allowed_to(folder: Path) -> None:
    graph, device = load(folder / "models" / "net.onnx"), load_soc("sd855-tflite")
    in_int8 = Location("cpu", "int8")
    bans = (Rule("*", "gpu"),)
    plain, quantised = (partition(graph, device, allow=allow, bans=bans) for allow in ((), (in_int8,)))
    assert {(placed.unit, placed.dtype) for placed in quantised.operators} == {("cpu", "int8")}
    assert quantised.latency_us < plain.latency_us


def test_a_law_of_another_runtime_costs_its_own_rows(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = folder / "table.csv"
    end = "real CNN,net,1e8,1,Google Pixel 4,Snapdragon 855,CPU,3med,fp32,2,0,test"
    table.write_text("\n".join((HEADER, f"TFLite v2.10,{end}", f"PyTorch Mobile v2.0,{end}")))
    content = document(run_cli(capsys, monkeypatch, "validate", str(table), "--models", str(folder), "--json").out)
    predicted = {worst["runtime"]: worst["predicted"] for worst in content["worst"]}
    assert predicted["TFLite v2.10"] != pytest.approx(predicted["PyTorch Mobile v2.0"], rel=0.01)
