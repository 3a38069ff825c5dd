"""Cutting, joining and reordering against onnxruntime."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from partita.errors import KernelError
from tests.kernels.oracle import Array, check, examples, full_shapes, ours, seeds, tensor


def whole(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


@examples
@given(shape=full_shapes, sizes=st.lists(st.integers(0, 4), min_size=1, max_size=3), seed=seeds, data=st.data())
def test_concat_and_split_undo_each_other(
    shape: tuple[int, ...], sizes: list[int], seed: int, data: st.DataObject
) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    parts = []
    for i, size in enumerate(sizes):
        of_part = list(shape)
        of_part[axis] = size
        parts.append(tensor(seed + i, of_part))
    names = [f"p{i}" for i in range(len(parts))]
    (joined,) = check(helper.make_node("Concat", names, ["y"], axis=axis), *parts, opset=13)
    node = helper.make_node("Split", ["x", "s"], names, axis=axis)
    if joined.size:
        for part, again in zip(parts, check(node, joined, whole(*sizes), opset=13), strict=True):
            np.testing.assert_array_equal(part, again)


def test_split_makes_equal_parts_and_a_smaller_last_one() -> None:
    check(helper.make_node("Split", ["x"], ["a", "b", "c"], axis=1), tensor(1, (2, 6)), opset=11)
    check(helper.make_node("Split", ["x"], ["a", "b"], axis=0, split=[1, 3]), tensor(1, (4, 2)), opset=11)
    check(helper.make_node("Split", ["x"], ["a", "b", "c"], num_outputs=3), tensor(1, (7, 2)), opset=18)
    with pytest.raises(KernelError, match=r"\[1, 1\] does not add up to the size of axis 0, 4"):
        ours(helper.make_node("Split", ["x"], ["a", "b"], split=[1, 1]), tensor(1, (4, 2)), opset=11)


@examples
@given(shape=full_shapes, seed=seeds, data=st.data())
def test_slices_clamp_and_may_run_backwards(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    axes = data.draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
    bounds = st.one_of(st.integers(-8, 8), st.sampled_from([-(2**31), 2**31, -(2**63)]))
    starts, ends = (whole(*(data.draw(bounds) for _ in axes)) for _ in range(2))
    steps = whole(*(data.draw(st.sampled_from([-3, -1, 1, 2])) for _ in axes))
    node = helper.make_node("Slice", ["x", "s", "e", "a", "t"], ["y"])
    check(node, tensor(seed, shape), starts, ends, whole(*axes), steps, opset=13)


def test_slice_takes_attributes_at_first_and_defaults_to_the_leading_axes() -> None:
    x = tensor(1, (4, 5, 6))
    check(helper.make_node("Slice", ["x"], ["y"], starts=[1, -3], ends=[3, 9], axes=[0, 2]), x, opset=9)
    check(helper.make_node("Slice", ["x"], ["y"], starts=[1, 1], ends=[3, -1]), x, opset=9)
    check(helper.make_node("Slice", ["x", "s", "e"], ["y"]), x, whole(1, 1), whole(3, 4), opset=13)


def test_tile_repeats_each_axis() -> None:
    check(helper.make_node("Tile", ["x", "r"], ["y"]), tensor(1, (2, 3)), whole(3, 2), opset=13)
    check(helper.make_node("Tile", ["x", "r"], ["y"]), tensor(1, (2, 3)), whole(1, 0), opset=13)


@examples
@given(upper=st.integers(0, 1), k=st.none() | st.integers(-6, 6), dtype=st.sampled_from([np.float32, np.int64]))
def test_triangles_start_at_any_diagonal(upper: int, k: int | None, dtype: Any) -> None:
    node = helper.make_node("Trilu", ["x"] if k is None else ["x", "k"], ["y"], upper=upper)
    check(node, tensor(1, (2, 4, 5), dtype), *([] if k is None else [np.array(k, np.int64)]), opset=14)


@pytest.mark.parametrize("axis", [{}, {"axis": 0}, {"axis": -1}])
def test_compress_keeps_where_the_condition_holds(axis: dict[str, Any]) -> None:
    node = helper.make_node("Compress", ["x", "c"], ["y"], **axis)
    check(node, tensor(1, (3, 4)), np.array([False, True, True]), opset=11)


@pytest.mark.parametrize("time_axis", [0, 1])
def test_each_sequence_is_reversed_over_its_own_length(time_axis: int) -> None:
    node = helper.make_node("ReverseSequence", ["x", "n"], ["y"], time_axis=time_axis, batch_axis=1 - time_axis)
    check(node, tensor(1, (4, 4, 2)), whole(1, 4, 2, 3), opset=10)


@examples
@given(shape=st.tuples(*[st.integers(1, 7)] * 2), wanted=st.tuples(*[st.integers(1, 7)] * 2), seed=seeds)
def test_crop_and_pad_stay_centred(shape: tuple[int, int], wanted: tuple[int, int], seed: int) -> None:
    node = helper.make_node("CenterCropPad", ["x", "s"], ["y"], axes=[-1, 0])
    check(node, tensor(seed, (shape[0], 2, shape[1])), whole(*wanted), opset=18)


@examples
@given(
    block=st.tuples(*[st.integers(1, 3)] * 2),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    margin=st.integers(0, 1),
    seed=seeds,
)
def test_columns_add_up_to_an_image(block: tuple[int, int], stride: int, dilation: int, margin: int, seed: int) -> None:
    image = (6, 7)
    places = [(n + 2 * margin - dilation * (b - 1) - 1) // stride + 1 for n, b in zip(image, block, strict=True)]
    columns = tensor(seed, (2, 3 * block[0] * block[1], places[0] * places[1]))
    attributes: dict[str, Any] = {"strides": [stride] * 2, "dilations": [dilation] * 2, "pads": [margin] * 4}
    node = helper.make_node("Col2Im", ["x", "i", "b"], ["y"], **attributes)
    check(node, columns, whole(*image), whole(*block), opset=18)


def test_shapes_that_cannot_be_joined_are_named() -> None:
    with pytest.raises(KernelError, match="differ outside axis 0"):
        ours(helper.make_node("Concat", ["a", "b"], ["y"], axis=0), tensor(1, (2, 3)), tensor(1, (2, 4)), opset=13)
