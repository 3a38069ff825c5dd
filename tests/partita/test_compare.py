"""`partita compare` end to end: a real run beside its simulation, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.partita.command_line import Result, run_cli
from tests.partita.test_cli import PLACED, document

Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run_cli(capsys, monkeypatch, *arguments)


@pytest.mark.slow
def test_a_run_is_compared_with_its_simulation(run: Run) -> None:
    rules = ("--random-weights", "--ban", "features.1.*=npu")
    assert run("place", *PLACED, *rules, "-o", "m.plan.json").code == 0
    assert run("run", "m.plan.json", "--concurrent", "--timeline", "run.json").code == 0
    found = document(run("compare", "m.plan.json", "--measured", "run.json", "--json"), "comparison")
    assert found["measured_ms"] > found["simulated_ms"]  # a phone's NPU against numpy
    assert sum(each["operators"] for each in found["segments"]) == sum(t["count"] for t in found["by_type"].values())
    told = run("compare", "m.plan.json", "--measured", "run.json", "--plot", "both.png").out
    assert "Types, the largest difference first" in told
    assert "wrote both.png" in told
    assert Path("both.png").read_bytes().startswith(b"\x89PNG")
    assert run("simulate", "m.plan.json", "-o", "s.json").code == 0
    same = document(run("compare", "m.plan.json", "--measured", "s.json", "--simulated", "s.json", "--json"),
                    "comparison")  # fmt: skip
    assert (same["error"], {each["error"] for each in same["segments"]}) == (0.0, {0.0})


def test_bad_input_is_one_line(run: Run) -> None:
    for arguments, told in (
        (("nowhere.plan.json", "--measured", "run.json"), "cannot read timeline run.json"),
        (("m.plan.json", "--measured", "run.json", "--plot", "both.gif"), "its name must end in .png, .svg, .pdf"),
        (("m.plan.json",), "Missing option '--measured'"),
    ):
        result = run("compare", *arguments)
        assert (result.code, len(result.err.splitlines())) == (2, 1), result
        assert told in result.err
