"""Sampling at free positions, regions and boxes: GridSample, AffineGrid, RoiAlign, NonMaxSuppression."""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array
from partita.kernels.registry import kernel

CUBIC_A = -0.75
"""Coefficient of the cubic filter. Source: ONNX backend cases of GridSample, which follow PyTorch."""


Samples = tuple[Array, Array, Array, Array]
"""Lower and upper element and their weights for every sample of an axis: (cells * samples,) each."""


@kernel("GridSample", since=16)
def grid_sample(
    X: Array, grid: Array, *, align_corners: int = 0, mode: str = "linear", padding_mode: str = "zeros"
) -> Array:
    """Values of X (N, C, spatial ...) at the positions `grid` (N, outputs ..., axes): (N, C, outputs ...).

    Positions run from -1 to 1 over each axis, the last spatial axis first. Source: ONNX operators, GridSample-22.
    """
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    if mode not in ("linear", "nearest", "cubic") or padding_mode not in ("zeros", "border", "reflection"):
        raise KernelError(f"GridSample has no mode {mode!r} with padding_mode {padding_mode!r}")
    sizes = X.shape[2:]
    if grid.shape[-1] != len(sizes):
        raise KernelError(f"grid {grid.shape} must end with the {len(sizes)} spatial axes of X {X.shape}")
    outputs = grid.shape[1:-1]
    images = X.reshape(*X.shape[:2], -1)
    y = np.empty((*X.shape[:2], *outputs), X.dtype if X.dtype.kind == "f" else np.float64)
    for image in range(X.shape[0]):
        places = [
            _denormalized(grid[image, ..., -1 - axis].reshape(-1), size, bool(align_corners))
            for axis, size in enumerate(sizes)
        ]
        taps = [
            _axis_taps(place, size, mode, padding_mode, bool(align_corners))
            for place, size in zip(places, sizes, strict=True)
        ]
        y[image] = _gather(images[image], taps, sizes).reshape(X.shape[1], *outputs)
    return y.astype(X.dtype, copy=False)


def _denormalized(place: Array, size: int, align_corners: bool) -> Array:
    """-1..1 as elements: to the centres of the first and last one, or to their outer edges."""
    half = place.dtype.type(0.5)
    return (place + 1) * half * (size - 1) if align_corners else ((place + 1) * size - 1) * half


def _axis_taps(place: Array, size: int, mode: str, padding: str, align_corners: bool) -> list[tuple[Array, Array]]:
    """(element, weight) of each tap along one axis; a tap outside has weight 0."""
    if mode == "nearest":
        pairs = [(_folded(np.rint(place), size, padding, align_corners), np.ones_like(place))]
    elif mode == "linear":
        place = _folded(place, size, padding, align_corners)
        below = np.floor(place)
        share = place - below
        pairs = [(below, 1 - share), (below + 1, share)]
    else:
        below = np.floor(place)
        share = place - below
        pairs = [(_folded(below + i, size, padding, align_corners), _cubic(np.abs(share - i))) for i in (-1, 0, 1, 2)]
    return [_inside(index, weight, size) for index, weight in pairs]


def _inside(index: Array, weight: Array, size: int) -> tuple[Array, Array]:
    """Valid elements, and weights that are 0 where the element lay outside."""
    is_inside = (index >= 0) & (index <= size - 1)
    safe = np.where(is_inside, index, 0).astype(np.int64)
    return safe, np.where(is_inside, weight, weight.dtype.type(0))


def _folded(place: Array, size: int, padding: str, align_corners: bool) -> Array:
    """Bring places into the axis by the padding mode; zeros leaves them."""
    if padding == "border":
        return np.clip(place, 0, size - 1)
    if padding == "reflection":
        low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
        if high <= low:
            return np.zeros_like(place)
        place = np.abs(place - place.dtype.type(low)) % place.dtype.type(2 * (high - low))
        place = np.minimum(place, place.dtype.type(2 * (high - low)) - place) + place.dtype.type(low)
        return np.clip(place, 0, size - 1)
    return place


def _cubic(distance: Array) -> Array:
    """Keys' convolution kernel. Source: R. Keys, Cubic convolution interpolation, 1981, equation 4."""
    a = CUBIC_A
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance <= 1, near, far)


