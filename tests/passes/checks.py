"""Runs graphs before and after a pass, by our executor and by onnxruntime, and compares."""

from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import helper

from partita.graph.ir import Graph, Node
from partita.graph.match import Match, fuse, fused_node
from partita.graph.onnx_export import to_model
from partita.graph.verify import verify
from partita.kernels.executor import compute, run
from partita.passes.random_feeds import random_feeds
from partita.passes.random_weights import fill_missing
from tests.kernels.single_node import run_onnxruntime

Array = np.ndarray[Any, np.dtype[Any]]
NEWEST_OPSET_OF_ONNXRUNTIME = 23
"""Of later opsets onnxruntime lacks operators, Swish-24 for one."""


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def run_in_onnxruntime(graph: Graph, feeds: dict[str, Array]) -> dict[str, Array]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    content = to_model(graph).SerializeToString()
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return dict(zip(graph.outputs, session.run(None, feeds), strict=True))


def assert_equal(found: dict[str, Array], wanted: dict[str, Array]) -> None:
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        largest = float(np.abs(array).max(initial=0)) if array.dtype.kind == "f" else 0.0
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5 * largest, err_msg=name)


def assert_same(before: Graph, after: Graph, feeds: dict[str, Array] | None = None) -> None:
    """`after` is sound and gives what `before` gives, in our executor and in onnxruntime."""
    verify(after)
    feeds = feeds or random_feeds(before)
    wanted = run(before, feeds)
    assert_equal(run(after, feeds), wanted)
    if after.nodes:
        assert_equal(run_in_onnxruntime(after, feeds), wanted)


def assert_fusible(graph: Graph, match: Match) -> None:
    """Fusing `match` gives a sound graph with one operator for the matched ones, which computes the same."""
    fused = fuse(graph, [match])
    verify(fused, concrete=True)
    assert len(fused.nodes) == len(graph.nodes) - len(match.nodes) + 1
    filled, fused = fill_missing(graph), fill_missing(fused)
    assert_same(filled, fused)


def assert_native(graph: Graph, match: Match, opset: int) -> None:
    """The ONNX operator that names the match computes the same as its body, in our kernels and in onnxruntime."""
    graph = fill_missing(graph)
    known = {
        **graph.constants,
        **run(graph, random_feeds(graph), [n for n in match.inputs if n not in graph.constants]),
    }
    inputs = [known[name] for name in match.inputs]
    wanted = {"y": compute(fused_node(graph, match), inputs)[0]}
    node = Node(match.pattern, match.pattern, match.inputs, match.outputs, match.attributes, "", opset)
    assert_equal({"y": compute(node, inputs)[0]}, wanted)
    if opset <= NEWEST_OPSET_OF_ONNXRUNTIME:
        proto = helper.make_node(match.pattern, match.inputs, match.outputs, **match.attributes)
        assert_equal({"y": run_onnxruntime(proto, inputs, opset)[0]}, wanted)
