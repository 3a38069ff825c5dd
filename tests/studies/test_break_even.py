"""The search for the value at which a unit stops paying or a result passes its limit, and what it says of gaps."""

from collections.abc import Callable
from pathlib import Path

import pytest

from partita.studies.analyses import break_even
from partita.studies.analyses.finding import Context, Finding
from partita.studies.points import Point
from partita.studies.work import Row
from tests.studies.example_study import small_study

RANGE = 'kind = "break_even"\npath = "npu.call_us"\nlow = 1\nhigh = 4096\n'
OF_A_UNIT = f'[[analyses]]\n{RANGE}unit = "npu"\n'
OF_A_LIMIT = f'[[analyses]]\n{RANGE}result = "latency_ms"\nlimit = 0.1\n'


def found(folder: Path, question: str, answer: Callable[[float], Row]) -> Finding:
    """The finding where a point's row depends on its value alone."""
    study = small_study(folder, question)

    def ask(point: Point) -> Row:
        return {"operators": "", "latency_ms": "", "error": ""} | answer(float(point.labels[0][1]))

    return break_even.finding(Context(study, {}, lambda *_: ()), study.analyses[0], ask)


def row_at(value: float, *, failed: bool) -> Row:
    if failed:
        return {"error": "does not fit"}
    return {"operators": "npu=3" if value < 100 else "cpu=3", "latency_ms": f"{value / 1000}"}


@pytest.mark.parametrize("question", [OF_A_UNIT, OF_A_LIMIT])
def test_the_switch_is_found_to_a_hundredth_and_nothing_is_said_of_gaps_where_there_are_none(
    tmp_path: Path, question: str
) -> None:
    finding = found(tmp_path, question, lambda value: row_at(value, failed=False))
    low, high = (finding.document.get("passed_between") or
                 [finding.document.get(name) for name in ("used_up_to", "unused_from")])  # fmt: skip
    assert low <= 100 <= high <= low * 1.01
    assert "no result" not in finding.sentence


@pytest.mark.parametrize("question", [OF_A_UNIT, OF_A_LIMIT])
def test_a_search_that_ends_at_a_value_without_a_result_says_so(tmp_path: Path, question: str) -> None:
    finding = found(tmp_path, question, lambda value: row_at(value, failed=80 < value < 120))
    assert "between npu.call_us = 64" in finding.sentence
    assert finding.sentence.endswith("It is told no closer, because 90.51 between them has no result.")


@pytest.mark.parametrize("question", [OF_A_UNIT, OF_A_LIMIT])
def test_sampled_values_without_a_result_are_neither_above_nor_below(tmp_path: Path, question: str) -> None:
    finding = found(tmp_path, question, lambda value: row_at(value, failed=value > 20))
    assert "passes" not in finding.sentence
    assert "stops paying" not in finding.sentence
    assert finding.sentence.endswith(" 8 of the 13 values over the range have no result.")
    assert len(finding.rows) == 5


@pytest.mark.parametrize("question", [OF_A_UNIT, OF_A_LIMIT])
def test_a_range_without_any_result_has_no_answer(tmp_path: Path, question: str) -> None:
    finding = found(tmp_path, question, lambda value: row_at(value, failed=True))
    assert finding.sentence.startswith("No point between npu.call_us = 1 and 4096 ")


def test_a_unit_that_is_used_only_further_on_does_not_pay_nowhere(tmp_path: Path) -> None:
    finding = found(tmp_path, OF_A_UNIT, lambda value: {"operators": "npu=3" if value > 100 else "cpu=3"})
    assert "does not stop paying" in finding.sentence
