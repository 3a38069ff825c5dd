"""Winograd's F(2x2, 3x3), a 3x3 convolution with 16 instead of 36 products per 2x2 outputs, and F(4x4, 3x3).

Source: A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks, 2015, section 4.1. Its transforms only
add, subtract and halve: the error was measured equal to that of the direct sum (5e-7 of the largest output, float32).
Larger tiles save more products but lose digits; compiled code has them too, with points of evaluation that keep most.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import prod
from typing import NamedTuple

import numpy as np

from partita.kernels import threads
from partita.kernels.arrays import Array
from partita.kernels.fused_tail import NO_TAIL, Tail
from partita.kernels.packing import packed
from partita.kernels.products import ALL, GRAIN, cuts
from partita.kernels.windows import Windows, channels_last, channels_second

Matrix = tuple[tuple[float, ...], ...]


class Matrices(NamedTuple):
    """G, B^T and A^T: the transforms of filters and input, and back."""

    filters: Matrix
    input: Matrix
    output: Matrix


SMALL = Matrices(
    ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
    ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    ((1, 1, 1, 0), (0, 1, -1, -1)),
)
"""F(2x2, 3x3)."""


def _matrices(outputs: int, points: tuple[Fraction, ...]) -> Matrices:
    """F(outputs, 3) by evaluation at finite points and at infinity (Toom and Cook's construction, exact).

    Source: B. Barabasz and others, Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural
    Networks, 2020, section 2.
    """
    last = [[Fraction(0)] * n + [Fraction(1)] for n in (2, outputs - 1)]
    scales = [prod((p - q for q in points if q != p), start=Fraction(1)) for p in points]
    filters = [[p**j / scale for j in range(3)] for p, scale in zip(points, scales, strict=True)] + last[:1]
    rows = [*([*_expanded([q for q in points if q != p]), Fraction(0)] for p in points), _expanded(points)]
    columns = [[p**i for i in range(outputs)] for p in points] + last[1:]
    return Matrices(_floats(filters), _floats(rows), _floats(list(zip(*columns, strict=True))))


def _expanded(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of the product of (x - root), that of the constant first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *coefficients], [root * c for c in coefficients] + [Fraction(0)]
        coefficients = [a - b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients


def _floats(rows: Sequence[Sequence[Fraction]]) -> Matrix:
    return tuple(tuple(float(number) for number in row) for row in rows)


LARGE = _matrices(4, (Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2)))
"""F(4x4, 3x3): 36 instead of 144 products per 4x4 outputs.

At these points the largest error was measured a quarter of that at the usual 0, 1, -1, 2, -2 (1.1e-6 and 4.4e-6 of the
largest output, 128 channels, float32); all transforms of inputs and outputs are exact in float32.
"""
LEAST_SHARED = 3 << 20
"""Multiplications of a product from which its filters are cut in two. OpenBLAS sums products of less than a million
in another order."""
BLOCK_ELEMENTS = 1 << 18
"""A block of transformed input holds about this many elements, so that it stays in the second-level cache."""


def supports_winograd(windows: Windows, group: int) -> bool:
    """Two spatial axes, 3x3 taps side by side, stride 1, one group."""
    return windows.kernel == (3, 3) and windows.strides == windows.dilations == (1, 1) and group == 1


def conv_winograd(x: Array, w: Array, windows: Windows, group: int, tail: Tail = NO_TAIL) -> Array:
    """Convolution of x (N, C, H, W) by w (M, C, 3, 3) in tiles of 2x2 outputs, then `tail`; channels last."""
    batch, channels, filters = x.shape[0], x.shape[1], w.shape[0]
    height, width = windows.outputs
    rows, columns = -(-height // 2), -(-width // 2)
    padded = _pad_to_tiles(x, windows, rows, columns)
    weights = packed(w, "winograd", lambda w: transform_filters(w, SMALL))
    out = np.empty((batch, rows, 2, columns, 2, filters), np.result_type(x, w))
    whole = channels_second(out.reshape(batch, 2 * rows, 2 * columns, filters))
    is_even = whole.shape[2:] == windows.outputs
    finish = (tail if is_even else NO_TAIL).on(whole).finish

    def compute(part: tuple[int, slice]) -> None:
        """Some rows of tiles, from the input to the end."""
        image, (first, last) = part[0], (part[1].start, part[1].stop)
        tiles = np.empty((4, 4, last - first, columns, channels), x.dtype)
        _transform_input(padded[image, 2 * first : 2 * last + 2], tiles)
        products = np.matmul(tiles.reshape(16, -1, channels), weights).reshape(*tiles.shape[:4], filters)
        target = out[image, first:last]
        _transform_output(products, target)
        done = slice(4 * columns * (image * rows + first), 4 * columns * (image * rows + last))
        finish(target.reshape(-1, filters), done)

    def compute_filters(part: slice) -> None:
        """Some filters of the whole image, whose tiles are ready."""
        products = np.matmul(tiles.reshape(16, -1, channels), weights[..., part])
        target = np.empty((rows, 2, columns, 2, products.shape[-1]), x.dtype)
        _transform_output(products.reshape(*tiles.shape[:4], -1), target)
        finish(target.reshape(-1, products.shape[-1]), ALL, part)
        out[0, ..., part] = target

    count = -(-16 * rows * columns * max(channels, filters) // BLOCK_ELEMENTS)
    if threads.threads() > 1 and batch * count == 1 and rows * columns * channels * filters >= LEAST_SHARED:
        tiles = np.empty((4, 4, rows, columns, channels), x.dtype)
        threads.share(lambda c: _transform_input(padded[0, ..., c], tiles[..., c]), cuts(channels, 2))
        threads.share(compute_filters, cuts(filters, 2, GRAIN))
    else:
        count += count % 2 if count > 1 else 0
        threads.share(compute, [(image, part) for image in range(batch) for part in cuts(rows, count)])
    if is_even:
        return whole
    return tail.finish(channels_second(np.ascontiguousarray(channels_last(whole[:, :, :height, :width]))))


def _pad_to_tiles(x: Array, windows: Windows, rows: int, columns: int) -> Array:
    """`x` as (N, H, W, C) with padding, and zeros behind it up to whole tiles."""
    top, left = windows.begin
    out = np.zeros((x.shape[0], 2 * rows + 2, 2 * columns + 2, x.shape[1]), x.dtype)
    height, width = (min(n, size - b) for n, size, b in zip(x.shape[2:], out.shape[1:3], windows.begin, strict=True))
    out[:, top : top + height, left : left + width] = channels_last(x[:, :, :height, :width])
    return out


def transform_filters(w: Array, matrices: Matrices) -> Array:
    """G g G^T of every filter: (M, C, 3, 3) as (elements of a tile, C, M)."""
    g = np.array(matrices.filters)
    tiles = np.matmul(np.matmul(g, w), g.T)
    return tiles.reshape(*w.shape[:2], -1).transpose(2, 1, 0).astype(w.dtype, order="C")


def _transform_input(strip: Array, tiles: Array) -> None:
    """B^T d B of every 4x4 tile, 2 apart, of a strip (2 rows + 2, 2 columns + 2, C), as (4, 4, rows, columns, C)."""
    rows, columns = tiles.shape[2:4]
    d = [strip[i : i + 2 * rows - 1 : 2] for i in range(4)]
    across = np.empty((4, *d[0].shape), strip.dtype)
    _combine(d, across)
    _combine([across[:, :, j : j + 2 * columns - 1 : 2] for j in range(4)], tiles.swapaxes(0, 1))


def _combine(d: Sequence[Array], out: Array) -> None:
    """B^T d."""
    np.subtract(d[0], d[2], out=out[0])
    np.add(d[1], d[2], out=out[1])
    np.subtract(d[2], d[1], out=out[2])
    np.subtract(d[1], d[3], out=out[3])


def _transform_output(products: Array, out: Array) -> None:
    """A^T m A of every tile (4, 4, rows, columns, M), written to `out` (rows, 2, columns, 2, M)."""
    across = np.empty((2, *products.shape[1:]), products.dtype)
    _join(products, across)
    _join(across.swapaxes(0, 1), out.transpose(3, 1, 0, 2, 4))


def _join(m: Array, out: Array) -> None:
    """A^T m."""
    partial = np.add(m[1], m[2])
    np.add(partial, m[0], out=out[0])
    np.subtract(m[1], m[2], out=partial)
    np.subtract(partial, m[3], out=out[1])
