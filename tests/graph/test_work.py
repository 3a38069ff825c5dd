import math
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph, Node, Value
from partita.graph.match import Match, fuse
from partita.graph.work import (
    BATCHED_MATMUL,
    DENSE_CONV,
    DEPTHWISE_CONV,
    FIRST_CONV,
    FREE,
    GEMM,
    GROUPED_CONV,
    OP_CLASSES,
    STRIDED_DEPTHWISE_CONV,
    Matmul,
    Work,
    class_of,
    uncounted,
    work_of,
)

Shape = tuple[int, ...]


def built(
    op: str, *inputs: Shape | str | None, weights: tuple[Shape, ...] = (), outputs: int = 1, **rest: Any
) -> Graph:
    """One operator on float32 inputs of these shapes, then on weights without data."""
    b = GraphBuilder("g")
    names = [b.input(f"x{i}", "float32", shape) if isinstance(shape, tuple) else "" for i, shape in enumerate(inputs)]
    names += [b.missing(f"w{i}", "float32", shape) for i, shape in enumerate(weights)]
    made = b.node(op, *names, outputs=outputs, name="y", **rest)
    b.output(*([made] if isinstance(made, str) else made))
    return b.build()


def work(op: str, *inputs: Shape | str | None, **rest: Any) -> Work:
    graph = built(op, *inputs, **rest)
    return work_of(graph, graph.nodes[0])


def untyped(op: str, inputs: dict[str, Value], outputs: dict[str, Value], domain: str = "", **attributes: Any) -> Work:
    """The work of an operator whose output types are told, because ONNX does not infer them."""
    names = tuple("" if name.startswith("_") else name for name in inputs)
    node = Node("n", op, names, tuple(outputs), attributes, domain)
    given_inputs = tuple(name for name in names if name)
    return work_of(Graph("g", (node,), given_inputs, tuple(outputs), {**inputs, **outputs}), node)


def f32(*shape: int) -> Value:
    return Value("float32", shape)


@pytest.mark.parametrize(
    ("image", "weight", "attributes", "macs", "op_class"),
    [
        ((1, 3, 8, 8), (16, 3, 3, 3), {}, 16 * 6 * 6 * 3 * 9, FIRST_CONV),
        ((2, 8, 8, 8), (16, 8, 3, 3), {"pads": (1, 1, 1, 1), "strides": (2, 2)}, 2 * 16 * 4 * 4 * 8 * 9, DENSE_CONV),
        ((1, 8, 8, 8), (16, 2, 1, 1), {"group": 4}, 16 * 64 * 2, GROUPED_CONV),
        ((1, 8, 8, 8), (8, 1, 3, 3), {"group": 8}, 8 * 36 * 9, DEPTHWISE_CONV),
        ((1, 8, 8, 8), (16, 1, 3, 3), {"group": 8, "strides": (2, 2)}, 16 * 9 * 9, STRIDED_DEPTHWISE_CONV),
        ((1, 8, 10), (4, 8, 3), {}, 4 * 8 * 8 * 3, DENSE_CONV),
        ((1, 8, 4, 4, 4), (4, 8, 2, 2, 2), {}, 4 * 27 * 8 * 8, DENSE_CONV),
    ],
)
def test_a_convolution_counts_every_product(
    image: Shape, weight: Shape, attributes: dict[str, Any], macs: int, op_class: str
) -> None:
    found = work("Conv", image, weights=(weight,), **attributes)
    assert (found.macs, found.op_class) == (macs, op_class)
    assert found.weight_bytes == 4 * math.prod(weight)
    assert found.input_bytes == 4 * math.prod(image)


def test_a_bias_is_one_addition_per_result() -> None:
    without, biased = (work("Conv", (1, 8, 4, 4), weights=((8, 8, 1, 1), (8,))[:n]) for n in (1, 2))
    assert (without.element_ops, biased.element_ops) == (0, 8 * 16)
    assert biased.weight_bytes == without.weight_bytes + 32


def test_a_transposed_convolution_meets_the_whole_kernel_at_every_input_pixel() -> None:
    found = work("ConvTranspose", (1, 8, 4, 4), weights=((8, 3, 2, 2),), group=2, strides=(2, 2))
    assert found.macs == 16 * 8 * 3 * 4
    assert found.op_class == DENSE_CONV


