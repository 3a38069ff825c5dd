from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest

from partita.errors import ModelError
from partita.graph.build import GraphBuilder
from partita.graph.infer import infer_types
from partita.graph.ir import FUSED_DOMAIN, Graph, Node
from partita.graph.match import Match, fuse
from partita.graph.onnx_export import to_model
from partita.graph.onnx_import import from_proto
from partita.graph.text import to_text
from partita.graph.verify import verify
from partita.kernels.executor import run
from tests.graph.models import Array, parsed, run_in_onnxruntime

X = np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3)


def assert_round_trip(graph: Graph, feeds: dict[str, Array]) -> Graph:
    """The graph is written, checked, run by onnxruntime, read again and run by us, always with the same results."""
    model = to_model(graph)
    onnx.checker.check_model(model, full_check=True)
    wanted = list(run(graph, feeds).values())
    again = from_proto(model, name=graph.name)
    for mine, read, theirs in zip(wanted, run(again, feeds).values(), run_in_onnxruntime(model, feeds), strict=True):
        np.testing.assert_array_equal(read, mine)
        np.testing.assert_allclose(theirs, mine, rtol=1e-6, atol=1e-6)
    return again


def typed(graph: Graph) -> Graph:
    values = dict(graph.values)
    for node in graph.nodes:
        values.update(infer_types(node, values, graph.constants))
    return replace(graph, values=values)


def gated() -> Graph:
    """Relu(x * sigmoid(x) @ w + 1), its operators named like paths."""
    b = GraphBuilder("g")
    x = b.input("x", "float32", (2, 3))
    gate = b.node("Mul", x, b.node("Sigmoid", x, name="/block.0/s"), name="/block.0/m")
    product = b.node("MatMul", gate, b.constant("w", np.ones((3, 2), np.float32)), name="mm")
    b.output(b.node("Relu", b.node("Add", product, b.constant("c", np.float32(1)), name="a"), name="r"))
    return b.build()


SILU = Match("Swish", ("/block.0/s", "/block.0/m"), ("x",), ("/block.0/m",), {"alpha": 1.0})
CHAIN = Match("MatMul+Add+Relu", ("mm", "a", "r"), ("/block.0/m", "w"), ("r",))


def test_a_graph_is_the_same_after_writing_and_reading() -> None:
    graph = gated()
    again = assert_round_trip(graph, {"x": X})
    assert [str(n) for n in again.nodes] == [str(n) for n in graph.nodes]


def test_fused_operators_are_functions_that_read_back_as_fused_operators() -> None:
    fused = fuse(gated(), [SILU, CHAIN])
    model = to_model(fused)
    assert {f.domain for f in model.functions} == {FUSED_DOMAIN}
    assert len(model.functions) == 2
    again = typed(assert_round_trip(fused, {"x": X}))
    verify(again, concrete=True)
    assert to_text(again, exact=True) == to_text(fused, exact=True)
    assert again.digest == fused.digest


def test_fused_operators_inside_fused_operators_survive() -> None:
    once = fuse(gated(), [SILU])
    twice = fuse(once, [Match("Swish+MatMul", ("/block.0/m", "mm"), ("x", "w"), ("mm",))])
    again = assert_round_trip(twice, {"x": X})
    body = again.nodes[0].body
    assert body is not None
    assert [n.op for n in body.nodes] == ["Swish", "MatMul"]


def test_functions_whose_names_would_be_the_same_get_names_of_their_own() -> None:
    b = GraphBuilder("g")
    x = b.input("x", "float32", (2, 3))
    b.output(b.node("Neg", b.node("Abs", b.node("Neg", b.node("Abs", x, name="1"), name="a.b"), name="2"), name="a_b"))
    matches = [Match("Abs+Neg", ("1", "a.b"), ("x",), ("a.b",)), Match("Abs+Neg", ("2", "a_b"), ("a.b",), ("a_b",))]
    fused = fuse(b.build(), matches)
    assert len({f.name for f in to_model(fused).functions}) == 2
    assert_round_trip(fused, {"x": X})


def test_functions_of_others_are_inlined_beside_fused_ones() -> None:
    model = to_model(fuse(gated(), [SILU]))
    other = parsed(
        "g (float[2] x) => (float[2] y) { y = local.minus(x) }",
        imports=', "local": 1',
        functions='<domain: "local", opset_import: ["": 17]> minus (x) => (y) { y = Neg(x) }',
    )
    model.functions.extend(other.functions)
    model.opset_import.add(domain="local", version=1)
    model.graph.node.add(op_type="minus", domain="local", input=["r"], output=["z"])
    model.graph.output[0].name = "z"
    graph = from_proto(model)
    assert [n.op for n in graph.nodes] == ["Swish", "MatMul", "Add", "Relu", "Neg"]
    assert graph.nodes[0].body is not None


