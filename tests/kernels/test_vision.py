"""GridSample, AffineGrid, RoiAlign and NonMaxSuppression against onnxruntime."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from partita.errors import KernelError
from partita.kernels.vision import grid_sample, non_max_suppression
from tests.kernels.single_node import run_kernel, run_onnxruntime

Array = np.ndarray[Any, Any]


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def check(node: Any, inputs: list[Array], opset: int) -> None:
    (y,), (expected,) = run_kernel(node, inputs, opset), run_onnxruntime(node, inputs, opset)
    assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-4)


@settings(deadline=None, derandomize=True, max_examples=80)
@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.sampled_from(["linear", "nearest", "cubic"]),
    st.sampled_from(["zeros", "border", "reflection"]),
    st.integers(0, 1),
)
def test_grid_sample_is_what_onnxruntime_computes(size: tuple[int, int], mode: str, padding: str, align: int) -> None:
    grid = (1.3 * noise(2, 3, 4, 2, seed=1)).clip(-2.5, 2.5)
    node = helper.make_node("GridSample", ["x", "g"], ["y"], mode=mode, padding_mode=padding, align_corners=align)
    check(node, [noise(2, 3, *size), grid], 20)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align", [0, 1])
def test_grid_sample_of_volumes_is_what_onnxruntime_computes(mode: str, padding: str, align: int) -> None:
    grid = 1.2 * noise(1, 2, 3, 4, 3, seed=1)
    node = helper.make_node("GridSample", ["x", "g"], ["y"], mode=mode, padding_mode=padding, align_corners=align)
    check(node, [noise(1, 2, 4, 3, 5), grid], 20)


@pytest.mark.parametrize("size", [(2, 1, 3, 4), (2, 1, 2, 3, 4), (2, 1, 1, 4)])
@pytest.mark.parametrize("align", [0, 1])
def test_affine_grid_is_what_onnxruntime_computes(size: tuple[int, ...], align: int) -> None:
    rank = len(size) - 2
    theta = noise(2, rank, rank + 1)
    if align and 1 in size[2:]:
        return  # onnxruntime divides by zero
    node = helper.make_node("AffineGrid", ["t", "s"], ["y"], align_corners=align)
    check(node, [theta, np.array(size)], 20)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.sampled_from(["avg", "max"]),
    st.sampled_from([0, 2, 3]),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.sampled_from([1.0, 0.6]),
    st.sampled_from([10, 16]),
    st.sampled_from(["half_pixel", "output_half_pixel"]),
)
def test_roi_align_is_what_onnxruntime_computes(
    mode: str, ratio: int, size: tuple[int, int], scale: float, opset: int, coordinates: str
) -> None:
    rois = np.array([[0, 0, 5, 4], [1.5, 2.2, 8.8, 11], [3, 3, 3.4, 3.2], [-4, -3, 15, 16]], np.float32)
    attributes: dict[str, Any] = {"mode": mode, "sampling_ratio": ratio, "spatial_scale": scale}
    attributes |= {"output_height": size[0], "output_width": size[1]}
    attributes |= {"coordinate_transformation_mode": coordinates} if opset == 16 else {}
    node = helper.make_node("RoiAlign", ["x", "r", "i"], ["y"], **attributes)
    check(node, [noise(2, 3, 9, 8) + 2, rois, np.array([0, 1, 1, 0])], opset)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.integers(0, 12),
    st.integers(1, 3),
    st.integers(0, 1),
    st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    st.sampled_from([None, 0.2, 0.6]),
    st.integers(0, 5),
)
def test_non_max_suppression_is_what_onnxruntime_computes(
    count: int, classes: int, centred: int, overlap: float, least: float | None, limit: int
) -> None:
    rng = np.random.default_rng(count)
    boxes, scores = rng.random((2, count, 4), np.float32), rng.random((2, classes, count), np.float32).round(1)
    inputs = [boxes, scores, np.array([limit]), np.array([overlap], np.float32)]
    inputs += [np.array([least], np.float32)] if least is not None else []
    node = helper.make_node("NonMaxSuppression", list("bsmot")[: len(inputs)], ["y"], center_point_box=centred)
    check(node, inputs, 11)


def test_non_max_suppression_without_a_limit_selects_nothing() -> None:
    assert non_max_suppression(noise(1, 3, 4), noise(1, 2, 3)).shape == (0, 3)
    with pytest.raises(KernelError, match=r"iou_threshold must lie in 0\.\.1"):
        non_max_suppression(noise(1, 3, 4), noise(1, 2, 3), np.array(1), np.array(2.0))


def test_grid_sample_says_what_it_does_not_know() -> None:
    with pytest.raises(KernelError, match="no mode 'area'"):
        grid_sample(noise(1, 1, 2, 2), noise(1, 2, 2, 2), mode="area")
    with pytest.raises(KernelError, match="must end with the 2 spatial axes"):
        grid_sample(noise(1, 1, 2, 2), noise(1, 2, 2, 3))