@pytest.mark.parametrize(
    ("a", "b", "matmul"),
    [
        ((4, 5), (5, 6), Matmul(batch=1, m=4, n=6, k=5)),
        ((2, 3, 4, 5), (5, 6), Matmul(batch=1, m=24, n=6, k=5)),
        ((2, 3, 4, 5), (1, 1, 5, 6), Matmul(batch=1, m=24, n=6, k=5)),
        ((2, 1, 4, 5), (3, 5, 6), Matmul(batch=6, m=4, n=6, k=5)),
        ((4, 5), (3, 5, 6), Matmul(batch=3, m=4, n=6, k=5)),
        ((5,), (5,), Matmul(batch=1, m=1, n=1, k=5)),
        ((5,), (3, 5, 6), Matmul(batch=3, m=1, n=6, k=5)),
        ((3, 4, 5), (5,), Matmul(batch=1, m=12, n=1, k=5)),
        ((0, 5), (5, 6), Matmul(batch=1, m=0, n=6, k=5)),
    ],
)
def test_a_matrix_product_broadcasts(a: Shape, b: Shape, matmul: Matmul) -> None:
    found = work("MatMul", a, b)
    assert found.matmul == matmul
    assert found.op_class == BATCHED_MATMUL
    assert work("MatMul", a, weights=(b,)).op_class == GEMM


def test_a_zero_point_does_not_make_a_weight_of_an_activation() -> None:
    b = GraphBuilder("g")
    x, y = b.input("x", "uint8", (2, 3)), b.input("y", "uint8", (3, 4))
    b.output(b.node("MatMulInteger", x, y, b.constant("zero", np.uint8(3))))
    graph = b.build()
    assert class_of(graph, graph.nodes[0]) == BATCHED_MATMUL


def test_a_quantised_product_with_a_weight_is_a_gemm() -> None:
    types = {"a": Value("uint8", (2, 3)), "s": f32(), "z": Value("uint8", ()), "b": Value("uint8", (3, 4))}
    node = Node("n", "QLinearMatMul", ("a", "s", "z", "b", "s", "z", "s", "z"), ("y",))
    graph = Graph("g", (node,), ("a", "s", "z"), ("y",), {**types, "y": Value("uint8", (2, 4))}, {}, frozenset("b"))
    found = work_of(graph, node)
    assert (found.op_class, found.macs, found.weight_bytes) == (GEMM, 24, 12)


@pytest.mark.parametrize(("a", "transposed"), [((4, 5), 0), ((5, 4), 1)])
def test_gemm_counts_its_product_and_its_bias(a: Shape, transposed: int) -> None:
    found = work("Gemm", a, weights=((6, 5), (6,)), transA=transposed, transB=1)
    assert found.matmul == Matmul(batch=1, m=4, n=6, k=5)
    assert found.element_ops == 24


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_a_recurrent_layer_counts_input_and_state_of_every_step(op: str, gates: int) -> None:
    found = work(
        op, (7, 2, 5), weights=((2, gates * 3, 5), (2, gates * 3, 3)), hidden_size=3, direction="bidirectional"
    )
    assert found.macs == 7 * 2 * 2 * gates * 3 * (5 + 3)


@pytest.mark.parametrize(
    ("equation", "shapes", "matmul"),
    [
        ("ij,jk->ik", ((2, 3), (3, 4)), Matmul(batch=1, m=2, n=4, k=3)),
        ("bhid,bhjd->bhij", ((2, 3, 4, 5), (2, 3, 6, 5)), Matmul(batch=6, m=4, n=6, k=5)),
        ("ij,jk", ((2, 3), (3, 4)), Matmul(batch=1, m=2, n=4, k=3)),
        ("...ij,...jk->...ik", ((7, 2, 3), (1, 3, 4)), Matmul(batch=7, m=2, n=4, k=3)),
        ("i,i->", ((5,), (5,)), Matmul(batch=1, m=1, n=1, k=5)),
        ("i, j -> i j", ((5,), (6,)), Matmul(batch=1, m=5, n=6, k=1)),
        ("b...d,nd->b...n", ((2, 9, 8, 5), (3, 5)), Matmul(batch=72, m=2, n=3, k=5)),
    ],
)
def test_einsum_counts_each_combination_of_its_letters(
    equation: str, shapes: tuple[Shape, ...], matmul: Matmul
) -> None:
    assert work("Einsum", *shapes, equation=equation).matmul == matmul