def test_regions_round_trip() -> None:
    branches: dict[str, Any] = {}
    for name, op in (("then_branch", "Neg"), ("else_branch", "Abs")):
        inner = GraphBuilder(name)
        inner.output(inner.node(op, inner.captured("x", "float32", (2, 3)), name=f"{name}_{op}"))
        branches[name] = inner.build()
    b = GraphBuilder("g")
    b.input("x", "float32", (2, 3))
    b.output(b.node("If", b.input("c", "bool", ()), **branches))
    again = assert_round_trip(b.build(), {"x": X, "c": np.array(True)})
    assert again.nodes[0].attributes["then_branch"].nodes[0].op == "Neg"


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1, -2], [3, 4]]).astype(ml_dtypes.int4),
        np.array([1.5, 2]).astype(ml_dtypes.bfloat16),
        np.array([1.5, 2]).astype(ml_dtypes.float8_e4m3fn),
        np.array([1, 0]).astype(ml_dtypes.uint2),
        np.array(["a", "é"], object),
        np.array([True, False]),
        np.array(1.5, np.float16),
        np.zeros((0, 3), np.float64),
        np.arange(6).reshape(2, 3).T,
    ],
    ids=lambda array: str(array.dtype),
)
def test_constants_of_every_kind_round_trip(array: Array) -> None:
    b = GraphBuilder("g")
    b.constant("c", array)
    b.output(b.node("Relu", b.input("x", "float32", (1,))), "c")
    graph = b.build()
    again = from_proto(to_model(graph)).constants["c"]
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(again, array)


def test_attributes_of_every_kind_round_trip() -> None:
    plain = {
        "number": 1, "ratio": 1.5, "text": "é", "raw": b"\xff", "sizes": (1, 2), "ratios": (0.5, 1.5),
        "texts": ("a", "b"),
    }  # fmt: skip
    tables = (np.ones(1, np.int8), np.ones((2, 2), np.int8))
    attributes = {**plain, "table": tables[1], "tables": tables}
    graph = replace(gated(), nodes=(Node("n", "Strange", ("x",), ("r",), attributes, "com.example", 3),))
    node = from_proto(to_model(graph)).nodes[0]
    assert (node.op, node.domain, node.version) == ("Strange", "com.example", 3)
    assert {name: node.attributes[name] for name in plain} == plain
    np.testing.assert_array_equal(node.attributes["table"], tables[1])
    for read, written in zip(node.attributes["tables"], tables, strict=True):
        np.testing.assert_array_equal(read, written)


def test_a_graph_without_its_weights_is_not_written() -> None:
    b = GraphBuilder("g")
    b.output(b.node("Add", b.input("x", "float32", (2,)), b.missing("w", "float32", (2,)), name="a"))
    graph = b.build()
    with pytest.raises(ModelError, match=r"graph 'g' has no data for 1 weights \(such as 'w'\)"):
        to_model(graph)
    with pytest.raises(ModelError, match="has no data for 1 weights"):
        to_model(fuse(graph, [Match("Add", ("a",), ("x",), ("a",))]))


def test_operators_that_changed_between_two_opsets_are_not_mixed() -> None:
    b = GraphBuilder("g")
    x = b.input("x", "float32", (2, 3))
    b.output(b.node("Relu", b.node("ReduceMean", x, axes=(1,), version=13, name="mean"), version=18))
    with pytest.raises(
        ModelError, match=r"node 'mean' \(ReduceMean\) is of opset 13, others of 18, where ReduceMean is"
    ):
        to_model(b.build())


def test_operators_that_did_not_change_may_be_of_older_opsets() -> None:
    b = GraphBuilder("g")
    x = b.input("x", "float32", (2, 3))
    b.output(b.node("Relu", b.node("Abs", x, version=14), version=18))
    assert_round_trip(b.build(), {"x": X})


def test_a_call_that_does_not_fit_its_function_is_refused() -> None:
    model = to_model(fuse(gated(), [SILU]))
    model.graph.node[0].input.append("w")
    with pytest.raises(ModelError, match="does not have the inputs and outputs of its function"):
        from_proto(model)
