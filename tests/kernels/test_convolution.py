"""Conv, ConvTranspose and DeformConv against onnxruntime, and the schedules against each other."""

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from partita.errors import KernelError
from partita.kernels import conv_schedules, depthwise, winograd
from partita.kernels.convolution import conv, conv_transpose, convolve
from partita.kernels.deform import deform_conv
from partita.kernels.packing import packed
from partita.kernels.windows import Windows, make_windows
from partita.kernels.winograd import conv_winograd, supports_winograd
from tests.kernels.single_node import run_kernel, run_onnxruntime

Array = np.ndarray[Any, Any]
SCHEDULES: dict[str, Callable[..., Array]] = {
    name: schedule
    for module in (conv_schedules, depthwise, winograd)
    for name, schedule in vars(module).items()
    if name.startswith("conv_")
}


def applies(name: str, windows: Windows, group: int, channels: int) -> bool:
    """Whether a schedule is made for such a convolution; the others are for all."""
    if name == "conv_pointwise":
        return windows.taps == 1
    if name == "conv_winograd":
        return supports_winograd(windows, group)
    return "depthwise" not in name or group == channels


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def channels_last(x: Array) -> Array:
    """The same values with the channels innermost in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Shapes of X and W, and attributes that fit them."""
    rank = draw(st.sampled_from([1, 2, 2, 2, 3]))
    group = draw(st.sampled_from([1, 1, 2, 3]))
    per_group = draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 4)) for _ in range(rank)]
    dilations = [draw(st.integers(1, 2)) for _ in range(rank)]
    sizes = [(k - 1) * d + draw(st.integers(1, 8)) for k, d in zip(kernel, dilations, strict=True)]
    attributes: dict[str, Any] = {"group": group, "dilations": dilations}
    attributes["strides"] = [draw(st.integers(1, 3)) for _ in range(rank)]
    auto_pad = draw(st.sampled_from(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if auto_pad == "NOTSET":
        attributes["pads"] = [draw(st.integers(0, 2)) for _ in range(2 * rank)]
    else:
        attributes |= {"auto_pad": auto_pad, "dilations": [1] * rank}
    batch, filters = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    return (batch, group * per_group, *sizes), (group * filters, per_group, *kernel), attributes


@settings(deadline=None, derandomize=True, max_examples=80)
@given(convolutions(), st.booleans(), st.booleans())
def test_conv_is_what_onnxruntime_computes(
    case: tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]], with_bias: bool, is_last: bool
) -> None:
    x_shape, w_shape, attributes = case
    x, w = noise(*x_shape), noise(*w_shape, seed=1)
    inputs = [channels_last(x) if is_last else x, w, *([noise(w_shape[0], seed=2)] if with_bias else [])]
    w.setflags(write=with_bias)  # what cannot change is packed and remembered
    node = helper.make_node("Conv", ["x", "w", "b"][: len(inputs)], ["y"], **attributes)
    (y,) = run_kernel(node, inputs, 22)
    (expected,) = run_onnxruntime(node, [x, *inputs[1:]], 22)
    assert y.dtype == expected.dtype
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(convolutions(), st.booleans())
def test_all_schedules_agree(case: tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]], is_last: bool) -> None:
    x_shape, w_shape, attributes = case
    x, w, group = noise(*x_shape).astype(np.float64), noise(*w_shape, seed=1).astype(np.float64), attributes["group"]
    x = channels_last(x) if is_last else x
    kept = x.copy()
    arguments = {name: value for name, value in attributes.items() if name != "group"}
    windows = make_windows(x_shape[2:], w_shape[2:], **arguments)
    expected = convolve(x, w, windows, group)
    for name, schedule in SCHEDULES.items():
        if applies(name, windows, group, x_shape[1]):
            np.testing.assert_allclose(schedule(x, w, windows, group), expected, rtol=1e-9, atol=1e-9, err_msg=name)
    np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize("group", [1, 64])
