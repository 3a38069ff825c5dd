import numpy as np
import pytest

from partita.graph.build import GraphBuilder
from partita.passes.find_matches import find_matches
from tests.passes.checks import assert_fusible, assert_native

QUERY = (2, 4, 5, 8)
KEY = (2, 4, 7, 8)


def number(b: GraphBuilder, value: float) -> str:
    return b.constant(f"number_{value}", np.float32(value))


def guarded(b: GraphBuilder, weights: str) -> str:
    return b.node("Where", b.node("IsNaN", weights), number(b, 0), weights)


@pytest.mark.parametrize("scaled", ["product", "query", "both", "divided", "none"])
@pytest.mark.parametrize("mask", [None, (5, 7), (2, 1, 5, 7)])
@pytest.mark.parametrize("guard", [True, False])
def test_attention_is_found_with_scale_mask_and_nan_guard(
    scaled: str, mask: tuple[int, ...] | None, guard: bool
) -> None:
    b = GraphBuilder()
    q, k, v = b.input("q", "float32", QUERY), b.input("k", "float32", KEY), b.input("v", "float32", KEY)
    k = b.node("Transpose", k, perm=(0, 1, 3, 2))
    if scaled == "both":
        q, k = b.node("Mul", q, number(b, 0.6)), b.node("Mul", k, number(b, 0.5))
    if scaled == "query":
        q = b.node("Mul", q, number(b, 0.3))
    scores = b.node("MatMul", q, k)
    if scaled == "product":
        scores = b.node("Mul", number(b, 0.3), scores)
    if scaled == "divided":
        scores = b.node("Div", scores, number(b, 1 / 0.3))
    if mask is not None:
        scores = b.node("Add", scores, b.input("added", "float32", mask))
    weights = b.node("Softmax", scores, axis=-1)
    b.output(b.node("MatMul", guarded(b, weights) if guard else weights, v))
    graph = b.build()
    [match] = (m for m in find_matches(graph) if m.pattern == "Attention")
    assert match.nodes == tuple(node.name for node in graph.nodes)
    assert match.inputs == (("q", "k", "v") if mask is None else ("q", "k", "v", "added"))
    assert match.attributes == {"scale": pytest.approx(1.0 if scaled == "none" else 0.3)}
    assert_fusible(graph, match)
    assert_native(graph, match, 23)


def test_a_key_transposed_through_three_axes_is_seen_through() -> None:
    b = GraphBuilder()
    q, k, v = b.input("q", "float32", QUERY), b.input("k", "float32", KEY), b.input("v", "float32", KEY)
    k = b.node("Reshape", k, b.constant("there", np.array([8, 7, 8])))
    k = b.node("Reshape", b.node("Transpose", k, perm=(0, 2, 1)), b.constant("back", np.array([2, 4, 8, 7])))
    b.output(b.node("MatMul", b.node("Softmax", b.node("MatMul", q, k), axis=3), v))
    graph = b.build()
    [match] = (m for m in find_matches(graph) if m.pattern == "Attention")
    assert match.inputs == ("q", "k", "v")
    assert_native(graph, match, 23)


def split(b: GraphBuilder, name: str, length: int, perm: tuple[int, ...] = (0, 2, 1, 3)) -> str:
    whole = b.input(name, "float32", (2, length, 32))
    shape = b.constant(f"{name}.split", np.array([2, length, 4, 8]))
    return b.node("Transpose", b.node("Reshape", whole, shape), perm=perm)


def test_attention_with_its_heads_split_and_merged_is_found() -> None:
    b = GraphBuilder()
    q, k, v = split(b, "q", 5), split(b, "k", 7, (0, 2, 3, 1)), split(b, "v", 7)
    scores = b.node("Mul", b.node("MatMul", q, k), number(b, 0.25))
    heads = b.node("Transpose", b.node("MatMul", b.node("Softmax", scores, axis=-1), v), perm=(0, 2, 1, 3))
    b.output(b.node("Reshape", heads, b.constant("merge", np.array([2, 5, 32]))))
    graph = b.build()
    [match] = (m for m in find_matches(graph) if m.pattern == "Attention")
    assert len(match.nodes) == len(graph.nodes)
    assert match.inputs == ("q", "k", "v")
    assert match.attributes == {"scale": pytest.approx(0.25), "q_num_heads": 4, "kv_num_heads": 4}
    assert_fusible(graph, match)
    assert_native(graph, match, 23)


def repeated(b: GraphBuilder, name: str) -> str:
    """Two heads of keys or values, each twice in a row."""
    few = b.input(name, "float32", (2, 2, 7, 8))
    wide = b.node("Unsqueeze", few, b.constant(f"{name}.axis", np.array([2])))
    wide = b.node("Expand", wide, b.constant(f"{name}.wide", np.array([2, 2, 2, 7, 8])))
    return b.node("Reshape", wide, b.constant(f"{name}.flat", np.array(KEY)))


def test_keys_that_groups_of_heads_share_are_found_with_and_without_their_repetition() -> None:
    b = GraphBuilder()
    q, k, v = b.input("q", "float32", QUERY), repeated(b, "k"), repeated(b, "v")
    scores = b.node("MatMul", q, b.node("Transpose", k, perm=(0, 1, 3, 2)))
    b.output(b.node("MatMul", b.node("Softmax", scores, axis=-1), v))
    graph = b.build()
    plain, shared = (m for m in find_matches(graph) if m.pattern == "Attention")
    assert plain.inputs == ("q", k, v)
    assert shared.inputs == ("q", "k", "v")
    for match in (plain, shared):
        assert_fusible(graph, match)
        assert_native(graph, match, 23)


def test_a_single_head_without_an_axis_for_heads_is_found() -> None:
    b = GraphBuilder()
    q, k, v = (b.input(name, "float32", (3, 6, 8)) for name in "qkv")
    scores = b.node("MatMul", q, b.node("Transpose", k, perm=(0, 2, 1)))
    b.output(b.node("MatMul", b.node("Softmax", scores, axis=2), v))
    graph = b.build()
    [match] = (m for m in find_matches(graph) if m.pattern == "Attention")
    assert match.attributes == {"scale": 1.0, "q_num_heads": 1, "kv_num_heads": 1}
    assert_native(graph, match, 23)


def test_a_softmax_over_another_axis_is_no_attention() -> None:
    b = GraphBuilder()
    q, k, v = b.input("q", "float32", QUERY), b.input("k", "float32", KEY), b.input("v", "float32", KEY)
    scores = b.node("MatMul", q, b.node("Transpose", k, perm=(0, 1, 3, 2)))
    b.output(b.node("MatMul", b.node("Softmax", scores, axis=2), v))
    assert not [m for m in find_matches(b.build()) if m.pattern == "Attention"]


def test_attention_whose_weights_are_shown_is_not_fused() -> None:
    b = GraphBuilder()
    q, k, v = b.input("q", "float32", QUERY), b.input("k", "float32", KEY), b.input("v", "float32", KEY)
    scores = b.node("MatMul", q, b.node("Transpose", k, perm=(0, 1, 3, 2)))
    weights = b.node("Softmax", scores, axis=-1)
    b.output(b.node("MatMul", weights, v), weights)
    assert not [m for m in find_matches(b.build()) if m.pattern == "Attention"]
