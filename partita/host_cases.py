"""The operators that `partita calibrate --host` times: a spread of classes and sizes, each a graph of one operator."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.match import Match, fuse

Build = Callable[[GraphBuilder], str]
DENSE = (
    (16, 32, 56, 1, 1), (32, 64, 28, 1, 1), (64, 64, 28, 3, 1), (128, 256, 14, 1, 1), (256, 256, 14, 3, 1),
    (512, 128, 7, 1, 1), (96, 24, 56, 1, 1), (24, 96, 28, 3, 2), (48, 48, 40, 3, 1), (320, 960, 7, 1, 1),
    (64, 128, 56, 3, 2), (256, 64, 28, 1, 1), (32, 32, 112, 3, 1), (16, 8, 96, 5, 1), (512, 512, 7, 3, 1),
    (40, 120, 28, 1, 1), (960, 160, 7, 1, 1), (64, 256, 1, 1, 1),
)  # fmt: skip
"""Channels in and out, side, window, stride: as MobileNets, ResNets and detectors have them."""
NARROW = ((8, 8, 120, 5), (32, 1, 96, 3), (16, 4, 96, 3), (1, 32, 120, 7), (33, 1, 120, 3), (8, 2, 56, 3))
"""Channels in and out, side, window: products with few columns, which fill no block."""
CHAINS = ((16, 32, 112, 1), (128, 128, 28, 1), (384, 1536, 64, 0), (32, 64, 56, 3))
"""Channels in and out, side, window of products with a tail; without a window a product of so many rows."""
TAILS = (("Relu",), ("HardSwish",), ("Sigmoid",), ("Add", "Gelu"))
DEPTHWISE = ((32, 112, 3, 1), (96, 112, 3, 2), (144, 56, 3, 1), (192, 28, 5, 1), (240, 28, 5, 2),
             (384, 14, 3, 1), (576, 14, 3, 2), (960, 7, 5, 1), (64, 80, 3, 1), (128, 40, 3, 2))  # fmt: skip
PRODUCTS = ((1, 1280, 1000), (1, 512, 512), (16, 384, 384), (128, 768, 768), (128, 768, 3072), (64, 256, 512),
            (384, 64, 64), (8, 2048, 512))  # fmt: skip
BATCHED = ((12, 128, 64, 128), (12, 128, 128, 64), (4, 32, 64, 32), (8, 197, 32, 197), (2, 512, 64, 512))
MAPS = ((1, 16, 112, 112), (1, 64, 56, 56), (1, 128, 28, 28), (1, 320, 14, 14), (1, 960, 7, 7), (1, 32, 160, 160))
ROWS = ((1, 128, 768), (1, 197, 192), (8, 64, 256), (1, 1, 384), (1, 512, 512))


def cases(*, quick: bool, seed: int) -> tuple[Graph, ...]:
    """The graphs in an order that `seed` decides, so that a slow spell of the machine does not hit one class."""
    graphs = [_graph(f"case{index}", build) for index, build in enumerate(_builds(quick=quick))]
    graphs += [_chain(sizes, tail) for sizes in CHAINS[:: 2 if quick else 1] for tail in TAILS]
    random.Random(seed).shuffle(graphs)
    return tuple(graphs)


def _graph(name: str, build: Build) -> Graph:
    b = GraphBuilder(name)
    b.output(build(b))
    return b.build()


def _chain(sizes: tuple[int, int, int, int], tail: Sequence[str]) -> Graph:
    """A convolution, or a product if its window is 0, with a tail of element-wise operators, as one operator."""
    channels, filters, side, window = sizes
    b = GraphBuilder(f"{'+'.join(tail)} after {sizes}")
    y = (_conv(channels, filters, side, window, 1) if window else _gemm(side, channels, filters))(b)
    inputs = ["x", *(["w", "bias"] if window else ["w"])]
    nodes = ["op"]
    for op in tail:
        operands = [b.missing("b", "float32", (filters, 1, 1) if window else (filters,))] if op == "Add" else []
        inputs += operands
        nodes.append(op)
        y = b.node(op, y, *operands, name=op)
    b.output(y)
    graph = b.build()
    return fuse(graph, [Match("+".join(("Conv" if window else "MatMul", *tail)), tuple(nodes), tuple(inputs), (y,))])


def _builds(*, quick: bool) -> Iterator[Build]:
    step = 2 if quick else 1
    yield from (_conv(*sizes) for sizes in DENSE[::step])
    yield from (_conv(3, filters, side, 3, 2) for filters, side in ((16, 224), (32, 160), (64, 96))[::step])
    yield from (_conv(c, c, side, 3, 1, group=g) for c, side, g in ((128, 28, 32), (64, 56, 4), (256, 14, 8))[::step])
    yield from (_conv(c, c, side, k, stride, group=c) for c, side, k, stride in DEPTHWISE[::step])
    yield from (_conv(c, filters, side, window, 1) for c, filters, side, window in NARROW[::step])
    yield from (_rows(length) for length in (22_000, 5_000)[::step])
    yield from (_gemm(*sizes) for sizes in PRODUCTS[::step])
    yield from (_batched(*sizes) for sizes in BATCHED[::step])
    for shape in MAPS[::step]:
        yield from (_on_map(op, shape) for op in ("Relu", "Sigmoid", "HardSwish", "Add", "Mul", "Erf")[::step])
        yield from (_pool(op, shape) for op in ("MaxPool", "AveragePool", "GlobalAveragePool")[::step])
        yield from (_moved(op, shape) for op in ("Transpose", "Concat", "Slice", "Pad", "DepthToSpace")[::step])
        yield _op("ReduceMean", shape, axes=(2, 3), keepdims=1)
        yield _op("BatchNormalization", shape, weights=[(shape[1],)] * 4)
    for rows in ROWS[::step]:
        yield _op("LayerNormalization", rows, weights=[(rows[-1],)] * 2)
        yield _op("Softmax", rows)
        yield _op("Transpose", rows, perm=(0, 2, 1))
        yield _op("Add", rows, weights=[(rows[-1],)])
    yield from (_resize(shape) for shape in MAPS[2:4])
    yield from (_gather(*sizes) for sizes in ((30_000, 384, 128), (1_000, 64, 512)))
    yield from (_lstm(*sizes) for sizes in ((32, 64, 64), (10, 128, 256))[::step])


def _conv(channels: int, filters: int, side: int, window: int, stride: int, group: int = 1) -> Build:
    def build(b: GraphBuilder) -> str:
        x = b.input("x", "float32", (1, channels, side, side))
        w = b.missing("w", "float32", (filters, channels // group, window, window))
        bias = b.missing("bias", "float32", (filters,))
        pads = (window // 2,) * 4
        return b.node("Conv", x, w, bias, name="op", group=group, pads=pads, strides=(stride, stride))

    return build


def _rows(length: int) -> Build:
    """A one-dimensional convolution, as audio models begin with."""

    def build(b: GraphBuilder) -> str:
        x, w = b.input("x", "float32", (1, 1, 1, length)), b.missing("w", "float32", (1, 1, 1, 256))
        return b.node("Conv", x, w, name="op", strides=(1, 2))

    return build


def _gemm(m: int, k: int, n: int) -> Build:
    return lambda b: b.node("MatMul", b.input("x", "float32", (m, k)), b.missing("w", "float32", (k, n)), name="op")


def _batched(batch: int, m: int, k: int, n: int) -> Build:
    def build(b: GraphBuilder) -> str:
        return b.node(
            "MatMul", b.input("x", "float32", (1, batch, m, k)), b.input("y", "float32", (1, batch, k, n)), name="op"
        )

    return build


def _op(op: str, shape: Sequence[int], weights: Sequence[tuple[int, ...]] = (), **attributes: Any) -> Build:
    def build(b: GraphBuilder) -> str:
        x = b.input("x", "float32", tuple(shape))
        names = [b.missing(f"w{i}", "float32", weight) for i, weight in enumerate(weights)]
        return b.node(op, x, *names, name="op", **attributes)

    return build


def _on_map(op: str, shape: tuple[int, ...]) -> Build:
    if op not in ("Add", "Mul"):
        return _op(op, shape)
    return lambda b: b.node(op, b.input("x", "float32", shape), b.input("y", "float32", shape), name="op")


def _pool(op: str, shape: tuple[int, ...]) -> Build:
    return _op(op, shape) if op.startswith("Global") else _op(op, shape, kernel_shape=(3, 3), pads=(1, 1, 1, 1))


def _moved(op: str, shape: tuple[int, ...]) -> Build:
    if op == "Transpose":
        return _op(op, shape, perm=(0, 2, 3, 1))
    if op == "Concat":
        return lambda b: b.node(op, b.input("x", "float32", shape), b.input("y", "float32", shape), name="op", axis=1)
    if op == "DepthToSpace":
        return _op(op, (1, shape[1] // 4 * 4, *shape[2:]), blocksize=2)
    return _cut(op, shape)


def _cut(op: str, shape: tuple[int, ...]) -> Build:
    """A Slice of half the channels, or a Pad by one pixel."""

    def build(b: GraphBuilder) -> str:
        x = b.input("x", "float32", shape)
        if op == "Pad":
            return b.node(op, x, b.constant("pads", _int64(0, 0, 1, 1, 0, 0, 1, 1)), name="op")
        ends = [b.constant(name, _int64(value)) for name, value in (("from", 0), ("to", shape[1] // 2), ("axis", 1))]
        return b.node(op, x, *ends, name="op")

    return build


def _resize(shape: tuple[int, ...]) -> Build:
    def build(b: GraphBuilder) -> str:

        scales = b.constant("scales", np.array([1, 1, 2, 2], np.float32))
        return b.node("Resize", b.input("x", "float32", shape), "", scales, name="op", mode="linear")

    return build


def _gather(rows: int, width: int, taken: int) -> Build:
    def build(b: GraphBuilder) -> str:
        table = b.missing("table", "float32", (rows, width))
        return b.node("Gather", table, b.input("indices", "int64", (1, taken)), name="op")

    return build


def _lstm(steps: int, width: int, hidden: int) -> Build:
    def build(b: GraphBuilder) -> str:
        x = b.input("x", "float32", (steps, 1, width))
        w = b.missing("w", "float32", (1, 4 * hidden, width))
        r = b.missing("r", "float32", (1, 4 * hidden, hidden))
        return b.node("LSTM", x, w, r, name="op", hidden_size=hidden)

    return build


def _int64(*values: int) -> Any:

    return np.array(values, np.int64)
