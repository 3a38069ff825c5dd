"""Studies whose points are simulated under a load over time."""

from pathlib import Path

import onnx
import pytest

from partita.devices import Soc, load_soc
from partita.errors import SimulationError, StudyError
from partita.graph.onnx_import import read_onnx
from partita.graph.plan import Plan
from partita.passes.pipeline import prepare
from partita.simulator.scenario import scenario_from
from partita.simulator.scenario_run import simulate_scenario
from partita.studies.change import Change
from partita.studies.page import study_page
from partita.studies.placer import Placer
from partita.studies.points import design_points
from partita.studies.run import Done, Place, run_study
from partita.studies.scenario_paths import changed_scenario, number_at
from partita.studies.scenario_results import SCENARIO_RESULTS, scenario_columns, scenario_results_of
from partita.studies.study_file import load_study
from partita.studies.table import read_rows
from tests.partita.command_line import run_cli
from tests.studies.example_study import written_study

SCENARIO = """format = "partita-scenario/1"
name = "two"
duration_s = 0.2
[[streams]]
name = "frames"
mode = "periodic"
period_ms = 2.0
deadline_ms = 2.0
waiting = 0
[[streams]]
name = "questions"
mode = "server"
rate_per_s = 50.0
[[background]]
unit = "gpu"
share = 0.5
[[background]]
dram_gb_per_s = 4.0
"""
PERIODS = '[[variables]]\npath = "scenario.streams.frames.period_ms"\nvalues = [0.1, 1, 2, 4]\n'
QUESTIONS = """
[[analyses]]
kind = "break_even"
path = "scenario.streams.frames.period_ms"
result = "dropped_share:frames"
limit = 0.05
low = 0.02
high = 8
[[analyses]]
kind = "tornado"
paths = ["npu.call_us"]
ranges = { "scenario.background.dram_gb_per_s" = [0, 8], "scenario.ambient_c" = [10, 40] }
[[analyses]]
kind = "robustness"
samples = 4
ranges = { "scenario.background.gpu.share" = [0.1, 0.8] }
[[analyses]]
kind = "pareto"
results = ["throughput_per_s", "power_w"]
"""
HEAD = 'scenario = "load.toml"\nresult = "response_p99_ms"\n'


def written(folder: Path, body: str, scenario: str = SCENARIO, head: str = HEAD) -> Path:
    """A study on a real preset, whose power and heat are known."""
    path = written_study(folder, body, head)
    path.write_text(path.read_text().replace('"example.toml"', '"sd8gen3-qnn"'))
    (folder / "load.toml").write_text(scenario)
    return path


def run(folder: Path, body: str, scenario: str = SCENARIO) -> Done:
    return run_study(load_study(written(folder, body, scenario)), folder / "t.csv", Place())


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Path]:
    folder = tmp_path_factory.mktemp("study")
    return run(folder, PERIODS + QUESTIONS), folder


def test_a_row_holds_what_the_simulator_says_of_the_changed_load(answered: tuple[Done, Path]) -> None:
    done, folder = answered
    soc = load_soc("sd8gen3-qnn")
    plan = Placer(prepare(read_onnx(folder / "model.onnx")), done.study.wishes).place(soc)
    assert done.load is not None
    load = changed_scenario(done.load.scenario, Change(set={"scenario.streams.frames.period_ms": 4.0}))
    expected = scenario_results_of(simulate_scenario([plan, plan], soc, load), soc)
    row = done.design[3][1]
    assert tuple(expected) == scenario_columns(load)
    for name, value in expected.items():
        assert (float(row[name]) if row[name] else None) == pytest.approx(value, rel=1e-9), name
    assert set(SCENARIO_RESULTS) < set(done.results)
    assert 0 < expected["npu_busy_share"] < 1  # type: ignore[operator]  # a number, as npu is there
    assert expected["throughput_per_s"] == pytest.approx(
        expected["throughput_per_s:frames"] + expected["throughput_per_s:questions"]  # type: ignore[operator]
    )


