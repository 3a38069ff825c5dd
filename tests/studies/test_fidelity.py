"""The page of fidelity: what stands on it, and that its pictures tell series apart."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from partita.reports.scatter import COLOURS, MARKERS, save_scatter, style_of
from partita.studies.validation.fidelity import ablation, coverage, goals, left_out
from partita.studies.validation.fidelity.__main__ import main
from partita.studies.validation.fidelity.pictures import save_pictures
from partita.studies.validation.fidelity.sections import section
from partita.studies.validation.table import Table
from partita.studies.validation.validate import Validation
from tests.studies.rows import row


def validation(*rows: object, name: str = "some_table") -> Validation:
    table = Table(name, frozenset(), lambda records, models, progress: iter(()), "something")
    return Validation(Path("t.csv"), table, tuple(rows), {"no graph": 2})  # type: ignore[arg-type]


def test_the_sample_makes_a_page_with_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    main([])
    text = (tmp_path / "out" / "fidelity" / "fidelity.md").read_text()
    for heading in ("Goals", "Where Partita is wrong", "Intervals", "What each law buys", "Every fit", "Every table"):
        assert f"## {heading}" in text
    pictures = [line for line in text.splitlines() if line.startswith("![")]
    assert pictures
    for line in pictures:
        assert (tmp_path / "out" / "fidelity" / line.partition("](")[2].rstrip(")")).stat().st_size > 1000
    assert "wrote" in capsys.readouterr().out


def test_a_table_s_section_names_its_worst_row_and_what_is_missing(tmp_path: Path) -> None:
    lines = list(section(validation(row(1.0, 1.1, name="near"), row(1.0, 3.0, name="far")), tmp_path))
    text = "\n".join(lines)
    assert "2 of 4 rows predicted" in text
    assert text.index("| far |") < text.index("| near |")
    assert "- 2 rows: no graph" in text


def test_each_unit_of_measure_has_its_picture_whatever_it_is_called(tmp_path: Path) -> None:
    rows = [row(1.0, 1.1), replace(row(9.0, 8.0), measure="tokens/s")]
    names = [name for _, name in save_pictures(validation(*rows), tmp_path)]
    assert len(set(names)) == 2
    assert all((tmp_path / name).stat().st_size > 1000 for name in names)


def test_no_two_series_of_a_picture_look_alike(tmp_path: Path) -> None:
    count = len(COLOURS) * len(MARKERS)
    assert len({style_of(index) for index in range(count)}) == count
    save_scatter(tmp_path / "s.png", "many", {f"s{i}": [(1.0, 1.0 + i)] for i in range(20)}, "ms")
    assert (tmp_path / "s.png").stat().st_size > 1000


def test_intervals_that_hold_too_little_or_too_much_are_called_so() -> None:
    narrow = [row(2.0, 1.0) for _ in range(10)]
    assert "too narrow" in "\n".join(coverage.table([validation(*narrow)]))
    exact = [row(1.0, 1.0) for _ in range(10)]
    assert "too wide" in "\n".join(coverage.table([validation(*exact)]))


def test_a_goal_is_met_on_the_right_side_of_it() -> None:
    assert goals.Reached("w", "o", "MAPE", 0.02, 0.03).is_met
    assert not goals.Reached("w", "o", "within 10 %", 0.8, 0.85, at_least=True).is_met
    found = {(each.what, each.of) for each in goals.reached([], {("A10", "fp32"): 0.05})}
    assert ("a phone with ten measured models", "A10 fp32") in found
    assert ("networks on an NPU", "rk3588-rknn npu int8") in found


def test_mixed_runs_are_compared_with_the_quickest_pure_one() -> None:
    pure = [row(4.0, 5.0, name="net a", runtime="a", unit="NPU"), row(2.0, 2.5, name="net b", runtime="b", unit="NPU")]
    mixed = row(8.0, 5.0, name="net c", runtime="c", unit="NPU+CPU")
    assert goals.mixed_over_pure([*pure, mixed]) == [(4.0, 2.0)]


def test_every_fit_that_ships_says_its_error_on_models_left_out() -> None:
    assert {record.law for record in left_out.records()} >= {"cpu-sd855-tflite", "cpu-sd855-pytorch", "rk3588-rknn npu"}
    assert all((record.median or 0) > 0 for record in left_out.records())


def test_the_ablation_on_the_page_is_the_one_that_was_measured() -> None:
    lines = json.loads(ablation.MEASURED.read_text())["lines"]
    laws = {line["law"] for line in lines}
    assert all(any("nothing" in line["without"] for line in lines if line["law"] == law) for law in laws)
    text = "\n".join(ablation.table())
    assert all(law in text for law in laws)
