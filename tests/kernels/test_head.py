"""The head of a classifier as one call against its operators one by one."""

from typing import Any

import numpy as np
import pytest

from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.kernels import compiled
from partita.kernels.arrays import Array
from partita.kernels.executor import run
from partita.kernels.head import Head
from partita.kernels.program import Program

pytest.importorskip("numba")


def noise(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def head(pool: str = "GlobalAveragePool", flat: tuple[int, ...] = (-1, 40), **more: Any) -> Graph:
    """`flat` is the shape after the mean, () for Flatten; also options of the mean and the product, and `outputs`."""
    b = GraphBuilder()
    outputs, bias = more.pop("outputs", ()), more.pop("bias", None)
    options = {"axes": more.pop("axes", (2, 3))} if pool == "ReduceMean" else {}
    names = {"mean": b.node(pool, b.input("x", "float32", (2, 40, 6, 5)), **options)}
    shape = [b.constant("shape", np.array(flat))] if flat else []
    names["flat"] = b.node("Reshape" if flat else "Flatten", names["mean"], *shape)
    w = b.constant("w", noise(*((70, 40) if more.get("transB") else (40, 70))))
    y = b.node("Gemm", names["flat"], w, *([] if bias is None else [b.constant("bias", bias)]), **more)
    for name in (y, *(names[output] for output in outputs)):
        b.output(name)
    return b.build()


def has_head(graph: Graph) -> bool:
    return any(isinstance(step.call, Head) for step in Program(graph, graph.outputs)._steps)


def as_numpy_does(graph: Graph, x: Array, monkeypatch: pytest.MonkeyPatch) -> Array:
    with monkeypatch.context() as patch:
        patch.setattr(compiled, "is_available", lambda: False)
        return next(iter(run(graph, {"x": x}).values()))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"flat": (), "transB": 1},
        {"pool": "ReduceMean", "flat": (2, -1), "bias": noise(70)},
        {"pool": "ReduceMean", "axes": (-1, -2), "flat": (0, 40), "bias": noise(1, 70), "transB": 1},
    ],
)
@pytest.mark.parametrize("is_channels_last", [False, True])
def test_a_head_is_what_its_operators_are(
    options: dict[str, Any], is_channels_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = head(**options)
    assert has_head(graph)
    x = noise(2, 6, 5, 40).transpose(0, 3, 1, 2) if is_channels_last else noise(2, 40, 6, 5)
    (y,) = run(graph, {"x": x}).values()
    expected = as_numpy_does(graph, x, monkeypatch)
    assert y.shape == expected.shape == (2, 70)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"pool": "ReduceMean", "axes": (2,)},
        {"pool": "GlobalMaxPool"},
        {"bias": noise(2, 70)},
        {"alpha": 0.5},
        {"outputs": ("mean",)},
        {"outputs": ("flat",)},
    ],
)
def test_other_operators_are_none(options: dict[str, Any]) -> None:
    assert not has_head(head(**options))


def test_a_head_takes_what_it_does_not_plan_for_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = head()
    x = noise(2, 40, 6, 5)
    monkeypatch.setattr(compiled, "is_available", lambda: False)
    (y,) = run(graph, {"x": x}).values()
    np.testing.assert_allclose(y, x.mean((2, 3)) @ graph.constants["w"], rtol=1e-5, atol=1e-5)
