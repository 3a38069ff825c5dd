import math

import numpy as np
import pytest

from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.match import Match
from partita.passes.find_matches import find_matches
from tests.passes.checks import assert_fusible, assert_native


def numbers(b: GraphBuilder, *values: float) -> list[str]:
    return [b.constant(f"number_{value}", np.float32(value)) for value in values]


def only(graph: Graph, pattern: str) -> Match:
    """The one match of `pattern`; every match of the graph is fused and run on the way."""
    matches = find_matches(graph)
    for match in matches:
        assert_fusible(graph, match)
    [found] = (match for match in matches if match.pattern == pattern)
    return found


def assert_found(b: GraphBuilder, pattern: str, opset: int, **attributes: object) -> Match:
    """The pattern covers the whole graph, has these attributes and is what the operator of its name computes."""
    graph = b.build()
    match = only(graph, pattern)
    assert match.nodes == tuple(node.name for node in graph.nodes)
    assert match.attributes == {k: pytest.approx(v) if isinstance(v, float) else v for k, v in attributes.items()}
    assert_native(graph, match, opset)
    return match


def patterns(b: GraphBuilder) -> set[str]:
    return {match.pattern for match in find_matches(b.build())}


@pytest.mark.parametrize("square", ["Pow", "Mul"])
@pytest.mark.parametrize("divide", ["Div", "Reciprocal", "Div one"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_normalization_is_found(square: str, divide: str, bias: bool) -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 3, 8))
    one, two, epsilon = numbers(b, 1, 2, 1e-5)
    centred = b.node("Sub", x, b.node("ReduceMean", x, axes=(-1,)))
    squared = b.node("Pow", centred, two) if square == "Pow" else b.node("Mul", centred, centred)
    root = b.node("Sqrt", b.node("Add", b.node("ReduceMean", squared, axes=(-1,)), epsilon))
    if divide == "Div":
        y = b.node("Div", centred, root)
    else:
        y = b.node("Mul", centred, b.node("Reciprocal", root) if divide == "Reciprocal" else b.node("Div", one, root))
    y = b.node("Mul", y, b.missing("scale", "float32", (8,)))
    b.output(b.node("Add", b.missing("bias", "float32", (8,)), y) if bias else y)
    match = assert_found(b, "LayerNormalization", 17, axis=-1, epsilon=1e-5)
    assert match.inputs == (("x", "scale", "bias") if bias else ("x", "scale"))


@pytest.mark.parametrize("divide", ["Div", "Reciprocal"])
def test_an_rms_normalization_is_found(divide: str) -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 3, 8))
    two, epsilon = numbers(b, 2, 1e-6)
    axes = b.constant("axes", np.array([1, 2]))
    mean = b.node("ReduceMean", b.node("Pow", x, two), axes, version=18)
    root = b.node("Sqrt", b.node("Add", mean, epsilon))
    y = b.node("Div", x, root) if divide == "Div" else b.node("Mul", x, b.node("Reciprocal", root))
    b.output(b.node("Mul", b.missing("scale", "float32", (3, 8)), y))
    match = assert_found(b, "RMSNormalization", 23, axis=-2, epsilon=1e-6)
    assert match.inputs == ("x", "scale")


def test_a_norm_over_channels_in_the_middle_is_no_layer_normalization() -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 8, 3))
    two, epsilon = numbers(b, 2, 1e-5)
    centred = b.node("Sub", x, b.node("ReduceMean", x, axes=(1,)))
    root = b.node("Sqrt", b.node("Add", b.node("ReduceMean", b.node("Pow", centred, two), axes=(1,)), epsilon))
    b.output(b.node("Mul", b.node("Div", centred, root), b.missing("scale", "float32", (8, 1))))
    assert "LayerNormalization" not in patterns(b)


