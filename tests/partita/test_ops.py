"""The command `partita ops`, end to end through a Typer application."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
from typer.testing import CliRunner

from partita import vendor_partitioner
from partita.devices.support import backend_named
from partita.errors import PartitaError, SocError
from partita.graph.build import GraphBuilder
from partita.graph.onnx_export import to_model
from partita.ops import EPILOG, ops
from partita.vendor_partitioner import Assignment

MODEL = str(Path(__file__).parents[2] / "examples" / "models" / "mobilenet_v2.onnx")
app = typer.Typer(pretty_exceptions_enable=False)
app.command(epilog=EPILOG)(ops)


def told(*arguments: str) -> str:
    """What the command prints; its error is raised."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def document(schema: str, *arguments: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(told(*arguments, "--json"))
    text = files("partita.reports").joinpath("templates", f"{schema}.schema.json").read_text()
    jsonschema.Draft202012Validator.check_schema(json.loads(text))
    jsonschema.validate(content, json.loads(text))
    return content


@pytest.fixture
def odd_model(tmp_path: Path) -> str:
    """A Transpose of rank 6, a Gelu spelled out, and an Acos."""
    b = GraphBuilder("odd")
    x = b.input("x", "float32", (2, 3, 2, 3, 2, 3))
    t = b.node("Transpose", x, name="turn", perm=(0, 2, 1, 3, 5, 4))
    b.output(b.node("Acos", t, name="angle"))
    path = tmp_path / "odd.onnx"
    path.write_bytes(to_model(b.build()).SerializeToString())
    return str(path)


def test_a_network_that_a_backend_takes_whole_is_said_to_be_native() -> None:
    found = document("ops", MODEL, "--unit", "qnn-htp:v73", "--shape", "batch=1")
    assert found["backend"] == "QNN HTP v73"
    assert found["counts"]["native"] == found["operators"] == len(found["verdicts"]) == 100
    assert "100 native" in told(MODEL, "--unit", "qnn-htp:v73", "--shape", "batch=1")


def test_a_refusal_names_the_rule_its_limit_the_value_found_and_the_source(odd_model: str) -> None:
    found = document("ops", odd_model, "--unit", "qnn-htp:v73")
    turn, angle = found["verdicts"]
    assert turn["status"] == angle["status"] == "unsupported"
    assert (turn["limit"], turn["found"]) == ("rank at most 5", "rank 6")
    assert angle["reason"] == "Acos is not in the list of QNN HTP v73"
    assert "onnxruntime-qnn" in turn["source"]
    text = told(odd_model, "--unit", "qnn-htp:v73")
    assert "2 unsupported" in text
    assert "rank at most 5" in text


def test_the_dtype_decides_where_a_backend_has_an_operator_in_some_only() -> None:
    native = document("ops", MODEL, "--unit", "rk3588", "--shape", "batch=1")
    assert native["dtype"] == "int8"
    with pytest.raises(
        SocError, match="QNN HTP v73 does not compute in float32; it does in: float16, int8, w8a16, w4a16"
    ):
        told(MODEL, "--unit", "qnn-htp:v73", "--dtype", "float32", "--shape", "batch=1")


def test_the_matrix_has_every_backend_and_says_where_it_depends() -> None:
    found = document("ops_matrix", "--matrix")
    assert {"qnn-htp", "coreml-mlprogram", "nnapi", "coral-edgetpu", "rk3588", "ethos-u85"} <= set(found["backends"])
    assert found["operators"]["Transpose"]["qnn-htp"] == "limits"
    assert found["operators"]["Sigmoid"]["qnn-htp"] == "native"
    assert found["operators"]["Mish"]["qnn-htp"] == "lowered"
    assert found["operators"]["Erf"]["qnn-htp"] == "no"
    assert found["operators"]["com.microsoft.QuickGelu"]["coreml-mlprogram"] == "lowered"
    assert "Transpose" in told("--matrix")


def test_a_measured_table_is_compared_and_the_rows_that_differ_are_printed(tmp_path: Path) -> None:
    b = GraphBuilder("probe")
    b.output(b.node("Relu", b.input("x", "float32", (1, 8)), name="THE_NODE"))
    (tmp_path / "Relu----fp32.onnx").write_bytes(to_model(b.build()).SerializeToString())
    table = tmp_path / "table.csv"
    table.write_text(
        "backend,onnx_op,dtypes,variant,result,htp_arch\nqnn_htp_A,Relu,fp32,,npu,v73\nqnn_htp_B,Relu,fp32,,cpu,v81\n"
    )
    arguments = ("--measured", str(table), "--models", str(tmp_path))
    found = document("ops_measured", *arguments)
    assert (found["rows"], found["precision"], found["recall"]) == (2, 0.5, 1)
    assert found["by_backend"]["qnn_htp_A"] == {"rows": 1, "precision": 1, "recall": 1}
    assert [each["backend"] for each in found["differences"]] == ["qnn_htp_B"]
    assert "qnn_htp_B" in told(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give one of: a MODEL with --unit, --matrix, or --measured"),
        ((MODEL, "--matrix"), "give one of"),
        ((MODEL,), "which backend"),
        (("--measured", "t.csv"), "which models"),
        ((MODEL, "--unit", "abacus", "--shape", "batch=1"), "there is no support file 'abacus'; known: coral-edgetpu"),
        ((MODEL, "--unit", "qnn-htp:v70", "--shape", "batch=1"), "no generation 'v70' of qnn-htp; known: qnn-htp:v68"),
        ((MODEL, "--unit", "rk3588:v1", "--shape", "batch=1"), "rk3588 tells no generations apart"),
        (
            (MODEL, "--unit", "rk3588", "--verify", "--shape", "batch=1"),
            "--verify can ask the partitioner of qnn-htp only",
        ),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(PartitaError, match=message) as caught:
        told(*arguments)
    assert "\n" not in str(caught.value)


def test_verifying_without_the_vendors_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor_partitioner, "find_spec", lambda name: None)
    with pytest.raises(SocError, match=r"pip install 'partita\[qnn\]'"):
        told(MODEL, "--unit", "qnn-htp:v73", "--verify", "--shape", "batch=1")


def test_verifying_lists_the_operators_on_which_the_partitioner_differs(
    monkeypatch: pytest.MonkeyPatch, odd_model: str
) -> None:
    answer = Assignment({"turn": True, "angle": False})
    monkeypatch.setattr(vendor_partitioner, "ask_partitioner", lambda graph, generation: answer)
    found = document("ops_verified", odd_model, "--unit", "qnn-htp:v73", "--verify")
    assert (found["operators"], found["agree"], found["on_npu"]) == (2, 1, 1)
    assert [each["node"] for each in found["differences"]] == ["turn"]
    assert "1 of 2 verdicts agree" in told(odd_model, "--unit", "qnn-htp:v73", "--verify")


def test_a_session_that_cannot_be_made_is_reported_and_nothing_is_compared(
    monkeypatch: pytest.MonkeyPatch, odd_model: str
) -> None:
    monkeypatch.setattr(vendor_partitioner, "ask_partitioner", lambda graph, generation: Assignment({}, "no memory"))
    found = document("ops_verified", odd_model, "--unit", "qnn-htp:v73", "--verify")
    assert (found["error"], found["operators"]) == ("no memory", 0)
    assert "no memory" in told(odd_model, "--unit", "qnn-htp:v73", "--verify")


def test_every_generation_of_htp_has_a_chip_to_ask() -> None:
    assert set(vendor_partitioner.SOC_MODEL) == set(backend_named("qnn-htp").support.generations)
