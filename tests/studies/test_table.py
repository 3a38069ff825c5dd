import gzip
from pathlib import Path

import pytest

from partita.errors import StudyError
from partita.studies.validation.table import number, read_records
from partita.studies.validation.validate import recognise, validate


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_packed_table_reads_as_a_plain_one(tmp_path: Path) -> None:
    plain = written(tmp_path / "t.csv", 'a,b\n1,"x,y"\n\n2,z\n')
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert (
        read_records(packed).rows
        == read_records(plain).rows
        == ((2, {"a": "1", "b": "x,y"}), (4, {"a": "2", "b": "z"}))
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("a,b\n1\n", "line 2: has 1 cells, the header names 2 columns"),
        ('a,b\n"1,2\n', "not a CSV file"),
        ("alpha,beta\n1,2\n", "columns are those of no known table; known are: .*qed_e2e_real"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        recognise(read_records(written(tmp_path / "t.csv", text)))


def test_a_table_of_another_runtime_with_the_same_columns_is_not_taken_for_the_zoo(tmp_path: Path) -> None:
    columns = "model,device,chip,unit,threads,precision,runtime,latency_ms,notes,source,commit\n"
    zoo = written(tmp_path / "zoo.csv", columns + "net,RK3588,RK3588,NPU,1 core,INT8,RKNPU,2.0,,s,c\n")
    assert recognise(read_records(zoo)).name == "rknn_zoo"
    other = written(tmp_path / "other.csv", columns + "net,board,AX650N,NPU,1 core,INT8,Pulsar2,2.0,,s,c\n")
    with pytest.raises(StudyError, match="columns of rknn_zoo, but no row is of what that measures"):
        recognise(read_records(other))


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no such file"):
        read_records(tmp_path / "none.csv")
    (tmp_path / "t.csv.gz").write_bytes(b"not gzip")
    with pytest.raises(StudyError, match="cannot be read"):
        read_records(tmp_path / "t.csv.gz")
    (tmp_path / "b.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(StudyError, match="not UTF-8"):
        read_records(tmp_path / "b.csv")
    with pytest.raises(StudyError, match="is no folder"):
        validate(tmp_path / "b.csv", tmp_path / "nowhere")


def test_a_cell_that_is_no_finite_number_is_named() -> None:
    for text in ("", "fast", "nan", "inf"):
        with pytest.raises(StudyError, match=r"t.csv, line 3: column 'ms' holds"):
            number({"ms": text}, "ms", "t.csv, line 3")
    assert number({"ms": " 2.5 "}, "ms", "") == 2.5