def _gather(image: Array, taps: Sequence[list[tuple[Array, Array]]], sizes: Sequence[int]) -> Array:
    """The weighted sum over all combinations of taps of an image (C, elements): (C, places)."""
    total: Array | None = None
    for combination in itertools.product(*taps):
        index, weight = combination[0]
        for (next_index, next_weight), size in zip(combination[1:], sizes[1:], strict=True):
            index, weight = index * size + next_index, weight * next_weight
        part = image.take(index, axis=1) * weight
        total = part if total is None else total + part
    assert total is not None
    return total


@kernel("AffineGrid", since=20)
def affine_grid(theta: Array, size: Array, *, align_corners: int = 0) -> Array:
    """Positions (N, outputs ..., axes) of an even grid after the maps `theta` (N, axes, axes + 1).

    Source: ONNX operators, AffineGrid-20.
    """
    outputs = [int(n) for n in size[2:]]
    axes = []
    for n in outputs:
        if align_corners:
            axes.append(np.linspace(-1, 1, n, dtype=theta.dtype) if n > 1 else np.zeros(1, theta.dtype))
        else:
            axes.append(((np.arange(n) * 2 + 1) / n - 1).astype(theta.dtype))
    grid = np.meshgrid(*axes, indexing="ij")
    points = np.stack([*grid[::-1], np.ones(outputs, theta.dtype)], axis=-1).reshape(-1, len(outputs) + 1)
    return np.matmul(points, theta.swapaxes(1, 2)).reshape(theta.shape[0], *outputs, len(outputs))


