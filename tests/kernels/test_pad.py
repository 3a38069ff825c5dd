"""Pad with its modes against onnxruntime and numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from partita.errors import KernelError
from tests.kernels.oracle import check, examples, ours, seeds, tensor

lengths = st.lists(st.integers(3, 5), min_size=1, max_size=3).map(tuple)


@examples
@given(mode=st.sampled_from(["constant", "edge", "reflect", "wrap"]), shape=lengths, seed=seeds, data=st.data())
def test_each_mode_agrees_with_onnxruntime(mode: str, shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    pads = np.array([data.draw(st.integers(0, 2)) for _ in range(2 * len(shape))], np.int64)
    check(helper.make_node("Pad", ["x", "p"], ["y"], mode=mode), tensor(seed, shape), pads, opset=19)


@examples
@given(shape=lengths, seed=seeds, data=st.data())
def test_negative_pads_crop(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    pads = np.array([data.draw(st.integers(-1, 2)) for _ in range(2 * len(shape))], np.int64)
    node = helper.make_node("Pad", ["x", "p", "v"], ["y"])
    check(node, tensor(seed, shape), pads, np.array(2.5, np.float32), opset=13)


def test_pads_may_concern_some_axes_only() -> None:
    node = helper.make_node("Pad", ["x", "p", "v", "a"], ["y"])
    pads, axes = np.array([1, 0, 0, 2], np.int64), np.array([-1, 0], np.int64)
    check(node, tensor(1, (2, 3, 4)), pads, np.array(0, np.float32), axes, opset=18)


def test_pads_were_attributes_at_first() -> None:
    check(helper.make_node("Pad", ["x"], ["y"], pads=[0, 1, 2, 0], value=1.5), tensor(1, (2, 3)), opset=10)
    check(helper.make_node("Pad", ["x"], ["y"], pads=[0, 1, 1, 0], mode="reflect"), tensor(1, (2, 3)), opset=7)


@pytest.mark.parametrize("mode", ["reflect", "wrap"])
def test_pads_longer_than_the_axis_go_on_as_in_numpy(mode: str) -> None:
    x = tensor(1, (3,))
    (y,) = ours(helper.make_node("Pad", ["x", "p"], ["y"], mode=mode), x, np.array([7, 8]), opset=19)
    np.testing.assert_array_equal(y, np.pad(x, (7, 8), mode=mode))  # type: ignore[call-overload]


def test_an_unknown_mode_is_named() -> None:
    with pytest.raises(KernelError, match="is 'mirror'"):
        ours(helper.make_node("Pad", ["x", "p"], ["y"], mode="mirror"), tensor(1, (2,)), np.array([1, 1]), opset=13)
