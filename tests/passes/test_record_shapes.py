import numpy as np
import pytest

from partita.errors import ModelError
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.verify import verify
from partita.passes.record_shapes import record_shapes, unknown_tensors


def positives(*, with_data: bool = True) -> Graph:
    """The entries of x @ w that are above 0, by NonZero: how many there are depends on data."""
    b = GraphBuilder()
    x = b.input("x", "float32", (1, 3))
    weight = b.constant("w", np.eye(3, dtype=np.float32)) if with_data else b.missing("w", "float32", (3, 3))
    is_above = b.node("Greater", b.node("MatMul", x, weight), b.constant("zero", np.float32(0)))
    b.output(b.node("Transpose", b.node("NonZero", is_above, name="found"), perm=(1, 0), name="pairs"))
    b.output(b.node("Relu", x, name="unrelated"))
    return b.build()


def test_shapes_that_depend_on_data_are_those_of_the_run() -> None:
    graph = positives()
    assert unknown_tensors(graph) == ("found", "pairs")
    recorded = record_shapes(graph, {"x": np.array([[1, -1, 2]], np.float32)})
    verify(recorded, concrete=True)
    assert str(recorded.value("found")) == "int64[2x2]"
    assert str(recorded.value("pairs")) == "int64[2x2]"


def test_without_feeds_the_run_is_on_generated_inputs() -> None:
    verify(record_shapes(positives()), concrete=True)


def test_a_graph_whose_shapes_are_known_stays_the_same_object() -> None:
    graph = record_shapes(positives())
    assert record_shapes(graph) is graph


def test_a_missing_weight_that_decides_a_shape_is_an_error_that_names_both() -> None:
    with pytest.raises(ModelError, match="shape of 'found', 'pairs' depends on data, and the weight 'w'"):
        record_shapes(positives(with_data=False))


def test_feeds_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match="input 'x' must be"):
        record_shapes(positives(), {"x": np.zeros((1, 4), np.float32)})
