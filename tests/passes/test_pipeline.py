from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.errors import ModelError
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.verify import verify
from partita.passes.pipeline import DEFAULT_PASSES, prepare
from tests.passes.checks import assert_same, ops


def small_convnet() -> Graph:
    """Pad, Conv, BatchNormalization, a Relu twice, an Identity and a Reshape to a computed shape."""
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 3, 6, 6))
    padded = b.node("Pad", x, b.constant("pads", np.array([0, 0, 1, 1, 0, 0, 1, 1])))
    weight = b.constant("w", np.linspace(-1, 1, 108, dtype=np.float32).reshape(4, 3, 3, 3))
    y = b.node("Conv", padded, b.node("Identity", weight), kernel_shape=(3, 3))
    parameters = [b.constant(f"p{i}", np.linspace(0.5, 1.5, 4, dtype=np.float32) + np.float32(i)) for i in range(4)]
    y = b.node("BatchNormalization", y, *parameters)
    y = b.node("Add", b.node("Relu", y), b.node("Relu", y))
    rows = b.node("Slice", b.node("Shape", x), b.constant("0", np.array([0])), b.constant("1", np.array([1])))
    shape = b.node("Concat", rows, b.constant("-1", np.array([-1])), axis=0)
    b.output(b.node("Identity", b.node("Reshape", y, shape), name="y"))
    return b.build()


def test_prepare_leaves_what_has_to_be_computed() -> None:
    graph = small_convnet()
    after = prepare(graph, check=True)
    assert ops(after) == ["Conv", "Relu", "Add", "Reshape"]
    verify(after, concrete=True)
    assert_same(graph, after)


def test_preparing_twice_changes_nothing() -> None:
    graph = prepare(small_convnet())
    assert prepare(graph) is graph


def test_the_check_names_the_operator_that_a_pass_broke() -> None:
    def forget_types(graph: Graph) -> Graph:
        return Graph(graph.name, graph.nodes, graph.inputs, graph.outputs, {}, graph.constants)

    with pytest.raises(ModelError, match="has no type"):
        prepare(small_convnet(), passes=(*DEFAULT_PASSES, forget_types), check=True)


def test_shapes_that_depend_on_data_are_recorded_from_the_feeds() -> None:
    b = GraphBuilder()
    b.output(b.node("NonZero", b.input("x", "float32", (3,)), name="y"))
    after = prepare(b.build(), feeds={"x": np.array([1, 0, 1], np.float32)})
    assert after.value("y").shape == (1, 2)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ("Relu", "Neg", "Identity", "Cast", "Reshape", "Transpose", "Add", "Mul", "Concat", "Pad", "Expand")
        ),
        st.integers(0, 99),
        st.integers(0, 99),
    ),
    min_size=1,
    max_size=12,
)


def grown(steps: list[tuple[str, int, int]]) -> Graph:
    """A graph that grows by one operator per step, on tensors picked by number; the last three are outputs."""
    b = GraphBuilder()
    tensors = [b.input("x", "float32", (2, 3)), b.constant("c", np.arange(6, dtype=np.float32).reshape(2, 3))]
    pads, shape = b.constant("pads", np.zeros(4, np.int64)), b.constant("shape", np.array([2, 3]))
    extra: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
        "Cast": ((), {"to": 1}), "Transpose": ((), {"perm": (0, 1)}), "Reshape": ((shape,), {}),
        "Expand": ((shape,), {}), "Pad": ((pads,), {}), "Concat": ((), {"axis": 0}),
    }  # fmt: skip
    for op, first, second in steps:
        operands = [tensors[first % len(tensors)]]
        if op in ("Add", "Mul"):
            operands.append(tensors[second % len(tensors)])
        more, attributes = extra.get(op, ((), {}))
        tensors.append(b.node(op, *operands, *more, **attributes))
    b.output(*tensors[2:][-3:])
    return b.build()


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_the_passes_never_change_what_is_computed(steps: list[tuple[str, int, int]]) -> None:
    graph = grown(steps)
    after = prepare(graph, check=True)
    assert len(after.nodes) <= len(graph.nodes)
    assert_same(graph, after)
    assert prepare(after) is after
