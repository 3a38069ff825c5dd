"""Operators that make tensors, against onnxruntime."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from partita.errors import KernelError
from tests.kernels.oracle import check, examples, ours, seeds, tensor


@pytest.mark.parametrize(
    "attribute",
    [
        {"value": numpy_helper.from_array(np.eye(2, dtype=np.float32))},
        {"value_float": 1.5},
        {"value_floats": [1.5, 2.5]},
        {"value_int": 7},
        {"value_ints": [7, 8]},
        {"value_string": "a"},
        {"value_strings": ["a", "b"]},
    ],
    ids=lambda a: next(iter(a)),
)
def test_a_constant_is_what_its_attribute_says(attribute: dict[str, Any]) -> None:
    check(helper.make_node("Constant", [], ["y"], **attribute), opset=13)


def test_a_constant_without_attribute_is_refused() -> None:
    with pytest.raises(KernelError, match="one of the attributes"):
        ours(helper.make_node("Constant", [], ["y"]), opset=13)


@pytest.mark.parametrize("value", [None, np.array([3], np.int64), np.array([True]), np.array([0.5], np.float16)])
def test_a_shape_is_filled_with_one_value(value: Any) -> None:
    attributes = {} if value is None else {"value": numpy_helper.from_array(value)}
    node = helper.make_node("ConstantOfShape", ["s"], ["y"], **attributes)
    check(node, np.array([2, 3], np.int64), opset=9)
    check(node, np.array([], np.int64), opset=9)


@examples
@given(
    dtype=st.sampled_from([np.float32, np.float64, np.int32, np.int64, np.int16]),
    start=st.integers(-20, 20),
    limit=st.integers(-20, 20),
    delta=st.integers(-4, 4).filter(bool),
)
def test_ranges_stop_before_their_limit(dtype: Any, start: int, limit: int, delta: int) -> None:
    numbers = [np.array(n, dtype) for n in (start, limit, delta)]
    if np.dtype(dtype).kind == "f":
        numbers = [n / dtype(4) for n in numbers]
    check(helper.make_node("Range", ["a", "b", "c"], ["y"]), *numbers, opset=11)


@pytest.mark.parametrize("k", [-3, -1, 0, 2, 9])
def test_eye_like_has_ones_on_a_diagonal(k: int) -> None:
    check(helper.make_node("EyeLike", ["x"], ["y"], k=k), tensor(1, (3, 4)), opset=9)
    node = helper.make_node("EyeLike", ["x"], ["y"], k=k, dtype=TensorProto.INT64)
    check(node, tensor(1, (3, 4)), opset=9)


@examples
@given(shape=st.lists(st.integers(1, 4), max_size=3).map(tuple), depth=st.integers(1, 6), seed=seeds, data=st.data())
def test_one_hot_puts_the_new_axis_anywhere(shape: tuple[int, ...], depth: int, seed: int, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape) - 1, len(shape)))
    indices = np.random.default_rng(seed).integers(-depth - 1, depth + 1, shape)
    node = helper.make_node("OneHot", ["i", "d", "v"], ["y"], axis=axis)
    if shape:  # onnxruntime refuses a scalar index
        check(node, np.asarray(indices), np.array([depth]), np.array([-1, 2], np.float32), opset=11)


def test_dropout_at_inference_is_the_identity() -> None:
    x = tensor(1, (2, 3))
    y, mask = ours(helper.make_node("Dropout", ["x"], ["y", "m"], ratio=0.3), x, opset=10)
    np.testing.assert_array_equal(y, x)
    assert mask.dtype == np.bool_
    assert mask.all()
    check(helper.make_node("Dropout", ["x"], ["y", "m"]), x, opset=13)
    y, mask = ours(helper.make_node("Dropout", ["x"], ["y", "m"]), x, opset=7)
    assert mask.dtype == np.float32


def test_dropout_in_training_scales_what_it_keeps() -> None:
    x = np.ones((50, 50), np.float32)
    node = helper.make_node("Dropout", ["x", "r", "t"], ["y", "m"], seed=3)
    y, mask = ours(node, x, np.array(0.25, np.float32), np.array(True), opset=13)
    np.testing.assert_allclose(y, mask / np.float32(0.75))
    assert 0.7 < mask.mean() < 0.8