def test_einsum_of_one_operand_multiplies_nothing() -> None:
    assert work("Einsum", (3, 3), equation="ii->i").macs == 0


def test_attention_counts_both_products_and_the_softmax_between() -> None:
    found = work("Attention", (2, 4, 6, 8), (2, 4, 10, 8), (2, 4, 10, 16))
    scores = 2 * 4 * 6 * 10
    assert found.macs == scores * 8 + scores * 16
    assert found.matmul == Matmul(batch=8, m=6, n=16, k=10)
    assert found.element_ops == scores * 14
    heads = {"q_num_heads": 4, "kv_num_heads": 4}
    assert work("Attention", (2, 6, 32), (2, 10, 32), (2, 10, 64), **heads).macs == found.macs


def test_attention_with_a_cache_attends_to_all_of_it() -> None:
    shapes = ((1, 2, 1, 4), (1, 2, 1, 4), (1, 2, 1, 4), None, (1, 2, 9, 4), (1, 2, 9, 4))
    assert work("Attention", *shapes, outputs=3).macs == 2 * 10 * 4 * 2


def test_contrib_attention_projects_first() -> None:
    tokens, weight = f32(2, 6, 32), f32(32, 96)
    found = untyped("Attention", {"x": tokens, "w": weight}, {"y": f32(2, 6, 32)}, "com.microsoft", num_heads=4)
    assert found.macs == 12 * 32 * 96 + 2 * (2 * 6 * 6 * 32)
    found = untyped(
        "MultiHeadAttention", {"q": tokens, "k": f32(2, 10, 32), "v": f32(2, 10, 32)}, {"y": tokens}, "com.microsoft",
        num_heads=4,
    )  # fmt: skip
    assert found.macs == 2 * (2 * 6 * 10 * 32)


def test_contrib_products_honour_their_attributes() -> None:
    found = untyped("FusedMatMul", {"a": f32(3, 5, 4), "b": f32(3, 6, 5)}, {"y": f32(3, 4, 6)}, transA=1, transB=1)
    assert found.matmul == Matmul(batch=3, m=4, n=6, k=5)
    packed = Value("uint8", (16, 1, 16))
    found = untyped("MatMulNBits", {"a": f32(2, 3, 32), "b": packed}, {"y": f32(2, 3, 16)}, K=32, N=16)
    assert found.macs == 6 * 32 * 16


def test_views_are_free() -> None:
    assert work("Flatten", (2, 3, 4)) == Work(
        op_class=FREE, macs=0, element_ops=0, input_bytes=0, output_bytes=0, weight_bytes=0
    )


@pytest.mark.parametrize(("dtype", "size"), [(None, 4), ("float32", 4), ("float16", 2), ("bfloat16", 2)])
def test_floating_tensors_take_the_bytes_of_the_dtype_asked_for(dtype: str | None, size: int) -> None:
    graph = built("Add", (4, 4), weights=((4,),))
    found = work_of(graph, graph.nodes[0], dtype)
    assert (found.input_bytes, found.output_bytes, found.weight_bytes) == (16 * size, 16 * size, 4 * size)


def test_other_tensors_keep_their_own_bytes() -> None:
    b = GraphBuilder("g")
    b.output(b.node("DequantizeLinear", b.input("x", "int4", (8,)), b.constant("s", np.float32(1)), version=21))
    graph = b.build()
    found = work_of(graph, graph.nodes[0], "float16")
    assert (found.input_bytes, found.output_bytes, found.weight_bytes) == (4, 16, 2)


def test_a_tensor_read_twice_is_counted_once() -> None:
    b = GraphBuilder("g")
    x = b.input("x", "float32", (4,))
    b.output(b.node("Mul", x, x))
    graph = b.build()
    assert work_of(graph, graph.nodes[0]).input_bytes == 16


def gather(rows: int, *, is_weight: bool) -> Work:
    b = GraphBuilder("g")
    table = (b.missing if is_weight else b.input)("table", "float32", (30_000, 128))
    b.output(b.node("Gather", table, b.input("ids", "int64", (1, rows))))
    graph = b.build()
    return work_of(graph, graph.nodes[0])


def test_an_embedding_reads_only_the_rows_it_takes() -> None:
    found = gather(7, is_weight=True)
    assert (found.weight_bytes, found.input_bytes, found.output_bytes) == (7 * 512, 7 * 8, 7 * 512)
    found = gather(7, is_weight=False)
    assert (found.weight_bytes, found.input_bytes) == (0, 7 * 512 + 7 * 8)


