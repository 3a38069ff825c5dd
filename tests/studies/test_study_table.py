"""The table of a study survives a kill at any byte."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.errors import OutputError, StudyError
from partita.studies.table import Table, read_rows, write_parquet
from partita.studies.work import Row

COLUMNS = ("key", "name", "latency_ms")
ROWS = [{"key": f"{i:064x}", "name": f'a "quoted", name {i}\nof two lines', "latency_ms": f"{i}.5"} for i in range(4)]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_table_cut_anywhere_goes_on_with_whole_rows(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("table") / "t.csv"
    with Table(path, COLUMNS) as table:
        table.add(ROWS)
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] + data.draw(st.sampled_from([b"", b"\0\0"])))
    with Table(path, COLUMNS) as table:
        left = len(table.rows)
        table.add(ROWS)
    assert left <= len(ROWS)
    assert path.read_bytes() == content
    assert [row["key"] for row in read_rows(path)] == [row["key"] for row in ROWS]


def test_a_row_that_is_there_is_not_added_again(tmp_path: Path) -> None:
    with Table(tmp_path / "t.csv", COLUMNS) as table:
        table.add(ROWS[:2])
        table.add(ROWS)
    assert len(read_rows(tmp_path / "t.csv")) == 4


def test_a_study_that_fails_before_its_first_row_leaves_no_table(tmp_path: Path) -> None:
    def fail_after(rows: list[Row]) -> None:
        with Table(tmp_path / "t.csv", COLUMNS) as table:
            table.add(rows)
            raise StudyError("the next model cannot be read")

    with pytest.raises(StudyError, match="next model"):
        fail_after([])
    assert not (tmp_path / "t.csv").exists()
    with pytest.raises(StudyError, match="next model"):
        fail_after(ROWS[:1])
    assert len(read_rows(tmp_path / "t.csv")) == 1


def test_a_file_that_is_no_table_of_this_study_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("mine\n1\n")
    with pytest.raises(StudyError, match="other columns than this study"):
        Table(path, COLUMNS)
    assert path.read_text() == "mine\n1\n"


def test_two_studies_cannot_write_to_one_table(tmp_path: Path) -> None:
    with Table(tmp_path / "t.csv", COLUMNS), pytest.raises(StudyError, match="another study writes"):
        Table(tmp_path / "t.csv", COLUMNS)


def test_parquet_holds_the_same_rows_or_says_what_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    try:
        import pyarrow.parquet
    except ImportError:
        with pytest.raises(OutputError, match="install partita\\[parquet\\]"):
            write_parquet(path, ROWS, COLUMNS, ["latency_ms"])
        return
    write_parquet(path, ROWS, COLUMNS, ["latency_ms"])
    assert pyarrow.parquet.read_table(path).column("latency_ms").to_pylist() == [0.5, 1.5, 2.5, 3.5]
