import copy
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from partita.graph.build import GraphBuilder
from partita.graph.dtypes import bits_of, name_of_numpy, name_of_onnx, numpy_of_name, onnx_of_name, size_bytes
from partita.graph.ir import Graph, Node, Value
from partita.graph.text import to_text


def small(
    weight: float = 1.0, elements: int = 3, *, result: str = "y", name: str = "n", alpha: float = 0.5, axis: int = -1
) -> Graph:
    b = GraphBuilder("g")
    w = b.constant("w", np.full(elements, weight, np.float32))
    axes = b.constant("axes", np.array([axis]))
    y = b.node("LeakyRelu", b.node("Add", b.input("x", "float32", (elements,)), w, name=result), name=name, alpha=alpha)
    b.output(b.node("Unsqueeze", y, axes, name="u"))
    return b.build()


def test_the_text_has_one_line_per_operator() -> None:
    assert to_text(small()) == (
        "g(x float32[3]) -> (u)\n"
        "  y float32[3] = Add(x, w)\n"
        "  n float32[3] = LeakyRelu(y) {alpha=0.5}\n"
        "  u float32[3x1] = Unsqueeze(n, axes)\n"
    )  # fmt: skip


def test_unknown_types_and_absent_inputs_are_shown_as_such() -> None:
    node = Node("n", "Clip", ("x", "", "high"), ("y",), {}, "com.example")
    text = to_text(Graph("g", (node,), ("x",), ("y",), {"x": Value("float32", (None, 2)), "y": Value("float32", None)}))
    assert text == "g(x float32[?x2]) -> (y)\n  y float32[?] = com.example::Clip(x, , high)\n"


def test_the_digest_is_that_of_an_equal_graph() -> None:
    assert small().digest == small().digest == copy.copy(small()).digest == pickle.loads(pickle.dumps(small())).digest


@pytest.mark.parametrize(
    "other",
    [small(axis=1), small(elements=4), small(result="z"), small(name="m"), small(alpha=0.25),
     replace(small(), name="h"), replace(small(), outputs=("y",)),
     replace(small(), nodes=tuple(replace(n, version=16) for n in small().nodes))],
    ids=["axes", "shape", "tensor", "operator", "attribute", "graph", "outputs", "version"],
)  # fmt: skip
def test_the_digest_changes_with(other: Graph) -> None:
    assert other.digest != small().digest


@pytest.mark.parametrize("elements", [3, 10_000])
def test_the_values_of_weights_are_left_out_of_the_digest(elements: int) -> None:
    assert small(1.0, elements).digest == small(2.0, elements).digest


def test_a_constant_that_steers_an_operator_in_a_region_is_part_of_the_digest() -> None:
    def choice(axis: int) -> Graph:
        inner = GraphBuilder("then")
        x, axes = inner.captured("x", "float32", (1, 1)), inner.captured("axes", "int64", (1,))
        inner.output(inner.node("Squeeze", x, axes, name="s"))
        b = GraphBuilder("g")
        b.input("x", "float32", (1, 1))
        b.constant("axes", np.array([axis]))
        b.output(b.node("If", b.input("c", "bool", ()), then_branch=inner.build(), else_branch=inner.build()))
        return b.build()

    assert choice(0).digest == choice(0).digest != choice(1).digest


def test_a_sequence_is_shown_with_what_it_holds() -> None:
    assert str(Value("sequence", None, Value("float32", (2, None)))) == "sequence(float32[2x?])"


def test_the_digest_of_a_region_is_part_of_that_of_the_graph() -> None:
    def choice(value: float) -> Graph:
        branches: dict[str, Any] = {}
        for name in ("then_branch", "else_branch"):
            inner = GraphBuilder(name)
            inner.output(inner.node("LeakyRelu", inner.captured("x", "float32", ()), name=name, alpha=value))
            branches[name] = inner.build()
        b = GraphBuilder("g")
        b.input("x", "float32", ())
        b.output(b.node("If", b.input("c", "bool", ()), **branches))
        return b.build()

    assert choice(0.25).digest == choice(0.25).digest != choice(0.5).digest


def test_tensors_in_attributes_are_shown_by_hash() -> None:
    nodes = [Node("n", "ConstantOfShape", ("x",), ("y",), {"value": np.array([value])}) for value in (1, 2)]
    texts = [to_text(Graph("g", (node,), ("x",), ("y",), {})) for node in nodes]
    assert "value=<int64[1] " in texts[0]
    assert texts[0] != texts[1]


def test_every_element_type_has_a_name_a_size_and_a_numpy_dtype() -> None:
    for enum in (*range(1, 14), *range(14, 29)):
        dtype = name_of_onnx(enum)
        assert onnx_of_name(dtype) == enum
        assert name_of_numpy(numpy_of_name(dtype)) == dtype
        assert 2 <= bits_of(dtype) <= 128


def test_small_elements_are_packed() -> None:
    assert [size_bytes(3, dtype) for dtype in ("float32", "bool", "int4", "uint2", "float6_e2m3fn")] == [12, 3, 2, 1, 3]


def test_a_value_knows_its_size_only_if_its_shape_is_known() -> None:
    assert Value("float16", (2, 3)).size_bytes == 12
    assert Value("float16", ()).elements == 1
    assert not Value("float16", (2, None)).is_concrete
    with pytest.raises(ValueError, match=r"float16\[2x\?\] is not known in full"):
        _ = Value("float16", (2, None)).dims
