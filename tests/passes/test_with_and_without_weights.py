"""A model is the same graph, by digest, whether its weights are there, absent or made up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.external_data_helper import set_external_data

from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.onnx_export import to_model
from partita.graph.onnx_import import read_onnx
from partita.passes.pipeline import prepare
from partita.passes.random_weights import fill_missing

MOBILENET = Path(__file__).parents[2] / "examples" / "models" / "mobilenet_v2.onnx"


def names(graph: Graph) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [(node.name, node.inputs, node.outputs) for node in graph.nodes]


@pytest.mark.parametrize("least_bytes", [0, 1024])
def test_a_real_model_has_one_digest_with_its_weights_without_them_and_with_made_up_ones(
    least_bytes: int, tmp_path: Path
) -> None:
    absent = read_onnx(MOBILENET, {"batch": 1})
    model = onnx.load(MOBILENET, load_external_data=False)
    filled = fill_missing(absent)
    for tensor in model.graph.initializer:
        if tensor.name in absent.missing:
            name = tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.asarray(filled.constants[name]) * np.float32(0.5), name))
    copy = tmp_path / MOBILENET.name
    onnx.save(model, copy, save_as_external_data=True, location="weights.bin", size_threshold=least_bytes)
    present = read_onnx(copy, {"batch": 1})
    assert absent.missing
    assert not present.missing
    graphs = [prepare(graph) for graph in (absent, filled, present)]
    assert names(graphs[0]) == names(graphs[1]) == names(graphs[2])
    assert len({graph.digest for graph in graphs}) == 1


def two_equal_biases(b: GraphBuilder, weight: Callable[[str], str]) -> None:
    x = b.input("x", "float32", (2, 3))
    b.output(b.node("Sub", b.node("Add", x, weight("w0")), b.node("Add", x, weight("w1"))))


def a_folded_weight(b: GraphBuilder, weight: Callable[[str], str]) -> None:
    scaled = b.node("Mul", weight("w0"), b.constant("half", np.float32(0.5)))
    b.output(b.node("Add", b.input("x", "float32", (2, 3)), scaled))


def a_region_that_folds_a_weight_around_it(b: GraphBuilder, weight: Callable[[str], str]) -> None:
    b.input("x", "float32", (2, 3))
    weight("w0")
    branches: dict[str, Any] = {}
    for key in ("then_branch", "else_branch"):
        inner = GraphBuilder(key)
        x, w = inner.captured("x", "float32", (2, 3)), inner.captured("w0", "float32", (3,))
        inner.output(inner.node("Add", x, inner.node("Neg", w, name=f"{key}.neg"), name=f"{key}.add"))
        branches[key] = inner.build()
    b.output(b.node("If", b.input("c", "bool", ()), **branches))


@pytest.mark.parametrize("write", [two_equal_biases, a_folded_weight, a_region_that_folds_a_weight_around_it])
def test_small_weights_are_never_looked_at(write: Callable[[GraphBuilder, Callable[[str], str]], None]) -> None:
    def graph(value: float | None) -> Graph:
        b = GraphBuilder("g")
        write(
            b,
            lambda name: (
                b.missing(name, "float32", (3,)) if value is None else b.constant(name, np.full(3, value, np.float32))
            ),
        )
        return prepare(b.build(), check=True)

    graphs = [graph(value) for value in (None, 0.0, 1.0)]
    assert names(graphs[0]) == names(graphs[1]) == names(graphs[2])
    assert len({graph.digest for graph in graphs}) == 1


def test_a_weight_in_a_file_may_be_there_or_not(tmp_path: Path) -> None:
    b = GraphBuilder("g")
    b.output(b.node("MatMul", b.input("x", "float32", (1, 4)), b.constant("w", np.ones((4, 4), np.float32))))
    model = to_model(b.build())
    set_external_data(model.graph.initializer[0], "w.bin")
    model.graph.initializer[0].ClearField("raw_data")
    onnx.save(model, tmp_path / "g.onnx")
    without = prepare(read_onnx(tmp_path / "g.onnx"))
    (tmp_path / "w.bin").write_bytes(np.ones((4, 4), np.float32).tobytes())
    assert prepare(read_onnx(tmp_path / "g.onnx")).digest == without.digest