def test_the_limit_is_passed_between_the_two_values_that_are_found(answered: tuple[Done, Path]) -> None:
    found = next(f for f in answered[0].findings if f.kind == "break_even").document
    low, high = found["passed_between"]
    assert low < high <= low * 1.01
    assert found["values"][0] > 0.05 >= found["values"][1]


def test_every_question_about_a_load_has_an_answer(answered: tuple[Done, Path]) -> None:
    findings = {finding.kind: finding for finding in answered[0].findings}
    moved = {n["path"] for n in findings["tornado"].document["numbers"]}
    assert {"scenario.background.dram_gb_per_s", "scenario.ambient_c", "units.npu.call_us"} == moved
    assert findings["robustness"].document["placed"] == 4
    front = [entry["values"] for entry in findings["pareto"].document["front"]]
    assert max(front)[0] == max(float(row["throughput_per_s"]) for _, row in answered[0].design)
    page = study_page(answered[0])
    assert "then simulated under the scenario two" in page
    assert page.count("<svg") == 5


def test_a_scenario_study_that_is_run_again_simulates_nothing_and_another_load_all(tmp_path: Path) -> None:
    assert run(tmp_path, PERIODS).placed == 4
    assert run(tmp_path, PERIODS, SCENARIO.replace('name = "two"', 'name = "other name"')).placed == 0
    assert run(tmp_path, PERIODS, SCENARIO.replace("rate_per_s = 50.0", "rate_per_s = 60.0")).placed == 4


def test_a_change_of_the_load_alone_places_nothing_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placed: list[str] = []
    place = Placer.place

    def counted(placer: Placer, soc: Soc) -> Plan:
        placed.append(soc.digest)
        return place(placer, soc)

    monkeypatch.setattr(Placer, "place", counted)
    done = run(tmp_path, PERIODS + '[[variables]]\npath = "npu.call_us"\nvalues = [10, 20]\n')
    assert len(done.design) == 8
    assert len(placed) == len(set(placed)) == 2


def test_another_model_runs_in_the_stream_that_it_names(tmp_path: Path) -> None:
    path = written(tmp_path, '[[other_models]]\npath = "big.onnx"\nstream = "questions"\n')
    model = onnx.load(tmp_path / "model.onnx")
    onnx.save(model, tmp_path / "big.onnx")
    alike = run_study(load_study(path), tmp_path / "a.csv", Place()).design[0][1]
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[2].dim_value = 512
    del model.graph.value_info[:]
    onnx.save(model, tmp_path / "big.onnx")
    row = run_study(load_study(path), tmp_path / "b.csv", Place()).design[0][1]
    assert not row["error"]
    assert row["key"] != alike["key"]
    assert float(row["response_p50_ms:questions"]) > 2 * float(alike["response_p50_ms:questions"])


@pytest.mark.slow
def test_worker_processes_simulate_the_same(tmp_path: Path) -> None:
    run(tmp_path, PERIODS)
    one = {row["key"]: row["response_mean_ms"] for row in read_rows(tmp_path / "t.csv")}
    study = load_study(written(tmp_path, PERIODS))
    run_study(study, tmp_path / "u.csv", Place(processes=2))
    assert {row["key"]: row["response_mean_ms"] for row in read_rows(tmp_path / "u.csv")} == one


