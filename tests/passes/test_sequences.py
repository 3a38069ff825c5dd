"""Models whose tensors travel in sequences and optionals: prepared, written again, and run as by onnxruntime."""

from typing import Any

import numpy as np
import onnx
import pytest

from partita.errors import ModelError
from partita.graph.bind import Shapes
from partita.graph.onnx_export import to_model
from partita.graph.onnx_import import from_proto
from partita.graph.verify import verify
from partita.kernels.executor import run
from partita.passes.pipeline import prepare
from partita.passes.random_feeds import random_feeds
from tests.graph.models import parsed, run_in_onnxruntime

MODELS = {
    "taken out again": """g (float[2, 3] x, float[2, 3] z) => (float[2, 3] y) <int64 at = {1}> {
        s = SequenceConstruct(x, z)
        y = SequenceAt(s, at)
    }""",
    "of constants": """g (float[2] x) => (float[2] y) <int64 at = {1}, float[2] a = {1, 2}, float[2] b = {3, 4}> {
        s = SequenceConstruct(a, b)
        c = SequenceAt(s, at)
        y = Add(x, c)
    }""",
    "joined": "g (float[2, 3] x) => (float[n, 3] y) { s = SequenceConstruct(x, x)  y = ConcatFromSequence<axis=0>(s) }",
    "counted": "g (float[2, 3] x) => (int64 y) { s = SequenceConstruct(x, x)  y = SequenceLength(s) }",
    "optional": "g (float[2, 3] x) => (float[2, 3] y) { o = Optional(x)  y = OptionalGetElement(o) }",
    "grown from nothing": """g (float[2, 3] x) => (float[a, b] y) <int64 at = {0}> {
        s = SequenceEmpty<dtype = 1>()
        t = SequenceInsert(s, x)
        y = SequenceAt(t, at)
    }""",
    "given": "g (seq(float[n, 3]) x) => (float[m, 3] y) { c = ConcatFromSequence<axis = 0>(x)  y = Relu(c) }",
    "returned": "g (float[2, 3] x) => (seq(float[2, 3]) y) { r = Relu(x)  y = SequenceConstruct(r, x) }",
    "optional given": "g (optional(float[2, 3]) x) => (float[2, 3] y) { y = OptionalGetElement(x) }",
    "optional sequence": """g (float[2, 3] x) => (float[n, 3] y) {
        s = SequenceConstruct(x, x)
        o = Optional(s)
        t = OptionalGetElement(o)
        y = ConcatFromSequence<axis = 0>(t)
    }""",
    "grown by a loop": """g (float[2, 3] x, bool go) => (float[n, 3] y) <int64 turns = {3}> {
        s = SequenceEmpty<dtype = 1>()
        t = Loop (turns, go, s) <body = turn (int64 i, bool on, seq(float) before) => (bool still, seq(float) after) {
            still = Identity(on)
            after = SequenceInsert(before, x)
        }>
        y = ConcatFromSequence<axis = 0>(t)
    }""",
}


def listed(x: Any) -> Any:
    return [listed(element) for element in x] if isinstance(x, list) else np.asarray(x).tolist()


@pytest.mark.parametrize("name", MODELS)
def test_a_model_with_sequences_is_prepared_and_computes_what_onnxruntime_computes(name: str) -> None:
    model = parsed(MODELS[name])
    shapes: Shapes = {"n": 4} if name == "given" else {}
    graph = prepare(from_proto(model, shapes), check=True)
    verify(graph, concrete=True)
    onnx.checker.check_model(to_model(graph))
    feeds = random_feeds(graph)
    assert listed(run(graph, feeds)["y"]) == listed(run_in_onnxruntime(model, feeds)[0])


def test_a_sequence_of_tensors_of_any_shape_must_be_given_one_if_a_run_is_needed() -> None:
    with pytest.raises(ModelError, match=r"input 'x' of type float32\[\?x3\]; give it a shape"):
        prepare(from_proto(parsed(MODELS["given"])))
