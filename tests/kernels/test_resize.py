"""Resize and Upsample against onnxruntime."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from partita.errors import KernelError
from partita.kernels.resize import resize
from tests.kernels.single_node import run_kernel, run_onnxruntime

Array = np.ndarray[Any, Any]
COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"]


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def channels_last(x: Array) -> Array:
    """The same values with the channels innermost in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def check(inputs: list[Array | None], attributes: dict[str, Any], opset: int = 19, is_last: bool = False) -> None:
    names = [name if x is not None else "" for name, x in zip("xrst", inputs, strict=False)]
    node = helper.make_node("Resize", names, ["y"], **attributes)
    (expected,) = run_onnxruntime(node, inputs, opset)
    if is_last and inputs[0] is not None:
        inputs = [channels_last(inputs[0]), *inputs[1:]]
    (y,) = run_kernel(node, inputs, opset)
    assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


sizes = st.tuples(st.integers(1, 7), st.integers(1, 7))


@settings(deadline=None, derandomize=True, max_examples=120)
@given(
    sizes,
    sizes,
    st.sampled_from(COORDINATES),
    st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
    st.booleans(),
)
def test_nearest_is_what_onnxruntime_computes(
    before: tuple[int, int], after: tuple[int, int], coordinates: str, nearest_mode: str, is_last: bool
) -> None:
    attributes = {"coordinate_transformation_mode": coordinates, "nearest_mode": nearest_mode, "mode": "nearest"}
    check([noise(2, 3, *before), None, None, np.array([2, 3, *after])], attributes, is_last=is_last)


@settings(deadline=None, derandomize=True, max_examples=80)
@given(sizes, sizes, st.sampled_from(COORDINATES), st.booleans(), st.booleans())
def test_linear_is_what_onnxruntime_computes(
    before: tuple[int, int], after: tuple[int, int], coordinates: str, antialias: bool, is_last: bool
) -> None:
    attributes = {"coordinate_transformation_mode": coordinates, "mode": "linear", "antialias": int(antialias)}
    attributes["exclude_outside"] = int(antialias)  # onnxruntime's filter never reaches outside
    check([noise(2, 3, *before), None, None, np.array([2, 3, *after])], attributes, is_last=is_last)


@settings(deadline=None, derandomize=True, max_examples=80)
@given(sizes, sizes, st.sampled_from(COORDINATES[:4]), st.booleans(), st.booleans(), st.sampled_from([-0.75, -0.5]))
def test_cubic_is_what_onnxruntime_computes(
    before: tuple[int, int], after: tuple[int, int], coordinates: str, antialias: bool, exclude: bool, a: float
) -> None:
    attributes = {"coordinate_transformation_mode": coordinates, "mode": "cubic", "antialias": int(antialias)}
    attributes |= {"cubic_coeff_a": a, "exclude_outside": int(antialias or exclude)}
    check([noise(1, 2, *before), None, None, np.array([1, 2, *after])], attributes)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    sizes,
    st.tuples(*[st.sampled_from([0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 2.6, 3.0])] * 2),
    st.sampled_from(["half_pixel", "asymmetric", "half_pixel_symmetric"]),
    st.sampled_from(["nearest", "linear"]),
)
def test_scales_are_taken_as_given(
    before: tuple[int, int], scales: tuple[float, float], coordinates: str, mode: str
) -> None:
    if min(int(n * np.float32(s)) for n, s in zip(before, scales, strict=True)) < 1:
        return
    attributes = {"coordinate_transformation_mode": coordinates, "mode": mode}
    check([noise(1, 2, *before), None, np.array([1, 1, *scales], np.float32)], attributes)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_a_region_is_cut_out_and_the_rest_extrapolated(mode: str) -> None:
    roi = np.array([0, 0, 0.4, -0.3, 1, 1, 1.2, 0.8], np.float32)
    attributes = {"coordinate_transformation_mode": "tf_crop_and_resize", "mode": mode, "extrapolation_value": 7.0}
    check([noise(1, 2, 5, 6), roi, None, np.array([1, 2, 4, 5])], attributes)


@pytest.mark.parametrize("policy", ["stretch", "not_larger", "not_smaller"])
def test_the_aspect_ratio_is_kept_on_the_chosen_axes(policy: str) -> None:
    attributes = {"keep_aspect_ratio_policy": policy, "axes": [3, 2], "mode": "nearest"}
    check([noise(1, 2, 4, 6), None, None, np.array([9, 5])], attributes)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", [(1, 1, 2, 3), (1, 1, 0.6, 0.5), (1, 1, 1.3, 2.5)])
@pytest.mark.parametrize(("op", "opset"), [("Upsample", 9), ("Resize", 10)])
def test_upsample_and_the_first_resize_are_what_onnxruntime_computes(
    op: str, opset: int, scales: tuple[float, ...], mode: str
) -> None:
    if op == "Upsample" and min(scales) < 1:
        return
    x, factors = noise(1, 2, 5, 4), np.array(scales, np.float32)
    node = helper.make_node(op, ["x", "s"], ["y"], mode=mode)
    (y,), (expected,) = run_kernel(node, [x, factors], opset), run_onnxruntime(node, [x, factors], opset)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_places_halfway_between_two_elements_are_exact() -> None:
    sizes = np.array([1, 1, 4])  # of 7: places 0, 1.75, 3.5 and 5.25
    attributes = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "round_prefer_ceil"}
    check([noise(1, 1, 7), None, None, sizes], attributes)


def test_nearest_keeps_any_dtype() -> None:
    x = np.array([[True, False]])
    np.testing.assert_array_equal(resize(x, None, np.array([1, 2], np.float32)), [[True, True, False, False]])


def test_resize_needs_scales_or_sizes_but_not_both() -> None:
    with pytest.raises(KernelError, match="either scales or sizes"):
        resize(noise(1, 1, 2, 2))
    with pytest.raises(KernelError, match="need 4 entries, have 2"):
        resize(noise(1, 1, 2, 2), None, np.ones(2, np.float32))
    with pytest.raises(KernelError, match="coordinate_transformation_mode 'centre' is unknown"):
        resize(noise(2), None, np.full(1, 2, np.float32), coordinate_transformation_mode="centre")