def test_paths_of_a_load_mean_streams_by_name_and_background_by_what_it_takes() -> None:
    load = scenario_from(
        {
            "format": "partita-scenario/1", "name": "x", "duration_s": 1.0,
            "streams": [{"mode": "single_stream"}, {"name": "b", "mode": "single_stream", "deadline_ms": 3.0}],
            "background": [{"unit": "npu", "share": 0.2}, {"dram_gb_per_s": 5.0}],
        }
    )  # fmt: skip
    assert number_at(load, "scenario.streams.b.deadline_ms") == 3.0
    assert number_at(load, "scenario.background.npu.share") == 0.2
    assert number_at(load, "scenario.ambient_c") is None
    change = Change(
        set={"scenario.ambient_c": -5.0, "scenario.streams[0].in_flight": 3, "npu.call_us": 7},
        scale={"scenario.background.dram_gb_per_s + scenario.background.share": 0.5, "scenario.b.deadline_ms": 2},
        choose={"scenario.governor": "schedutil"},
    )
    changed = changed_scenario(load, change)
    assert (changed.ambient_c, changed.streams[0].in_flight, changed.governor) == (-5.0, 3, "schedutil")
    assert (changed.background[0].share, changed.background[1].dram_gb_per_s) == (0.1, 2.5)
    assert changed.streams[1].deadline_ms == 6.0
    assert (
        changed_scenario(load, Change(scale={"scenario.background.dram_gb_per_s": 0})).background == load.background[:1]
    )
    with pytest.raises(StudyError, match=r"has no value of 'scenario\.ambient_c' to scale"):
        changed_scenario(load, Change(scale={"scenario.ambient_c": 2}))
    with pytest.raises(SimulationError, match=r"duration_s: input should be greater than 0"):
        changed_scenario(load, Change(set={"scenario.duration_s": 0}))


def test_whole_numbers_of_a_load_are_drawn_whole(tmp_path: Path) -> None:
    body = (
        '[design]\nkind = "sobol"\npoints = 4\n[[variables]]\npath = "scenario.seed"\nrange = { low = 1, high = 9 }\n'
    )
    points = design_points(load_study(written(tmp_path, body)))
    assert [point.change.set["scenario.seed"] for point in points] == [1, 5, 7, 3]


def test_a_deadline_that_cannot_be_met_is_a_miss_and_no_error(tmp_path: Path) -> None:
    done = run(tmp_path, '[[variables]]\npath = "scenario.streams.frames.deadline_ms"\nvalues = [0.001]\n')
    assert done.failed == 0
    assert float(done.design[0][1]["missed_share:frames"]) == 1.0


def test_a_load_that_makes_no_sense_is_a_row_with_its_reason(tmp_path: Path) -> None:
    done = run(tmp_path, PERIODS.replace("0.1", "0"))
    assert done.failed == 1
    assert "streams[frames].period_ms: must be above 0" in done.design[0][1]["error"]


@pytest.mark.parametrize(
    ("body", "head", "message"),
    [
        (
            PERIODS.replace("period_ms", "perod_ms"),
            HEAD,
            "has no number 'scenario.streams.frames.perod_ms'; near: scen",
        ),
        (PERIODS, "", "'scenario.streams.frames.period_ms' needs a scenario"),
        ("", 'result = "response_p99_ms"\n', "'response_p99_ms' needs a scenario"),
        (
            "",
            HEAD.replace("p99_ms", "p99_ms:words"),
            "'response_p99_ms:words' is no result; the streams are: frames, qu",
        ),
        ("", 'scenario = "none.toml"\n', "none.toml: cannot be read: no such file"),
        (
            '[[other_models]]\npath = "model.onnx"\nstream = "words"\n',
            HEAD,
            "has no stream 'words'; it has: frames, qu",
        ),
        (
            '[[analyses]]\nkind = "tornado"\npaths = ["scenario.ambient_c"]\n',
            HEAD,
            "'scenario.ambient_c' has no range of its own; give it `ranges`",
        ),
        (
            '[[analyses]]\nkind = "break_even"\npath = "npu.call_us"\nlow = 1\nhigh = 2\n',
            HEAD,
            "break_even needs unit, which stops paying, or limit",
        ),
    ],
)
def test_a_bad_scenario_study_ends_with_one_line_and_code_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    head: str,
    message: str,
) -> None:
    path = written(tmp_path, body, head=head)
    result = run_cli(capsys, monkeypatch, "study", str(path), "-o", str(tmp_path / "t.csv"), "-j", "1")
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "t.csv").exists()