def test_an_embedding_reads_no_row_twice_from_memory() -> None:
    assert gather(40_000, is_weight=True).weight_bytes == 30_000 * 512


def test_slices_and_parts_read_only_what_they_take() -> None:
    b = GraphBuilder("g")
    ends = [b.constant(name, np.array([value])) for name, value in (("from", 0), ("to", 2), ("axis", 0))]
    b.output(b.node("Slice", b.input("x", "float32", (100, 8)), *ends))
    graph = b.build()
    assert work_of(graph, graph.nodes[0]).input_bytes == 2 * 8 * 4
    graph = built("Split", (4, 8), outputs=2, axis=0)
    assert work_of(graph, graph.nodes[0]).input_bytes == 4 * 8 * 4
    part = Node("y", "Split", ("x0",), ("y.0", ""), {"axis": 0})
    assert work_of(graph, part).input_bytes == 2 * 8 * 4


def embedding_block() -> Graph:
    """Rows of a table, scaled, reshaped, convolved with a weight, and a ReLU."""
    b = GraphBuilder("g")
    rows = b.node("Gather", b.missing("table", "float32", (1000, 64)), b.input("ids", "int64", (1,)), name="rows")
    image = b.node("Reshape", rows, b.constant("shape", np.array([1, 4, 4, 4])), name="image")
    y = b.node("Conv", image, b.missing("w", "float32", (8, 4, 3, 3)), name="conv")
    b.output(b.node("Relu", y, name="relu"))
    return b.build()


def test_a_fused_operator_has_the_work_of_its_body_and_the_bytes_at_its_border() -> None:
    graph = embedding_block()
    separate = [work_of(graph, node) for node in graph.nodes]
    whole = fuse(graph, [Match("All", ("rows", "image", "conv", "relu"), ("ids",), ("relu",))])
    found = work_of(whole, whole.nodes[0])
    assert found.macs == sum(w.macs for w in separate) == 8 * 4 * 4 * 9
    assert found.element_ops == sum(w.element_ops for w in separate)
    assert (found.input_bytes, found.output_bytes) == (8, 8 * 4 * 4)
    assert found.op_class == FIRST_CONV
    shape_bytes = 4 * 8
    assert found.weight_bytes == 64 * 4 + 8 * 4 * 9 * 4 + shape_bytes


def test_the_weights_of_a_fused_operator_count_alike_inside_and_outside_of_its_body() -> None:
    graph = embedding_block()
    inside, outside = (
        fuse(graph, [Match("Conv+Relu", ("conv", "relu"), inputs, ("relu",))])
        for inputs in (("image",), ("image", "w"))
    )
    assert work_of(inside, inside.nodes[-1]) == work_of(outside, outside.nodes[-1])


def loop(op: str, turns: int) -> tuple[Graph, Node]:
    inner = GraphBuilder("body")
    if op == "Loop":
        inner.input("i", "int64", ())
        inner.input("go", "bool", ())
        inner.output(inner.node("Identity", "go", name="still"))
    part = inner.input("part", "float32", (2, 3))
    inner.output(inner.node("MatMul", part, inner.captured("w", "float32", (3, 3)), name="product"))
    b = GraphBuilder("g")
    b.missing("w", "float32", (3, 3))
    if op == "Loop":
        count, go = b.constant("count", np.array(turns)), b.constant("start", np.array(True))
        b.output(b.node("Loop", count, go, b.input("x", "float32", (2, 3)), body=inner.build()))
    else:
        b.output(b.node("Scan", b.input("x", "float32", (turns, 2, 3)), body=inner.build(), num_scan_inputs=1))
    graph = b.build()
    return graph, graph.nodes[0]


@pytest.mark.parametrize("op", ["Loop", "Scan"])
def test_a_loop_counts_every_turn_that_is_known(op: str) -> None:
    found = work_of(*loop(op, 5))
    assert found.macs == 5 * 2 * 3 * 3
    assert found.weight_bytes == 5 * 36
    assert (found.op_class, found.matmul) == ("gemm", Matmul(batch=1, m=2, n=3, k=3))


