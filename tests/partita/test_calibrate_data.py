"""`partita calibrate --data TABLE`: what it writes, what it says, and what it asks for."""

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import partita as pt
from partita.devices import load_soc, operator_cost
from partita.graph.build import GraphBuilder
from partita.graph.onnx_export import to_model
from partita.graph.plan import Location
from partita.studies.fitting import extra
from partita.studies.validation.accelerated import placed
from tests.partita.command_line import Result, run_cli

Run = Callable[..., Result]
RKNN = "model,device,chip,unit,threads,precision,runtime,latency_ms,notes,source,commit"
QED = "framework,set,model,flops,size_bytes,device,chip,unit,cores,precision,latency_ms,std_ms,source"
BLOCKS = "block_key,pixel1_ms,pixel4_ms,pixel6_ms,xiaomi11_ms"
WIDTHS = (32, 64, 96, 128, 160, 192)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARTITA_PRESETS", str(tmp_path / "presets"))
    rows = []
    for width in WIDTHS:
        b = GraphBuilder(f"w{width}")
        x = b.input("x", "float32", (1, 32, 34, 34))
        w = b.constant("w", np.ones((width, 32, 3, 3), np.float32))
        b.output(
            b.node("Conv", b.node("Relu", b.node("Conv", x, w)), b.constant("v", np.ones((32, width, 1, 1), "f4")))
        )
        (tmp_path / f"w{width}.onnx").write_bytes(to_model(b.build()).SerializeToString())
        rows.append(f"w{width},RK3588,RK3588,NPU,1 core,INT8,RKNPU,{0.1 + width / 400},,s,c")
    (tmp_path / "zoo.csv").write_text("\n".join([RKNN, *rows]) + "\n")
    return lambda *arguments: run_cli(capsys, monkeypatch, "calibrate", *arguments)


def npu_us(model: Path, soc: str) -> float:
    """One inference in int8 on the NPU alone, without the way of inputs and outputs."""
    device = load_soc(soc)
    whole = placed(pt.load(model), (), device, Location("npu", "int8"))
    return device.unit_named("npu").call_us.value + sum(cost.latency_us for _, cost, _ in whole.kernels)


ZOO = ("--data", "zoo.csv", "--models", ".", "--into", "mine.toml")


def test_a_table_becomes_a_soc_that_predicts_it_better(run: Run, tmp_path: Path) -> None:
    content = json.loads(run(*ZOO, "--json").out)
    jsonschema.validate(
        content, json.loads(files("partita.reports").joinpath("templates/refit.schema.json").read_text())
    )
    assert content["models"] == sorted(f"w{width}" for width in WIDTHS)
    assert content["written"] == ["mine.toml"]
    (part,) = content["parts"]
    assert (part["what"], part["rows"], part["measure"]) == ("int8", 6, "median")
    assert part["in_sample"] <= part["left_out"] < 0.3
    measured_us = (0.1 + 192 / 400) * 1e3
    off = {name: abs(npu_us(tmp_path / "w192.onnx", name) - measured_us) for name in ("mine.toml", "rk3588-rknn")}
    assert off["mine.toml"] < 0.2 * measured_us < off["rk3588-rknn"]


def test_the_same_table_gives_the_same_file(run: Run, tmp_path: Path) -> None:
    assert "wrote mine.toml" in run(*ZOO).out
    first = (tmp_path / "mine.toml").read_bytes()
    (tmp_path / "mine.toml").unlink()
    run(*ZOO)
    assert (tmp_path / "mine.toml").read_bytes() == first
    assert b"FITTED" in first
    assert b"in the median on models left out" in first.splitlines()[0]


