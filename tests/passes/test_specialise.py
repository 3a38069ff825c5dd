from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from partita.errors import ModelError
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph, Node, Value
from partita.graph.verify import verify
from partita.kernels.executor import run
from partita.passes.random_feeds import random_feeds
from partita.passes.specialise import specialise
from tests.passes.checks import assert_equal, assert_same, ops


def untyped(b: GraphBuilder) -> Graph:
    """The graph as it is read: only inputs and constants have types."""
    graph = b.build()
    known = {*graph.inputs, *graph.constants, *graph.missing}
    return replace(graph, values={name: value for name, value in graph.values.items() if name in known})


def int64(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def test_every_tensor_gets_a_type() -> None:
    b = GraphBuilder()
    b.output(b.node("MatMul", b.input("x", "float32", (2, 3)), b.missing("w", "float32", (3, 4)), name="y"))
    graph = specialise(untyped(b))
    verify(graph, concrete=True)
    assert str(graph.value("y")) == "float32[2x4]"


def test_a_shape_that_is_computed_from_a_known_one_disappears() -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 3, 4))
    batch = b.node("Gather", b.node("Shape", x), b.constant("i", int64(0)), axis=0)
    shape = b.node("Concat", batch, b.constant("rest", int64(-1)), axis=0)
    b.output(b.node("Reshape", x, shape))
    before = untyped(b)
    after = specialise(before)
    assert ops(after) == ["Reshape"]
    assert str(after.value(after.outputs[0])) == "float32[2x12]"
    assert_same(before, after)


def test_a_graph_in_which_nothing_is_new_stays_the_same_object() -> None:
    b = GraphBuilder()
    b.output(b.node("Relu", b.input("x", "float32", (2,))))
    graph = specialise(untyped(b))
    assert specialise(graph) is graph


def test_folding_what_depends_on_missing_weights_leaves_a_missing_weight() -> None:
    def model(*, with_data: bool) -> Graph:
        b = GraphBuilder()
        weight = b.constant("w", np.ones((3, 2), np.float32)) if with_data else b.missing("w", "float32", (3, 2))
        b.output(b.node("MatMul", b.input("x", "float32", (1, 2)), b.node("Transpose", weight, perm=(1, 0), name="t")))
        return specialise(untyped(b))

    with_data, without = model(with_data=True), model(with_data=False)
    assert ops(with_data) == ops(without) == ["MatMul"]
    assert with_data.constants.keys() == without.missing == {"t"}
    assert with_data.values == without.values


def test_a_dequantised_weight_stays_quantised() -> None:
    b = GraphBuilder()
    weight, scale = b.constant("w", np.ones((2, 2), np.int8)), b.constant("s", np.float32(0.5))
    b.output(b.node("MatMul", b.input("x", "float32", (1, 2)), b.node("DequantizeLinear", weight, scale)))
    assert ops(specialise(untyped(b))) == ["DequantizeLinear", "MatMul"]


@pytest.mark.parametrize(("rows", "is_folded"), [(4, True), (1024, False)])
def test_a_constant_is_not_blown_up_beyond_a_megabyte(rows: int, is_folded: bool) -> None:
    b = GraphBuilder()
    small = b.constant("c", np.ones((1, 512), np.float32))
    large = b.node("Expand", small, b.constant("shape", int64(rows, 512)))
    b.output(b.node("Add", b.input("x", "float32", (rows, 512)), large))
    assert ("Expand" in ops(specialise(untyped(b)))) is not is_folded


@pytest.mark.parametrize(("readers", "is_folded"), [(1, True), (2, False)])
def test_a_large_weight_is_not_kept_twice(readers: int, is_folded: bool) -> None:
    b = GraphBuilder()
    weight = b.missing("w", "float32", (1024, 512))
    b.output(b.node("MatMul", b.input("x", "float32", (1, 1024)), b.node("Neg", weight)))
    if readers == 2:
        b.output(b.node("MatMul", b.input("z", "float32", (1, 1024)), weight))
    assert ("Neg" in ops(specialise(untyped(b)))) is not is_folded


