"""Whole studies: run, killed, resumed, asked questions, on one process, on several and on a cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.studies.analyses.pareto import front_of
from partita.studies.page import study_page
from partita.studies.run import Done, Place, run_study
from partita.studies.table import read_rows
from tests.partita.command_line import run_cli
from tests.studies.example_study import small_study, written_study

CALLS = '[[variables]]\npath = "npu.call_us"\nrange = { low = 1, high = 4000, points = 8, log = true }\n'
QUESTIONS = """
[[analyses]]
kind = "tornado"
paths = ["npu.*", "links.*"]
[[analyses]]
kind = "break_even"
path = "npu.call_us"
unit = "npu"
low = 0.001
high = 100000
[[analyses]]
kind = "marginal"
unit = "npu"
[[analyses]]
kind = "compare"
[[analyses]]
kind = "robustness"
samples = 8
[[analyses]]
kind = "pareto"
results = ["latency_ms", "transfer_mb"]
"""


def run(folder: Path, body: str, place: Place | None = None) -> Done:
    return run_study(small_study(folder, body), folder / "t.csv", place or Place())


def test_a_study_writes_a_row_for_each_point(tmp_path: Path) -> None:
    done = run(tmp_path, CALLS)
    rows = read_rows(tmp_path / "t.csv")
    assert len(rows) == 8 == done.placed
    latencies = [float(row["latency_ms"]) for row in rows]
    assert latencies == sorted(latencies)


def test_a_study_that_is_run_again_places_nothing(tmp_path: Path) -> None:
    run(tmp_path, CALLS + QUESTIONS)
    before = (tmp_path / "t.csv").read_bytes()
    again = run(tmp_path, CALLS + QUESTIONS)
    assert again.placed == 0
    assert (tmp_path / "t.csv").read_bytes() == before


def test_a_row_holds_what_reproduces_it(tmp_path: Path) -> None:
    run(tmp_path, CALLS)
    row = read_rows(tmp_path / "t.csv")[-1]
    assert json.loads(row["change"])["set"]["npu.call_us"] == pytest.approx(4000)
    for column in ("model_path", "model_sha256", "soc", "soc_digest", "objective", "shapes", "partita", "solver"):
        assert row[column], column


def test_a_point_that_cannot_be_placed_is_a_row_with_its_reason(tmp_path: Path) -> None:
    done = run(tmp_path, '[[variables]]\npath = "npu.tile.m"\nvalues = [0, 32]\n')
    assert done.failed == 1
    assert "must be above 0" in read_rows(tmp_path / "t.csv")[0]["error"]


def test_every_question_has_an_answer(tmp_path: Path) -> None:
    done = run(tmp_path, CALLS + QUESTIONS)
    found = {finding.kind: finding for finding in done.findings}
    even = found["break_even"].document
    assert even["used_up_to"] < even["unused_from"] <= even["used_up_to"] * 1.02
    assert {o["operator"] for o in found["marginal"].document["operators"]} == {"Erf", "all of them"}
    assert min(found["marginal"].document["operators"][0]["saved"].values()) >= 0
    swings = [abs(n["at_high"] - n["at_low"]) for n in found["tornado"].document["numbers"]]
    assert swings[0] == max(swings)
    page = study_page(done)
    assert page.count("<svg") >= 5
    assert "http://" not in page
    assert "https://" not in page


def test_below_the_break_even_the_unit_is_used_and_above_it_is_not(tmp_path: Path) -> None:
    even = next(f for f in run(tmp_path, QUESTIONS).findings if f.kind == "break_even").document
    for value, used in ((even["used_up_to"], True), (even["unused_from"], False)):
        (tmp_path / "t.csv").unlink()
        run(tmp_path, f'[[variables]]\npath = "npu.call_us"\nvalues = [{value!r}]\n')
        assert ("npu=" in read_rows(tmp_path / "t.csv")[0]["operators"]) == used


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_the_front_is_what_no_other_beats(pairs: list[tuple[int, int]]) -> None:
    values = [(float(a), float(b)) for a, b in pairs]
    beaten = {i for i, (a, b) in enumerate(values) if any(c <= a and d <= b and (c, d) != (a, b) for c, d in values)}
    assert front_of(values) == set(range(len(values))) - beaten


@pytest.mark.slow
def test_a_killed_study_goes_on_without_losing_or_repeating_a_row(tmp_path: Path) -> None:
    path = written_study(tmp_path, CALLS.replace("points = 8", "points = 150"))
    table = tmp_path / "t.csv"
    command = [sys.executable, "-m", "partita", "study", str(path), "-o", str(table), "-j", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (table.exists() and table.read_bytes().count(b"\n") > 30) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = read_rows(table)
    assert 25 <= len(before) < 150
    with table.open("ab") as file:
        file.write(b"0123,half a row")
    done = run_study(small_study(tmp_path, CALLS.replace("points = 8", "points = 150")), table, Place())
    rows = read_rows(table)
    assert rows[: len(before)] == before
    assert len(rows) == len({row["key"] for row in rows}) == 150
    assert done.placed == 150 - len(before)


@pytest.mark.slow
def test_worker_processes_write_the_same_rows(tmp_path: Path) -> None:
    run(tmp_path, CALLS)
    one = {row["key"]: row["latency_ms"] for row in read_rows(tmp_path / "t.csv")}
    (tmp_path / "t.csv").unlink()
    run(tmp_path, CALLS, Place(processes=2))
    assert {row["key"]: row["latency_ms"] for row in read_rows(tmp_path / "t.csv")} == one


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_loses_no_row(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        victim = next(iter(cluster.workers.values())).process.process.pid
        killed: list[int] = []

        def kill_once(ready: int, of: int) -> None:
            if ready and not killed:
                os.kill(victim, signal.SIGKILL)
                killed.append(ready)

        study = small_study(tmp_path, CALLS.replace("points = 8", "points = 200"))
        place = Place(processes=2, cluster=cluster.scheduler_address)
        done = run_study(study, tmp_path / "t.csv", place, kill_once)
    rows = read_rows(tmp_path / "t.csv")
    assert killed
    assert killed[0] < 200
    assert done.failed == 0
    assert len(rows) == len({row["key"] for row in rows}) == 200


def test_the_command_prints_a_document_that_fits_its_schema(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written_study(tmp_path, CALLS + QUESTIONS)
    result = run_cli(capsys, monkeypatch, "study", str(path), "-o", str(tmp_path / "t.csv"), "-j", "1", "--json")
    assert result.code == 0, result.err
    schema = json.loads(files("partita.reports").joinpath("templates", "study.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(result.out), schema)
    assert (tmp_path / "t.html").is_file()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('[[variables]]\npath = "npu.cal_us"\nvalues = [1]\n', "has no number 'npu.cal_us'; near: units.npu.call_us"),
        ('[[analyses]]\nkind = "marginal"\nunit = "tpu"\n', "has no unit 'tpu'; it has: cpu, gpu, npu"),
        ('[[variables]]\nname = "a"\n[[variables.choices]]\nname = "x"\nremove = ["cpu"]\n', "cannot do without"),
        ('[[variables]]\npath = "npu.call_us"\nvalues = []\n', "give one of values"),
    ],
)
def test_a_bad_study_ends_with_one_line_and_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, body: str, message: str
) -> None:
    path = written_study(tmp_path, body)
    result = run_cli(capsys, monkeypatch, "study", str(path), "-o", str(tmp_path / "t.csv"), "-j", "1")
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "t.csv").exists()
