"""Pad with its modes; pads may be negative, which crops."""

from collections.abc import Sequence

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array, axes_of
from partita.kernels.registry import kernel


def _source_of(mode: str, size: int, begin: int, end: int) -> Array:
    """For each place along a padded axis, the place of the original axis that it copies."""
    places = np.arange(-begin, size + end)
    if mode == "edge":
        return np.clip(places, 0, size - 1)
    if mode == "wrap":
        return places % size
    if size == 1:
        return np.zeros_like(places)
    folded = places % (2 * (size - 1))
    return np.minimum(folded, 2 * (size - 1) - folded)


def _cropped(data: Array, pads: Sequence[tuple[int, int]]) -> Array:
    """`data` without what negative pads cut off."""
    return data[tuple(slice(max(0, -b), size - max(0, -e)) for size, (b, e) in zip(data.shape, pads, strict=True))]


def _pad(data: Array, pads: Sequence[tuple[int, int]], mode: str, value: object) -> Array:
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise KernelError(f"mode must be constant, reflect, edge or wrap, is {mode!r}")
    result = _cropped(data, pads)
    growth = [(max(0, begin), max(0, end)) for begin, end in pads]
    if mode == "constant":
        inner = result
        shape = [size + sum(pair) for size, pair in zip(inner.shape, growth, strict=True)]
        result = np.full(shape, value, data.dtype)
        result[tuple(slice(b, b + size) for size, (b, _) in zip(inner.shape, growth, strict=True))] = inner
        return result
    for axis, (begin, end) in enumerate(growth):
        if begin or end:
            if result.shape[axis] == 0:
                raise KernelError(f"mode {mode} cannot pad axis {axis}: it is empty")
            result = np.take(result, _source_of(mode, result.shape[axis], begin, end), axis)
    return result


def _pairs(pads: Sequence[int], axes: Sequence[int], rank: int) -> list[tuple[int, int]]:
    if len(pads) != 2 * len(axes):
        raise KernelError(f"pads must have a begin and an end for each of {len(axes)} axes, has {len(pads)} entries")
    pairs = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        pairs[axis] = (pads[i], pads[len(axes) + i])
    return pairs


@kernel("Pad", since=2, widen=False)
def pad_attributes(data: Array, *, pads: tuple[int, ...], mode: str = "constant", value: float = 0.0) -> Array:
    """Pad each axis i by pads[i] before and pads[rank + i] after. Source: ONNX operators, Pad-2."""
    return _pad(data, _pairs(pads, range(data.ndim), data.ndim), mode, value)


@kernel("Pad", since=11, widen=False)
def pad(
    data: Array,
    pads: Array,
    constant_value: Array | None = None,
    axes: Array | None = None,
    *,
    mode: str = "constant",
) -> Array:
    """Pad `axes`, by default all: first every begin, then every end, in `pads`. Source: ONNX operators, Pad-25."""
    along = tuple(range(data.ndim)) if axes is None else axes_of(axes.tolist(), data.ndim)
    value = ("" if data.dtype.kind == "O" else 0) if constant_value is None else constant_value.reshape(-1)[0]
    return _pad(data, _pairs(pads.tolist(), along, data.ndim), mode, value)