def test_a_loop_says_what_it_leaves_out() -> None:
    graph, node = loop("Loop", 5)
    assert uncounted(graph, node) is None
    told = replace(graph, constants={name: a for name, a in graph.constants.items() if name != "count"})
    assert uncounted(told, node) == "one turn is counted: how many there are is told by an input"
    body: Graph = node.attributes["body"]
    grown = replace(body, values={**body.values, "product": Value("float32", (None, 3))})
    node = replace(node, attributes={**node.attributes, "body": grown})
    assert uncounted(graph, node) == "what runs within is not counted: its sizes change while it runs"


def test_an_if_counts_its_heavier_branch() -> None:
    branches: dict[str, Any] = {}
    for name, op in (("then_branch", "Neg"), ("else_branch", "Exp")):
        inner = GraphBuilder(name)
        inner.output(inner.node(op, inner.captured("x", "float32", (4,)), name=op))
        branches[name] = inner.build()
    b = GraphBuilder("g")
    b.input("x", "float32", (4,))
    b.output(b.node("If", b.input("c", "bool", ()), **branches))
    graph = b.build()
    found = work_of(graph, graph.nodes[0])
    assert (found.op_class, found.element_ops) == ("elementwise", 4 * 8)


def test_an_if_whose_branches_do_nothing_is_of_no_class_of_its_own() -> None:
    branches: dict[str, Any] = {}
    for name in ("then_branch", "else_branch"):
        inner = GraphBuilder(name)
        inner.output(inner.node("Identity", inner.captured("x", "float32", (4,)), name=name))
        branches[name] = inner.build()
    b = GraphBuilder("g")
    b.input("x", "float32", (4,))
    b.output(b.node("If", b.input("c", "bool", ()), **branches))
    graph = b.build()
    assert work_of(graph, graph.nodes[0]).op_class == "other"


def naive_conv_macs(image: Shape, weight: Shape, group: int, stride: int) -> int:
    """Multiplications, one by one, of a convolution without padding."""
    count = 0
    rows, columns = ((image[i] - weight[i]) // stride + 1 for i in (2, 3))
    for _n, _out, _row, _column in product(range(image[0]), range(weight[0]), range(rows), range(columns)):
        for _in, _i, _j in product(range(image[1] // group), range(weight[2]), range(weight[3])):
            count += 1
    return count


@settings(max_examples=40, deadline=None)
@given(
    group=st.integers(1, 3), per_group=st.integers(1, 3), n=st.integers(1, 2), out=st.integers(1, 2),
    size=st.integers(3, 5), kernel=st.integers(1, 3), stride=st.integers(1, 2),
)  # fmt: skip
def test_the_products_of_any_convolution_are_those_of_its_loops(  # noqa: PLR0913  # one argument per strategy
    group: int, per_group: int, n: int, out: int, size: int, kernel: int, stride: int
) -> None:
    image, weight = (n, group * per_group, size, size), (group * out, per_group, kernel, kernel)
    found = work("Conv", image, weights=(weight,), group=group, strides=(stride, stride))
    assert found.macs == naive_conv_macs(image, weight, group, stride)


shapes = st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple)


@settings(max_examples=60, deadline=None)
@given(op=st.sampled_from(("Relu", "Softmax", "Exp", "ReduceMax", "Flatten", "Shape", "Transpose")), shape=shapes)
def test_work_is_never_negative(op: str, shape: Shape) -> None:
    found = work(op, shape)
    assert found.op_class in OP_CLASSES
    assert min(found.macs, found.element_ops, found.input_bytes, found.output_bytes, found.weight_bytes) >= 0


@settings(max_examples=60, deadline=None)
@given(batch=shapes, m=st.integers(0, 4), n=st.integers(0, 4), k=st.integers(0, 4), shared=st.booleans())
def test_the_products_of_any_matmul_are_results_times_depth(batch: Shape, m: int, n: int, k: int, shared: bool) -> None:
    found = work("MatMul", (*batch, m, k), (k, n) if shared else (*batch, k, n))
    assert found.macs == math.prod(batch) * m * n * k


def test_a_fused_product_of_a_weight_is_of_the_class_that_it_has_alone() -> None:
    b = GraphBuilder("g")
    x = b.input("x", "float32", (1, 8))
    b.output(b.node("Relu", b.node("MatMul", x, b.missing("w", "float32", (8, 4)), name="m"), name="r"))
    graph = b.build()
    fused = fuse(graph, [Match("MatMul+Relu", ("m", "r"), ("x", "w"), (graph.outputs[0],))])
    assert work_of(fused, fused.nodes[0]).op_class == work_of(graph, graph.nodes[0]).op_class == GEMM
