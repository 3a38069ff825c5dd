"""Windows that slide over the spatial axes of an (N, C, spatial ...) array: sizes, padding and views."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.lib.stride_tricks import as_strided

from partita.errors import KernelError
from partita.kernels.arrays import Array


@dataclass(frozen=True, kw_only=True)
class Windows:
    """How windows slide; every field has one entry per spatial axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    """Padding before the first element."""
    end: tuple[int, ...]
    """Padding after the last element, as the operator declares it."""
    inputs: tuple[int, ...]
    """Size of the input without padding."""
    outputs: tuple[int, ...]
    """Number of window positions."""

    @cached_property
    def extents(self) -> tuple[int, ...]:
        """Elements from the first to the last tap of one window, both included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @cached_property
    def spans(self) -> tuple[int, ...]:
        """Elements from the first tap of the first window to the last tap of the last one, both included."""
        steps = zip(self.outputs, self.strides, self.extents, strict=True)
        return tuple((size - 1) * stride + extent for size, stride, extent in steps)

    @cached_property
    def taps(self) -> int:
        return math.prod(self.kernel)

    @cached_property
    def needs_padding(self) -> bool:
        return any(b > 0 or b + n < span for b, n, span in zip(self.begin, self.inputs, self.spans, strict=True))


def make_windows(
    inputs: Sequence[int],
    kernel: Sequence[int],
    *,
    strides: Sequence[int] = (),
    dilations: Sequence[int] = (),
    pads: Sequence[int] = (),
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
) -> Windows:
    """The windows that the ONNX attributes describe on spatial sizes `inputs`.

    With `ceil_mode` a last window may hang over the end, unless it would start in the padding behind the input.
    Source: ONNX operators, MaxPool-22 and Conv-22.
    """
    return _windows(
        tuple(inputs), tuple(kernel), tuple(strides), tuple(dilations), tuple(pads), auto_pad=auto_pad, ceil=ceil_mode
    )


@lru_cache(maxsize=4096)
def _windows(
    inputs: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    pads: tuple[int, ...],
    *,
    auto_pad: str,
    ceil: int,
) -> Windows:
    rank = len(inputs)
    strides, dilations, pads = strides or (1,) * rank, dilations or (1,) * rank, pads or (0,) * (2 * rank)
    if not (len(kernel) == len(strides) == len(dilations) == rank and len(pads) == 2 * rank):
        raise KernelError(
            f"kernel {kernel}, strides {strides}, dilations {dilations} and pads {pads} do not fit {rank} axes"
        )
    if min(strides, default=1) < 1 or min(dilations, default=1) < 1:
        raise KernelError(f"strides {strides} and dilations {dilations} must be at least 1")
    axes = [
        _axis(n, (k - 1) * d + 1, s, (pads[i], pads[i + rank]), auto_pad, ceil)
        for i, (n, k, s, d) in enumerate(zip(inputs, kernel, strides, dilations, strict=True))
    ]
    return Windows(
        kernel=kernel,
        strides=strides,
        dilations=dilations,
        begin=tuple(begin for begin, _, _ in axes),
        end=tuple(end for _, end, _ in axes),
        inputs=inputs,
        outputs=tuple(size for _, _, size in axes),
    )


def _axis(
    n: int, extent: int, stride: int, pad: tuple[int, int], auto_pad: str, ceil_mode: int
) -> tuple[int, int, int]:
    """Padding before, padding after and number of windows on one axis of size `n`."""
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        size = -(-n // stride)
        total = max(0, (size - 1) * stride + extent - n)
        small, large = total // 2, total - total // 2
        return (small, large, size) if auto_pad == "SAME_UPPER" else (large, small, size)
    if auto_pad not in ("NOTSET", "VALID", ""):
        raise KernelError(f"auto_pad must be NOTSET, SAME_UPPER, SAME_LOWER or VALID, is {auto_pad!r}")
    begin, end = (0, 0) if auto_pad == "VALID" else pad
    room = n + begin + end - extent
    if room < 0 and not ceil_mode:
        raise KernelError(f"a window of {extent} elements does not fit {n} with padding {begin} and {end}")
    if not ceil_mode:
        return begin, end, room // stride + 1
    size = -(-room // stride) + 1
    if (size - 1) * stride >= n + begin:
        size -= 1
    return begin, end, size


def channels_last(x: Array) -> Array:
    """A view of (N, C, spatial ...) as (N, spatial ..., C); `numpy.moveaxis` takes ten times as long."""
    return x.transpose(0, *range(2, x.ndim), 1)


def channels_second(x: Array) -> Array:
    """A view of (N, spatial ..., C) as (N, C, spatial ...)."""
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def is_channels_last(x: Array) -> bool:
    """Whether an (N, C, spatial ...) array lies in memory as N, spatial ..., C, and not also as it is written."""
    return not x.flags.c_contiguous and channels_last(x).flags.c_contiguous


def pad_channels_first(x: Array, windows: Windows, fill: float = 0) -> Array:
    """`x` (N, C, spatial ...) with padding, at least as large as the windows reach; `x` itself if that is its size."""
    if not windows.needs_padding:
        return x
    sizes = _padded_sizes(windows)
    out = np.empty(x.shape[:2] + sizes, x.dtype)
    _write_padded(out, x, windows, 2, fill)
    return out


def pad_channels_last(x: Array, windows: Windows, fill: float = 0) -> Array:
    """`x` (N, C, spatial ...) as (N, spatial ..., C), contiguous and padded as far as the windows reach."""
    last = channels_last(x)
    if not windows.needs_padding:
        return np.ascontiguousarray(last)
    sizes = _padded_sizes(windows)
    out = np.empty((x.shape[0], *sizes, x.shape[1]), x.dtype)
    _write_padded(out, last, windows, 1, fill)
    return out


def _padded_sizes(windows: Windows) -> tuple[int, ...]:
    reach = zip(windows.begin, windows.inputs, windows.spans, strict=True)
    return tuple(max(begin + n, span) for begin, n, span in reach)


def _write_padded(out: Array, x: Array, windows: Windows, first_axis: int, fill: float) -> None:
    """Copy `x` into `out` behind the padding and fill only the borders."""
    inside: list[slice] = [slice(None)] * out.ndim
    for i, (begin, n) in enumerate(zip(windows.begin, windows.inputs, strict=True)):
        axis = first_axis + i
        for border in (slice(0, begin), slice(begin + n, None)):
            out[(*inside[:axis], border)] = fill
        inside[axis] = slice(begin, begin + n)
    out[tuple(inside)] = x


def tap_slices(windows: Windows, tap: Sequence[int]) -> tuple[slice, ...]:
    """The elements of the padded spatial axes that meet `tap` (one index per axis) of every window."""
    return tuple(
        slice(t * d, t * d + (size - 1) * s + 1, s)
        for t, d, s, size in zip(tap, windows.dilations, windows.strides, windows.outputs, strict=True)
    )


def window_view(padded: Array, windows: Windows, first_axis: int) -> Array:
    """A view without copy: the spatial axes become (outputs ..., kernel ...), the axes around them stay."""
    last = first_axis + len(windows.kernel)
    steps = padded.strides[first_axis:last]
    shape = (*padded.shape[:first_axis], *windows.outputs, *windows.kernel, *padded.shape[last:])
    strides = (
        *padded.strides[:first_axis],
        *(step * s for step, s in zip(steps, windows.strides, strict=True)),
        *(step * d for step, d in zip(steps, windows.dilations, strict=True)),
        *padded.strides[last:],
    )
    return as_strided(padded, shape, strides, writeable=False)


def row_blocks(batch: int, rows: int, row_elements: int, block_elements: int) -> Iterator[tuple[int, int, int]]:
    """(image, first row, last row) of even blocks that hold about `block_elements`."""
    count = max(1, min(rows, round(rows * row_elements / block_elements)))
    step = -(-rows // count)
    for image in range(batch):
        for first in range(0, rows, step):
            yield image, first, min(first + step, rows)
