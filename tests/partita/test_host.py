"""`partita calibrate --host`: what is timed, where the preset goes, and that it can be placed on."""

import json
import os
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

import partita as pt
from partita import host, host_timing
from partita.devices import load_soc
from partita.devices.calibration.fit import Sample, fitted
from partita.devices.calibration.soc_text import soc_text
from partita.devices.cost import law_cost
from partita.devices.load import soc_from_text, user_folder, user_preset_names
from partita.errors import OutputError, SocError
from partita.graph.op_class import OP_CLASSES
from partita.host_cases import cases
from partita.host_soc import NO_OVERHEADS, NO_RATES, NUMPY, UNITS, assembled, draft_unit, machine_facts
from tests.partita.command_line import run_cli

MODEL = str(Path(__file__).parents[2] / "examples" / "models" / "mobilenet_v2.onnx")


@pytest.fixture(autouse=True)
def presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARTITA_PRESETS", str(tmp_path / "presets"))
    return tmp_path / "presets"


def test_the_operators_timed_cover_the_classes_and_are_the_same_for_a_seed() -> None:
    some, all_of_them = cases(quick=True, seed=0), cases(quick=False, seed=0)
    timed = {Sample(graph, 1.0).op_class for graph in some}
    assert timed >= set(OP_CLASSES) - {"free", "other"}
    assert {Sample(graph, 1.0).op_class for graph in all_of_them} == timed
    assert [graph.name for graph in cases(quick=True, seed=0)] == [graph.name for graph in some]
    assert [graph.name for graph in cases(quick=True, seed=1)] != [graph.name for graph in some]


def test_the_fit_finds_the_parameters_that_made_the_times() -> None:
    truth = load_soc("sd8gen3-qnn").unit_named("cpu")
    graphs = cases(quick=True, seed=0)
    samples = [Sample(g, law_cost(g, g.nodes[0], truth, "float32").latency_us) for g in graphs]
    machine = machine_facts(with_onnxruntime=False)
    draft = draft_unit("cpu0", NUMPY, machine, NO_OVERHEADS, NO_RATES)
    draft = draft.model_copy(
        update={
            "dispatch_us": truth.dispatch_us,
            "bandwidth_gb_per_s": truth.bandwidth_gb_per_s,
            "on_chip_bytes": truth.on_chip_bytes,
        }
    )
    found = fitted(draft, samples, "float32", "a test")
    assert found.median_error < 0.1
    assert found.unit.spread.value < 1.6
    assert all(n.least <= n.value <= n.most for n in found.unit.utilisation.values())


def test_a_few_disturbed_measurements_do_not_move_the_fit() -> None:
    truth = load_soc("sd8gen3-qnn").unit_named("cpu")
    graphs = cases(quick=True, seed=0)
    times = [law_cost(g, g.nodes[0], truth, "float32").latency_us for g in graphs]
    disturbed = [us * 20 if i % 10 == 0 else us for i, us in enumerate(times)]
    draft = truth.model_copy(update={"utilisation": {"default": truth.utilisation["default"]}})
    found = fitted(draft, [Sample(g, us) for g, us in zip(graphs, disturbed, strict=True)], "float32", "a test").unit
    errors = [
        abs(law_cost(g, g.nodes[0], found, "float32").latency_us / us - 1) for g, us in zip(graphs, times, strict=True)
    ]
    assert sorted(errors)[len(errors) // 2] < 0.1


def test_the_machines_soc_is_written_and_read_back_the_same() -> None:
    machine = machine_facts(with_onnxruntime=False)
    units = [draft_unit(name, NUMPY, machine, NO_OVERHEADS, NO_RATES) for name in UNITS]
    soc = assembled("host", NUMPY, machine, NO_OVERHEADS, NO_RATES, units, "a test")
    text = soc_text(soc, "Measured here.\n\nTwo lines.")
    assert text.startswith("# Measured here.\n#\n# Two lines.\n")
    assert soc_from_text(text, "host.toml") == soc


def test_a_kernel_is_timed_in_both_runtimes() -> None:
    graph = next(g for g in cases(quick=True, seed=0) if g.nodes[0].op == "Conv")
    assert host_timing.time_numpy(graph, 0, 0.001) > 0
    pytest.importorskip("onnxruntime")
    assert host_timing.time_onnxruntime(graph, 0, 0.001) > 0


def test_the_users_own_presets_are_found_by_name(presets: Path) -> None:
    with pytest.raises(SocError, match=r"there is no preset 'host'.*`partita calibrate --host` writes it"):
        load_soc("host")
    presets.mkdir()
    (presets / "host.toml").write_text('base = "sd8gen3-qnn"\nname = "host"\n')
    assert (user_folder(), user_preset_names()) == (presets, ("host",))
    assert load_soc("host").name == "host"


def test_the_folder_of_presets_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PARTITA_PRESETS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert user_folder() == tmp_path / "partita" / "presets"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_folder() == tmp_path / ".local" / "share" / "partita" / "presets"


def test_a_wrong_target_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    for output in ("host.json", str(tmp_path / "nowhere" / "host.toml")):
        with pytest.raises(OutputError):
            host.calibrate_host(output, with_onnxruntime=False, quick=True, seed=0, quiet=True)


@pytest.mark.slow
def test_the_command_measures_this_machine_and_its_preset_can_be_placed_on(
    presets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = cases(quick=True, seed=0)[:8]
    monkeypatch.setattr(host, "cases", lambda **_: few)
    monkeypatch.setattr(host, "OVERHEAD_BUDGET_S", 0.02)
    monkeypatch.setattr(host, "QUICK_NETWORKS", 3)
    before = dict(os.environ)
    result = run_cli(capsys, monkeypatch, "calibrate", "--host", "--quick", "--json")
    assert result.code == 0, result
    assert dict(os.environ) == before
    content = json.loads(result.out)
    text = files("partita.reports").joinpath("templates", "host.schema.json").read_text()
    jsonschema.validate(content, json.loads(text))
    assert content["presets"][0]["written"] == str(presets / "host.toml")
    soc = pt.soc("host")
    assert [unit.name for unit in soc.units] == ["cpu0", "cpu1"]
    plan = pt.partition(pt.load(MODEL, {"batch": 1}), soc)
    assert plan.latency_us > 0
    assert {operator.cost.evidence for operator in plan.operators} <= {"fitted", "roofline"}
    assert content["presets"][0]["networks"]["networks"] == 3