@kernel("RoiAlign", since=10)
def roi_align_10(
    X: Array,
    rois: Array,
    batch_indices: Array,
    *,
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Array:
    """RoiAlign-16 without the shift by half a pixel. Source: ONNX operators, RoiAlign-10."""
    return roi_align(
        X,
        rois,
        batch_indices,
        coordinate_transformation_mode="output_half_pixel",
        mode=mode,
        output_height=output_height,
        output_width=output_width,
        sampling_ratio=sampling_ratio,
        spatial_scale=spatial_scale,
    )


@kernel("RoiAlign", since=16)
def roi_align(
    X: Array,
    rois: Array,
    batch_indices: Array,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Array:
    """Bilinear samples in each cell of a grid over each region, pooled: (regions, C, height, width).

    `rois` rows are (x1, y1, x2, y2). A mean is two matrix products with the interpolation weights of rows and columns;
    a maximum is that of the four weighted corners of every sample, as the standard's reference has it.
    Source: ONNX operators, RoiAlign-22.
    """
    if mode not in ("avg", "max"):
        raise KernelError(f"mode must be avg or max, is {mode!r}")
    half_pixel = coordinate_transformation_mode == "half_pixel"
    y = np.empty((len(rois), X.shape[1], output_height, output_width), X.dtype)
    shift = np.float32(0.5 if half_pixel else 0)
    for i, (roi, image) in enumerate(zip(rois, batch_indices, strict=True)):
        # In float32: the number of samples is a ceiling, so a bit more precision would give other results.
        x1, y1, x2, y2 = roi.astype(np.float32) * np.float32(spatial_scale) - shift
        height, width = y2 - y1, x2 - x1
        if not half_pixel:
            height, width = max(height, np.float32(1)), max(width, np.float32(1))
        rows = _samples(y1, height, output_height, sampling_ratio, X.shape[2])
        columns = _samples(x1, width, output_width, sampling_ratio, X.shape[3])
        if mode == "avg":
            y[i] = _mean_weights(rows, output_height, X) @ X[image] @ _mean_weights(columns, output_width, X, 3).T
        else:
            y[i] = _max_of_corners(X[image], rows, columns, output_height, output_width)
    return y


def _samples(start: np.float32, length: np.float32, cells: int, ratio: int, size: int) -> Samples:
    """The samples of `cells` equal cells of an axis of `size` elements, `ratio` each or one per element."""
    count = ratio if ratio > 0 else max(math.ceil(length / cells), 0)
    step = length / cells
    at = np.arange(cells)[:, None] * step + (np.arange(count) + 0.5) * (step / max(count, 1)) + start
    place = at.reshape(-1)
    is_inside = (place >= -1) & (place <= size)
    place = np.clip(place, 0, size - 1)
    low = np.floor(place).astype(np.int64)
    share = place - low
    return low, np.minimum(low + 1, size - 1), np.where(is_inside, 1 - share, 0), np.where(is_inside, share, 0)


def _mean_weights(samples: Samples, cells: int, x: Array, axis: int = 2) -> Array:
    """The matrix (cells, size) that takes the mean of the samples of each cell."""
    low, high, low_weight, high_weight = samples
    matrix = np.zeros((cells, x.shape[axis]))
    count = len(low) // cells
    cell = np.arange(cells).repeat(count)
    np.add.at(matrix, (cell, low), low_weight / max(count, 1))
    np.add.at(matrix, (cell, high), high_weight / max(count, 1))
    return matrix.astype(x.dtype)


def _max_of_corners(
    image: Array,
    rows: Samples,
    columns: Samples,
    height: int,
    width: int,
) -> Array:
    """The largest weighted corner of the samples of each cell of an image (C, H, W)."""
    best: Array | None = None
    for index, weight in ((rows[0], rows[2]), (rows[1], rows[3])):
        strip = image.take(index, axis=1)
        for other, other_weight in ((columns[0], columns[2]), (columns[1], columns[3])):
            value = strip.take(other, axis=2) * (weight[:, None] * other_weight).astype(image.dtype)
            best = value if best is None else np.maximum(best, value)
    assert best is not None
    if best.size == 0:
        return np.zeros((image.shape[0], height, width), image.dtype)
    return best.reshape(image.shape[0], height, -1, width, best.shape[2] // width).max(axis=(2, 4))


@kernel("NonMaxSuppression", since=10)
def non_max_suppression(
    boxes: Array,
    scores: Array,
    max_output_boxes_per_class: Array | None = None,
    iou_threshold: Array | None = None,
    score_threshold: Array | None = None,
    *,
    center_point_box: int = 0,
) -> Array:
    """(image, class, box) of the boxes kept, best score first, none overlapping a better one of its class too much.

    `boxes` is (images, boxes, 4), `scores` (images, classes, boxes). Source: ONNX operators, NonMaxSuppression-11.
    """
    limit = 0 if max_output_boxes_per_class is None else int(max_output_boxes_per_class.item())
    threshold = np.float32(0 if iou_threshold is None else iou_threshold.item())
    if not 0 <= threshold <= 1:
        raise KernelError(f"iou_threshold must lie in 0..1, is {threshold}")
    kept: list[tuple[int, int, int]] = []
    for image, of_image in enumerate(boxes):
        corners = _corners(of_image, bool(center_point_box))
        for label, score in enumerate(scores[image]):
            order = np.argsort(-score, kind="stable")
            if score_threshold is not None:
                order = order[score[order] > score_threshold.item()]
            kept += [(image, label, int(box)) for box in _suppress(corners, order, threshold, limit)]
    return np.array(kept, np.int64).reshape(-1, 3)


def _corners(boxes: Array, is_centred: bool) -> Array:
    """(boxes, 4) as rows y1, x1, y2, x2 and areas with first <= second: (5, boxes)."""
    if is_centred:
        x, y, width, height = boxes.T
        first, second = np.stack((y - height / 2, x - width / 2)), np.stack((y + height / 2, x + width / 2))
    else:
        first, second = np.minimum(boxes.T[:2], boxes.T[2:]), np.maximum(boxes.T[:2], boxes.T[2:])
    return np.concatenate((first, second, (second - first).prod(axis=0)[None]))


def _suppress(corners: Array, order: Array, threshold: np.float32, limit: int) -> list[int]:
    """The boxes of `order` that overlap no better one by more than `threshold`, at most `limit`."""
    kept: list[int] = []
    rest = corners[:, order]
    while len(order) and len(kept) < limit:
        kept.append(int(order[0]))
        best, order, rest = rest[:, :1], order[1:], rest[:, 1:]
        sides = np.minimum(best[2:4], rest[2:4]) - np.maximum(best[:2], rest[:2])
        overlap = np.maximum(sides, 0).prod(axis=0)
        union = best[4] + rest[4] - overlap
        # A box without area overlaps nothing.
        is_free = (overlap <= threshold * union) | (rest[4] <= 0) | (best[4] <= 0)
        order, rest = order[is_free], rest[:, is_free]
    return kept
