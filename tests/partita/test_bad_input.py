"""Bad input of every kind gives one clear line, exit code 2, no traceback, and leaves nothing half written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from partita.devices import load_soc
from tests.partita.command_line import Result, run_cli

Run = Callable[..., Result]
SOC = "sd8gen3-qnn"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run_cli(capsys, monkeypatch, *arguments)


def model(
    nodes: list[onnx.NodeProto] | None = None,
    dims: tuple[int | str, ...] = (1, 4),
    weights: list[onnx.TensorProto] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """y = Relu(x), or other nodes from x to y."""
    graph = helper.make_graph(
        nodes or [helper.make_node("Relu", ["x"], ["y"], name="relu")],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights or [],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def saved(proto: onnx.ModelProto, name: str = "model.onnx") -> str:
    Path(name).write_bytes(proto.SerializeToString())
    return name


def external(location: str, dims: tuple[int, ...] = (4,), length: int | None = None) -> onnx.TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    if length is not None:
        tensor.external_data.add(key="length", value=str(length))
    return tensor


ADD_W = [helper.make_node("Add", ["x", "w"], ["y"], name="add")]


def refused(result: Result, *words: str) -> None:
    """One line on standard error that holds the words; exit code 2; nothing on standard output."""
    assert result.code == 2, result
    lines = [line for line in result.err.splitlines() if line.strip()]
    assert len(lines) == 1, result.err
    assert lines[0].startswith("partita: error: ")
    assert "Traceback" not in result.err
    for word in words:
        assert word in lines[0], lines[0]
    assert result.out == ""


def test_a_model_that_is_not_there(run: Run) -> None:
    refused(run("place", "absent.onnx", "--soc", SOC), "absent.onnx", "no such file")


def test_a_plan_that_is_not_there(run: Run) -> None:
    refused(run("run", "absent.plan.json"), "absent.plan.json", "No such file")
    refused(run("run", "absent"), "absent", "no such file")


def test_a_folder_as_model(run: Run) -> None:
    refused(run("place", ".", "--soc", SOC), "folder")


def test_an_empty_file(run: Run) -> None:
    Path("model.onnx").touch()
    refused(run("place", "model.onnx", "--soc", SOC), "empty")


def test_a_text_file(run: Run) -> None:
    Path("model.onnx").write_text("This is no model, but a letter to the editor.\n" * 20)
    refused(run("place", "model.onnx", "--soc", SOC), "not an ONNX model")


def test_a_truncated_model(run: Run) -> None:
    content = model(weights=[numpy_helper.from_array(np.ones(1000, np.float32), "w")]).SerializeToString()
    Path("model.onnx").write_bytes(content[: len(content) // 2])
    refused(run("place", "model.onnx", "--soc", SOC), "model.onnx", "cut short")


def test_a_cycle(run: Run) -> None:
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="second"),
        helper.make_node("Relu", ["b"], ["y"], name="third"),
    ]
    refused(run("place", saved(model(nodes)), "--soc", SOC), "cycle", "'first'", "'second'")


def test_an_unknown_operator(run: Run) -> None:
    nodes = [helper.make_node("Frobnicate", ["x"], ["y"], name="odd")]
    refused(run("place", saved(model(nodes)), "--soc", SOC), "Frobnicate", "'odd'")


def test_an_unbound_dimension(run: Run) -> None:
    refused(run("place", saved(model(dims=("batch", 4))), "--soc", SOC), "x[0] = 'batch'", "--shape batch=1")


def test_a_shape_for_nothing(run: Run) -> None:
    refused(run("place", saved(model()), "--soc", SOC, "--shape", "tokens=8"), "'tokens'", "x")


def test_a_shape_that_contradicts_the_model(run: Run) -> None:
    refused(run("place", saved(model()), "--soc", SOC, "--shape", "x=1x5"), "'x'", "float32[1x4]", "1x5")


def test_a_shape_that_is_no_shape(run: Run) -> None:
    refused(run("place", saved(model()), "--soc", SOC, "--shape", "x=two"), "x=two", "NAME=8")


def test_inputs_that_do_not_fit_an_operator(run: Run) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    weights = [numpy_helper.from_array(np.ones((5, 2), np.float32), "w")]
    refused(run("place", saved(model(nodes, weights=weights)), "--soc", SOC), "'product'", "float32[5x2]")


def test_a_weight_outside_of_the_folder(run: Run) -> None:
    Path("../secret.bin").write_bytes(bytes(16))
    refused(run("place", saved(model(ADD_W, weights=[external("../secret.bin")])), "--soc", SOC), "outside", "'w'")


def test_a_weight_file_cut_short(run: Run) -> None:
    Path("w.bin").write_bytes(bytes(7))
    refused(
        run("place", saved(model(ADD_W, weights=[external("w.bin")])), "--soc", SOC), "'w'", "16 bytes", "cut short"
    )


def test_running_without_weights(run: Run) -> None:
    refused(run("run", saved(model(ADD_W, weights=[external("gone.bin")])), "--soc", SOC), "'w'", "--random-weights")


def test_no_soc(run: Run) -> None:
    refused(run("place", saved(model())), "--soc", "partita soc list")


def test_an_unknown_soc(run: Run) -> None:
    refused(run("place", saved(model()), "--soc", "nokia3310"), "nokia3310", SOC)


def test_a_soc_file_that_is_not_toml(run: Run) -> None:
    Path("my.toml").write_text("chip = = 3")
    refused(run("place", saved(model()), "--soc", "my.toml"), "my.toml", "line 1")


def soc_toml(**replaced: object) -> str:
    """A preset as a Soc file with one number replaced: units__0__bandwidth_gb_per_s=-1."""
    document = json.loads(load_soc(SOC).to_json())
    for path, number in replaced.items():
        *parents, last = path.split("__")
        place = document
        for key in parents:
            place = place[int(key)] if key.isdigit() else place[key]
        place[last] = number
    Path("my.toml").write_text(_toml(document))
    return "my.toml"


def _toml(document: dict[str, object]) -> str:
    """TOML with inline tables, enough for a Soc."""
    return "".join(f"{key} = {_inline(value)}\n" for key, value in document.items() if value is not None)


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_inline(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(v) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def test_a_sound_copy_of_a_preset_is_taken(run: Run) -> None:
    assert run("place", saved(model()), "--soc", soc_toml()).code == 0


def test_a_negative_bandwidth(run: Run) -> None:
    bad = {"value": -1.0, "kind": "estimated", "source": "a test"}
    refused(
        run("place", saved(model()), "--soc", soc_toml(units__0__bandwidth_gb_per_s=bad)),
        "bandwidth_gb_per_s",
        "my.toml",
    )


def test_a_number_without_a_source(run: Run) -> None:
    refused(
        run("place", saved(model()), "--soc", soc_toml(inference_us={"value": 1.0, "kind": "vendor"})),
        "inference_us",
        "source",
    )


def test_a_misspelt_field(run: Run) -> None:
    refused(run("place", saved(model()), "--soc", soc_toml(colour="red")), "colour")


def test_a_host_that_is_no_unit(run: Run) -> None:
    refused(run("place", saved(model()), "--soc", soc_toml(host="abacus")), "abacus")


def test_a_pin_to_a_missing_unit(run: Run) -> None:
    refused(run("place", saved(model()), "--soc", SOC, "--pin", "Relu=tpu"), "'tpu'", "cpu")


def test_a_pin_that_names_nothing(run: Run) -> None:
    refused(run("place", saved(model()), "--soc", SOC, "--pin", "Softmax=cpu"), "Softmax")


def test_a_pin_that_is_no_rule(run: Run) -> None:
    refused(run("place", saved(model()), "--soc", SOC, "--pin", "Relu"), "Softmax=cpu")


def test_an_operator_banned_everywhere(run: Run) -> None:
    bans = [word for unit in load_soc(SOC).units for word in ("--ban", f"relu={unit.name}")]
    refused(run("place", saved(model()), "--soc", SOC, *bans), "'relu'", "ruled out by --ban relu=npu")


def test_an_operator_that_no_unit_supports(run: Run) -> None:
    nodes = [helper.make_node("Sinh", ["x"], ["y"], name="sinh")]
    refused(run("place", saved(model(nodes)), "--soc", SOC, "--ban", "Sinh=cpu"), "'sinh'", "npu", "gpu")


def test_a_negative_gap(run: Run) -> None:
    refused(run("place", saved(model()), "--soc", SOC, "--gap", "-1"), "gap")


def test_an_output_that_cannot_be_written(run: Run) -> None:
    refused(run("place", saved(model()), "--soc", SOC, "-o", "no/such/folder/plan.json"), "cannot write")
    assert sorted(p.name for p in Path().iterdir()) == ["model.onnx"]


def test_a_report_of_an_unknown_kind(run: Run) -> None:
    refused(run("report", saved(model()), "--soc", SOC, "-o", "report.docx"), "report.docx", ".html")


def test_a_broken_plan(run: Run) -> None:
    Path("plan.json").write_text('{"format": "partita-plan/1"}')
    refused(run("simulate", "plan.json"), "plan.json", "damaged")


def test_a_plan_of_another_model(run: Run) -> None:
    run("place", saved(model()), "--soc", SOC, "-o", "plan.json")
    saved(model(dims=(1, 5)))
    refused(run("simulate", "plan.json"), "model.onnx", "not the one that was placed")


def test_a_plan_whose_model_has_gone(run: Run) -> None:
    run("place", saved(model()), "--soc", SOC, "-o", "plan.json")
    Path("model.onnx").unlink()
    refused(run("simulate", "plan.json"), "model.onnx", "no such file")


def test_input_data_of_the_wrong_shape(run: Run) -> None:
    np.save("x.npy", np.zeros((2, 4), np.float32))
    refused(run("run", saved(model()), "--soc", SOC, "--input", "x=x.npy"), "'x'", "float32[1x4]")


def test_input_data_that_is_no_array(run: Run) -> None:
    Path("x.npy").write_text("hello")
    refused(run("run", saved(model()), "--soc", SOC, "--input", "x=x.npy"), "x.npy")


def test_input_data_for_nothing(run: Run) -> None:
    np.save("x.npy", np.zeros((1, 4), np.float32))
    refused(run("run", saved(model()), "--soc", SOC, "--input", "z=x.npy"), "'z'", "x")


@pytest.mark.parametrize(
    "arguments",
    [("place",), ("plaec",), ("place", "m.onnx", "--colour"), ("place", "m.onnx", "--gap", "abc"), ("soc", "x")],
)
def test_a_command_line_that_is_not_understood(run: Run, arguments: tuple[str, ...]) -> None:
    refused(run(*arguments), "partita --help")


def test_nothing_is_written_if_one_of_several_outputs_cannot_be(run: Run) -> None:
    name = saved(model())
    refused(run("simulate", name, "--soc", SOC, "-o", "t.json", "--plot", "x.bmp"), "x.bmp", ".png")
    refused(run("simulate", name, "--soc", SOC, "--trace", "t.json", "--plot", "no/x.png"), "no/x.png")
    refused(run("report", name, "--soc", SOC, "-o", "r.html", "-o", "r.docx"), "r.docx")
    refused(run("simulate", name, "--soc", SOC, "-o", "same.json", "--trace", "same.json"), "twice")
    assert [p.name for p in Path().iterdir()] == ["model.onnx"]


def test_an_output_that_would_replace_the_model(run: Run) -> None:
    name = saved(model())
    before = Path(name).read_bytes()
    refused(run("place", name, "--soc", SOC, "-o", name), "read by this very command")
    assert Path(name).read_bytes() == before


def test_an_output_is_written_through_a_link_and_to_a_device(run: Run) -> None:
    name = saved(model())
    Path("real.json").write_text("old")
    Path("link.json").symlink_to("real.json")
    assert run("place", name, "--soc", SOC, "-o", "link.json").code == 0
    assert Path("link.json").is_symlink()
    assert Path("real.json").read_text().startswith("{")
    assert run("place", name, "--soc", SOC, "-o", "/dev/null").code == 0
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize(
    ("edit", "flaw"),
    [
        (lambda d: d.update(transfers=d["transfers"][1:]), "never arrives"),
        (lambda d: d.update(segments=[]), "segments"),
        (lambda d: d["operators"][0].update(dtype="banana"), "banana"),
        (lambda d: d["proof"].update(value=1.0, bound=1.0), "its parts take"),
        (lambda d: d["soc"].update(name="other"), "its Soc is not the one"),
    ],
)
@pytest.mark.parametrize("command", ["run", "simulate"])
def test_an_edited_plan(run: Run, command: str, edit: Callable[[dict[str, Any]], None], flaw: str) -> None:
    run("place", saved(model()), "--soc", SOC, "--pin", "Relu=npu", "-o", "plan.json")
    document = json.loads(Path("plan.json").read_text())
    edit(document)
    Path("plan.json").write_text(json.dumps(document))
    refused(run(command, "plan.json"), "contradicts itself", flaw)


def test_a_plan_is_found_from_any_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("plans").mkdir()
    assert run("place", saved(model()), "--soc", SOC, "-o", "plans/m.plan").code == 0
    monkeypatch.chdir("plans")
    assert run("simulate", "m.plan").code == 0
    assert run("run", "m.plan", "--check").code == 0


def test_a_name_with_brackets_can_be_pinned(run: Run) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"], name="layer[0]/relu")]
    result = run("place", saved(model(nodes)), "--soc", SOC, "--pin", "layer[0]/relu=npu", "--json")
    assert json.loads(result.out)["placement"]["layer[0]/relu"]["unit"] == "npu"


def test_a_pinned_plan_is_compared_with_what_simpler_rules_do_unpinned(run: Run) -> None:
    free = json.loads(run("place", saved(model()), "--soc", SOC, "--json").out)
    pinned = json.loads(run("place", "model.onnx", "--soc", SOC, "--pin", "Relu=npu", "--json").out)
    assert pinned["baselines"] == free["baselines"]
    assert pinned["latency_ms"] > pinned["baselines"]["cpu_only"]
    assert "under your rules" in pinned["verdict"]
    assert {r["verdict"] for r in pinned["refusals"] if r["unit"] == "cpu"} == {"ruled_out"}


def test_data_that_is_a_broken_archive(run: Run) -> None:
    Path("x.npy").write_bytes(b"PK\x03\x04 broken")
    refused(run("run", saved(model()), "--soc", SOC, "--input", "x=x.npy"), "x.npy")


def test_a_shape_given_twice(run: Run) -> None:
    refused(run("place", saved(model(dims=("b", 4))), "--soc", SOC, "--shape", "b=1", "--shape", "b=2"), "twice")
