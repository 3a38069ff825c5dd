from pathlib import Path

import partita as pt
from partita.devices import Soc
from partita.option_texts import parse_rules
from partita.reports.exports.settings import litert_settings, onnxruntime_settings, pins
from tests.reports.exports.models import SPLIT, TWO_UNITS, placed


def test_providers_stand_before_the_host_and_rules_name_units(tmp_path: Path) -> None:
    plan = placed(tmp_path, TWO_UNITS, pins=SPLIT)
    settings = onnxruntime_settings(plan, Soc.from_json(plan.soc_json))
    assert [entry["provider"] for entry in settings["providers"]] == ["QNNExecutionProvider", "CPUExecutionProvider"]
    entries = settings["session_config_entries"]
    assert entries["session.layer_assignment_settings"] == "npu(=npu); cpu(=cpu)"
    assert "session.disable_cpu_ep_fallback" not in entries


def test_without_work_for_the_cpu_its_fallback_is_forbidden(tmp_path: Path) -> None:
    plan = placed(tmp_path, TWO_UNITS, pins=("*=npu",))
    settings = onnxruntime_settings(plan, Soc.from_json(plan.soc_json))
    assert settings["session_config_entries"]["session.disable_cpu_ep_fallback"] == "1"


def test_a_delegate_is_told_how_many_partitions_the_plan_has(tmp_path: Path) -> None:
    graph = placed(tmp_path, TWO_UNITS).graph
    assert graph.source is not None
    rules = [pt.Rule(*pin.replace("npu", "gpu").split("=")) for pin in SPLIT]
    plan = pt.partition(pt.load(graph.source.path), pt.soc("sd855-tflite"), pins=rules)
    cpu, gpu = litert_settings(plan, Soc.from_json(plan.soc_json))["delegates"]
    assert (cpu["unit"], cpu["delegate"]) == ("cpu", "XNNPACK")
    assert gpu["flags"]["max_delegated_partitions"] == "2"
    assert [sorted(run) for run in gpu["partitions"]] == [["gate", "mm", "sigmoid"], ["add", "mm2", "relu"]]


def test_pins_place_the_model_as_the_plan_does(tmp_path: Path) -> None:
    plan = placed(tmp_path, TWO_UNITS, pins=SPLIT)
    path = tmp_path / "pins.txt"
    path.write_text(pins(plan))
    assert plan.graph.source is not None
    again = pt.partition(
        pt.load(plan.graph.source.path), pt.soc("sd8gen3-qnn"), pins=parse_rules("--pin", [f"@{path}"])
    )
    assert [(o.covers, o.unit) for o in again.operators] == [(o.covers, o.unit) for o in plan.operators]
