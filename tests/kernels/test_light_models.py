"""onnx's `light` models, whose weights are all one constant, filled with random weights, against onnxruntime."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from partita.graph.dtypes import name_of_numpy
from partita.graph.ir import Graph, Value
from partita.graph.onnx_export import to_model
from partita.graph.onnx_import import read_onnx
from partita.kernels.executor import run
from partita.passes.random_weights import fill_missing

pytestmark = pytest.mark.slow

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
SMALL = ("densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet")
"""The others, alexnet, vgg19 and zfnet512, have 0.2 to 0.6 GB of weights."""


def with_random_weights(graph: Graph) -> Graph:
    """The graph with each ConstantOfShape of a known shape as a weight of its own."""
    made = {
        node.outputs[0]: tuple(int(size) for size in graph.constants[node.inputs[0]])
        for node in graph.nodes
        if node.op == "ConstantOfShape"
    }
    values = {name: Value("float32", shape) for name, shape in made.items()}
    kept = tuple(node for node in graph.nodes if node.op != "ConstantOfShape")
    return fill_missing(
        replace(graph, nodes=kept, values={**graph.values, **values}, missing=graph.missing | frozenset(made))
    )


@pytest.mark.parametrize("name", SMALL)
def test_a_light_model_with_random_weights_agrees_with_onnxruntime(name: str) -> None:
    graph = with_random_weights(read_onnx(FOLDER / f"light_{name}.onnx"))
    (given,) = graph.inputs
    x = np.random.default_rng(0).standard_normal(graph.value(given).dims, np.float32)
    assert name_of_numpy(x.dtype) == graph.value(given).dtype
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(to_model(graph).SerializeToString(), options, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {given: x})
    (result,) = run(graph, {given: x}).values()
    assert float(expected.std()) > 1e-3 * float(np.abs(expected).max())
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-5 * float(np.abs(expected).max()))
