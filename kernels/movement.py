"""Cutting, joining and reordering: Concat, Split, Slice, Tile, Trilu, Compress and more."""

from collections.abc import Sequence

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array, axes_of, axis_of, scalar_of
from partita.kernels.registry import kernel


@kernel("Concat", since=4, widen=False)
def concat(*inputs: Array, axis: int) -> Array:
    """Join tensors along `axis`. Source: ONNX operators, Concat-13."""
    if not inputs:
        raise KernelError("needs at least one input, has none")
    along = axis_of(axis, inputs[0].ndim)
    outside = {x.shape[:along] + x.shape[along + 1 :] for x in inputs}
    if len(outside) != 1:
        raise KernelError(f"the shapes {[x.shape for x in inputs]} differ outside axis {along}")
    return np.concatenate(inputs, along)


def _split(x: Array, axis: int, sizes: Sequence[int]) -> tuple[Array, ...]:
    along = axis_of(axis, x.ndim)
    if sum(sizes) != x.shape[along] or min(sizes) < 0:
        raise KernelError(f"split {list(sizes)} does not add up to the size of axis {along}, {x.shape[along]}")
    before = (slice(None),) * along
    ends = np.cumsum(sizes).tolist()
    return tuple(x[(*before, slice(end - size, end))] for size, end in zip(sizes, ends, strict=True))


def _equal_parts(size: int, parts: int) -> list[int]:
    """Sizes of `parts` equal parts; the last is smaller if `size` does not divide."""
    most = -(-size // parts)
    return [max(0, min(most, size - i * most)) for i in range(parts)]


@kernel("Split", since=2, widen=False)
def split_attribute(
    input: Array, *, axis: int = 0, split: tuple[int, ...] | None = None, n_outputs: int
) -> tuple[Array, ...]:
    """Cut along `axis` into parts of the sizes `split`, by default equal ones. Source: ONNX operators, Split-11."""
    return _split(input, axis, split or _equal_parts(input.shape[axis], n_outputs))


@kernel("Split", since=13, widen=False)
def split(
    input: Array, split: Array | None = None, *, axis: int = 0, num_outputs: int | None = None, n_outputs: int
) -> tuple[Array, ...]:
    """Cut along `axis` into parts of the sizes `split`, by default equal ones. Source: ONNX operators, Split-18."""
    if split is not None:
        return _split(input, axis, split.tolist())
    along = axis_of(axis, input.ndim)
    return _split(input, along, _equal_parts(input.shape[along], num_outputs or n_outputs))


def _slice_of(size: int, start: int, end: int, step: int) -> slice:
    """Python's slice for ONNX's start and end, which clamp to the ends of the axis."""
    if step == 0:
        raise KernelError("steps must not be 0")
    start += size if start < 0 else 0
    end += size if end < 0 else 0
    if step > 0:
        return slice(min(max(start, 0), size), min(max(end, 0), size), step)
    start, end = min(max(start, 0), size - 1), min(max(end, -1), size - 1)
    return slice(start, None if end < 0 else end, step) if size else slice(0, 0)


@kernel("Slice", widen=False)
def slice_attributes(
    data: Array, *, starts: tuple[int, ...], ends: tuple[int, ...], axes: tuple[int, ...] | None = None
) -> Array:
    """A view of `data` from `starts` to `ends` along `axes`. Source: ONNX operators, Slice-1."""
    return _sliced(data, starts, ends, axes, None)


@kernel("Slice", since=10, widen=False)
def slice_(data: Array, starts: Array, ends: Array, axes: Array | None = None, steps: Array | None = None) -> Array:
    """A view of `data` from `starts` to `ends` along `axes`, every `steps`-th. Source: ONNX operators, Slice-13."""
    return _sliced(
        data,
        starts.tolist(),
        ends.tolist(),
        None if axes is None else axes.tolist(),
        None if steps is None else steps.tolist(),
    )


def _sliced(
    data: Array, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int] | None, steps: Sequence[int] | None
) -> Array:
    along = tuple(range(len(starts))) if axes is None else axes_of(axes, data.ndim)
    if len(ends) != len(starts) or len(along) != len(starts):
        raise KernelError(f"starts, ends and axes must have one length, have {len(starts)}, {len(ends)}, {len(along)}")
    index = [slice(None)] * data.ndim
    for i, axis in enumerate(along):
        index[axis] = _slice_of(data.shape[axis], starts[i], ends[i], 1 if steps is None else steps[i])
    return data[tuple(index)]


