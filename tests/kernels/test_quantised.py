"""Quantised arithmetic against onnxruntime's QDQ models and against its own definition."""

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import partita.kernels  # noqa: F401  (registers every kernel)
from partita.graph.build import GraphBuilder
from partita.graph.ir import Node
from partita.graph.quantisation import SCHEMES, Range, grid_of
from partita.kernels.calibration import calibrate
from partita.kernels.quantised import Quantised, compute_quantised, quantise, weight_codes

Array = np.ndarray[Any, Any]
FINITE = st.floats(-1e6, 1e6, width=32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(deadline=None, derandomize=True)
@given(low=FINITE, high=FINITE, name=st.sampled_from(sorted(SCHEMES)))
def test_every_grid_holds_zero_and_spans_its_range_to_within_a_step(low: float, high: float, name: str) -> None:
    observed = Range(min(low, high), max(low, high))
    grid = grid_of(observed, SCHEMES[name])
    ends = np.array([observed.low, observed.high, 0.0], np.float32)
    back = quantise(ends, grid).values()
    assert back[2] == 0
    assert np.all(np.abs(back - ends) <= grid.scale * 1.01 + 1e-30)


@settings(deadline=None, derandomize=True)
@given(st.lists(FINITE, min_size=1, max_size=50), st.sampled_from(sorted(SCHEMES)))
def test_values_in_range_are_off_by_at_most_half_a_step(values: list[float], name: str) -> None:
    x = np.array(values, np.float32)
    grid = grid_of(Range(float(x.min()), float(x.max())), SCHEMES[name])
    assert np.abs(quantise(x, grid).values() - x).max() <= grid.scale * (0.5 + 1e-3)


def test_values_out_of_range_saturate_and_nan_is_zero() -> None:
    grid = grid_of(Range(-1.0, 1.0), SCHEMES["int8"])
    codes = quantise(np.array([5, -5, np.inf, -np.inf, np.nan], np.float32), grid).codes
    assert codes.tolist() == [255, 0, 255, 0, grid.zero_point]


def test_codes_take_the_bytes_of_their_scheme() -> None:
    x = rng().standard_normal((4, 8)).astype(np.float32)
    assert quantise(x, grid_of(Range(-3, 3), SCHEMES["int8"])).nbytes == x.size
    assert quantise(x, grid_of(Range(-3, 3), SCHEMES["w8a16"])).nbytes == 2 * x.size


def qdq_by_onnxruntime(op: str, x: Quantised, w: Array, bias: Array | None, out: Quantised, **attributes: Any) -> Array:
    """Codes of the output of a QDQ model with the same grids, weights quantised per channel along axis 0."""
    codes, scales = weight_codes(w, 0, SCHEMES["int8"])
    weights = [
        numpy_helper.from_array(codes.astype(np.int8), "wq"),
        numpy_helper.from_array(scales.astype(np.float32), "ws"),
        numpy_helper.from_array(np.array(x.grid.scale, np.float32), "xs"),
        numpy_helper.from_array(np.array(x.grid.zero_point, np.uint8), "xz"),
        numpy_helper.from_array(np.array(out.grid.scale, np.float32), "ys"),
        numpy_helper.from_array(np.array(out.grid.zero_point, np.uint8), "yz"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["xf"]),
        helper.make_node("DequantizeLinear", ["wq", "ws"], ["wf"], axis=0),
    ]
    inputs = ["xf", "wf"]
    if bias is not None:
        weights.append(numpy_helper.from_array(np.rint(bias / (scales * x.grid.scale)).astype(np.int32), "bq"))
        weights.append(numpy_helper.from_array((scales * x.grid.scale).astype(np.float32), "bs"))
        nodes.append(helper.make_node("DequantizeLinear", ["bq", "bs"], ["bf"], axis=0))
        inputs.append("bf")
    nodes.append(helper.make_node(op, inputs, ["yf"], **attributes))
    nodes.append(helper.make_node("QuantizeLinear", ["yf", "ys", "yz"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "qdq",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # its integer kernels saturate on x86
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x.codes})[0])


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(
    ("op", "shape", "weight", "attributes"),
    [
        ("Conv", (1, 8, 12, 12), (16, 8, 3, 3), {"pads": (1, 1, 1, 1)}),
        ("Conv", (1, 8, 12, 12), (8, 1, 3, 3), {"group": 8}),
        ("Conv", (1, 64, 9, 9), (32, 64, 1, 1), {"strides": (2, 2)}),
        ("Gemm", (4, 300), (10, 300), {"transB": 1}),
    ],
)
def test_products_are_those_of_a_quantised_model_in_onnxruntime(
    op: str, shape: tuple[int, ...], weight: tuple[int, ...], attributes: dict[str, Any], with_bias: bool
) -> None:
    x = rng(1).standard_normal(shape).astype(np.float32)
    w = (rng(2).standard_normal(weight) / np.sqrt(np.prod(weight[1:]))).astype(np.float32)
    bias = rng(3).standard_normal(weight[0]).astype(np.float32) if with_bias else None
    given = quantise(x, grid_of(Range(float(x.min()), float(x.max())), SCHEMES["int8"]))
    node = Node("n", op, ("x", "w", "b")[: 3 if with_bias else 2], ("y",), attributes)
    (y,) = compute_quantised(node, [given, w, bias][: 3 if with_bias else 2], SCHEMES["int8"])
    out = quantise(y, grid_of(Range(float(y.min()), float(y.max())), SCHEMES["int8"]))
    theirs = qdq_by_onnxruntime(op, given, w, bias, out, **attributes)
    difference = np.abs(theirs.astype(int) - out.codes.astype(int))
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 0.01


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_more_bits_and_finer_scales_are_nearer_to_float(name: str) -> None:
    x = rng(4).standard_normal((1, 16, 10, 10)).astype(np.float32)
    w = (
        rng(5).standard_normal((8, 16, 3, 3)).astype(np.float32)
        * np.linspace(0.1, 3, 8, dtype=np.float32)[:, None, None, None]
    )
    node = Node("n", "Conv", ("x", "w"), ("y",), {})
    exact = compute_quantised(node, [x, w], SCHEMES[name])[0]
    given = quantise(x, grid_of(Range(float(x.min()), float(x.max())), SCHEMES[name]))
    error = np.abs(compute_quantised(node, [given, w], SCHEMES[name])[0] - exact).max() / np.abs(exact).max()
    assert error < {"w8a16": 0.01, "w4a16": 0.2, "int8": 0.02, "int8_symmetric": 0.03, "int8_per_tensor": 0.05}[name]


def test_sums_of_16_bit_codes_do_not_wrap() -> None:
    x = np.full((1, 4096), 3.0, np.float32)
    w = np.full((4096, 2), 2.0, np.float32)
    given = quantise(x, grid_of(Range(0.0, 3.0), SCHEMES["w8a16"]))
    (y,) = compute_quantised(Node("n", "MatMul", ("x", "w"), ("y",)), [given, w], SCHEMES["w8a16"])
    np.testing.assert_allclose(y, 4096 * 6.0, rtol=1e-6)


def test_calibration_sees_every_tensor_of_every_sample() -> None:
    b = GraphBuilder("g")
    b.output(b.node("Relu", b.node("Neg", b.input("x", "float32", (2,)), name="n"), name="r"))
    graph = b.build()
    ranges = calibrate(graph, [{"x": np.array([1, -2], np.float32)}, {"x": np.array([np.inf, -5], np.float32)}])
    assert ranges["x"] == Range(-5.0, 1.0)
    neg, relu = graph.nodes[0].outputs[0], graph.nodes[1].outputs[0]
    assert ranges[neg] == Range(-1.0, 5.0)
    assert ranges[relu] == Range(0.0, 5.0)