def test_blocks_of_rows_join_without_a_seam(group: int) -> None:
    x, w = noise(1, 64, 90, 70).astype(np.float64), noise(64, 64 // group, 3, 3, seed=1).astype(np.float64)
    windows = make_windows(x.shape[2:], (3, 3), pads=(1, 1, 1, 1))
    expected = conv_schedules.conv_shift_first(x, w, windows, group)
    for name, schedule in SCHEDULES.items():
        if applies(name, windows, group, 64):
            np.testing.assert_allclose(schedule(x, w, windows, group), expected, atol=1e-9, err_msg=name)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)), st.tuples(*[st.integers(0, 2)] * 4), st.booleans(),
    st.sampled_from([winograd.SMALL, winograd.LARGE]),
)  # fmt: skip
def test_winograd_agrees_for_every_size_and_padding(
    size: tuple[int, int], pads: tuple[int, int, int, int], is_last: bool, matrices: winograd.Matrices
) -> None:
    x, w = noise(2, 3, *size).astype(np.float64), noise(4, 3, 3, 3, seed=1).astype(np.float64)
    if size[0] + pads[0] + pads[2] < 3 or size[1] + pads[1] + pads[3] < 3:
        return
    windows = make_windows(size, (3, 3), pads=pads)
    y = conv_winograd(channels_last(x) if is_last else x, w, windows, 1, matrices=matrices)
    np.testing.assert_allclose(y, conv_schedules.conv_im2col_first(x, w, windows, 1), rtol=1e-9, atol=1e-9)


def test_winograd_is_as_exact_as_the_direct_sum() -> None:
    x, w = noise(1, 64, 30, 31), noise(64, 64, 3, 3, seed=1)
    windows = make_windows((30, 31), (3, 3), pads=(1, 1, 1, 1))
    exact = conv_schedules.conv_im2col_last(x.astype(np.float64), w.astype(np.float64), windows, 1)
    direct = np.abs(conv_schedules.conv_im2col_last(x, w, windows, 1) - exact).max()
    assert np.abs(conv_winograd(x, w, windows, 1) - exact).max() < 3 * direct
    w.setflags(write=False)
    assert np.abs(convolve(x, w, windows, 1) - exact).max() < 8 * direct


