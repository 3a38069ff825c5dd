"""Our rules against tables of measured verdicts."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from partita.devices.measured import Measurement, Score, compare, read_table
from partita.errors import SocError
from partita.graph.build import GraphBuilder
from partita.graph.onnx_export import to_model

HEADER = "backend,onnx_op,dtypes,variant,result,source,date_commit,htp_arch\n"


def probe(folder: Path, op: str, variant: str = "", dtypes: str = "fp32") -> None:
    """A model of one operator on one tensor, under the name that the table's row asks for."""
    b = GraphBuilder("probe")
    b.output(b.node(op, b.input("x", "float32", (1, 8, 16, 16)), name="THE_NODE"))
    onnx.save(to_model(b.build()), str(folder / Measurement("", op, variant, dtypes, "npu").models[0]))


def table(folder: Path, *rows: str) -> Path:
    path = folder / "table.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return path


def test_rows_on_which_rules_and_measurement_agree_score_full_marks(tmp_path: Path) -> None:
    probe(tmp_path, "Relu")
    probe(tmp_path, "Acos")
    found = compare(
        read_table(table(tmp_path, "qnn_htp_SM8550,Relu,fp32,,npu,,,v73", "qnn_htp_SM8550,Acos,fp32,,cpu,,,v73")),
        tmp_path,
    )
    assert found.total == Score(rows=2, both=1, only_rules=0, only_measured=0)
    assert (found.total.precision, found.total.recall) == (1, 1)
    assert not found.differences
    assert not found.missing


def test_a_row_that_differs_is_listed_with_the_rule_that_said_so(tmp_path: Path) -> None:
    probe(tmp_path, "Relu")
    probe(tmp_path, "Acos")
    rows = read_table(table(tmp_path, "qnn_htp_X,Relu,fp32,,cpu,,,v73", "qnn_htp_Y,Acos,fp32,,npu_inlined,,,v68"))
    found = compare(rows, tmp_path)
    assert found.total.precision == 0
    assert found.total.recall == 0
    assert {each.measurement.op: each.verdict.status for each in found.differences} == {
        "Relu": "native",
        "Acos": "unsupported",
    }
    assert found.by_backend["qnn_htp_X"].only_rules == 1
    assert found.by_backend["qnn_htp_Y"].only_measured == 1


def test_the_generation_of_a_row_decides_and_failing_late_counts_as_not_taken(tmp_path: Path) -> None:
    probe(tmp_path, "Atan")
    rows = ("qnn_htp_SM8350,Atan,fp32,,compile_fail,,,v68", "qnn_htp_SM8450,Atan,fp32,,npu,,,v69")
    found = compare(read_table(table(tmp_path, *rows)), tmp_path)
    assert not found.differences


def test_a_late_failure_that_the_rules_only_refuse_is_a_difference_that_does_not_change_the_score(
    tmp_path: Path,
) -> None:
    probe(tmp_path, "Acos")
    found = compare(read_table(table(tmp_path, "qnn_htp_X,Acos,fp32,,compile_fail,,,v73")), tmp_path)
    assert found.total.precision == found.total.recall == 1
    assert [each.changes_score for each in found.differences] == [False]


def test_a_model_that_is_not_there_is_left_out_and_named(tmp_path: Path) -> None:
    probe(tmp_path, "Relu", "rank 4 -> same")
    rows = ("qnn_htp,Relu,fp32,rank 4 -> same,npu,,,v73", "qnn_htp,Tanh,fp16,,npu,,,v73")
    found = compare(read_table(table(tmp_path, *rows)), tmp_path)
    assert found.total.rows == 1
    assert found.missing == ("Tanh----fp16.onnx",)


def test_a_file_name_may_have_one_underscore_for_a_run_of_other_characters_or_one_for_each() -> None:
    row = Measurement("qnn_htp", "Cast", "float->bool", "fp32", "npu")
    assert row.models == ("Cast--float_bool--fp32.onnx", "Cast--float__bool--fp32.onnx")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        (HEADER, "has no rows"),
        ("a,b\n1,2\n", "column 'backend' is missing"),
        (HEADER + "qnn_htp,Relu,fp32,,perhaps,,,v73\n", "line 2: result 'perhaps' is not known; known: npu"),
        (HEADER + "qnn_htp,Relu\n", "line 2: the row is cut short"),
        (HEADER + "qnn_htp,Relu,fp32,,npu,,,v99\n", "no generation 'v99' of qnn-htp; known: qnn-htp:v68"),
        (HEADER + "abacus,Relu,fp32,,npu,,,\n", "no support file is about backend 'abacus'"),
        (HEADER + "rk3588,Relu,fp32,,npu,,,v1\n", "rk3588 tells no generations apart"),
        (HEADER + "qnn_htp,Tanh,fp32,,npu,,,v73\n", "has none of the 1 models of the table"),
    ],
)
def test_what_is_no_such_table_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    probe(tmp_path, "Relu")
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(SocError, match=message) as caught:
        compare(read_table(path), tmp_path)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SocError, match="cannot be read as a CSV table"):
        read_table(path)


def test_a_model_without_the_probed_operator_is_refused(tmp_path: Path) -> None:
    b = GraphBuilder("probe")
    b.output(b.node("Relu", b.input("x", "float32", (1, 8)), name="another"))
    onnx.save(to_model(b.build()), str(tmp_path / "Relu----fp32.onnx"))
    with pytest.raises(SocError, match="no operator named THE_NODE"):
        compare(read_table(table(tmp_path, "qnn_htp,Relu,fp32,,npu,,,v73")), tmp_path)


def test_the_scheme_of_a_quantised_model_is_read_from_the_operators_around(tmp_path: Path) -> None:
    """LeakyRelu has no form for int8 activations, but one for uint8 ones."""
    for zero_point, dtypes in ((np.uint8(128), "qdq_a8w8"), (np.int8(0), "qdq_s8")):
        b = GraphBuilder("probe")
        scale, zero = b.constant("s", np.array(0.1, np.float32)), b.constant("z", np.array(zero_point))
        q = b.node("QuantizeLinear", b.input("x", "float32", (1, 8)), scale, zero, name="q")
        y = b.node("LeakyRelu", b.node("DequantizeLinear", q, scale, zero, name="d"), name="THE_NODE")
        b.output(b.node("QuantizeLinear", y, scale, zero, name="after"))
        onnx.save(to_model(b.build()), str(tmp_path / f"LeakyRelu----{dtypes}.onnx"))
    rows = ("qnn_htp,LeakyRelu,qdq_a8w8,,npu,,,v73", "qnn_htp,LeakyRelu,qdq_s8,,cpu,,,v73")
    assert not compare(read_table(table(tmp_path, *rows)), tmp_path).differences
