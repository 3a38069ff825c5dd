"""Resampling and regions of images."""

from typing import Any

import numpy as np

from tests.kernels.fuzzing.draw import Case, Draw, draws, float32, int64


@draws("Resize")
@draws("Resize again")
@draws("Resize once more")
def resize(draw: Draw) -> Case:
    opset = draw.pick(10, 11, 13, 18, 19)
    mode = draw.pick("nearest", "linear", "cubic") if opset > 10 else draw.pick("nearest", "linear")
    shape = (draw.integer(1, 2), draw.integer(1, 3), draw.integer(2, 9), draw.integer(2, 9))
    factors = [1.0, 1.0, draw.pick(0.5, 0.6, 0.75, 1.0, 1.5, 2.0, 2.7, 3.0), draw.pick(0.5, 0.8, 1.0, 2.0, 2.5, 3.0)]
    x = draw.tensor(shape)
    if opset == 10:
        return Case("Resize", (x, float32(factors)), {"mode": mode}, 10, tolerance=1e-4)
    transforms = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": draw.pick(*transforms)}
    if opset == 19 and mode != "nearest" and draw.chance(0.2):  # a rounding error decides which is nearest
        attributes["coordinate_transformation_mode"] = "half_pixel_symmetric"
    if mode == "nearest":
        roundings = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
        attributes["nearest_mode"] = draw.pick(*roundings)
    if mode == "cubic":
        attributes["cubic_coeff_a"] = draw.pick(-0.75, -0.5)
        attributes["exclude_outside"] = draw.integer(0, 1)
    if opset >= 18 and mode != "nearest" and draw.chance(0.3):
        attributes["antialias"] = 1
    if draw.chance():
        sizes = int64([*shape[:2], draw.integer(1, 14), draw.integer(1, 14)])
        inputs: tuple[Any, ...] = (
            x,
            np.zeros(0, np.float32) if opset < 13 else None,
            None if opset >= 13 else np.zeros(0, np.float32),
            sizes,
        )
        return Case("Resize", inputs, attributes, opset, tolerance=1e-4)
    roi = np.zeros(0, np.float32) if opset < 13 else None
    return Case("Resize", (x, roi, float32(factors)), attributes, opset, tolerance=1e-4)


@draws("Resize of any rank")
def resize_any_rank(draw: Draw) -> Case:
    shape = tuple(draw.integers(draw.integer(1, 5), 1, 6))
    mode = draw.pick("nearest", "linear") if len(shape) in (1, 2, 3) else "nearest"
    factors = float32([draw.pick(0.5, 1, 2, 3, 1.5) for _ in shape])
    return Case("Resize", (draw.tensor(shape), None, factors), {"mode": mode}, 13, tolerance=1e-4)


@draws("Resize with axes")
def resize_axes(draw: Draw) -> Case:
    shape = (1, 2, draw.integer(2, 8), draw.integer(2, 8))
    axes = draw.pick([2, 3], [3, 2], [2])  # onnxruntime ignores negative ones
    policy = draw.pick("stretch", "not_larger", "not_smaller")
    attributes = {"axes": axes, "keep_aspect_ratio_policy": policy, "mode": draw.pick("nearest", "linear")}
    sizes = int64(draw.integers(len(axes), 1, 12))
    return Case("Resize", (draw.tensor(shape), None, None, sizes), attributes, 18, tolerance=1e-4)


@draws("Resize by crop")
def resize_crop(draw: Draw) -> Case:
    shape = (1, 1, draw.integer(3, 8), draw.integer(3, 8))
    roi = float32([0, 0, draw.number(0, 0.5), draw.number(0, 0.5), 1, 1, draw.number(0.6, 1.4), draw.number(0.6, 1)])
    attributes = {"mode": draw.pick("nearest", "linear"), "coordinate_transformation_mode": "tf_crop_and_resize"}
    attributes["extrapolation_value"] = draw.number(-9, 9)
    sizes = int64([1, 1, *draw.integers(2, 9, 14)])  # onnxruntime does not crop an axis whose size stays
    return Case("Resize", (draw.tensor(shape), roi, None, sizes), attributes, 13, tolerance=1e-4)


@draws("Upsample")
def upsample(draw: Draw) -> Case:
    shape = (1, 2, draw.integer(1, 6), draw.integer(1, 6))
    scales = [1.0, 1.0, draw.pick(1.0, 1.5, 2.0, 3.0), draw.pick(1.0, 2.0, 2.5)]
    mode = draw.pick("nearest", "linear")
    if draw.chance():
        return Case("Upsample", (draw.tensor(shape),), {"mode": mode, "scales": scales}, 7, tolerance=1e-4)
    return Case("Upsample", (draw.tensor(shape), float32(scales)), {"mode": mode}, 9, tolerance=1e-4)


