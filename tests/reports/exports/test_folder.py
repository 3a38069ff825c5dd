"""What `partita export` writes, opened by the tools that it is for."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import onnxruntime as ort
import pytest

import partita as pt
from partita.errors import ModelError, OutputError
from partita.graph.onnx_import import read_onnx
from partita.graph.plan import Plan
from partita.passes.pipeline import prepare
from partita.reports.exports.folder import PARTS, Export, export_plan
from partita.reports.exports.run_segments import differences, options_of, run_segments
from tests.reports.exports.models import NONZERO, OTHER_SIZES, SPLIT, SWITCHED, TWO_UNITS, placed

X = np.linspace(-1, 1, 256, dtype=np.float32).reshape(4, 64)


def exported(plan: Plan, folder: Path, *parts: str) -> Export:
    return export_plan(plan, pt.simulate(plan), folder, parts or ("model", "segments"))


def outputs_by_segment(folder: Path, feeds: dict[str, Any]) -> dict[str, Any]:
    """What the segments give, which must be what the whole model gives."""
    outputs = run_segments(folder, feeds, {}, lambda _: None)
    assert max(differences(folder, feeds, outputs).values()) <= 1e-5
    return outputs


def annotated(folder: Path) -> onnx.ModelProto:
    return onnx.load(folder / "model.onnx", load_external_data=False)


def test_segments_give_in_onnxruntime_what_the_whole_model_gives(tmp_path: Path) -> None:
    plan = placed(tmp_path, TWO_UNITS, pins=SPLIT)
    made = exported(plan, tmp_path / "out")
    assert made.files == (
        "manifest.json", "model.onnx", "run_segments.py", "segment-000-npu.onnx", "segment-001-cpu.onnx",
        "segment-002-npu.onnx", "weights.bin",
    )  # fmt: skip
    ours = pt.execute(plan, {"x": X}).outputs["y"]
    np.testing.assert_allclose(outputs_by_segment(made.folder, {"x": X})["y"], ours, rtol=2e-2, atol=2e-2)


def test_every_model_passes_the_checker_and_shares_one_copy_of_the_weights(tmp_path: Path) -> None:
    made = exported(placed(tmp_path, TWO_UNITS, pins=SPLIT), tmp_path / "out")
    for name in made.files:
        if name.endswith(".onnx"):
            onnx.checker.check_model(str(made.folder / name), full_check=True)
    assert (made.folder / "weights.bin").stat().st_size == 64 * 64 * 4


def test_the_annotated_model_says_where_each_operator_runs(tmp_path: Path) -> None:
    plan = placed(tmp_path, TWO_UNITS, pins=SPLIT)
    model = annotated(exported(plan, tmp_path / "out").folder)
    assert model.ir_version >= 11
    (configuration,) = model.configuration
    assert list(configuration.device) == ["cpu", "gpu", "npu"]
    for node in model.graph.node:
        (placement,) = node.device_configurations
        operator = plan.placed[node.name]
        assert placement.configuration_id == configuration.name
        assert placement.pipeline_stage == operator.segment
        assert [configuration.device[i] for i in placement.sharding_spec[0].device] == [operator.unit]
        assert {p.key: p.value for p in node.metadata_props}["layer_ann"] == operator.unit


def test_the_body_of_a_fused_operator_is_annotated_too(tmp_path: Path) -> None:
    model = annotated(exported(placed(tmp_path, TWO_UNITS, pins=SPLIT), tmp_path / "out").folder)
    assert model.functions
    for function in model.functions:
        for node in function.node:
            assert node.op_type == "Constant" or any(p.key == "layer_ann" for p in node.metadata_props)


def test_the_annotated_model_reads_back_as_the_same_graph(tmp_path: Path) -> None:
    plan = placed(tmp_path, TWO_UNITS, pins=SPLIT)
    folder = exported(plan, tmp_path / "out").folder
    assert prepare(read_onnx(folder / "model.onnx")).digest == plan.graph.digest


def test_branches_and_loops_survive(tmp_path: Path) -> None:
    plan = placed(tmp_path, SWITCHED, pins=("MatMul=npu",))
    folder = exported(plan, tmp_path / "out").folder
    ops = [node.op_type for node in onnx.load(folder / "segment-001-cpu.onnx").graph.node]
    assert "If" in ops
    assert "Loop" in ops
    for chosen, count in ((True, 3), (False, 2)):
        feeds = {"x": X, "c": np.array(chosen), "n": np.array(count, np.int64)}
        assert np.abs(outputs_by_segment(folder, feeds)["y"]).max() > 1


def test_sizes_that_depend_on_data_may_change(tmp_path: Path) -> None:
    plan = placed(tmp_path, NONZERO)
    folder = exported(plan, tmp_path / "out").folder
    for count in (2, 5):
        x = np.repeat(np.array([1, 0], np.float32), (count, 8 - count))
        assert outputs_by_segment(folder, {"x": x})["j"].shape == (1, count)


def test_a_branch_for_other_sizes_does_not_keep_the_model_from_loading(tmp_path: Path) -> None:
    plan = placed(tmp_path, OTHER_SIZES)
    folder = exported(plan, tmp_path / "out").folder
    feeds = {"x": X, "rate": np.array(16, np.int64)}
    assert outputs_by_segment(folder, feeds)["y"].shape == (4, 64)


def test_the_manifest_is_as_its_schema_says(tmp_path: Path) -> None:
    plan = placed(tmp_path, TWO_UNITS, pins=SPLIT)
    folder = exported(plan, tmp_path / "out", "segments").folder
    manifest = json.loads((folder / "manifest.json").read_text())
    schema = files("partita.reports").joinpath("templates", "export.schema.json").read_text()
    jsonschema.validate(manifest, json.loads(schema))
    assert manifest["model"] is None
    assert [s["unit"] for s in manifest["segments"]] == ["npu", "cpu", "npu"]
    spent_us = sum(s["latency_us"] + s["transfers_us"] for s in manifest["segments"])
    assert spent_us <= manifest["latency_us"] == plan.latency_us


def test_an_earlier_export_is_replaced_and_anything_else_is_left_alone(tmp_path: Path) -> None:
    plan = placed(tmp_path, TWO_UNITS)
    out = tmp_path / "out"
    exported(plan, out)
    exported(plan, out, "model")
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "model.onnx", "weights.bin"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="it holds other files; give the name of a new folder"):
        exported(plan, other)
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]


def test_a_plan_without_weights_is_not_exported_and_leaves_nothing(tmp_path: Path) -> None:
    path = placed(tmp_path, TWO_UNITS).graph.source
    assert path is not None
    model = onnx.load(path.path)
    onnx.save(model, tmp_path / "bare.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    (tmp_path / "w.bin").unlink()
    plan = pt.partition(pt.load(tmp_path / "bare.onnx"), pt.soc("sd8gen3-qnn"))
    with pytest.raises(ModelError, match="has no data for 1 weights"):
        exported(plan, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bare.onnx", "model.onnx"]


def test_the_runner_gives_a_provider_the_options_of_its_unit(tmp_path: Path) -> None:
    plan = placed(tmp_path, TWO_UNITS, pins=SPLIT)
    folder = exported(plan, tmp_path / "out", *PARTS).folder
    assert options_of(folder, "npu", "QNNExecutionProvider")["backend_type"] == "htp"
    assert options_of(folder, "cpu", "QNNExecutionProvider") == {}
    shown: list[str] = []
    outputs = run_segments(
        folder, {"x": X}, {"npu": "QNNExecutionProvider", "cpu": "CPUExecutionProvider"}, shown.append
    )
    assert max(differences(folder, {"x": X}, outputs).values()) <= 1e-5
    assert all(line.endswith("ms on CPUExecutionProvider") for line in shown)


def test_onnxruntime_takes_the_session_settings(tmp_path: Path) -> None:
    plan = placed(tmp_path, TWO_UNITS, pins=("*=cpu",))
    folder = exported(plan, tmp_path / "out", "model", "settings").folder
    settings = json.loads((folder / "onnxruntime.json").read_text())
    options = ort.SessionOptions()
    for key, value in settings["session_config_entries"].items():
        options.add_session_config_entry(key, value)
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, settings["graph_optimization_level"])
    providers = [(entry["provider"], entry["options"]) for entry in settings["providers"]]
    session = ort.InferenceSession(str(folder / settings["model"]), options, providers=providers)
    (y,) = session.run(None, {"x": X})
    np.testing.assert_allclose(y, pt.execute(plan, {"x": X}).outputs["y"], rtol=1e-5, atol=1e-5)
    assert {group.ep_name for group in session.get_provider_graph_assignment_info()} == {"CPUExecutionProvider"}
