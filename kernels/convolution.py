"""Conv and ConvTranspose."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from partita.errors import KernelError
from partita.kernels import conv_schedules as schedules
from partita.kernels.arrays import Array
from partita.kernels.conv_plan import can_plan, convolve_planned
from partita.kernels.depthwise import conv_depthwise_last
from partita.kernels.fused_tail import NO_TAIL, Tail
from partita.kernels.packing import packed
from partita.kernels.registry import kernel
from partita.kernels.windows import Windows, channels_last, channels_second, is_channels_last, make_windows
from partita.kernels.winograd import conv_winograd, supports_winograd

WITH_TAIL: dict[schedules.Schedule, Callable[..., Array]] = {
    each: each
    for each in (schedules.conv_pointwise, schedules.conv_im2col_last, schedules.conv_im2col_across, conv_winograd)
}
"""Schedules that do what follows block by block, on the thread that computed it and while it is in a cache."""
FEW_CHANNELS = 8
"""So many channels are unfolded one by one if they lie first (measured with 3)."""


@kernel("Conv", since=1)
def conv(
    X: Array,
    W: Array,
    B: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] = (),
    group: int = 1,
    kernel_shape: Sequence[int] = (),
    pads: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Array:
    """Correlate X (N, C, spatial ...) with W (M, C / group, kernel ...): (N, M, outputs ...).

    Source: ONNX operators, Conv-22.
    """
    windows = windows_of(X.shape, W.shape, auto_pad, dilations, group, kernel_shape, pads, strides)
    return convolve(X, W, windows, group, Tail(B))


def windows_of(
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] = (),
    group: int = 1,
    kernel_shape: Sequence[int] = (),
    pads: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Windows:
    """The windows of a Conv of such an X and W with these attributes; KernelError if they do not fit together."""
    if len(x_shape) < 3 or len(x_shape) != len(w_shape):
        raise KernelError(f"X and W need the same rank of at least 3, are {x_shape} and {w_shape}")
    if x_shape[1] != w_shape[1] * group or w_shape[0] % group:
        raise KernelError(f"X {x_shape} and W {w_shape} do not divide into {group} groups")
    if kernel_shape and tuple(kernel_shape) != w_shape[2:]:
        raise KernelError(f"kernel_shape is {tuple(kernel_shape)}, but W is {w_shape}")
    return make_windows(x_shape[2:], w_shape[2:], strides=strides, dilations=dilations, pads=pads, auto_pad=auto_pad)


def convolve(x: Array, w: Array, windows: Windows, group: int, tail: Tail = NO_TAIL) -> Array:
    """Convolution by the schedule that was measured fastest for these shapes, then `tail`; always a new array."""
    if x.size == 0 or w.size == 0 or 0 in windows.outputs:
        return np.zeros((x.shape[0], w.shape[0], *windows.outputs), np.result_type(x, w))
    if x.dtype == np.float32 and can_plan(w, group):
        ending, rest = tail.split((x.shape[0], w.shape[0], *windows.outputs))
        return rest.finish(convolve_planned(x, w, windows, group, ending))
    schedule = choose_schedule(x, w, windows, group)
    with_tail = WITH_TAIL.get(schedule)
    return tail.finish(schedule(x, w, windows, group)) if with_tail is None else with_tail(x, w, windows, group, tail)


def _suits_winograd(w: Array, windows: Windows, group: int) -> bool:
    return not w.flags.writeable and supports_winograd(windows, group) and _is_worth_winograd(w, windows)


def choose_schedule(x: Array, w: Array, windows: Windows, group: int) -> schedules.Schedule:
    """Channels last wherever taps overlap, because blocks of its unfolding are copied in long runs.

    Large weights that can be written to would have to be packed anew for every call, so they stay as they are.
    """
    if windows.taps == 1:
        return schedules.conv_pointwise
    if group == x.shape[1] and group > 1:
        return conv_depthwise_last
    is_costly_to_pack = w.flags.writeable and w.size > x.shape[0] * w.shape[0] * math.prod(windows.outputs)
    if group > 1 or is_costly_to_pack:
        return schedules.conv_im2col_first
    if x.ndim == 3 and not is_channels_last(x):
        return schedules.conv_shift_first
    if _suits_winograd(w, windows, group):
        return conv_winograd
    if x.shape[1] <= FEW_CHANNELS and not is_channels_last(x):
        return schedules.conv_im2col_across
    return schedules.conv_im2col_last


def _is_worth_winograd(w: Array, windows: Windows) -> bool:
    """With fewer channels or tiles the transforms cost more than the products that they save (measured)."""
    return min(w.shape[:2]) >= 48 and math.prod(windows.outputs) >= 144


@kernel("ConvTranspose", since=1)
def conv_transpose(
    X: Array,
    W: Array,
    B: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] = (),
    group: int = 1,
    kernel_shape: Sequence[int] = (),
    output_padding: Sequence[int] = (),
    output_shape: Sequence[int] = (),
    pads: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Array:
    """Spread X (N, C, spatial ...) by W (C, M / group, kernel ...): the transpose of Conv, (N, M, outputs ...).

    Source: ONNX operators, ConvTranspose-22.
    """
    rank = X.ndim - 2
    if rank < 1 or X.ndim != W.ndim or X.shape[1] != W.shape[0] or X.shape[1] % group:
        raise KernelError(f"X {X.shape} and W {W.shape} do not fit with {group} groups")
    if kernel_shape and tuple(kernel_shape) != W.shape[2:]:
        raise KernelError(f"kernel_shape is {tuple(kernel_shape)}, but W is {W.shape}")
    strides = tuple(strides) or (1,) * rank
    dilations = tuple(dilations) or (1,) * rank
    pads = tuple(pads) or (0,) * (2 * rank)
    extra = tuple(output_padding) or (0,) * rank
    wanted = tuple(output_shape)[-rank:]
    begin, outputs = [], []
    for axis, (n, k, s, d) in enumerate(zip(X.shape[2:], W.shape[2:], strides, dilations, strict=True)):
        full = s * (n - 1) + extra[axis] + (k - 1) * d + 1
        size = wanted[axis] if wanted else n * s if auto_pad.startswith("SAME") else None
        if size is None:
            before, after = (0, 0) if auto_pad == "VALID" else (pads[axis], pads[axis + rank])
            size = full - before - after
        else:
            total = max(0, full - size)
            before = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
        if size < 0:
            raise KernelError(f"output size of spatial axis {axis} would be {size}")
        begin.append(before)
        outputs.append(size)
    return Tail(B).finish(_spread(X, W, tuple(strides), tuple(dilations), tuple(begin), tuple(outputs), group))


def _spread(
    x: Array,
    w: Array,
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    begin: tuple[int, ...],
    outputs: tuple[int, ...],
    group: int,
) -> Array:
    """The sum over taps of `W[tap].T @ x`, each written to every stride-th position from its tap on."""
    batch, channels, rank = x.shape[0], w.shape[1] * group, x.ndim - 2
    kernel_sizes, sizes = w.shape[2:], x.shape[2:]
    if x.size == 0:
        return np.zeros((batch, channels, *outputs), np.result_type(x, w))
    steps_fit = all(d == 1 and k % s == 0 for k, s, d in zip(kernel_sizes, strides, dilations, strict=True))
    if group == 1 and steps_fit and strides != (1,) * rank:
        return _spread_in_runs(x, w, strides, begin, outputs)
    # No tap reaches the last rows if the output is longer: the buffer covers what is written and what is wanted.
    extents = [
        (n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(sizes, strides, kernel_sizes, dilations, strict=True)
    ]
    buffer_sizes = [max(e, b + o) for e, b, o in zip(extents, begin, outputs, strict=True)]
    out = np.zeros((batch, channels, *buffer_sizes), np.result_type(x, w))
    weights = packed(w, f"taps, filters {group}", lambda w: _taps_filters_inputs(w, group))
    grouped = np.ascontiguousarray(x).reshape(batch, group, x.shape[1] // group, -1)
    for i, tap in enumerate(np.ndindex(*kernel_sizes)):
        places = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, s, n in zip(tap, dilations, strides, sizes, strict=True)
        )
        product = np.matmul(weights[i], grouped).reshape(batch, channels, *sizes)
        out[(slice(None), slice(None), *places)] += product
    wanted = (slice(b, b + o) for b, o in zip(begin, outputs, strict=True))
    return out[(slice(None), slice(None), *wanted)]


def _spread_in_runs(
    x: Array, w: Array, strides: tuple[int, ...], begin: tuple[int, ...], outputs: tuple[int, ...]
) -> Array:
    """`_spread` for one group and kernels whose sizes are multiples of the strides; channels last.

    Taps that are less than a stride apart never meet in one output. So the output is viewed as (n, stride) pairs per
    axis, and one matrix product and one addition put in all taps of a run of `stride` per axis.
    """
    batch, filters, rank, sizes = x.shape[0], w.shape[1], x.ndim - 2, x.shape[2:]
    runs = tuple(k // s for k, s in zip(w.shape[2:], strides, strict=True))
    counts = [
        max(n + r - 1, -(-(b + o) // s)) for n, r, s, b, o in zip(sizes, runs, strides, begin, outputs, strict=True)
    ]
    pairs = [size for pair in zip(counts, strides, strict=True) for size in pair]
    out = np.zeros((batch, *pairs[:-1], strides[-1] * filters), np.result_type(x, w))
    weights = packed(w, f"runs of {strides}", lambda w: _runs_inputs_steps(w, runs, strides))
    flat = np.ascontiguousarray(channels_last(x)).reshape(-1, x.shape[1])
    order = (0, *(axis for i in range(rank) for axis in (1 + i, 1 + rank + i)))
    for run in np.ndindex(*runs):
        product = (flat @ weights[run]).reshape(batch, *sizes, *strides[:-1], -1).transpose(order)
        places = [part for r, n in zip(run, sizes, strict=True) for part in (slice(r, r + n), slice(None))]
        out[(slice(None), *places)] += product
    merged = out.reshape(batch, *(c * s for c, s in zip(counts, strides, strict=True)), filters)
    wanted = (slice(b, b + o) for b, o in zip(begin, outputs, strict=True))
    return channels_second(merged[(slice(None), *wanted)])


def _runs_inputs_steps(w: Array, runs: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """(C, M, kernel ...) as (runs ..., C, strides * M), with each kernel axis split into (run, stride)."""
    rank = len(runs)
    split = w.reshape(*w.shape[:2], *(size for pair in zip(runs, strides, strict=True) for size in pair))
    moved = split.transpose(*range(2, 2 + 2 * rank, 2), 0, *range(3, 3 + 2 * rank, 2), 1)
    return np.ascontiguousarray(moved).reshape(*runs, w.shape[0], -1)


def _taps_filters_inputs(w: Array, group: int) -> Array:
    """(C, M / group, kernel ...) as (taps, group, M / group, C / group)."""
    per_group = w.reshape(group, w.shape[0] // group, w.shape[1], -1)
    return np.ascontiguousarray(per_group.transpose(3, 0, 2, 1))
