"""Operators that look at or change only the shape, against onnxruntime."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from partita.errors import KernelError
from tests.kernels.oracle import check, examples, full_shapes, ours, seeds, tensor


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@pytest.mark.parametrize(
    ("shape", "wanted", "allowzero"),
    [
        ((2, 3, 4), (4, -1), 0),
        ((2, 3, 4), (0, -1), 0),
        ((2, 3, 4), (0, 0, 2, 2), 0),
        ((0, 3), (3, 0), 1),
        ((1,), (), 0),
    ],
)
def test_reshape_copies_and_infers_sizes(shape: tuple[int, ...], wanted: tuple[int, ...], allowzero: int) -> None:
    node = helper.make_node("Reshape", ["x", "s"], ["y"], allowzero=allowzero)
    check(node, tensor(1, shape), whole(*wanted), opset=14)


def test_a_reshape_that_does_not_fit_is_named() -> None:
    with pytest.raises(KernelError, match=r"\(2, 3\) does not fit the shape \[4, -1\]"):
        ours(helper.make_node("Reshape", ["x", "s"], ["y"]), tensor(1, (2, 3)), whole(4, -1), opset=14)
    with pytest.raises(KernelError, match="copies dimension 2"):
        ours(helper.make_node("Reshape", ["x", "s"], ["y"]), tensor(1, (2, 3)), whole(2, 3, 0), opset=14)


@examples
@given(shape=full_shapes, seed=seeds, data=st.data())
def test_flatten_makes_a_matrix(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape)))
    check(helper.make_node("Flatten", ["x"], ["y"], axis=axis), tensor(seed, shape), opset=13)


@examples
@given(shape=full_shapes, seed=seeds, data=st.data())
def test_transpose_permutes_or_reverses(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    perm = data.draw(st.permutations(range(len(shape))))
    check(helper.make_node("Transpose", ["x"], ["y"], perm=perm), tensor(seed, shape), opset=13)
    check(helper.make_node("Transpose", ["x"], ["y"]), tensor(seed, shape), opset=13)


def test_a_wrong_permutation_is_refused() -> None:
    with pytest.raises(KernelError, match="no permutation"):
        ours(helper.make_node("Transpose", ["x"], ["y"], perm=[0]), tensor(1, (2, 3)), opset=13)


def test_squeeze_and_unsqueeze_take_axes_as_attribute_and_as_input() -> None:
    x = tensor(1, (1, 3, 1, 2))
    check(helper.make_node("Squeeze", ["x"], ["y"], axes=[0]), x, opset=11)
    check(helper.make_node("Squeeze", ["x"], ["y"]), x, opset=13)
    check(helper.make_node("Squeeze", ["x", "a"], ["y"]), x, whole(-2), opset=13)
    check(helper.make_node("Unsqueeze", ["x"], ["y"], axes=[0, 5]), x, opset=11)
    check(helper.make_node("Unsqueeze", ["x", "a"], ["y"]), x, whole(5, 0), opset=13)
    check(helper.make_node("Unsqueeze", ["x", "a"], ["y"]), x, whole(-1), opset=13)
    with pytest.raises(KernelError, match="not all of size 1"):
        ours(helper.make_node("Squeeze", ["x", "a"], ["y"]), x, whole(1), opset=13)


@pytest.mark.parametrize(
    "ends", [{}, {"start": 1}, {"start": -2, "end": 9}, {"start": -9, "end": -1}, {"start": 3, "end": 1}]
)
def test_shape_takes_a_range_of_dimensions(ends: dict[str, Any]) -> None:
    check(helper.make_node("Shape", ["x"], ["y"], **ends), tensor(1, (2, 3, 4)), opset=15)
    check(helper.make_node("Size", ["x"], ["y"]), tensor(1, (2, 3, 4)), opset=13)


def test_expand_broadcasts_both_ways() -> None:
    node = helper.make_node("Expand", ["x", "s"], ["y"])
    check(node, tensor(1, (3, 1)), whole(2, 1, 6), opset=13)
    check(node, tensor(1, (3, 4)), whole(1, 1), opset=13)
    check(node, np.array(2.0, np.float32), whole(2, 2), opset=13)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_and_space_are_each_others_inverse(mode: str) -> None:
    x = tensor(1, (2, 12, 3, 5))
    wide = helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=2, mode=mode)
    (y,) = check(wide, x, opset=13)
    (back,) = ours(helper.make_node("SpaceToDepth", ["x"], ["y"], blocksize=2, mode=mode), y, opset=28)
    np.testing.assert_array_equal(back, x)
    check(helper.make_node("SpaceToDepth", ["x"], ["y"], blocksize=2), y, opset=13)
    with pytest.raises(KernelError, match="12 channels do not divide"):
        ours(helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=5), x, opset=13)
