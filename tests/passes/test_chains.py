from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.graph.build import GraphBuilder
from partita.graph.match import Match, fuse
from partita.passes.find_matches import find_matches
from tests.passes.checks import assert_fusible, assert_same
from tests.passes.test_pipeline import STEPS, grown


def conv(b: GraphBuilder) -> str:
    x = b.input("x", "float32", (1, 2, 5, 5))
    return b.node("Conv", x, b.missing("w", "float32", (3, 2, 3, 3)), b.missing("b", "float32", (3,)), name="conv")


def found(b: GraphBuilder) -> dict[str, Match]:
    """The matches by pattern, each of them fused and run."""
    graph = b.build()
    matches = find_matches(graph)
    for match in matches:
        assert_fusible(graph, match)
    return {match.pattern: match for match in matches}


def test_every_prefix_of_a_chain_is_a_match() -> None:
    b = GraphBuilder()
    other = b.input("z", "float32", (1, 3, 3, 3))
    b.output(b.node("Neg", b.node("Tanh", b.node("Relu", b.node("Add", conv(b), other)))))
    matches = found(b)
    assert set(matches) == {
        "Conv+Add",
        "Conv+Add+Relu",
        "Conv+Add+Relu+Tanh",
        "Add+Relu",
        "Add+Relu+Tanh",
        "Add+Relu+Tanh+Neg",
    }
    assert matches["Conv+Add"].inputs == ("x", "w", "b", "z")


def test_numbers_belong_to_the_body_and_weights_are_inputs() -> None:
    b = GraphBuilder()
    low, high = (b.constant(name, np.array(value, np.float32)) for name, value in (("low", 0), ("high", 6)))
    b.output(b.node("Clip", conv(b), low, high))
    matches = found(b)
    assert matches["Conv+Clip"].inputs == ("x", "w", "b")


def test_a_silu_is_two_links_that_keep_their_names() -> None:
    b = GraphBuilder()
    y = conv(b)
    b.output(b.node("Relu", b.node("Mul", y, b.node("Sigmoid", y))))
    assert set(found(b)) == {"Swish", "Conv+Sigmoid+Mul", "Conv+Sigmoid+Mul+Relu", "Mul+Relu"}


def test_an_activation_that_is_spelled_out_is_one_link_under_its_own_name() -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 8))
    y = b.node("Add", b.node("MatMul", x, b.missing("w", "float32", (8, 8))), b.missing("bias", "float32", (8,)))
    one, half, root = (b.constant(f"n{v}", np.float32(v)) for v in (1, 0.5, 2**0.5))
    erf = b.node("Add", b.node("Erf", b.node("Div", y, root)), one)
    b.output(b.node("Mul", b.node("Mul", y, half), erf))
    matches = found(b)
    assert {"Gelu", "MatMul+Add", "MatMul+Add+Gelu", "Add+Gelu"} <= set(matches)
    assert matches["MatMul+Add+Gelu"].inputs == ("x", "w", "bias")


@pytest.mark.parametrize("op", ["HardSwish", "Gelu", "Mish", "Sigmoid"])
def test_an_activation_that_is_an_operator_is_a_link(op: str) -> None:
    b = GraphBuilder()
    b.output(b.node(op, conv(b)))
    assert set(found(b)) == {f"Conv+{op}"}


def test_a_tensor_with_two_readers_ends_a_chain() -> None:
    b = GraphBuilder()
    y = conv(b)
    b.output(b.node("Relu", y), b.node("Neg", y))
    assert not found(b)


def test_an_output_of_the_graph_ends_a_chain() -> None:
    b = GraphBuilder()
    y = conv(b)
    b.output(y, b.node("Relu", y))
    assert not found(b)


def test_a_gate_of_another_shape_or_tensor_ends_a_chain() -> None:
    b = GraphBuilder()
    gate = b.node(
        "HardSigmoid", b.node("Conv", b.input("s", "float32", (1, 2, 1, 1)), b.missing("v", "float32", (3, 2, 1, 1)))
    )
    b.output(b.node("Mul", b.input("image", "float32", (1, 3, 4, 4)), gate))
    b.output(b.node("Mul", b.node("Sigmoid", conv(b)), b.input("z", "float32", (1, 3, 3, 3))))
    assert set(found(b)) == {"Conv+HardSigmoid", "Conv+Sigmoid"}


def test_a_tensor_that_is_the_parameter_of_what_reads_it_ends_a_chain() -> None:
    b = GraphBuilder()
    slope = b.node("Mul", b.input("x", "float32", (2, 3)), b.input("z", "float32", (2, 3)))
    b.output(b.node("PRelu", b.input("y", "float32", (2, 3)), slope))
    assert not found(b)


def test_the_constants_of_a_resize_belong_to_its_body() -> None:
    b = GraphBuilder()
    scales = b.constant("scales", np.array([1, 1, 2, 2], np.float32))
    b.output(b.node("Relu", b.node("Resize", b.input("x", "float32", (1, 1, 2, 2)), "", scales, mode="nearest")))
    assert found(b)["Resize+Relu"].inputs == ("x",)


def test_matches_come_in_the_order_of_their_last_operators() -> None:
    b = GraphBuilder()
    y = conv(b)
    for _ in range(3):
        y = b.node("Relu", y)
    b.output(y)
    assert [m.pattern for m in find_matches(b.build())] == ["Conv+Relu", "Conv+Relu+Relu", "Conv+Relu+Relu+Relu"]


@settings(deadline=None, max_examples=40)
@given(STEPS, st.randoms())
def test_any_matches_that_do_not_overlap_can_be_fused_together(
    steps: list[tuple[str, int, int]], random: Random
) -> None:
    graph = grown(steps)
    matches = list(find_matches(graph))
    assert all(count == 1 for count in Counter(match.key for match in matches).values())
    random.shuffle(matches)
    chosen: list[Match] = []
    for match in matches:
        if not any(set(match.nodes) & set(other.nodes) for other in chosen):
            chosen.append(match)
    fused = fuse(graph, chosen)
    assert len(fused.nodes) == len(graph.nodes) - sum(len(match.nodes) - 1 for match in chosen)
    assert_same(graph, fused)