def test_a_law_beside_a_soc_file_is_read_from_its_folder(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides, channels = (8, 14), (8, 16, 24, 32, 40, 48, 56, 64)
    names = [f"transffn_{s}_{c}_{e}_hard_swish_ln" for s in sides for c in channels for e in (2,)]
    names += [f"conv_{s}_{c}_{c}_{e}_1_hard_swish_3_nose" for s in sides for c in channels for e in (2,)]
    rows = [f"{name},{0.01 * (i + 3)},1,1,1" for i, name in enumerate(names)]
    (tmp_path / "blocks.csv").write_text("\n".join([BLOCKS, *rows]) + "\n")
    folder = tmp_path / "deep"
    folder.mkdir()
    arguments = ("--data", "blocks.csv", "--device", "Pixel 1", "--into", "deep/pixel.toml")
    assert "say with --soc which to build on" in run(*arguments).err
    content = json.loads(run(*arguments, "--soc", "sd855-tflite", "--json").out)
    assert content["written"] == ["deep/pixel.toml", "deep/pixel-cpu.json"]
    monkeypatch.chdir(folder)
    cpu = load_soc("pixel.toml").unit_named("cpu")
    assert cpu.law == str(folder / "pixel-cpu.json")
    graph = pt.load(tmp_path / "w64.onnx")
    conv = next(node for node in graph.nodes if node.op == "Conv")
    costs = [operator_cost(graph, conv, unit, "float32") for unit in (cpu, load_soc("sd855-tflite").unit_named("cpu"))]
    assert [cost.evidence for cost in costs] == ["fitted", "fitted"]
    assert costs[0].latency_us != pytest.approx(costs[1].latency_us)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "zoo.csv", "--models", "."), "needs --into FILE.toml"),
        (("--data", "zoo.csv", "--models", ".", "--into", "m.txt"), "Soc files end in .toml"),
        (("--data", "zoo.csv", "--into", "m.toml"), "its models are needed; give --models DIR"),
        (("--data", "zoo.csv", "--models", ".", "--into", "m.toml", "--host"), "--data fits a table"),
        (("--models", ".", "--host"), "belong to --data TABLE"),
        (("--data", "few.csv", "--models", ".", "--into", "m.toml"), "have a graph in .; a fit needs 5 or more"),
        (
            ("--data", "qed.csv", "--models", ".", "--into", "m.toml"),
            "say which with --device; it has: A10 Fusion, A12",
        ),
        (("--data", "qed.csv", "--models", ".", "--into", "m.toml", "--device", "A9"), "has no device 'A9'; it has"),
        (
            ("--data", "qed.csv", "--models", ".", "--into", "m.toml", "--device", "A10 Fusion"),
            "0 of the table's models",
        ),
        (("--data", "pccs.csv", "--into", "m.toml"), "no law is fitted to tables of the kind pccs_xavier_matrix"),
    ],
)
def test_what_cannot_be_fitted_is_one_line(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extra, "LIBRARIES", ())
    (tmp_path / "few.csv").write_text(f"{RKNN}\nw32,RK3588,RK3588,NPU,1 core,INT8,RKNPU,1.0,,s,c\n")
    start = "TFLite v2.10,real CNN,net,1e8,1,phone"
    (tmp_path / "qed.csv").write_text(
        f"{QED}\n{start},A10 Fusion,CPU,1large,fp32,2,0,t\n{start},A12 Bionic,CPU,1large,fp32,2,0,t\n"
    )
    from partita.studies.validation.tables.pccs import TABLE

    (tmp_path / "pccs.csv").write_text(",".join(sorted(TABLE.columns)) + "\n")
    result = run(*arguments)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert not list(tmp_path.glob("m.*"))


def test_without_the_fitting_libraries_the_message_says_what_to_install(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extra, "LIBRARIES", ("a_library_that_nobody_has",))
    (tmp_path / "qed.csv").write_text(f"{QED}\nTFLite v2.10,real CNN,n,1,1,p,A10 Fusion,CPU,1large,fp32,2,0,t\n")
    result = run("--data", "qed.csv", "--models", ".", "--into", "m.toml")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "pip install 'partita[fit]'" in result.err