def test_a_transposed_weight_that_others_read_too_is_folded_without_a_copy() -> None:
    b = GraphBuilder()
    table = np.ones((1024, 512), np.float32)
    weight = b.constant("w", table)
    b.output(b.node("MatMul", b.input("x", "float32", (1, 512)), b.node("Transpose", weight, perm=(1, 0))))
    b.output(b.node("Gather", weight, b.input("i", "int64", (3,))))
    after = specialise(untyped(b))
    assert sorted(ops(after)) == ["Gather", "MatMul"]
    assert all(np.shares_memory(array, table) for array in after.constants.values() if array.ndim == 2)


def test_an_operator_that_makes_an_output_stays_and_its_value_is_known_further_on() -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 3))
    shape = b.node("Shape", x)
    b.output(shape, b.node("ConstantOfShape", shape), b.node("Relu", x))
    before = untyped(b)
    after = specialise(before)
    assert ops(after) == ["Shape", "ConstantOfShape", "Relu"]
    assert after.value(after.outputs[1]).shape == (2, 3)
    assert_same(before, after)


def test_a_range_with_known_bounds_becomes_a_constant() -> None:
    b = GraphBuilder()
    x = b.input("x", "int64", (5,))
    length = b.node("Size", x)
    positions = b.node("Range", b.constant("zero", np.int64(0)), length, b.constant("one", np.int64(1)))
    b.output(b.node("Add", x, positions))
    after = specialise(untyped(b))
    assert ops(after) == ["Add"]
    np.testing.assert_array_equal(after.constants[positions], np.arange(5))


def test_inputs_that_do_not_fit_are_an_error_that_names_the_node() -> None:
    b = GraphBuilder()
    b.output(b.node("Add", b.input("x", "float32", (2,)), b.input("y", "float32", (2,)), name="sum"))
    graph = b.build()
    wrong = replace(graph, values={**graph.values, "y": replace(graph.values["y"], shape=(3,))})
    with pytest.raises(ModelError, match="'sum'"):
        specialise(wrong)


def numbered(region: Graph) -> Graph:
    """The region with other names for its operators, but the same for its tensors."""
    return replace(region, nodes=tuple(replace(node, name=f"2{node.name}") for node in region.nodes))


def branch(name: str, op: str, *, with_constant: bool = False) -> Graph:
    b = GraphBuilder(name)
    x = b.captured("x", "float32", (2, 3))
    operand = b.constant("c", np.full((3,), 2, np.float32)) if with_constant else x
    b.output(b.node("Relu", b.node(op, x, operand, name="inner"), name="outer"))
    graph = b.build()
    renamed = tuple(replace(node, name=f"{name}.{node.name}") for node in graph.nodes)
    return replace(graph, nodes=renamed)


@pytest.mark.parametrize("condition", [True, False])
def test_an_if_with_a_constant_condition_is_replaced_by_its_branch(condition: bool) -> None:
    b = GraphBuilder()
    b.input("x", "float32", (2, 3))
    branches: dict[str, Any] = {
        "then_branch": branch("a", "Mul", with_constant=True),
        "else_branch": branch("b", "Sub"),
    }
    first = b.node("If", b.constant("c1", np.array(condition)), **branches)
    more: dict[str, Any] = {key: numbered(region) for key, region in branches.items()}
    second = b.node("If", b.constant("c2", np.array(condition)), **more)
    b.output(b.node("Add", first, second))
    before = b.build()
    after = specialise(before)
    assert "If" not in ops(after)
    verify(after, concrete=True)
    assert_equal(run(after, random_feeds(after)), run(before, random_feeds(before)))


