"""`partita validate` end to end on the embedded model."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import onnx
import pytest
from onnx import TensorProto, helper

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