@pytest.mark.parametrize("order", ["x half", "half last", "half first", "divide by two"])
@pytest.mark.parametrize("argument", ["Div", "Mul"])
def test_a_gelu_of_erf_is_found_in_each_spelling(order: str, argument: str) -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 8))
    one, half, two, root, inverse = numbers(b, 1, 0.5, 2, math.sqrt(2), math.sqrt(0.5))
    inner = b.node("Div", x, root) if argument == "Div" else b.node("Mul", x, inverse)
    plus_one = b.node("Add", b.node("Erf", inner), one)
    y = {
        "x half": lambda: b.node("Mul", b.node("Mul", x, half), plus_one),
        "half last": lambda: b.node("Mul", b.node("Mul", x, plus_one), half),
        "half first": lambda: b.node("Mul", x, b.node("Mul", half, plus_one)),
        "divide by two": lambda: b.node("Div", b.node("Mul", x, plus_one), two),
    }[order]()
    b.output(y)
    assert_found(b, "Gelu", 20, approximate="none")


@pytest.mark.parametrize("cube", ["Pow", "Mul", "factored"])
def test_a_gelu_of_tanh_is_found_in_each_spelling(cube: str) -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 8))
    one, half, three, factor, scale = numbers(b, 1, 0.5, 3, 0.044715, math.sqrt(2 / math.pi))
    if cube == "factored":
        polynomial = b.node("Mul", x, b.node("Add", one, b.node("Mul", factor, b.node("Mul", x, x))))
    else:
        third = b.node("Pow", x, three) if cube == "Pow" else b.node("Mul", x, b.node("Mul", x, x))
        polynomial = b.node("Add", x, b.node("Mul", third, factor))
    plus_one = b.node("Add", one, b.node("Tanh", b.node("Mul", polynomial, scale)))
    b.output(b.node("Mul", b.node("Mul", x, half), plus_one))
    assert_found(b, "Gelu", 20, approximate="tanh")


def test_another_polynomial_in_the_tanh_is_no_gelu() -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 8))
    one, half, scale = numbers(b, 1, 0.5, 0.8)
    plus_one = b.node("Add", one, b.node("Tanh", b.node("Mul", x, scale)))
    b.output(b.node("Mul", b.node("Mul", x, half), plus_one))
    assert "Gelu" not in patterns(b)


@pytest.mark.parametrize("alpha", [1.0, 1.702])
def test_a_swish_is_found(alpha: float) -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 8))
    inner = x if alpha == 1 else b.node("Mul", x, *numbers(b, alpha))
    b.output(b.node("Mul", b.node("Sigmoid", inner), x))
    assert_found(b, "Swish", 24, alpha=alpha)


def test_a_sigmoid_that_gates_another_tensor_is_no_swish() -> None:
    b = GraphBuilder()
    gate = b.node("Sigmoid", b.input("x", "float32", (2, 8)))
    b.output(b.node("Mul", gate, b.input("z", "float32", (2, 8))))
    assert patterns(b) == set()


@pytest.mark.parametrize("spelling", ["HardSigmoid", "inside", "last", "before", "factor"])
def test_a_hard_swish_is_found_in_each_spelling(spelling: str) -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 8))
    three, six, sixth = numbers(b, 3, 6, 1 / 6)
    if spelling == "HardSigmoid":
        y = b.node("Mul", x, b.node("HardSigmoid", x, alpha=1 / 6))
    else:
        low, high = (b.constant(name, np.array(value, np.float32)) for name, value in (("low", 0), ("high", 6)))
        clipped = b.node("Clip", b.node("Add", x, three), low, high)
        y = {
            "inside": lambda: b.node("Mul", x, b.node("Div", clipped, six)),
            "last": lambda: b.node("Div", b.node("Mul", x, clipped), six),
            "before": lambda: b.node("Mul", b.node("Div", x, six), clipped),
            "factor": lambda: b.node("Mul", b.node("Mul", clipped, sixth), x),
        }[spelling]()
    b.output(y)
    assert_found(b, "HardSwish", 14)


@pytest.mark.parametrize("spelling", ["Softplus", "Log"])
def test_a_mish_is_found(spelling: str) -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 8))
    if spelling == "Softplus":
        softplus = b.node("Softplus", x)
    else:
        softplus = b.node("Log", b.node("Add", b.node("Exp", x), *numbers(b, 1)))
    b.output(b.node("Mul", x, b.node("Tanh", softplus)))
    assert_found(b, "Mish", 18)


def test_an_activation_whose_inside_is_read_elsewhere_is_not_fused() -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (2, 8))
    gate = b.node("Sigmoid", x)
    b.output(b.node("Mul", gate, x), gate)
    assert "Swish" not in patterns(b)
