"""Reading and writing by index against onnxruntime."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from partita.errors import KernelError
from tests.kernels.oracle import Array, check, examples, full_shapes, ours, seeds, shapes, tensor


def indices_into(seed: int, size: int, shape: tuple[int, ...], dtype: Any = np.int64) -> Array:
    return np.random.default_rng(seed).integers(-size, size, shape).astype(dtype)


@examples
@given(shape=full_shapes, chosen=shapes, dtype=st.sampled_from([np.int32, np.int64]), seed=seeds, data=st.data())
def test_gather_takes_slices(
    shape: tuple[int, ...], chosen: tuple[int, ...], dtype: Any, seed: int, data: st.DataObject
) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    node = helper.make_node("Gather", ["x", "i"], ["y"], axis=axis)
    check(node, tensor(seed, shape), indices_into(seed, shape[axis], chosen, dtype), opset=13)


@examples
@given(shape=full_shapes, seed=seeds, data=st.data())
def test_gather_elements_reads_one_element_per_index(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    chosen = tuple(data.draw(st.integers(1, size)) for size in shape)
    node = helper.make_node("GatherElements", ["x", "i"], ["y"], axis=axis)
    check(node, tensor(seed, shape), indices_into(seed, shape[axis], chosen), opset=13)


@examples
@given(shape=full_shapes, seed=seeds, data=st.data())
def test_gather_nd_reads_slices_at_index_tuples(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    batch = data.draw(st.integers(0, len(shape) - 1))
    depth = data.draw(st.integers(1, len(shape) - batch))
    places = (*shape[:batch], data.draw(st.integers(1, 3)))
    index = np.stack([indices_into(seed + i, shape[batch + i], places) for i in range(depth)], axis=-1)
    node = helper.make_node("GatherND", ["x", "i"], ["y"], batch_dims=batch)
    check(node, tensor(seed, shape), index, opset=13)


@examples
@given(shape=full_shapes, reduction=st.sampled_from(["none", "add", "mul", "max", "min"]), seed=seeds, data=st.data())
def test_scatter_elements_writes_or_combines(
    shape: tuple[int, ...], reduction: str, seed: int, data: st.DataObject
) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    chosen = tuple(data.draw(st.integers(1, size)) for size in shape)
    index = indices_into(seed, shape[axis], chosen)
    if reduction == "none":  # equal indices would leave the winner open
        order = np.argsort(np.random.default_rng(seed).random(shape), axis=axis)
        index = order[tuple(slice(size) for size in chosen)]
    node = helper.make_node("ScatterElements", ["x", "i", "u"], ["y"], axis=axis, reduction=reduction)
    check(node, tensor(seed, shape), index, tensor(seed + 1, chosen), opset=18, rtol=1e-4)


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
def test_scatter_nd_writes_or_combines(reduction: str) -> None:
    index = np.array([[[0, 1], [2, 2]], [[1, -1], [2, 0]]], np.int64)
    node = helper.make_node("ScatterND", ["x", "i", "u"], ["y"], reduction=reduction)
    check(node, tensor(1, (3, 3, 4)), index, tensor(2, (2, 2, 4)), opset=18)


def test_scatter_is_the_older_name() -> None:
    node = helper.make_node("Scatter", ["x", "i", "u"], ["y"], axis=1)
    check(node, tensor(1, (2, 4)), np.array([[1], [3]], np.int64), tensor(2, (2, 1)), opset=10)


def test_equal_indices_add_up_in_half_precision_too() -> None:
    node = helper.make_node("ScatterElements", ["x", "i", "u"], ["y"], reduction="add")
    ones = np.full(5, 0.1, np.float16)
    (y,) = ours(node, np.zeros(2, np.float16), np.zeros(5, np.int64), ones, opset=18)
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, [0.5, 0], rtol=1e-3)


def test_the_cache_is_written_where_each_sample_stands() -> None:
    past, update = tensor(1, (2, 3, 5, 4)), tensor(2, (2, 3, 2, 4))
    node = helper.make_node("TensorScatter", ["p", "u", "i"], ["y"], mode="circular")
    (y,) = ours(node, past, update, np.array([4, 1]), opset=24)
    expected = past.copy()
    expected[0, :, 4], expected[0, :, 0], expected[1, :, 1:3] = update[0, :, 0], update[0, :, 1], update[1]
    np.testing.assert_array_equal(y, expected)
    linear = helper.make_node("TensorScatter", ["p", "u", "i"], ["y"])
    with pytest.raises(KernelError, match="from 1 to 5, outside the cache of 5"):
        ours(linear, past, update, np.array([4, 1]), opset=24)


def test_indices_outside_the_data_are_refused_and_inputs_stay() -> None:
    x = tensor(1, (3,))
    with pytest.raises(KernelError, match="indices point outside"):
        ours(helper.make_node("Gather", ["x", "i"], ["y"]), x, np.array(3), opset=13)
    before = x.copy()
    ours(helper.make_node("ScatterElements", ["x", "i", "u"], ["y"]), x, np.array([1]), tensor(2, (1,)), opset=18)
    np.testing.assert_array_equal(x, before)
