"""Pooling against onnxruntime over drawn shapes and attributes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from partita.errors import KernelError
from partita.kernels.pooling import average_pool, max_pool, max_unpool
from tests.kernels.single_node import run_kernel, run_onnxruntime

Array = np.ndarray[Any, Any]


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def channels_last(x: Array) -> Array:
    """The same values with the channels innermost in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


@st.composite
def pools(draw: st.DrawFn, with_dilations: bool = True) -> tuple[tuple[int, ...], dict[str, Any]]:
    rank = draw(st.sampled_from([1, 2, 2, 3]))
    kernel = [draw(st.integers(1, 4)) for _ in range(rank)]
    dilations = [draw(st.integers(1, 2)) if with_dilations else 1 for _ in range(rank)]
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    attributes: dict[str, Any] = {"kernel_shape": kernel, "ceil_mode": draw(st.integers(0, 1))}
    attributes["strides"] = [draw(st.integers(1, 3)) for _ in range(rank)]
    auto_pad = draw(st.sampled_from(["NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if auto_pad == "NOTSET":
        attributes["pads"] = [draw(st.integers(0, k - 1)) for k in kernel + kernel]
        attributes |= {"dilations": dilations} if with_dilations else {}
    else:
        # With strides above the kernel's size, onnxruntime pads by a negative number or fails.
        attributes |= {"auto_pad": auto_pad, "ceil_mode": 0}
        attributes["strides"] = [min(s, k) for s, k in zip(attributes["strides"], kernel, strict=True)]
    sizes = [e + draw(st.integers(0, 8)) for e in extents]
    return (draw(st.integers(1, 2)), draw(st.integers(1, 3)), *sizes), attributes


@settings(deadline=None, derandomize=True, max_examples=80)
@given(pools(), st.booleans(), st.sampled_from([np.float32, np.int8, np.uint8]))
def test_max_pool_is_what_onnxruntime_computes(
    case: tuple[tuple[int, ...], dict[str, Any]], is_last: bool, dtype: Any
) -> None:
    shape, attributes = case
    x = (10 * noise(*shape)).astype(dtype)
    node = helper.make_node("MaxPool", ["x"], ["y"], **attributes)
    (y,) = run_kernel(node, [channels_last(x) if is_last else x], 22)
    (expected,) = run_onnxruntime(node, [x], 22)
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(y, expected)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(pools(), st.integers(0, 1))
def test_max_pool_gives_the_indices_of_onnxruntime(
    case: tuple[tuple[int, ...], dict[str, Any]], storage_order: int
) -> None:
    shape, attributes = case
    x = noise(*shape)
    node = helper.make_node("MaxPool", ["x"], ["y", "i"], storage_order=storage_order, **attributes)
    for ours, theirs in zip(run_kernel(node, [x], 22), run_onnxruntime(node, [x], 22), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(pools(with_dilations=False), st.integers(0, 1), st.booleans())
def test_average_pool_is_what_onnxruntime_computes(
    case: tuple[tuple[int, ...], dict[str, Any]], count_include_pad: int, is_last: bool
) -> None:
    shape, attributes = case
    x = noise(*shape)
    node = helper.make_node("AveragePool", ["x"], ["y"], count_include_pad=count_include_pad, **attributes)
    (y,) = run_kernel(node, [channels_last(x) if is_last else x], 19)
    np.testing.assert_allclose(y, run_onnxruntime(node, [x], 19)[0], rtol=1e-5, atol=1e-6)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(pools(), st.integers(0, 1))
def test_average_pool_with_dilations_is_what_onnxruntime_computes(
    case: tuple[tuple[int, ...], dict[str, Any]], count_include_pad: int
) -> None:
    shape, attributes = case
    x = noise(*shape)
    node = helper.make_node("AveragePool", ["x"], ["y"], count_include_pad=count_include_pad, **attributes)
    np.testing.assert_allclose(run_kernel(node, [x], 19)[0], run_onnxruntime(node, [x], 19)[0], rtol=1e-5, atol=1e-6)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(pools(with_dilations=False), st.integers(1, 3))
def test_lp_pool_is_what_onnxruntime_computes(case: tuple[tuple[int, ...], dict[str, Any]], p: int) -> None:
    shape, attributes = case
    x = noise(*shape)
    node = helper.make_node("LpPool", ["x"], ["y"], p=p, **attributes)
    np.testing.assert_allclose(run_kernel(node, [x], 18)[0], run_onnxruntime(node, [x], 18)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
@pytest.mark.parametrize("shape", [(2, 3, 5), (1, 4, 7, 6), (2, 2, 3, 4, 5)])
def test_global_pools_are_what_onnxruntime_computes(op: str, shape: tuple[int, ...]) -> None:
    x = noise(*shape)
    node = helper.make_node(op, ["x"], ["y"])
    (expected,) = run_onnxruntime(node, [x], 21)
    for given_x in (x, channels_last(x)):
        np.testing.assert_allclose(run_kernel(node, [given_x], 21)[0], expected, rtol=1e-5, atol=1e-6)


def test_max_roi_pool_is_what_onnxruntime_computes() -> None:
    rois = np.array([[0, 0, 0, 9, 9], [1, 2.5, 1.2, 30, 7.7], [0, 4, 4, 4, 4], [1, 20, 20, 30, 30]], np.float32)
    x = noise(2, 3, 12, 10)
    node = helper.make_node("MaxRoiPool", ["x", "r"], ["y"], pooled_shape=[3, 4], spatial_scale=0.7)
    np.testing.assert_array_equal(run_kernel(node, [x, rois], 21)[0], run_onnxruntime(node, [x, rois], 21)[0])


def test_max_unpool_puts_back_what_max_pool_took() -> None:
    x = noise(2, 3, 6, 8)
    pooled, index = max_pool(x, kernel_shape=(2, 2), strides=(2, 2), n_outputs=2)
    restored = max_unpool(pooled, index, kernel_shape=(2, 2), strides=(2, 2))
    assert restored.shape == x.shape
    np.testing.assert_array_equal(restored[restored != 0], x[restored != 0])
    assert np.count_nonzero(restored) == pooled.size
    larger = max_unpool(pooled, index, np.array([2, 3, 7, 8]), kernel_shape=(2, 2), strides=(2, 2))
    np.testing.assert_array_equal(larger[:, :, :6], restored)


def test_a_window_that_hangs_over_the_end_counts_only_real_elements() -> None:
    x = np.arange(5, dtype=np.float32).reshape(1, 1, 5)
    y = average_pool(x, kernel_shape=(2,), strides=(2,), ceil_mode=1)
    np.testing.assert_array_equal(y, [[[0.5, 2.5, 4.0]]])


def test_pools_do_not_change_their_input() -> None:
    x = noise(1, 2, 6, 6)
    kept = x.copy()
    for pool in (max_pool, average_pool):
        pool(x, kernel_shape=(3, 3), pads=(1, 1, 1, 1))
        pool(x, kernel_shape=(1, 1))
    np.testing.assert_array_equal(x, kept)


def test_a_pool_says_which_attributes_do_not_fit() -> None:
    with pytest.raises(KernelError, match="do not fit 2 axes"):
        max_pool(noise(1, 1, 4, 4), kernel_shape=(2,))