def test_an_if_that_stays_has_the_type_that_both_branches_share() -> None:
    def sized(name: str, rows: int) -> Graph:
        inner = GraphBuilder(name)
        x = inner.captured("x", "float32", (4, 3))
        ends = inner.constant(f"{name}.ends", int64(rows))
        starts = inner.constant(f"{name}.starts", int64(0))
        inner.output(inner.node("Slice", x, starts, ends, name=f"{name}.slice"))
        return inner.build()

    b = GraphBuilder()
    b.input("x", "float32", (4, 3))
    b.output(b.node("If", b.input("c", "bool", ()), name="y", then_branch=sized("t", 1), else_branch=sized("e", 2)))
    graph = specialise(untyped(b))
    assert graph.value("y").shape == (None, 3)
    assert specialise(graph) is graph


def test_a_loop_is_typed_inside_and_out() -> None:
    body = GraphBuilder("body")
    body.input("i", "int64", ())
    going = body.input("going", "bool", ())
    state = body.input("state", "float32", None)
    step = body.node("Add", state, body.captured("x", "float32", (2,)), name="step")
    body.output(body.node("Identity", going, name="still"), step, body.node("Neg", step, name="seen"))
    b = GraphBuilder()
    x = b.input("x", "float32", (2,))
    trips = b.constant("trips", np.int64(3))
    final, history = b.node("Loop", trips, "", x, outputs=2, body=body.build())
    b.output(final, history)
    before = untyped(b)
    graph = specialise(before)
    assert graph.value(final).shape == (2,)
    assert graph.value(history).shape == (3, 2)
    assert graph.nodes[0].regions[0].value("seen").shape == (2,)
    assert specialise(graph) is graph
    assert_equal(run(graph, random_feeds(graph)), run(before, random_feeds(graph)))


def test_a_loop_whose_state_grows_has_an_unknown_dimension() -> None:
    body = GraphBuilder("body")
    body.input("i", "int64", ())
    going, state = body.input("going", "bool", ()), body.input("state", "float32", None)
    body.output(body.node("Identity", going, name="on"), body.node("Concat", state, state, axis=0, name="twice"))
    b = GraphBuilder()
    trips = b.constant("trips", np.int64(3))
    b.output(b.node("Loop", trips, "", b.input("x", "float32", (2, 5)), body=body.build(), name="y"))
    assert specialise(untyped(b)).value("y").shape == (None, 5)


def test_a_scan_is_typed_inside_and_out() -> None:
    body = GraphBuilder("body")
    total = body.node("Add", body.input("sum", "float32", None), body.input("row", "float32", None), name="total")
    body.output(total, body.node("Identity", total, name="shown"))
    b = GraphBuilder()
    start, rows = b.input("start", "float32", (4,)), b.input("rows", "float32", (5, 4))
    final, sums = b.node("Scan", start, rows, outputs=2, body=body.build(), num_scan_inputs=1)
    b.output(final, sums)
    graph = specialise(untyped(b))
    assert graph.value(final).shape == (4,)
    assert graph.value(sums).shape == (5, 4)


def test_an_operator_that_onnx_does_not_define_is_typed_by_its_kernel() -> None:
    b = GraphBuilder()
    b.output(b.node("MatMul", b.input("x", "float32", (2, 3, 4)), b.missing("w", "float32", (4, 4)), name="y"))
    graph = untyped(b)
    node = Node("y", "FusedMatMul", ("x", "w"), ("y",), {"transB": 1}, "com.microsoft", 1)
    values = {**graph.values, "w": Value("float32", (5, 4))}
    graph = specialise(replace(graph, nodes=(node,), values=values))
    assert str(graph.value("y")) == "float32[2x3x5]"


def test_an_operator_that_nobody_defines_is_an_error() -> None:
    graph = untyped(GraphBuilder())
    with pytest.raises(ModelError, match=r"node 'y' \(nobody::Odd\): operator 'Odd' of domain 'nobody' is not known"):
        specialise(replace(graph, nodes=(Node("y", "Odd", (), ("y",), {}, "nobody", 1),), outputs=("y",)))
