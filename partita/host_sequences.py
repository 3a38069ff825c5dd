"""Blocks of sequences for the networks that `partita calibrate --host` runs: attention over tokens, and sound."""

import random

import numpy as np

from partita.graph.build import GraphBuilder
from partita.host_blocks import FLOAT, SUNDRY_SHARE, Blocks
from partita.units import MACS_PER_MMAC

VOCABULARIES = (1000, 8000, 30000)
SHORT = 32
"""So few tokens mostly read weights, and those of a vocabulary come from memory."""
NORM_EPSILON = 1e-5
MOST_STEPS = 300
"""Of a recurrent cell."""
PACKED_SHARE = 0.25
"""How many networks of tokens keep their weights in 8 bits and widen them as they run."""


class Tokens(Blocks):
    """[1, length, width], as encoders and decoders of tokens have it."""

    def __init__(self, b: GraphBuilder, rng: random.Random, length: int, width: int, head_width: int) -> None:
        super().__init__(b, rng)
        self.length, self.width = length, width
        self.head_width = head_width if width % head_width == 0 else width // 4
        self.heads = width // self.head_width
        self.ratio = rng.choice((2, 3, 4, 4))
        self.is_packed = rng.random() < PACKED_SHARE
        self.x = ""

    def take(self, x: str) -> None:
        self.x = x

    def embed(self) -> None:
        """Rows of a table, or a projection of what comes in; with positions added."""
        b = self.b
        kind = self.rng.random()
        if kind < 0.5:
            table = self.widened_weight(self.rng.choice(VOCABULARIES), self.width)
            x = b.node("Gather", table, b.input("tokens", "int64", (1, self.length)))
        elif kind < 0.75:
            x = self.product(b.input("x", "float32", (1, self.length, 64)), 64, self.width)
        else:
            x = self.patches()
        self.x = b.node("Add", x, self.weight(1, self.length, self.width))
        if self.rng.random() < 0.5:
            self.x = self.normed(self.x)

    def patches(self) -> str:
        """Squares of an image, each a token."""
        side, rows = self.rng.choice((8, 14, 16)), max(n for n in range(1, 33) if self.length % n == 0)
        image = self.b.input("image", "float32", (1, 3, rows * side, self.length // rows * side))
        weights = self.weight(self.width, 3, side, side), self.weight(self.width)
        maps = self.b.node("Conv", image, *weights, strides=(side, side))
        self.mmacs += self.length * self.width * 3 * side * side / MACS_PER_MMAC
        return self.b.node("Transpose", self.b.node("Reshape", maps, self.ints(1, self.width, -1)), perm=(0, 2, 1))

    def product(self, x: str, depth: int, columns: int, *, bias: bool = True) -> str:
        y = self.b.node("MatMul", x, self.widened_weight(depth, columns))
        self.mmacs += self.length * depth * columns / MACS_PER_MMAC
        return self.b.node("Add", y, self.weight(columns)) if bias else y

    def widened_weight(self, rows: int, columns: int) -> str:
        """A weight, or one of whole numbers with a scale for each row."""
        if not self.is_packed:
            return self.weight(rows, columns)
        whole = self.b.missing(self.fresh("q"), "int8", (rows, columns))
        return self.b.node("Mul", self.b.node("Cast", whole, to=FLOAT), self.weight(rows, 1))

    def normed(self, x: str) -> str:
        b, scale = self.b, self.weight(self.width)
        kind = self.rng.random()
        if kind < 0.6:
            return b.node("LayerNormalization", x, scale, self.weight(self.width), axis=-1)
        if kind < 0.8:
            return self.root_mean_square(x, scale)
        centred = b.node("Sub", x, b.node("ReduceMean", x, self.ints(-1)))
        squares = b.node("ReduceMean", b.node("Pow", centred, self.number(2.0)), self.ints(-1))
        root = b.node("Sqrt", b.node("Add", squares, self.number(NORM_EPSILON)))
        return b.node("Add", b.node("Mul", b.node("Div", centred, root), scale), self.weight(self.width))

    def root_mean_square(self, x: str, scale: str) -> str:
        b = self.b
        squares = b.node("ReduceMean", b.node("Pow", x, self.number(2.0)), self.ints(-1))
        root = b.node("Reciprocal", b.node("Sqrt", b.node("Add", squares, self.number(NORM_EPSILON))))
        return b.node("Mul", b.node("Mul", x, root), scale)

    def layer(self) -> None:
        """Attention and two products, each added to what came in; normalised before or after."""
        before = self.rng.random() < 0.5
        for inner in (self.attended, self.widened):
            y = self.b.node("Add", self.x, inner(self.normed(self.x) if before else self.x))
            self.x = y if before else self.normed(y)
        if self.rng.random() < 2 * SUNDRY_SHARE:
            self.x = self.sundry(self.x)

    def attended(self, x: str) -> str:
        b = self.b
        if self.rng.random() < 0.4:
            wide = self.product(x, self.width, 3 * self.width)
            parts = list(b.node("Split", wide, self.ints(*(self.width,) * 3), outputs=3, axis=2))
        else:
            parts = [self.product(x, self.width, self.width) for _ in range(3)]
        query, key, value = (self.by_head(part) for part in parts)
        if self.rng.random() < 0.5:
            query = b.node("Mul", query, self.number(self.head_width**-0.5))
            scores = b.node("MatMul", query, b.node("Transpose", key, perm=(0, 1, 3, 2)))
        else:
            scores = b.node("MatMul", query, b.node("Transpose", key, perm=(0, 1, 3, 2)))
            scores = b.node("Div", scores, self.number(self.head_width**0.5))
        return self.product(self.mixed(scores, value), self.width, self.width)

    def mixed(self, scores: str, value: str) -> str:
        """Values weighed by scores, heads side by side again."""
        b = self.b
        if self.rng.random() < 0.4:
            scores = b.node("Add", scores, self.weight(1, 1, self.length, self.length))
        shares = b.node("Softmax", scores, axis=-1)
        if self.rng.random() < 0.3:
            shares = b.node("Where", b.node("IsNaN", shares), self.number(0.0), shares)
        together = b.node("Transpose", b.node("MatMul", shares, value), perm=(0, 2, 1, 3))
        self.mmacs += 2 * self.length * self.length * self.width / MACS_PER_MMAC
        return b.node("Reshape", together, self.ints(1, self.length, self.width))

    def by_head(self, x: str) -> str:
        split = self.b.node("Reshape", x, self.ints(1, self.length, self.heads, self.head_width))
        return self.b.node("Transpose", split, perm=(0, 2, 1, 3))

    def widened(self, x: str) -> str:
        wide = self.width * self.ratio
        y = self.product(x, self.width, wide)
        return self.product(self.gelu(y) if self.rng.random() < 0.7 else self.activated(y), wide, self.width)

    def rotary_layer(self) -> None:
        """A decoder's: rotated queries and keys, a causal mask, a gated pair of products."""
        b = self.b
        x = self.root_mean_square(self.x, self.weight(self.width))
        query, key = (self.rotated(self.by_head(self.product(x, self.width, self.width, bias=False))) for _ in "qk")
        value = self.by_head(self.product(x, self.width, self.width, bias=False))
        scores = b.node("MatMul", query, b.node("Transpose", key, perm=(0, 1, 3, 2)))
        scores = b.node("Mul", scores, self.number(self.head_width**-0.5))
        y = self.product(self.mixed(scores, value), self.width, self.width, bias=False)
        self.x = b.node("Add", self.x, y)
        x = self.root_mean_square(self.x, self.weight(self.width))
        wide = self.width * self.ratio
        gate, up = (self.product(x, self.width, wide, bias=False) for _ in "gu")
        gated = b.node("Mul", b.node("Mul", gate, b.node("Sigmoid", gate)), up)
        self.x = b.node("Add", self.x, self.product(gated, wide, self.width, bias=False))

    def rotated(self, x: str) -> str:
        b, half = self.b, self.head_width // 2
        first = b.node("Slice", x, self.ints(0), self.ints(half), self.ints(3))
        second = b.node("Slice", x, self.ints(half), self.ints(2 * half), self.ints(3))
        turned = b.node("Concat", b.node("Neg", second), first, axis=-1)
        cosines, sines = (self.weight(1, 1, self.length, self.head_width) for _ in "cs")
        return b.node("Add", b.node("Mul", x, cosines), b.node("Mul", turned, sines))

    def head(self) -> str:
        """A class for each token, or for the first."""
        if self.length <= SHORT:
            return self.product(self.x, self.width, self.classes(self.length * self.width, VOCABULARIES))
        if self.rng.random() < 0.5:
            return self.product(self.x, self.width, self.classes(self.length * self.width))
        first = self.b.node("Gather", self.x, self.number(0, np.int64), axis=1)
        classes = self.rng.choice((2, 10, 1000, 20000))
        return self.b.node("Gemm", first, self.weight(self.width, classes), self.weight(classes))


class Waves(Blocks):
    """[1, channels, length]: sound and other signals, with one-dimensional convolutions and recurrent cells."""

    def __init__(self, b: GraphBuilder, rng: random.Random) -> None:
        super().__init__(b, rng)
        self.length, self.channels = rng.choice((512, 1024, 4000, 16000)), 1
        self.x = b.input("x", "float32", (1, 1, self.length))

    def front(self) -> None:
        """A bank of long filters and the logarithm of its power, or filters of the usual size."""
        if self.rng.random() < 0.5:
            self.conv(self.rng.choice((64, 80, 258)), self.rng.choice((128, 256)), self.rng.choice((64, 128)))
            power = self.b.node("Pow", self.x, self.number(2.0))
            self.x = self.b.node("Log", self.b.node("Add", power, self.number(NORM_EPSILON)))
        else:
            self.conv(self.rng.choice((16, 32, 64)), 9, self.rng.choice((2, 4)))
            self.x = self.b.node("Relu", self.x)

    def conv(self, filters: int, window: int, stride: int = 1, group: int = 1) -> None:
        window = min(window, self.length)
        pad = (window - 1) // 2
        weight = self.weight(filters, self.channels // group, window)
        inputs = [self.x, weight, self.weight(filters)]
        self.x = self.b.node("Conv", *inputs, group=group, pads=(pad, pad), strides=(stride,))
        self.length = (self.length + 2 * pad - window) // stride + 1
        self.mmacs += self.length * filters * (self.channels // group) * window / MACS_PER_MMAC
        self.channels = filters

    def block(self) -> None:
        filters = self.rng.choice((32, 64, 96, 128))
        if self.rng.random() < 0.4:
            self.conv(self.channels, self.rng.choice((3, 5, 9)), 1, self.channels)
            self.conv(filters, 1)
        else:
            self.conv(filters, self.rng.choice((3, 5)), self.rng.choice((1, 1, 2)))
        self.x = self.activated(self.x)
        if self.rng.random() < 3 * SUNDRY_SHARE:
            self.x = self.sundry(self.x)

    def recurrent(self) -> None:
        """[length, 1, hidden] through some cells."""
        b = self.b
        while self.length > MOST_STEPS:
            self.conv(self.channels, 3, 2)
        x, width = b.node("Transpose", self.x, perm=(2, 0, 1)), self.channels
        for _ in range(self.rng.randint(2, 4)):
            op, hidden = self.rng.choice(("LSTM", "GRU")), self.rng.choice((32, 64, 128, 256))
            directions = self.rng.choice((1, 2))
            gates = (4 if op == "LSTM" else 3) * hidden
            weights = [self.weight(directions, gates, depth) for depth in (width, hidden)]
            weights.append(self.weight(directions, 2 * gates))
            turn = "forward" if directions == 1 else "bidirectional"
            y = b.node(op, x, *weights, hidden_size=hidden, direction=turn)
            width = directions * hidden
            x = b.node("Reshape", b.node("Transpose", y, perm=(0, 2, 1, 3)), self.ints(self.length, 1, width))
        self.x, self.channels = x, width

    def head(self) -> str:
        classes = self.classes(self.length * self.channels)
        y = self.b.node("Add", self.b.node("MatMul", self.x, self.weight(self.channels, classes)), self.weight(classes))
        return self.b.node("Softmax", y, axis=-1)
