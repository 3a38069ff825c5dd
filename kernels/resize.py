"""Resize and Upsample: each axis is resampled on its own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array
from partita.kernels.registry import kernel
from partita.kernels.windows import is_channels_last


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How values between elements are made; the fields are the attributes of Resize."""

    mode: str = "nearest"
    coordinates: str = "half_pixel"
    nearest_mode: str = "round_prefer_floor"
    cubic_coeff_a: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis that changes."""

    axis: int
    input_size: int
    output_size: int
    scale: float
    start: float
    """The region of interest, from `start` to `end`, as shares of the axis."""
    end: float


@kernel("Upsample", since=7)
def upsample_7(X: Array, *, mode: str = "nearest", scales: Sequence[float]) -> Array:
    """Upsample-9 with the scales as an attribute. Source: ONNX operators, Upsample-7."""
    return upsample(X, np.array(scales, np.float32), mode=mode)


@kernel("Upsample", since=9)
@kernel("Resize", since=10)
def upsample(X: Array, scales: Array, *, mode: str = "nearest") -> Array:
    """Enlarge or shrink each axis by `scales`; the corners of the images meet, not the centres.

    Nearest takes the element below when it enlarges and the one above when it shrinks, as onnxruntime does.
    Source: ONNX operators, Resize-10.
    """
    axes = [
        Axis(axis=i, input_size=n, output_size=math.floor(n * np.float32(s)), scale=float(s), start=0, end=1)
        for i, (n, s) in enumerate(zip(X.shape, scales, strict=True))
    ]
    sampling = Sampling(mode=mode, coordinates="asymmetric", nearest_mode="simple")
    return _resample(X, axes, sampling, 0.0)


@kernel("Resize", since=11)
def resize(
    X: Array,
    roi: Array | None = None,
    scales: Array | None = None,
    sizes: Array | None = None,
    *,
    antialias: int = 0,
    axes: Sequence[int] = (),
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Array:
    """Resample X on the grid that `scales` or `sizes` give, for all axes or for `axes`.

    Source: ONNX operators, Resize-19.
    """
    chosen = [axis % X.ndim for axis in axes] or list(range(X.ndim))
    has_scales, has_sizes = scales is not None and scales.size > 0, sizes is not None and sizes.size > 0
    if has_scales == has_sizes:
        raise KernelError("Resize needs either scales or sizes")
    given = scales if has_scales else sizes
    assert given is not None
    if given.size != len(chosen):
        raise KernelError(f"scales or sizes need {len(chosen)} entries, have {given.size}")
    shape = [X.shape[axis] for axis in chosen]
    regions = _regions(roi, len(chosen)) if coordinate_transformation_mode == "tf_crop_and_resize" else None
    if has_scales:
        factors = [float(s) for s in given]
        cut = [end - start for start, end in regions] if regions else [1.0] * len(chosen)
        outputs = [math.floor(n * np.float32(c) * np.float32(s)) for n, c, s in zip(shape, cut, factors, strict=True)]
    else:
        outputs, factors = _sizes(shape, [int(n) for n in given], keep_aspect_ratio_policy)
    changed = [
        Axis(axis=axis, input_size=n, output_size=m, scale=s, start=region[0], end=region[1])
        for axis, n, m, s, region in zip(
            chosen, shape, outputs, factors, regions or [(0.0, 1.0)] * len(chosen), strict=True
        )
    ]
    sampling = Sampling(
        mode=mode,
        coordinates=coordinate_transformation_mode,
        nearest_mode=nearest_mode,
        cubic_coeff_a=cubic_coeff_a,
        exclude_outside=bool(exclude_outside),
        antialias=bool(antialias),
    )
    return _resample(X, changed, sampling, extrapolation_value)


def _regions(roi: Array | None, count: int) -> list[tuple[float, float]]:
    if roi is None or roi.size != 2 * count:
        raise KernelError(f"tf_crop_and_resize needs a roi with {2 * count} entries")
    return [(float(roi[i]), float(roi[i + count])) for i in range(count)]


def _sizes(shape: list[int], wanted: list[int], policy: str) -> tuple[list[int], list[float]]:
    """Output sizes and scales; a policy other than "stretch" keeps the aspect ratio."""
    ratios = [w / n if n else 1.0 for w, n in zip(wanted, shape, strict=True)]
    if policy == "stretch":
        return wanted, ratios
    if policy not in ("not_larger", "not_smaller"):
        raise KernelError(f"keep_aspect_ratio_policy must be stretch, not_larger or not_smaller, is {policy!r}")
    ratio = min(ratios) if policy == "not_larger" else max(ratios)
    return [math.floor(ratio * n + 0.5) for n in shape], [ratio] * len(shape)


def _resample(x: Array, axes: list[Axis], sampling: Sampling, extrapolation_value: float) -> Array:
    """Resample one axis after the other, the one that shrinks most first; the memory order of `x` is kept."""
    if is_channels_last(x):
        moved = np.moveaxis(x, 1, -1)
        to = {1: x.ndim - 1} | {axis: axis - 1 for axis in range(2, x.ndim)}
        there = [_on_axis(a, to.get(a.axis, a.axis)) for a in axes]
        return np.moveaxis(_resample(moved, there, sampling, extrapolation_value), -1, 1)
    if sampling.mode not in ("nearest", "linear", "cubic"):
        raise KernelError(f"mode must be nearest, linear or cubic, is {sampling.mode!r}")
    y = x if sampling.mode == "nearest" or x.dtype.kind == "f" else x.astype(np.float32)
    outside: list[tuple[int, Array]] = []
    for a in sorted(axes, key=lambda a: a.output_size / max(a.input_size, 1)):
        places = _coordinates(a, sampling.coordinates)
        if sampling.coordinates == "tf_crop_and_resize":
            outside.append((a.axis, (places < 0) | (places > a.input_size - 1)))
        elif a.output_size == a.input_size and a.scale == 1:
            continue
        if sampling.mode == "nearest":
            y = _take(y, _nearest(places, a, sampling.nearest_mode), a.axis)
        else:
            y = _weigh(y, *_taps(places, a, sampling), a.axis)
    if y is x:
        return x.copy()
    y = y.astype(x.dtype, copy=False)
    for axis, is_outside in outside:
        np.moveaxis(y, axis, 0)[is_outside] = extrapolation_value
    return y


def _on_axis(a: Axis, axis: int) -> Axis:
    return Axis(axis=axis, input_size=a.input_size, output_size=a.output_size, scale=a.scale, start=a.start, end=a.end)


def _coordinates(a: Axis, mode: str) -> Array:
    """Where each output element lies on the input axis, in float32 as the runtimes compute it.

    `align_corners` divides by the output's own size, as onnxruntime and PyTorch do; the backend cases of ONNX take the
    fraction that scales give before it is rounded down, and then the corners do not meet.
    """
    one, half = np.float32(1), np.float32(0.5)
    at = np.arange(a.output_size, dtype=np.float32)
    scale = np.float32(a.scale)
    last = np.float32(a.input_size - 1)
    if mode == "asymmetric":  # halves must come out exactly, for "nearest" rounds them
        return (np.arange(a.output_size) / a.scale).astype(np.float32)
    if mode == "align_corners":
        return at * last / np.float32(a.output_size - 1) if a.output_size > 1 else at * 0
    if mode == "tf_crop_and_resize":
        start, end = np.float32(a.start), np.float32(a.end)
        if a.output_size > 1:
            return start * last + at * (end - start) * last / np.float32(a.output_size - 1)
        return np.full_like(at, half * (start + end) * last)
    if mode == "tf_half_pixel_for_nn":
        return (at + half) / scale
    if mode == "pytorch_half_pixel" and a.output_size <= 1:
        return at * 0
    places = (at + half) / scale - half
    if mode == "half_pixel_symmetric":
        adjustment = np.float32(a.output_size) / (scale * np.float32(a.input_size))
        return places + np.float32(a.input_size / 2) * (one - adjustment)
    if mode not in ("half_pixel", "pytorch_half_pixel"):
        raise KernelError(f"coordinate_transformation_mode {mode!r} is unknown")
    return places


def _nearest(places: Array, a: Axis, mode: str) -> Array:
    """The element that stands for each place."""
    if mode == "simple":
        mode = "ceil" if a.scale < 1 else "floor"
    if mode == "round_prefer_floor":
        nearest = np.ceil(places - np.float32(0.5))
    elif mode == "round_prefer_ceil":
        nearest = np.floor(places + np.float32(0.5))
    elif mode == "floor":
        nearest = np.floor(places)
    elif mode == "ceil":
        nearest = np.ceil(places)
    else:
        raise KernelError(f"nearest_mode {mode!r} is unknown")
    return np.clip(nearest.astype(np.int64), 0, a.input_size - 1)


def _take(x: Array, index: Array, axis: int) -> Array:
    """`x.take(index, axis)`, by broadcast copies where each element is repeated equally often."""
    n = x.shape[axis]
    factor = len(index) // n if n else 0
    if factor < 2 or len(index) != n * factor or not (index == np.arange(n).repeat(factor)).all():
        return x.take(index, axis)
    y = np.empty((*x.shape[: axis + 1], factor, *x.shape[axis + 1 :]), x.dtype)
    if axis == x.ndim - 1:
        for i in range(factor):
            y[..., i] = x
    else:
        y[...] = np.expand_dims(x, axis + 1)
    return y.reshape(*x.shape[:axis], len(index), *x.shape[axis + 1 :])


def _taps(places: Array, a: Axis, sampling: Sampling) -> tuple[Array, Array]:
    """Elements and their weights, both (taps, outputs). Antialiasing stretches the filter by 1 / scale."""
    squeeze = min(a.scale, 1.0) if sampling.antialias else 1.0
    reach = math.ceil((1 if sampling.mode == "linear" else 2) / squeeze)
    below = np.floor(places).astype(np.int64)
    index = below + np.arange(1 - reach, reach + 1)[:, None]
    distance = np.abs(index - places.astype(np.float64)) * squeeze
    is_linear = sampling.mode == "linear"
    weights = np.maximum(1 - distance, 0) if is_linear else _cubic(distance, sampling.cubic_coeff_a)
    if sampling.exclude_outside:
        weights = np.where((index >= 0) & (index < a.input_size), weights, 0)
    weights = weights / weights.sum(axis=0)
    return np.clip(index, 0, a.input_size - 1), weights


def _cubic(distance: Array, a: float) -> Array:
    """Keys' convolution kernel. Source: R. Keys, Cubic convolution interpolation, 1981, equation 4."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


def _weigh(x: Array, index: Array, weights: Array, axis: int) -> Array:
    """The sum over taps of `weights[tap] * x.take(index[tap], axis)`."""
    shape = (-1, *(1,) * (x.ndim - 1 - axis))
    y: Array | None = None
    for elements, factors in zip(index, weights.astype(x.dtype), strict=True):
        part = x.take(elements, axis)
        part *= factors.reshape(shape)
        if y is None:
            y = part
        else:
            y += part
    assert y is not None
    return y
