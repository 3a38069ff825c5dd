import numpy as np

from partita.graph.build import GraphBuilder
from partita.graph.images import FIRST, LAST, channel_axes, is_layout_turn, lies_between_images


def test_an_image_is_known_forwards_and_backwards_and_ends_at_a_reshape() -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (1, 3, 8, 8))
    scaled = b.node("Div", x, b.constant("c", np.array([2.0], np.float32)), name="scale")
    y = b.node(
        "Conv", scaled, b.missing("w", "float32", (16, 3, 3, 3)), name="conv", kernel_shape=(3, 3), pads=(1,) * 4
    )
    joined = b.node("Concat", y, y, name="concat", axis=1)
    tokens = b.node("Reshape", joined, b.constant("s", [1, 32, 64]), name="reshape")
    b.output(b.node("Relu", tokens, name="relu"))
    axes = channel_axes(b.build())
    assert {name: axes.get(name) for name in (x, scaled, y, joined)} == dict.fromkeys((x, scaled, y, joined), FIRST)
    assert tokens not in axes


def test_scores_of_attention_are_no_image() -> None:
    b = GraphBuilder()
    q = b.input("q", "float32", (1, 12, 64, 32))
    b.output(b.node("Softmax", b.node("MatMul", q, b.input("k", "float32", (1, 12, 32, 64))), axis=-1))
    assert channel_axes(b.build()) == {}


def test_a_transpose_to_channels_last_and_back_is_a_turn_of_layout() -> None:
    b = GraphBuilder()
    x = b.node("Relu", b.node("GlobalAveragePool", b.input("x", "float32", (1, 16, 8, 8))))
    turned = b.node("Transpose", x, name="there", perm=(0, 2, 3, 1))
    scaled = b.node("MatMul", turned, b.missing("w", "float32", (16, 32)), name="linear")
    b.output(b.node("Transpose", scaled, name="back", perm=(0, 3, 1, 2)))
    graph = b.build()
    assert channel_axes(graph)[turned] == LAST
    assert [is_layout_turn(graph, graph.node_named[name]) for name in ("there", "back")] == [True, True]


def test_a_channel_shuffle_lies_between_images_and_patches_do_not() -> None:
    b = GraphBuilder()
    x = b.node("MaxPool", b.input("x", "float32", (1, 32, 8, 8)), name="pool", kernel_shape=(1, 1))
    split = b.node("Reshape", x, b.constant("a", [1, 2, 16, 8, 8]), name="split")
    mixed = b.node("Transpose", split, name="shuffle", perm=(0, 2, 1, 3, 4))
    back = b.node("Reshape", mixed, b.constant("b", [1, 32, 8, 8]), name="join")
    y = b.node("AveragePool", back, name="next", kernel_shape=(1, 1))
    flat = b.node("Reshape", y, b.constant("c", [1, 32, 64]), name="flat")
    b.output(b.node("Transpose", flat, name="patches", perm=(0, 2, 1)))
    graph = b.build()
    assert lies_between_images(graph, graph.node_named["shuffle"])
    assert not lies_between_images(graph, graph.node_named["patches"])
