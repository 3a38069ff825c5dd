import numpy as np
import onnxruntime as ort
import pytest

from partita.errors import ModelError
from partita.graph.build import GraphBuilder
from partita.graph.onnx_export import to_model
from partita.graph.verify import verify


def test_a_graph_is_built_and_typed_in_three_lines() -> None:
    b = GraphBuilder("g")
    b.output(b.node("Relu", b.input("x", "float32", (1, 8))))
    graph = b.build()
    verify(graph, concrete=True)
    assert [n.op for n in graph.nodes] == ["Relu"]
    assert str(graph.value(graph.outputs[0])) == "float32[1x8]"


def test_a_built_graph_runs_in_onnxruntime() -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 3))
    w = b.constant("w", np.eye(3, dtype=np.float32) * 2)
    b.output(b.node("MatMul", x, w, name="y"))
    session = ort.InferenceSession(to_model(b.build()).SerializeToString(), providers=["CPUExecutionProvider"])
    data = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(session.run(None, {"x": data})[0], data * 2)


def test_all_operators_get_the_newest_opset_that_one_of_them_needs() -> None:
    b = GraphBuilder()
    b.output(b.node("Gelu", b.node("Relu", b.input("x", "float32", (4,)))))
    assert {n.version for n in b.build().nodes} == {20}


def test_the_opset_is_17_unless_an_operator_needs_more() -> None:
    b = GraphBuilder()
    b.output(b.node("ReduceMean", b.input("x", "float32", (4, 2)), axes=(1,), keepdims=0))
    graph = b.build()
    assert graph.nodes[0].version == 17
    assert graph.value(graph.outputs[0]).shape == (4,)


def test_several_outputs_are_numbered() -> None:
    b = GraphBuilder()
    parts = b.node("Split", b.input("x", "float32", (4, 2)), outputs=2, axis=0)
    b.output(*parts)
    assert parts == ("Split_0.0", "Split_0.1")
    assert b.build().value("Split_0.1").shape == (2, 2)


def test_reading_a_tensor_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="Relu reads 'x', which the graph"):
        GraphBuilder().node("Relu", "x")


def test_two_tensors_of_one_name_are_refused() -> None:
    b = GraphBuilder()
    b.input("x", "float32", (1,))
    with pytest.raises(ValueError, match="has a tensor 'x' already"):
        b.constant("x", 1)


def test_inputs_that_do_not_fit_are_refused_by_name_of_the_node() -> None:
    b = GraphBuilder()
    b.output(b.node("Add", b.input("x", "float32", (3,)), b.input("y", "float32", (4,)), name="sum"))
    with pytest.raises(ModelError, match="'sum'"):
        b.build()
