"""Fused kernels against the bodies of the operators that they stand for."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from partita.graph.build import GraphBuilder
from partita.graph.ir import Array, Graph
from partita.graph.match import fuse
from partita.kernels import compiled
from partita.kernels.executor import run
from partita.kernels.fused import fused_kernel, worth_fusing
from partita.passes.find_matches import find_matches
from partita.passes.random_feeds import random_feeds

Tail = Callable[[GraphBuilder, str], str]


@pytest.fixture(params=["numpy", "compiled"])
def arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "compiled":
        pytest.importorskip("numba")
    monkeypatch.setattr(compiled, "is_available", lambda: request.param == "compiled")
    return str(request.param)


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).standard_normal(shape, np.float32)


def number(b: GraphBuilder, value: float) -> str:
    return b.constant(f"number {value}", np.float32(value))


def hard_swish(b: GraphBuilder, x: str) -> str:
    clipped = b.node("Clip", b.node("Add", x, number(b, 3)), number(b, 0), number(b, 6))
    return b.node("Mul", x, b.node("Div", clipped, b.constant("six", np.float32(6))))


def gelu(b: GraphBuilder, x: str) -> str:
    erf = b.node("Erf", b.node("Div", x, number(b, 2**0.5)))
    return b.node("Mul", b.node("Mul", x, b.node("Add", erf, number(b, 1))), number(b, 0.5))


def residual(b: GraphBuilder, x: str) -> str:
    other = b.input("other", "float32", SHAPES[x.split("_")[0]])
    return b.node("Relu", b.node("Add", other, x))


TAILS: dict[str, Tail] = {
    "Relu": lambda b, x: b.node("Relu", x),
    "Clip": lambda b, x: b.node("Clip", x, number(b, 0), number(b, 6)),
    "Clip+Neg": lambda b, x: b.node("Neg", b.node("Clip", x, "", number(b, 0.5))),
    "LeakyRelu": lambda b, x: b.node("LeakyRelu", x, alpha=0.2),
    "Sigmoid": lambda b, x: b.node("Sigmoid", x),
    "Sigmoid+Mul": lambda b, x: b.node("Mul", x, b.node("Sigmoid", x)),
    "HardSigmoid": lambda b, x: b.node("HardSigmoid", x, alpha=0.3),
    "HardSwish": hard_swish,
    "Gelu": gelu,
    "Tanh+Sub": lambda b, x: b.node("Sub", number(b, 1), b.node("Tanh", x)),
    "Div": lambda b, x: b.node("Div", number(b, 2), b.node("Exp", x)),
    "Add+Relu": residual,
}
SHAPES = {"Conv": (2, 6, 5, 7), "Gemm": (3, 6), "MatMul": (2, 3, 6)}


def conv(b: GraphBuilder) -> str:
    w, bias = b.constant("w", noise(6, 4, 3, 3)), b.constant("bias", noise(6))
    return b.node("Conv", b.input("x", "float32", (2, 4, 5, 7)), w, bias, name="Conv_x", pads=(1, 1, 1, 1))


def gemm(b: GraphBuilder) -> str:
    w, bias = b.constant("w", noise(6, 4)), b.constant("bias", noise(6))
    return b.node("Gemm", b.input("x", "float32", (3, 4)), w, bias, name="Gemm_x", transB=1)


def matmul(b: GraphBuilder) -> str:
    return b.node("MatMul", b.input("x", "float32", (2, 3, 4)), b.constant("w", noise(4, 6)), name="MatMul_x")


def fused(graph: Graph) -> Graph:
    return fuse(graph, worth_fusing(graph, find_matches(graph)))


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("producer", [conv, gemm, matmul], ids=lambda make: make.__name__)
def test_a_fused_chain_computes_what_its_body_does(
    producer: Callable[[GraphBuilder], str], tail: str, arithmetic: str
) -> None:
    b = GraphBuilder()
    b.output(TAILS[tail](b, producer(b)))
    graph = b.build()
    whole = fused(graph)
    assert len(whole.nodes) == 1
    assert fused_kernel(whole.nodes[0]) is not None
    feeds = random_feeds(graph)
    (expected,), (result,) = run(graph, feeds).values(), run(whole, feeds).values()
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("shape", [(6,), (1, 1, 6), (3, 6), (2, 1, 6), (2, 3, 1), ()])
def test_an_added_tensor_may_broadcast_in_any_way(shape: tuple[int, ...], arithmetic: str) -> None:
    b = GraphBuilder()
    b.output(b.node("Relu", b.node("Add", matmul(b), b.input("other", "float32", shape))))
    graph = b.build()
    feeds = random_feeds(graph)
    (expected,), (result,) = run(graph, feeds).values(), run(fused(graph), feeds).values()
    np.testing.assert_allclose(result, expected, rtol=2e-5, atol=2e-6)


def test_nan_goes_through_limits(arithmetic: str) -> None:
    b = GraphBuilder()
    b.output(TAILS["Clip"](b, conv(b)))
    graph = fused(b.build())
    (y,) = run(graph, {"x": np.full((2, 4, 5, 7), np.nan, np.float32)}).values()
    assert np.isnan(y).all()


def test_inputs_stay_as_they_are(arithmetic: str) -> None:
    b = GraphBuilder()
    b.output(residual(b, conv(b)))
    graph = b.build()
    feeds = random_feeds(graph)
    before = {name: array.copy() for name, array in feeds.items()}
    run(fused(graph), feeds)
    assert all(np.array_equal(before[name], feeds[name]) for name in feeds)


def test_a_chain_without_a_kernel_runs_its_body() -> None:
    b = GraphBuilder()
    b.output(b.node("Softsign", conv(b)))
    graph = b.build()
    whole = fuse(graph, find_matches(graph))
    assert len(whole.nodes) == 1
    assert fused_kernel(whole.nodes[0]) is None
    assert worth_fusing(graph, find_matches(graph)) == ()
    feeds = random_feeds(graph)
    (expected,), (result,) = run(graph, feeds).values(), run(whole, feeds).values()
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_a_fused_operator_in_half_precision_is_rounded_once() -> None:
    b = GraphBuilder()
    b.output(gelu(b, matmul(b)))
    graph = fused(b.build())
    half = {name: array.astype(np.float16) for name, array in random_feeds(graph).items()}
    exact = run(graph, {name: array.astype(np.float32) for name, array in half.items()})
    values = {name: replace(value, dtype="float16") if name == "x" else value for name, value in graph.values.items()}
    (expected,), (result,) = exact.values(), run(replace(graph, values=values), half).values()
    np.testing.assert_array_equal(result, expected.astype(np.float16))
