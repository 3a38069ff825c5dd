"""Normalisation layers against onnxruntime."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from partita.errors import KernelError
from partita.kernels.normalization import (
    batch_normalization,
    batch_normalization_14,
    group_normalization,
    group_normalization_18,
    layer_normalization,
)
from tests.kernels.single_node import run_kernel, run_onnxruntime

Array = np.ndarray[Any, Any]
shapes = st.lists(st.integers(1, 6), min_size=2, max_size=4).map(tuple)


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def check(node: Any, inputs: list[Array], opset: int, tolerance: float = 1e-4) -> None:
    for ours, theirs in zip(run_kernel(node, inputs, opset), run_onnxruntime(node, inputs, opset), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(shapes, st.sampled_from([7, 9, 14, 15]))
def test_batch_normalization_is_what_onnxruntime_computes(shape: tuple[int, ...], opset: int) -> None:
    c = shape[1]
    inputs = [noise(*shape), noise(c, seed=1), noise(c, seed=2), noise(c, seed=3), noise(c, seed=4) ** 2 + 0.1]
    check(helper.make_node("BatchNormalization", list("xsbmv"), ["y"], epsilon=1e-3), inputs, opset)


def test_batch_normalization_in_training_gives_the_running_statistics() -> None:
    x = noise(4, 3, 5)
    parameters = [noise(3, seed=i) for i in range(1, 4)] + [np.ones(3, np.float32)]
    check(helper.make_node("BatchNormalization", list("xsbmv"), list("yrt"), training_mode=1), [x, *parameters], 15)
    for result, expected in zip(
        batch_normalization(x, *parameters, n_outputs=5)[:3],
        batch_normalization_14(x, *parameters, training_mode=1),
        strict=True,
    ):
        np.testing.assert_allclose(result, expected)


def test_batch_normalization_per_element_of_opset_7_takes_full_statistics() -> None:
    x = noise(2, 3, 4)
    scale, bias, mean, var = (noise(3, 4, seed=i) for i in range(1, 5))
    y = batch_normalization(x, scale, bias, mean, var**2, spatial=0)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var**2 + 1e-5) * scale + bias, rtol=1e-4, atol=1e-4)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(shapes, st.data())
def test_layer_normalization_is_what_onnxruntime_computes(shape: tuple[int, ...], data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    rest = shape[axis:]
    inputs = [noise(*shape), noise(*rest, seed=1)] + ([noise(*rest, seed=2)] if data.draw(st.booleans()) else [])
    check(helper.make_node("LayerNormalization", list("xsb")[: len(inputs)], list("ymi"), axis=axis), inputs, 17, 1e-3)


def test_layer_normalization_of_halves_keeps_statistics_in_float32() -> None:
    y, mean, inverse = layer_normalization(noise(3, 8).astype(np.float16), np.ones(8, np.float16))
    assert (y.dtype, mean.dtype, inverse.dtype) == (np.float16, np.float32, np.float32)
    np.testing.assert_allclose(y.astype(np.float32).mean(axis=1), 0, atol=1e-3)


def test_layer_normalization_of_many_rows_is_the_same_as_of_each_row() -> None:
    x, scale = noise(300, 768) + 100, noise(768, seed=1)
    whole = layer_normalization(x, scale)[0]
    for row in (0, 41, 42, 299):
        np.testing.assert_allclose(whole[row], layer_normalization(x[row], scale)[0], rtol=1e-4, atol=1e-4)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.lists(st.integers(1, 6), min_size=3, max_size=4).map(tuple))
def test_instance_normalization_is_what_onnxruntime_computes(shape: tuple[int, ...]) -> None:
    inputs = [noise(*shape), noise(shape[1], seed=1), noise(shape[1], seed=2)]
    check(helper.make_node("InstanceNormalization", list("xsb"), ["y"]), inputs, 21, 1e-3)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(1, 4), st.integers(1, 3), st.lists(st.integers(1, 5), min_size=1, max_size=2))
def test_group_normalization_is_what_onnxruntime_computes(groups: int, per_group: int, sizes: list[int]) -> None:
    channels = groups * per_group
    inputs = [noise(2, channels, *sizes), noise(channels, seed=1), noise(channels, seed=2)]
    check(helper.make_node("GroupNormalization", list("xsb"), ["y"], num_groups=groups), inputs, 21, 1e-3)


def test_group_normalization_18_repeats_its_parameters_for_the_channels_of_a_group() -> None:
    x, scale, bias = noise(2, 6, 4), noise(3, seed=1), noise(3, seed=2)
    y = group_normalization_18(x, scale, bias, num_groups=3)
    np.testing.assert_allclose(y, group_normalization(x, scale.repeat(2), bias.repeat(2), num_groups=3))


@settings(deadline=None, derandomize=True, max_examples=30)
@given(shapes, st.data())
def test_rms_normalization_is_what_onnxruntime_computes(shape: tuple[int, ...], data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    node = helper.make_node("RMSNormalization", ["x", "s"], ["y"], axis=axis)
    check(node, [noise(*shape), noise(*shape[axis:], seed=1)], 23)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(1, 8), st.integers(1, 4), st.sampled_from([0.75, 0.5]))
def test_lrn_is_what_onnxruntime_computes(channels: int, half: int, beta: float) -> None:
    node = helper.make_node("LRN", ["x"], ["y"], size=2 * half - 1, alpha=0.3, beta=beta, bias=1.5)
    check(node, [noise(2, channels, 3, 4)], 13)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_lp_normalization_is_what_onnxruntime_computes(axis: int, p: int) -> None:
    x = noise(3, 4, 5)
    x[0, :, 0] = x[:, 1, 1] = 0
    check(helper.make_node("LpNormalization", ["x"], ["y"], axis=axis, p=p), [x], 21)


def test_mean_variance_normalization_is_what_onnxruntime_computes() -> None:
    check(helper.make_node("MeanVarianceNormalization", ["x"], ["y"], axes=[0, 2, 3]), [noise(2, 3, 4, 5)], 13)


def test_an_empty_batch_stays_empty() -> None:
    x, ones = noise(0, 4, 3), np.ones(4, np.float32)
    for op, parameters in {"InstanceNormalization": 2, "BatchNormalization": 4, "GroupNormalization": 2}.items():
        attributes: dict[str, Any] = {"num_groups": 2} if op == "GroupNormalization" else {}
        names = list("xabcd")[: 1 + parameters]
        (y,) = run_kernel(helper.make_node(op, names, ["y"], **attributes), [x, *[ones] * parameters], 21)
        assert y.shape == x.shape


def test_group_normalization_says_that_channels_do_not_divide() -> None:
    with pytest.raises(KernelError, match="5 channels do not divide into 2 groups"):
        group_normalization(noise(1, 5, 3), noise(5), noise(5), num_groups=2)
