"""Activation functions and the softmax family against onnxruntime."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from partita.errors import KernelError
from tests.kernels.oracle import check, examples, full_shapes, ours, seeds, shapes, tensor

ACTIVATIONS: list[tuple[str, dict[str, Any], int]] = [
    ("Relu", {}, 14),
    ("LeakyRelu", {"alpha": 0.1}, 16),
    ("LeakyRelu", {"alpha": 1.5}, 16),
    ("Elu", {"alpha": 1.5}, 6),
    ("Selu", {}, 6),
    ("Celu", {"alpha": 0.7}, 12),
    ("ThresholdedRelu", {"alpha": 0.5}, 10),
    ("Shrink", {"bias": 0.3, "lambd": 1.0}, 9),
    ("Sigmoid", {}, 13),
    ("HardSigmoid", {"alpha": 0.3}, 6),
    ("HardSwish", {}, 14),
    ("Softplus", {}, 1),
    ("Softsign", {}, 1),
    ("Mish", {}, 18),
    ("Gelu", {}, 20),
    ("Gelu", {"approximate": "tanh"}, 20),
]


@examples
@given(activation=st.sampled_from(ACTIVATIONS), shape=shapes, seed=seeds)
def test_activations_agree_with_onnxruntime(
    activation: tuple[str, dict[str, Any], int], shape: tuple[int, ...], seed: int
) -> None:
    op, attributes, since = activation
    check(helper.make_node(op, ["x"], ["y"], **attributes), tensor(seed, shape), opset=max(since, 14), rtol=2e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a[0])
def test_activations_do_not_overflow_at_large_inputs(activation: tuple[str, dict[str, Any], int]) -> None:
    op, attributes, since = activation
    x = np.array([-1000, -90, -20, -1e-6, 0, 1e-6, 20, 90, 1000], np.float32)
    check(helper.make_node(op, ["x"], ["y"], **attributes), x, opset=max(since, 14), rtol=1e-4, atol=1e-5)


@examples
@given(shape=full_shapes, seed=seeds, whole=st.booleans())
def test_prelu_broadcasts_its_slope(shape: tuple[int, ...], seed: int, whole: bool) -> None:
    slope = tensor(seed + 1, shape if whole else (*(1,) * (len(shape) - 1), shape[-1]))
    check(helper.make_node("PRelu", ["x", "s"], ["y"]), tensor(seed, shape), slope, opset=16)


def test_swish_and_swiglu_follow_their_formulas() -> None:
    a, b = tensor(1, (3, 40)), tensor(2, (3, 40))
    swish = a / (1 + np.exp(-1.5 * a))
    (y,) = ours(helper.make_node("Swish", ["a"], ["y"], alpha=1.5), a, opset=24)
    np.testing.assert_allclose(y, swish, rtol=1e-5)
    (z,) = ours(helper.make_node("SwiGLU", ["a", "b"], ["z"], alpha=1.5), a, b, opset=28)
    np.testing.assert_allclose(z, swish * b, rtol=1e-5)
    with pytest.raises(KernelError, match="one shape"):
        ours(helper.make_node("SwiGLU", ["a", "b"], ["z"]), a, b[:1], opset=28)


def test_blocks_fit_together_in_any_memory_layout() -> None:
    x = tensor(3, (1, 60, 50, 40)).transpose(0, 3, 1, 2)
    for op in ("Sigmoid", "Gelu", "HardSwish"):
        check(helper.make_node(op, ["x"], ["y"]), x, opset=20)


@examples
@given(op=st.sampled_from(["Softmax", "LogSoftmax", "Hardmax"]), shape=full_shapes, seed=seeds, data=st.data())
def test_softmax_works_along_any_axis(op: str, shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    check(helper.make_node(op, ["x"], ["y"], axis=axis), tensor(seed, shape), opset=13)


@examples
@given(op=st.sampled_from(["Softmax", "LogSoftmax", "Hardmax"]), shape=full_shapes, seed=seeds, data=st.data())
def test_softmax_before_opset_13_sees_two_dimensions(
    op: str, shape: tuple[int, ...], seed: int, data: st.DataObject
) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    check(helper.make_node(op, ["x"], ["y"], axis=axis), tensor(seed, shape), opset=11)
    if len(shape) > 1:
        check(helper.make_node(op, ["x"], ["y"]), tensor(seed, shape), opset=11)


def test_softmax_of_a_row_without_finite_entry_is_nan() -> None:
    (y,) = ours(helper.make_node("Softmax", ["x"], ["y"]), np.full((2, 3), -np.inf, np.float32), opset=13)
    assert np.isnan(y).all()


def test_an_unknown_gelu_is_named() -> None:
    with pytest.raises(KernelError, match="none or tanh, is 'erf'"):
        ours(helper.make_node("Gelu", ["x"], ["y"], approximate="erf"), tensor(1, (2,)), opset=20)


def test_gelu_by_erf_is_exact_to_float32_everywhere() -> None:
    x = np.concatenate([np.linspace(-40, 40, 80001), [-1e20, 1e20, np.inf]]).astype(np.float32)
    (y,) = ours(helper.make_node("Gelu", ["x"], ["y"]), x, opset=20)
    expected = np.array([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x.tolist()])
    near = np.abs(x) <= 40
    assert np.abs(y[near] - expected[near]).max() < 1e-6
    np.testing.assert_array_equal(y[~near], expected[~near].astype(np.float32))