@kernel("Tile", since=6, widen=False)
def tile(input: Array, repeats: Array) -> Array:
    """Repeat the tensor `repeats` times along each axis. Source: ONNX operators, Tile-13."""
    if len(repeats) != input.ndim:
        raise KernelError(f"repeats has {len(repeats)} entries for {input.ndim} dimensions")
    return np.tile(input, repeats.tolist())


@kernel("Trilu", since=14, widen=False)
def trilu(input: Array, k: Array | None = None, *, upper: int = 1) -> Array:
    """Upper or lower triangle of each matrix from diagonal `k` on, zero elsewhere. Source: ONNX operators, Trilu-14."""
    diagonal = 0 if k is None else scalar_of(k, "k")
    rows, columns = input.shape[-2:]
    reach = np.arange(columns) - np.arange(rows)[:, None]
    kept = reach >= diagonal if upper else reach <= diagonal
    bits = np.dtype(f"i{input.dtype.itemsize}")  # a mask of bits is four times as fast as np.where
    return (input.view(bits) & -kept.astype(bits)).view(input.dtype)


@kernel("Compress", since=9, widen=False)
def compress(input: Array, condition: Array, *, axis: int | None = None) -> Array:
    """Slices along `axis`, or flat elements, where `condition` holds. Source: ONNX operators, Compress-11."""
    along = None if axis is None else axis_of(axis, input.ndim)
    size = input.size if along is None else input.shape[along]
    if condition.ndim != 1 or len(condition) > size:
        raise KernelError(f"condition must be 1-D with at most {size} entries, has the shape {condition.shape}")
    return np.compress(condition, input, along)


@kernel("ReverseSequence", since=10, widen=False)
def reverse_sequence(input: Array, sequence_lens: Array, *, batch_axis: int = 1, time_axis: int = 0) -> Array:
    """Reverse the first `sequence_lens[b]` steps of each batch entry b. Source: ONNX operators, ReverseSequence-10."""
    if {batch_axis, time_axis} != {0, 1}:
        raise KernelError(f"batch_axis and time_axis must be 0 and 1, are {batch_axis} and {time_axis}")
    steps = np.arange(input.shape[time_axis])[:, None]
    source = np.where(steps < sequence_lens, sequence_lens - 1 - steps, steps)
    batch = np.arange(input.shape[batch_axis])
    return input[source, batch] if time_axis == 0 else input[batch[:, None], source.T]


@kernel("CenterCropPad", since=18, widen=False)
def center_crop_pad(input_data: Array, shape: Array, *, axes: tuple[int, ...] | None = None) -> Array:
    """Crop or zero-pad around the centre to `shape` along `axes`. Source: ONNX operators, CenterCropPad-18."""
    along = tuple(range(input_data.ndim)) if axes is None else axes_of(axes, input_data.ndim)
    if len(along) != len(shape):
        raise KernelError(f"shape has {len(shape)} entries for {len(along)} axes")
    result_shape = list(input_data.shape)
    source, target = [slice(None)] * input_data.ndim, [slice(None)] * input_data.ndim
    for axis, wanted in zip(along, shape.tolist(), strict=True):
        size = input_data.shape[axis]
        crop, pad = max(0, size - wanted) // 2, max(0, wanted - size) // 2
        common = min(size, wanted)
        source[axis], target[axis] = slice(crop, crop + common), slice(pad, pad + common)
        result_shape[axis] = wanted
    result = np.zeros(result_shape, input_data.dtype)
    result[tuple(target)] = input_data[tuple(source)]
    return result


@kernel("Col2Im", since=18)
def col2im(
    input: Array,
    image_shape: Array,
    block_shape: Array,
    *,
    dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """Add columns (N, C prod(block), L) up into an image (N, C, *image_shape). Source: ONNX operators, Col2Im-18."""
    image, block = image_shape.tolist(), block_shape.tolist()
    rank = len(image)
    step, spread = strides or (1,) * rank, dilations or (1,) * rank
    margin = pads or (0,) * (2 * rank)
    padded = [size + margin[i] + margin[rank + i] for i, size in enumerate(image)]
    places = [(padded[i] - spread[i] * (block[i] - 1) - 1) // step[i] + 1 for i in range(rank)]
    columns = input.reshape(input.shape[0], -1, *block, *places)
    result = np.zeros((*columns.shape[:2], *padded), input.dtype)
    whole = (slice(None), slice(None))
    for tap in np.ndindex(*block):
        begins = [tap[i] * spread[i] for i in range(rank)]
        window = tuple(slice(b, b + step[i] * (places[i] - 1) + 1, step[i]) for i, b in enumerate(begins))
        result[whole + window] += columns[whole + tap]
    return result[whole + tuple(slice(margin[i], margin[i] + size) for i, size in enumerate(image))]
