"""What all blocks of the networks that `partita calibrate --host` runs can do: weights, activations, operators."""

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from partita.graph.build import GraphBuilder
from partita.graph.dtypes import onnx_of_name
from partita.units import MACS_PER_MMAC

CLASSES, FEW_CLASSES, LARGEST_HEAD_MMACS = (2, 9, 30, 128, 400, 6000, 12000, 30000), 128, 250.0


class Blocks:
    """A network under construction: the builder, the chance, and the work so far."""

    def __init__(self, b: GraphBuilder, rng: random.Random) -> None:
        self.b, self.rng, self.mmacs, self._count = b, rng, 0.0, 0

    def fresh(self, what: str) -> str:
        self._count += 1
        return f"{type(self).__name__}.{what}{self._count}"

    def weight(self, *shape: int) -> str:
        return self.b.missing(self.fresh("w"), "float32", shape)

    def number(self, value: Any, dtype: Any = np.float32) -> str:
        return self.b.constant(self.fresh("c"), np.asarray(value, dtype))

    def ints(self, *values: int) -> str:
        return self.number(values, np.int64)

    def classes(self, macs_of_one: int, usual: Sequence[int] = CLASSES) -> int:
        """How many a head tells apart, some of them as many as words or characters; each costs so much."""
        return min(self.rng.choice(usual), max(FEW_CLASSES, int(LARGEST_HEAD_MMACS * MACS_PER_MMAC) // macs_of_one))

    def activated(self, x: str) -> str:
        """One of the usual activations, in one of its spellings; or none."""
        b, kind = self.b, self.rng.choice(ACTIVATIONS)
        if kind == "Clip":
            return b.node("Clip", x, self.number(0.0), self.number(6.0))
        if kind == "swish":
            return self.swish(x)
        if kind == "hard swish":
            inner = b.node("Clip", b.node("Add", x, self.number(3.0)), self.number(0.0), self.number(6.0))
            return b.node("Div", b.node("Mul", x, inner), self.number(6.0))
        return x if kind == "none" else b.node(kind, x)

    def swish(self, x: str) -> str:
        return self.b.node("Mul", x, self.b.node("Sigmoid", x))

    def gelu(self, x: str) -> str:
        b = self.b
        if self.rng.random() < 0.5:
            return b.node("Gelu", x)
        inner = b.node("Add", b.node("Erf", b.node("Div", x, self.number(math.sqrt(2)))), self.number(1.0))
        return b.node("Mul", b.node("Mul", x, inner), self.number(0.5))

    def sundry(self, x: str, kind: str = "") -> str:
        """One of the smaller operators that are seen between the large ones; the result has the shape of `x`."""
        b, kind = self.b, kind or self.rng.choice(SUNDRY)
        if kind == "Cast":
            return b.node("Cast", b.node("Cast", x, to=INT32), to=FLOAT)
        if kind == "Where":
            return b.node("Where", b.node("Greater", x, self.number(0.0)), x, self.number(-1.0))
        if kind == "Softplus":
            return b.node("Mul", x, b.node("Tanh", b.node("Log", b.node("Add", b.node("Exp", x), self.number(1.0)))))
        if kind == "Equal":
            return b.node("Where", b.node("Equal", x, self.number(0.0)), self.number(1.0), x)
        if kind == "Clip":
            return b.node("Clip", x, self.number(0.0), self.number(6.0))
        if kind in ("ReduceMax", "ReduceMin", "ReduceL2", "ReduceMean"):
            return b.node("Sub", x, b.node(kind, x, self.ints(-1), keepdims=1))
        if kind == "ReduceSum":
            whole = b.node("Add", b.node(kind, b.node("Abs", x), self.ints(-1), keepdims=1), self.number(1.0))
            return b.node("Div", x, whole)
        if kind in ("Sqrt", "Log", "Reciprocal"):
            return b.node(kind, b.node("Add", b.node("Abs", x), self.number(1.0)))
        if kind in ("Max", "Min", "Pow"):
            return b.node(kind, x, self.number(2.0))
        return b.node(kind, x)


INT32, FLOAT = onnx_of_name("int32"), onnx_of_name("float32")
SUNDRY = (
    "Cast", "Where", "Softplus", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSum", "Sqrt", "Max", "Min", "Pow", "Exp",
    "Abs", "Neg", "Floor", "Elu", "Sin", "Erf", "Round",
)  # fmt: skip
PARADE = (
    *SUNDRY, "Equal", "Clip", "ReduceMean", "Gelu", "Sigmoid", "Tanh", "Relu", "LeakyRelu", "HardSigmoid", "HardSwish",
    "Softmax", "Log", "Reciprocal",
)  # fmt: skip
"""All that `sundry` can make."""
SUNDRY_SHARE = 0.12
"""How often a block has one."""
ACTIVATIONS = (
    "none", "none", "Relu", "Relu", "Relu", "Clip", "swish", "hard swish", "HardSwish", "Sigmoid", "Tanh", "LeakyRelu",
)  # fmt: skip
