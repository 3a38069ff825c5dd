from typing import Any

import numpy as np
import pytest

from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.match import Match, fuse
from partita.passes.clean_up import merge_common_subexpressions, remove_dead_nodes, remove_identities
from tests.passes.checks import assert_same, ops


def test_operators_that_nobody_reads_are_removed_with_their_weights() -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (2,))
    b.node("Relu", b.node("Add", x, b.constant("w", np.ones(2, np.float32))))
    b.output(b.node("Neg", x))
    graph = b.build()
    after = remove_dead_nodes(graph)
    assert ops(after) == ["Neg"]
    assert not after.constants
    assert_same(graph, after)


def test_an_optional_output_that_nobody_reads_is_removed() -> None:
    b = GraphBuilder()
    pooled, _ = b.node("MaxPool", b.input("x", "float32", (1, 1, 4, 4)), outputs=2, kernel_shape=(2, 2), strides=(2, 2))
    b.output(pooled)
    graph = b.build()
    after = remove_dead_nodes(graph)
    assert after.nodes[0].outputs == (pooled,)
    assert_same(graph, after)


def test_the_parts_of_a_split_keep_their_number() -> None:
    b = GraphBuilder()
    first, _ = b.node("Split", b.input("x", "float32", (4,)), outputs=2, axis=0)
    b.output(first)
    graph = b.build()
    assert remove_dead_nodes(graph) is graph


def identity_chain() -> Graph:
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 1, 3))
    y = b.node("Identity", x)
    y = b.node("Dropout", y)
    y = b.node("Relu", b.node("Cast", y, to=1))
    y = b.node("Reshape", y, b.constant("shape", np.array([2, 1, 3])))
    y = b.node("Transpose", y, perm=(1, 0, 2))
    y = b.node("Transpose", y, perm=(1, 0, 2))
    y = b.node("Pad", y, b.constant("pads", np.zeros(6, np.int64)))
    steps = [
        b.constant(name, np.array([value])) for name, value in (("start", 0), ("end", 3), ("axis", 2), ("step", 1))
    ]
    y = b.node("Slice", y, *steps)
    y = b.node("Neg", b.node("Concat", y, axis=0))
    y = b.node("Expand", y, b.constant("wide", np.array([1, 1, 3])))
    b.output(b.node("Sum", y, name="y"))
    return b.build()


def test_operators_that_change_nothing_are_removed_and_the_output_keeps_its_name() -> None:
    graph = identity_chain()
    after = remove_identities(graph)
    assert ops(after) == ["Relu", "Transpose", "Transpose", "Neg"]
    assert after.outputs == ("y",)
    assert_same(graph, after)
    assert remove_identities(after) is after


def test_a_slice_that_reverses_is_kept() -> None:
    b = GraphBuilder()
    ends = [b.constant(name, np.array([value])) for name, value in (("s", -1), ("e", -9), ("a", 0), ("step", -1))]
    b.output(b.node("Slice", b.input("x", "float32", (3,)), *ends))
    graph = b.build()
    assert remove_identities(graph) is graph


def test_a_pad_that_shifts_is_kept() -> None:
    b = GraphBuilder()
    b.output(b.node("Pad", b.input("x", "float32", (3,)), b.constant("pads", np.array([1, -1]))))
    graph = b.build()
    assert remove_identities(graph) is graph


def test_an_input_that_is_handed_on_as_an_output_keeps_its_identity() -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (3,))
    same = b.node("Identity", x)
    b.output(same, b.node("Relu", b.node("Identity", same), name="y"))
    graph = b.build()
    after = remove_identities(graph)
    assert sorted(ops(after)) == ["Identity", "Relu"]
    assert_same(graph, after)
    assert remove_identities(after) is after


def test_one_tensor_under_two_output_names_keeps_both() -> None:
    b = GraphBuilder()
    y = b.node("Relu", b.input("x", "float32", (3,)))
    b.output(b.node("Identity", y, name="first"), b.node("Identity", y, name="second"))
    graph = b.build()
    after = remove_identities(graph)
    assert ops(after) == ["Relu", "Identity"]
    assert after.outputs == ("first", "second")
    assert_same(graph, after)


def test_what_a_region_reads_is_renamed_with_the_rest() -> None:
    branches: dict[str, Any] = {}
    for key, op in (("then_branch", "Relu"), ("else_branch", "Neg")):
        inner = GraphBuilder(key)
        inner.output(inner.node(op, inner.captured("same", "float32", (2,)), name=f"{key}.y"))
        branches[key] = inner.build()
    b = GraphBuilder()
    b.node("Identity", b.input("x", "float32", (2,)), name="same")
    b.output(b.node("If", b.input("c", "bool", ()), name="y", **branches))
    graph = b.build()
    after = remove_identities(graph)
    assert ops(after) == ["If"]
    assert_same(graph, after)


def test_the_same_computation_is_done_once() -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 3))
    twos = [b.constant(f"c{i}", np.array([3, 2])) for i in range(2)]
    halves = [b.node("Softmax", b.node("Reshape", x, two), axis=1) for two in twos]
    other = b.node("Softmax", b.node("Reshape", x, twos[0]), axis=0)
    b.output(b.node("Sub", b.node("Add", *halves), other))
    graph = b.build()
    after = merge_common_subexpressions(graph)
    assert ops(after) == ["Reshape", "Softmax", "Softmax", "Add", "Sub"]
    assert list(after.constants) == ["c0"]
    assert_same(graph, after)
    assert merge_common_subexpressions(after) is after


def test_equal_weights_stay_apart_because_they_may_be_absent() -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 3))
    weights = [b.constant(f"w{i}", np.ones(3, np.float32)) for i in range(2)]
    b.output(b.node("Sub", *(b.node("Mul", x, weight) for weight in weights)))
    graph = b.build()
    assert merge_common_subexpressions(graph) is graph


def test_random_operators_are_not_merged() -> None:
    b = GraphBuilder()
    draws = [b.node("RandomNormal", shape=(2,)) for _ in range(2)]
    b.output(b.node("Add", *draws))
    graph = b.build()
    assert merge_common_subexpressions(graph) is graph


def test_two_outputs_that_are_equal_both_stay() -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (2,))
    b.output(b.node("Relu", x, name="a"), b.node("Relu", x, name="b"))
    graph = b.build()
    assert merge_common_subexpressions(graph) is graph


@pytest.mark.parametrize("clean", [remove_dead_nodes, remove_identities, merge_common_subexpressions])
def test_fused_operators_pass_through(clean: object) -> None:
    assert callable(clean)
    b = GraphBuilder()
    b.output(b.node("Neg", b.node("Relu", b.input("x", "float32", (2,)), name="a"), name="b"))
    fused = fuse(b.build(), [Match("Relu+Neg", ("a", "b"), ("x",), ("b",))])
    assert clean(fused) is fused
