"""The Reduce operators, with axes as attribute and as input, against onnxruntime and against numpy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from partita.errors import KernelError
from tests.kernels.oracle import Array, check, examples, full_shapes, ours, seeds, tensor

OPS = ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"]
ops = st.sampled_from([f"Reduce{op}" for op in OPS])


def drawn_axes(data: st.DataObject, rank: int) -> list[int]:
    chosen = data.draw(st.lists(st.integers(0, rank - 1), min_size=1, max_size=rank, unique=True))
    return [axis - rank if data.draw(st.booleans()) else axis for axis in chosen]


def positive(op: str, x: Array) -> Array:
    return np.abs(x) + 1 if op == "ReduceLogSum" else x


@examples
@given(op=ops, shape=full_shapes, keepdims=st.integers(0, 1), seed=seeds, data=st.data())
def test_axes_are_an_attribute_at_first(
    op: str, shape: tuple[int, ...], keepdims: int, seed: int, data: st.DataObject
) -> None:
    node = helper.make_node(op, ["x"], ["y"], axes=drawn_axes(data, len(shape)), keepdims=keepdims)
    check(node, positive(op, tensor(seed, shape)), opset=12, rtol=1e-4, atol=1e-5)


@examples
@given(op=ops, shape=full_shapes, keepdims=st.integers(0, 1), seed=seeds, data=st.data())
def test_axes_are_an_input_later(
    op: str, shape: tuple[int, ...], keepdims: int, seed: int, data: st.DataObject
) -> None:
    node = helper.make_node(op, ["x", "axes"], ["y"], keepdims=keepdims)
    x = positive(op, tensor(seed, shape))
    check(node, x, np.array(drawn_axes(data, len(shape)), np.int64), opset=18, rtol=1e-4, atol=1e-5)


@examples
@given(op=ops, shape=full_shapes, seed=seeds)
def test_without_axes_everything_is_reduced(op: str, shape: tuple[int, ...], seed: int) -> None:
    x = positive(op, tensor(seed, shape))
    check(helper.make_node(op, ["x"], ["y"], keepdims=0), x, opset=18, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceSumSquare", "ReduceMax", "ReduceL1"])
def test_no_axes_can_mean_no_reduction(op: str) -> None:
    x = tensor(1, (2, 3))
    node = helper.make_node(op, ["x", "axes"], ["y"], noop_with_empty_axes=1)
    (y,) = ours(node, x, np.array([], np.int64), opset=18)
    expected = {"ReduceSumSquare": x * x, "ReduceL1": np.abs(x)}.get(op, x)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"])
def test_integers_keep_their_dtype(op: str, dtype: Any) -> None:
    check(helper.make_node(op, ["x"], ["y"], axes=[1]), tensor(4, (3, 4), dtype), opset=12)


@pytest.mark.parametrize(
    ("op", "neutral"),
    [("ReduceSum", 0), ("ReduceProd", 1), ("ReduceMax", -np.inf), ("ReduceMin", np.inf), ("ReduceLogSumExp", -np.inf)],
)
def test_nothing_reduces_to_the_neutral_element(op: str, neutral: float) -> None:
    node = helper.make_node(op, ["x", "axes"], ["y"], keepdims=1)
    (y,) = ours(node, np.zeros((2, 0, 3), np.float32), np.array([1], np.int64), opset=20)
    np.testing.assert_array_equal(y, np.full((2, 1, 3), neutral, np.float32))


def test_the_log_of_a_sum_of_exponentials_does_not_overflow() -> None:
    x = np.array([[1000, 1000], [-1000, -np.inf]], np.float32)
    node = helper.make_node("ReduceLogSumExp", ["x"], ["y"], axes=[1], keepdims=0)
    np.testing.assert_allclose(ours(node, x, opset=13)[0], [1000 + np.log(2), -1000], rtol=1e-6)


def test_an_axis_out_of_range_is_named() -> None:
    with pytest.raises(KernelError, match="axis 5 is out of range: the tensor has 2 dimensions"):
        ours(helper.make_node("ReduceMax", ["x"], ["y"], axes=[5]), tensor(1, (2, 3)), opset=13)
