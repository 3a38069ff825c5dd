"""Mathematical functions of one tensor against onnxruntime."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.kernels.oracle import check, examples, ours, seeds, shapes, tensor

EVERYWHERE = ["Abs", "Neg", "Sign", "Reciprocal", "Exp", "Ceil", "Floor", "Round", "Sin", "Cos", "Tan", "Atan"]
EVERYWHERE += ["Sinh", "Cosh", "Asinh", "Tanh", "Erf"]


@examples
@given(op=st.sampled_from(EVERYWHERE), shape=shapes, seed=seeds)
def test_functions_agree_with_onnxruntime(op: str, shape: tuple[int, ...], seed: int) -> None:
    x = tensor(seed, shape)
    if op == "Round":
        x = np.round(x * 2) / np.float32(2)
    check(helper.make_node(op, ["x"], ["y"]), x, opset=13, rtol=2e-5)


@examples
@given(op=st.sampled_from(["Sqrt", "Log", "Acos", "Asin", "Atanh", "Acosh"]), shape=shapes, seed=seeds)
def test_functions_with_a_domain_are_nan_outside(op: str, shape: tuple[int, ...], seed: int) -> None:
    check(helper.make_node(op, ["x"], ["y"]), tensor(seed, shape) / 2, opset=13, rtol=2e-5)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
def test_integers_keep_their_dtype(dtype: Any) -> None:
    for op in ("Abs", "Neg", "Sign"):
        check(helper.make_node(op, ["x"], ["y"]), tensor(3, (2, 5), dtype), opset=13)


def test_special_values_are_recognised() -> None:
    x = np.array([0, np.nan, np.inf, -np.inf, 1], np.float32)
    check(helper.make_node("IsNaN", ["x"], ["y"]), x, opset=13)
    for negative in (0, 1):
        for positive in (0, 1):
            node = helper.make_node("IsInf", ["x"], ["y"], detect_negative=negative, detect_positive=positive)
            check(node, x, opset=10)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 5e-7), (np.float64, 4e-15)])
def test_erf_is_accurate_over_its_range(dtype: Any, tolerance: float) -> None:
    x = np.concatenate([np.linspace(-7, 7, 70_001), [1e-30, -1e-4, 1e9, -np.inf, np.inf]]).astype(dtype)
    exact = np.array([math.erf(value) for value in x])
    (y,) = ours(helper.make_node("Erf", ["x"], ["y"]), x, opset=13)
    np.testing.assert_allclose(y, exact, rtol=tolerance if dtype == np.float32 else 1e-12, atol=tolerance)
    assert np.abs(y).max() == 1


def test_the_memory_layout_of_the_input_does_not_matter() -> None:
    x = tensor(5, (2, 40, 41, 30)).transpose(0, 3, 1, 2)
    for layout in (x, x[:, ::2], x[..., ::-1], np.broadcast_to(x[:, :1], x.shape)):
        (y,) = ours(helper.make_node("Erf", ["x"], ["y"]), layout, opset=13)
        (expected,) = ours(helper.make_node("Erf", ["x"], ["y"]), np.ascontiguousarray(layout), opset=13)
        np.testing.assert_array_equal(y, expected)


def test_a_half_is_rounded_once() -> None:
    x = tensor(6, (100,), np.float16)
    (y,) = ours(helper.make_node("Exp", ["x"], ["y"]), x, opset=13)
    np.testing.assert_array_equal(y, np.exp(x.astype(np.float32)).astype(np.float16))