@draws("GridSample")
def grid_sample(draw: Draw) -> Case:
    opset = draw.pick(16, 20)
    rank = 2 if opset == 16 else draw.pick(2, 2, 3)
    modes = {16: ("bilinear", "nearest", "bicubic"), 20: ("linear", "nearest", "cubic")}[opset]
    mode = draw.pick(*modes[: 2 if rank == 3 else 3])
    attributes = {"mode": mode, "padding_mode": draw.pick("zeros", "border", "reflection")}
    attributes["align_corners"] = draw.integer(0, 1)
    batch = draw.integer(1, 2)
    x = draw.tensor((batch, draw.integer(1, 3), *draw.integers(rank, 2, 6)))
    grid = draw.tensor((batch, *draw.integers(rank, 1, 5), rank), low=-1.4, high=1.4)
    return Case("GridSample", (x, grid), attributes, opset, tolerance=1e-4)


@draws("AffineGrid")
def affine_grid(draw: Draw) -> Case:
    rank, batch = draw.pick(2, 3), draw.integer(1, 2)
    size = int64([batch, 2, *draw.integers(rank, 2, 5)])  # at size 1 the corners meet, and everyone differs
    theta = draw.tensor((batch, rank, rank + 1))
    return Case("AffineGrid", (theta, size), {"align_corners": draw.integer(0, 1)}, 20)


def _boxes(draw: Draw, count: int, size: int) -> np.ndarray:
    first, second = draw.tensor((count, 2), low=-1, high=size), draw.tensor((count, 2), low=-1, high=size)
    return np.concatenate((np.minimum(first, second), np.maximum(first, second)), axis=1)


@draws("RoiAlign")
def roi_align(draw: Draw) -> Case:
    opset, batch, count = draw.pick(10, 16), draw.integer(1, 3), draw.integer(1, 5)
    x = draw.tensor((batch, draw.integer(1, 3), 9, 11))
    attributes: dict[str, Any] = {"output_height": draw.integer(1, 4), "output_width": draw.integer(1, 4)}
    attributes |= {"sampling_ratio": draw.integer(0, 3), "spatial_scale": draw.pick(1.0, 0.5)}
    attributes["mode"] = draw.pick("avg", "avg", "max")
    if opset == 16:
        attributes["coordinate_transformation_mode"] = draw.pick("half_pixel", "output_half_pixel")
    batches = draw.generator.integers(0, batch, (count,))
    return Case("RoiAlign", (x, _boxes(draw, count, 12), batches), attributes, opset, tolerance=1e-4)


@draws("MaxRoiPool")
def max_roi_pool(draw: Draw) -> Case:
    batch, count = draw.integer(1, 2), draw.integer(1, 4)
    rois = np.concatenate((draw.tensor((count, 1), np.int64, 0, batch - 1), _boxes(draw, count, 8).clip(0)), axis=1)
    attributes = {"pooled_shape": draw.integers(2, 1, 3), "spatial_scale": draw.pick(1.0, 0.5)}
    return Case("MaxRoiPool", (draw.tensor((batch, 2, 9, 9)), rois.astype(np.float32)), attributes, 7)


@draws("NonMaxSuppression")
def non_max_suppression(draw: Draw) -> Case:
    batch, classes, count = draw.integer(1, 2), draw.integer(1, 3), draw.integer(1, 9)
    boxes = np.stack([_boxes(draw, count, 6) for _ in range(batch)])
    scores = draw.tensor((batch, classes, count), low=0, high=1)
    limits = (int64([draw.integer(0, 6)]), float32([draw.number(0, 1)]), float32([draw.number(0, 0.7)]))
    centred = draw.integer(0, 1)
    given = limits[: draw.integer(1, 3)]
    return Case("NonMaxSuppression", (boxes, scores, *given), {"center_point_box": centred}, draw.pick(10, 11))


@draws("CenterCropPad")
def center_crop_pad(draw: Draw) -> Case:
    shape = draw.shape(1, 4)
    axes = draw.axes(len(shape))
    sizes = int64(draw.integers(len(axes), 1, 8))
    return Case("CenterCropPad", (draw.tensor(shape), sizes), {"axes": axes}, 18)
