"""Winograd's F(2x2, 3x3): a 3x3 convolution with 16 instead of 36 products per 2x2 outputs.

Source: A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks, 2015, section 4.1. Its transforms only
add, subtract and halve: the error was measured equal to that of the direct sum (5e-7 of the largest output, float32).
Larger tiles save more products but lose digits.
"""

from collections.abc import Callable

import numpy as np

from partita.kernels import compiled
from partita.kernels.arrays import Array
from partita.kernels.packing import packed
from partita.kernels.windows import Windows, channels_last, channels_second

BLOCK_ELEMENTS = 1 << 18
"""A block of transformed input holds about this many elements, so that it stays in the second-level cache."""


def supports_winograd(windows: Windows, group: int) -> bool:
    """Two spatial axes, 3x3 taps side by side, stride 1, one group."""
    return windows.kernel == (3, 3) and windows.strides == windows.dilations == (1, 1) and group == 1


def conv_winograd(x: Array, w: Array, windows: Windows, group: int) -> Array:
    """Convolution of x (N, C, H, W) by w (M, C, 3, 3) in tiles of 2x2 outputs; the result is channels last."""
    batch, channels, filters = x.shape[0], x.shape[1], w.shape[0]
    height, width = windows.outputs
    rows, columns = -(-height // 2), -(-width // 2)
    padded = _pad_to_tiles(x, windows, rows, columns)
    multiply = _multiplier(x, w)
    out = np.empty((batch, rows, 2, columns, 2, filters), np.result_type(x, w))
    step = max(1, BLOCK_ELEMENTS // (16 * columns * max(channels, filters)))
    for image in range(batch):
        for first in range(0, rows, step):
            last = min(first + step, rows)
            tiles = _transform_input(padded[image, 2 * first : 2 * last + 2], last - first, columns)
            products = multiply(tiles.reshape(16, -1, channels))
            _transform_output(products.reshape(4, 4, last - first, columns, filters), out[image, first:last])
    whole = out.reshape(batch, 2 * rows, 2 * columns, filters)[:, :height, :width]
    return channels_second(np.ascontiguousarray(whole))


def _multiplier(x: Array, w: Array) -> Callable[[Array], Array]:
    """What multiplies transformed tiles (16, count, C) by the transformed weights: (16, count, M)."""
    if compiled.suits_weight(x, w):
        panels = packed(w, "winograd panels", lambda w: compiled.stack_panels(_transform_weights(w)))
        return lambda tiles: compiled.multiply_stack(tiles, panels, w.shape[0])
    weights = packed(w, "winograd", _transform_weights)
    return lambda tiles: np.matmul(tiles, weights)


def _pad_to_tiles(x: Array, windows: Windows, rows: int, columns: int) -> Array:
    """`x` as (N, H, W, C) with padding, and zeros behind it up to whole tiles."""
    top, left = windows.begin
    out = np.zeros((x.shape[0], 2 * rows + 2, 2 * columns + 2, x.shape[1]), x.dtype)
    height, width = (min(n, size - b) for n, size, b in zip(x.shape[2:], out.shape[1:3], windows.begin, strict=True))
    out[:, top : top + height, left : left + width] = channels_last(x[:, :, :height, :width])
    return out


def _transform_weights(w: Array) -> Array:
    """G g G^T of every filter: (M, C, 3, 3) as (16, C, M)."""
    g = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], w.dtype)
    tiles = np.matmul(np.matmul(g, w), g.T)
    return tiles.reshape(*w.shape[:2], 16).transpose(2, 1, 0).copy()


def _transform_input(strip: Array, rows: int, columns: int) -> Array:
    """B^T d B of every 4x4 tile, 2 apart, of a strip (2 rows + 2, 2 columns + 2, C): (4, 4, rows, columns, C)."""
    d = [strip[i : i + 2 * rows - 1 : 2] for i in range(4)]
    tiles = np.empty((4, 4, rows, columns, strip.shape[2]), strip.dtype)
    for target, across in zip(tiles, (d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]), strict=True):
        t = [across[:, j : j + 2 * columns - 1 : 2] for j in range(4)]
        np.subtract(t[0], t[2], out=target[0])
        np.add(t[1], t[2], out=target[1])
        np.subtract(t[2], t[1], out=target[2])
        np.subtract(t[1], t[3], out=target[3])
    return tiles


def _transform_output(products: Array, out: Array) -> None:
    """A^T m A of every tile (4, 4, rows, columns, M), written to `out` (rows, 2, columns, 2, M)."""
    upper = products[1] + products[2]
    upper += products[0]
    lower = products[1] - products[2]
    lower -= products[3]
    for i, half in enumerate((upper, lower)):
        np.add(half[0] + half[1], half[2], out=out[:, i, :, 0])
        np.subtract(half[1] - half[2], half[3], out=out[:, i, :, 1])
