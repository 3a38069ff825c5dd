"""Small models that exports have trouble with, and their plans."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

import partita as pt
from partita.graph.plan import Plan
from tests.graph.models import parsed

TWO_UNITS = """
g (float[4, 64] x) => (float[4, 64] y) {
  [mm] a = MatMul(x, w)
  [sigmoid] s = Sigmoid(a)
  [gate] h = Mul(a, s)
  [softmax] p = Softmax(h)
  [mm2] q = MatMul(p, w)
  [add] r = Add(q, h)
  [relu] y = Relu(r)
}
"""
"""A gated product whose weight is used twice, and a residual over it."""
SPLIT = ("mm*=npu", "sigmoid=npu", "gate=npu", "softmax=cpu", "add=npu", "relu=npu")
"""Pins that cut TWO_UNITS into three segments."""
SWITCHED = """
g (float[4, 64] x, bool c, int64 n) => (float[4, 64] y) {
  [mm] h = MatMul(x, w)
  [switch] k = If (c) <
    then_branch = then_graph () => (float[4, 64] t) { [abs] t = Abs(h) },
    else_branch = else_graph () => (float[4, 64] e) { [neg] e = Neg(h) }
  >
  [yes] true = Constant <value_int = 1> ()
  [go] go = Cast <to = 9> (true)
  [loop] y = Loop (n, go, k) <
    body = step (int64 i, bool before, float[4, 64] v) => (bool after, float[4, 64] u) {
      after = Identity(before)
      [plus] u = Add(v, h)
    }
  >
}
"""
"""An If and a Loop whose bodies read a tensor from around them."""
NONZERO = """
g (float[8] x) => (int64[1, k] j) {
  [where] i = NonZero(x)
  [double] j = Add(i, i)
}
"""
OTHER_SIZES = """
g (float[4, 64] x, int64 rate) => (float[r, s] y) {
  [wanted] wanted = Constant <value_int = 16> ()
  [is] c = Equal(rate, wanted)
  [switch] y = If (c) <
    then_branch = then_graph () => (float[a, b] t) { [mm] t = MatMul(x, w) },
    else_branch = else_graph () => (float[a, b] e) { [mm2] e = MatMul(x, narrow) }
  >
}
"""
"""A branch for other sizes than those that the input has, as silero-vad has one for each sampling rate."""


def saved(folder: Path, graph: str) -> Path:
    """The model in a file, with its weights."""
    model = parsed(graph, ir_version=10)
    generator = np.random.default_rng(0)
    for name, shape in (("w", (64, 64)), ("narrow", (32, 64))):
        if f" {name})" in graph:
            weight = generator.standard_normal(shape).astype(np.float32)
            model.graph.initializer.append(numpy_helper.from_array(weight, name))
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def placed(folder: Path, graph: str, *, pins: Sequence[str] = ()) -> Plan:
    """The plan of the model on a phone with an NPU."""
    rules = [pt.Rule(*pin.split("=")) for pin in pins]
    return pt.partition(pt.load(saved(folder, graph)), pt.soc("sd8gen3-qnn"), pins=rules)