@st.composite
def transposed_convolutions(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    rank = draw(st.sampled_from([1, 2, 2, 3]))
    group = draw(st.sampled_from([1, 1, 2]))
    strides = [draw(st.integers(1, 3)) for _ in range(rank)]
    dilations = [draw(st.sampled_from([1, 1, 2])) for _ in range(rank)]
    kernel = [draw(st.one_of(st.integers(1, 4), st.just(2 * s))) for s in strides]
    sizes = [draw(st.integers(1, 5)) for _ in range(rank)]
    attributes: dict[str, Any] = {"group": group, "strides": strides, "dilations": dilations}
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    style = draw(st.sampled_from(["pads", "pads", "shape", "SAME_UPPER", "SAME_LOWER"]))
    if style == "pads":
        attributes["pads"] = [draw(st.integers(0, (e - 1) // 2)) for e in extents + extents]
        attributes["output_padding"] = [
            draw(st.integers(0, max(s, d) - 1)) for s, d in zip(strides, dilations, strict=True)
        ]
    elif style == "shape":
        attributes["output_shape"] = [
            (n - 1) * s + draw(st.integers(1, e)) for n, s, e in zip(sizes, strides, extents, strict=True)
        ]
    else:
        attributes |= {
            "auto_pad": style,
            "dilations": [1] * rank,
            "strides": [min(k, s) for k, s in zip(kernel, strides, strict=True)],
        }
    channels, filters = group * draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return (draw(st.integers(1, 2)), channels, *sizes), (channels, filters, *kernel), attributes


@settings(deadline=None, derandomize=True, max_examples=80)
@given(transposed_convolutions(), st.booleans())
def test_conv_transpose_is_what_onnxruntime_computes(
    case: tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]], with_bias: bool
) -> None:
    x_shape, w_shape, attributes = case
    inputs = [noise(*x_shape), noise(*w_shape, seed=1)]
    inputs += [noise(w_shape[1] * attributes["group"], seed=2)] if with_bias else []
    node = helper.make_node("ConvTranspose", ["x", "w", "b"][: len(inputs)], ["y"], **attributes)
    (y,), (expected,) = run_kernel(node, inputs, 22), run_onnxruntime(node, inputs, 22)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("group", "offset_group", "with_mask"), [(1, 1, False), (2, 1, True), (1, 2, True), (2, 2, False)]
)
def test_deform_conv_is_what_onnxruntime_computes(group: int, offset_group: int, with_mask: bool) -> None:
    x, w = noise(2, 4, 7, 6), noise(6, 4 // group, 3, 2, seed=1)
    windows = make_windows((7, 6), (3, 2), pads=(1, 0, 1, 1), strides=(2, 1), dilations=(1, 2))
    offset = 2 * noise(2, offset_group * 12, *windows.outputs, seed=2)
    mask = noise(2, offset_group * 6, *windows.outputs, seed=3) if with_mask else None
    attributes: dict[str, Any] = {
        "pads": [1, 0, 1, 1],
        "strides": [2, 1],
        "dilations": [1, 2],
        "group": group,
        "offset_group": offset_group,
    }
    node = helper.make_node("DeformConv", ["x", "w", "o", "b", "m" if with_mask else ""], ["y"], **attributes)
    inputs = [x, w, offset, noise(6, seed=4), mask]
    (y,), (expected,) = run_kernel(node, inputs, 19), run_onnxruntime(node, inputs, 19)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_a_deform_conv_without_offsets_is_a_conv_of_volumes_too() -> None:
    x, w = noise(1, 2, 4, 5, 6), noise(3, 2, 2, 3, 2, seed=1)
    offset = np.zeros((1, 12 * 3, 3, 3, 5), np.float32)
    np.testing.assert_allclose(deform_conv(x, w, offset), conv(x, w), rtol=1e-4, atol=1e-5)


def test_packed_weights_are_remembered_only_if_they_cannot_change() -> None:
    calls = []

    def make(w: Array) -> Array:
        calls.append(w)
        return w * 2

    weights = noise(3)
    packed(weights, "test", make)
    packed(weights, "test", make)
    assert len(calls) == 2
    weights.setflags(write=False)
    assert packed(weights, "test", make) is packed(weights, "test", make)
    assert len(calls) == 3


def test_packed_weights_go_when_the_weights_go() -> None:
    weights = noise(3)
    weights.setflags(write=False)
    gone = weakref.ref(packed(weights, "test", np.negative))
    assert gone() is not None
    del weights
    assert gone() is None


def test_a_conv_of_half_precision_keeps_its_dtype() -> None:
    x, w = noise(1, 2, 5, 5).astype(np.float16), noise(3, 2, 3, 3, seed=1).astype(np.float16)
    (y,) = run_kernel(helper.make_node("Conv", ["x", "w"], ["y"]), [x, w], 22)
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, conv(x.astype(np.float32), w.astype(np.float32)), rtol=1e-3)


def test_an_empty_batch_gives_an_empty_result() -> None:
    assert conv(noise(0, 2, 5, 5), noise(3, 2, 3, 3), noise(3)).shape == (0, 3, 3, 3)
    for size in (2, 3):
        y = conv_transpose(noise(0, 2, 5, 5), noise(2, 3, size, size), noise(3), strides=(2, 2))
        assert y.shape == (0, 3, 8 + size, 8 + size)
    assert deform_conv(noise(0, 2, 4, 4), noise(3, 2, 2, 2), noise(0, 8, 3, 3)).shape == (0, 3, 3, 3)


def test_conv_says_which_shapes_do_not_fit() -> None:
    with pytest.raises(KernelError, match="do not divide into 2 groups"):
        conv(noise(1, 3, 5, 5), noise(2, 1, 3, 3), group=2)
    with pytest.raises(KernelError, match="window of 6 elements does not fit 5"):
        conv(noise(1, 1, 5, 5), noise(1, 1, 6, 6))
    with pytest.raises(KernelError, match="auto_pad must be"):
        conv(noise(1, 1, 5, 5), noise(1, 1, 3, 3), auto_pad="SAME")
    with pytest.raises(KernelError, match="do not fit with 1 groups"):
        conv_transpose(noise(1, 3, 5, 5), noise(2, 1, 3, 3))
