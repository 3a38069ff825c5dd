"""How a convolution of a tape is computed, what it reads, and the form of its weights."""

import math

from partita.kernels.conv_layout import Convolution, Reach
from partita.kernels.conv_schedules import filters_by_input
from partita.kernels.tiles import Panels, panels
from partita.kernels.winograd import LARGE, SMALL, VECTOR, Matrices, supports_winograd, transform_filters

LEAST_CHANNELS, LEAST_POSITIONS, LEAST_LARGE_POSITIONS = 48, 36, 576
"""Where Winograd's tiles gain (measured). The transformed filters of the larger ones take twice the memory of those of
the smaller ones, which is what counts where there are few positions."""


def is_pointwise(c: Convolution) -> bool:
    return c.group == 1 and c.windows.taps == 1 and not c.windows.needs_padding


def matrices_of(c: Convolution) -> Matrices | None:
    """The transforms by which it is computed in Winograd's tiles; None for another way."""
    positions = math.prod(c.windows.outputs)
    if not supports_winograd(c.windows, c.group) or min(c.w.shape[:2]) < LEAST_CHANNELS or positions < LEAST_POSITIONS:
        return None
    if c.w.shape[0] % VECTOR or c.w.shape[1] % VECTOR:
        return None
    return LARGE if positions >= LEAST_LARGE_POSITIONS else SMALL


def panels_of(c: Convolution) -> Panels:
    """The weights of a convolution over all channels: (taps * C, M), or such a matrix for each number of a tile."""
    positions = math.prod(c.windows.outputs)
    matrices = matrices_of(c)
    if matrices is not None:
        form = "winograd", matrices.tile
        tiles = positions // matrices.tile**2
        return panels(c.w, form, len(c.w), lambda w, part: transform_filters(w[part], matrices), tiles)
    return panels(c.w, "taps, inputs, filters", len(c.w), filters_by_input, positions)


def reach_of(c: Convolution) -> Reach:
    """The border that it wants: as far as whole tiles reach, or to a width that a depthwise stride divides."""
    begin, end = c.reach
    if is_pointwise(c):
        return (0,) * len(begin), (0,) * len(end)
    matrices = matrices_of(c)
    if matrices is not None:
        spans = [-(-n // matrices.tile) * matrices.tile + 2 for n in c.windows.outputs]
        return begin, tuple(max(0, s - b - n) for s, b, n in zip(spans, begin, c.windows.inputs, strict=True))
    over = (begin[1] + c.windows.inputs[1] + end[1]) % c.windows.strides[1] if c.is_depthwise else 0
    return begin, (end[0], end[1] + (c.windows.strides[1] - over if over else 0))
