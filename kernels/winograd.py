"""Winograd's F(2x2, 3x3), a 3x3 convolution with 16 instead of 36 products per 2x2 outputs, and F(4x4, 3x3).

Source: A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks, 2015, section 4.1. The transforms of a
tile and back, along rows and columns at once, are one product each by a constant matrix: with numpy that is faster than
the additions one by one, and adding the bias is one more column of it.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from partita.kernels import threads, tiles
from partita.kernels.arrays import Array
from partita.kernels.calls import Call, call, copy, do_all
from partita.kernels.fused_tail import NO_TAIL, Tail
from partita.kernels.products import cuts
from partita.kernels.tiles import Panels
from partita.kernels.windows import Windows, channels_last, channels_second

Matrix = tuple[tuple[float, ...], ...]


class Matrices(NamedTuple):
    """G, B^T and A^T: the transforms of filters and input, and back."""

    filters: Matrix
    input: Matrix
    output: Matrix

    @property
    def tile(self) -> int:
        """Outputs along a side of a tile."""
        return len(self.output)

    @property
    def elements(self) -> int:
        """Numbers of a transformed tile."""
        return len(self.input) ** 2


SMALL = Matrices(
    ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
    ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    ((1, 1, 1, 0), (0, 1, -1, -1)),
)
"""F(2x2, 3x3), whose transforms only add, subtract and halve."""


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
CHUNK = 512
"""Columns of a transform that are multiplied together (measured)."""
VECTOR = 16
"""Channels are to be a multiple of this, or the bits of a result depend on how the tiles are cut."""
BLOCK_ELEMENTS = 1 << 18
"""Transformed numbers that are worked on together, 1 MiB; each time all weights are read."""


def supports_winograd(windows: Windows, group: int) -> bool:
    """Two spatial axes, 3x3 taps side by side, stride 1, one group."""
    return windows.kernel == (3, 3) and windows.strides == windows.dilations == (1, 1) and group == 1


def transform_filters(w: Array, matrices: Matrices) -> Array:
    """G g G^T of every filter: (M, C, 3, 3) as (elements of a tile, C, M)."""
    g = np.array(matrices.filters)
    tiles = np.matmul(np.matmul(g, w), g.T)
    return tiles.reshape(*w.shape[:2], -1).transpose(2, 1, 0).astype(w.dtype, order="C")


@cache
def _transforms(matrices: Matrices, dtype: np.dtype) -> tuple[Array, Array]:
    """Of a tile of inputs (elements, elements), and back to outputs (tile * tile, elements + 1): the last adds."""
    b, a = np.array(matrices.input), np.array(matrices.output)
    back = np.concatenate([np.kron(a, a), np.ones((len(a) ** 2, 1))], axis=1)
    return np.kron(b, b).astype(dtype), back.astype(dtype)


def scratch_elements(matrices: Matrices, tiles: int, channels: int, filters: int) -> int:
    """What `tile_calls` needs for so many tiles."""
    return sum(_halves(matrices, tiles, channels, filters))


def _halves(matrices: Matrices, tiles: int, channels: int, filters: int) -> tuple[int, int]:
    """Of what is read and written in turns: the tiles and their products, and both transformed."""
    taken, multiplied = matrices.elements * channels, (matrices.elements + 1) * filters
    return tiles * max(taken, multiplied), tiles * max(taken, matrices.tile**2 * filters)


def tile_calls(
    padded: Array, by: Panels, bias: Array | None, matrices: Matrices, shape: tuple[int, int], scratch: Array
) -> tuple[list[Call], Array]:
    """The calls that convolve `padded` (rows, columns, C) in tiles, `shape` of them.

    `by`: the transformed filters. The results are a view of `scratch`, (tiles, tile, tiles, tile, M) by rows and
    columns.
    """
    step, elements, channels, filters, count = (
        matrices.tile,
        matrices.elements,
        padded.shape[-1],
        by.columns,
        prod(shape),
    )
    (forth, back), (down, across, one) = _transforms(matrices, padded.dtype), padded.strides
    read = as_strided(
        padded, (step + 2, step + 2, *shape, channels), (down, across, step * down, step * across, one), writeable=False
    )
    half, _ = _halves(matrices, count, channels, filters)
    here, there = scratch[:half], scratch[half:]
    taken, transformed = (part[: read.size].reshape(elements, -1) for part in (here, there))
    multiplied = here[: (elements + 1) * count * filters].reshape(elements + 1, count, filters)
    results = there[: step * step * count * filters].reshape(step * step, -1)
    products = tiles.products(transformed.reshape(elements, count, channels), by, multiplied[:-1])
    calls = [
        copy(read, taken.reshape(read.shape)),
        _transform_call(forth, taken, transformed),
        *(call(np.matmul, *operands, out=result) for operands, result in products),
        copy(np.zeros((), padded.dtype) if bias is None else bias, multiplied[-1]),
        _transform_call(back, multiplied.reshape(elements + 1, -1), results),
    ]
    return calls, results.reshape(step, step, *shape, filters).transpose(2, 0, 3, 1, 4)


def _transform_call(matrix: Array, x: Array, out: Array) -> Call:
    """`matrix` times `x` (numbers of a tile, tiles * channels), some columns at a time, in whole vectors."""
    groups, over = divmod(x.shape[1], VECTOR)
    most = CHUNK // VECTOR
    width = x.shape[1] if over else VECTOR * next(n for n in range(min(groups, most), 0, -1) if groups % n == 0)
    chunks, results = (a.reshape(len(a), -1, width).swapaxes(0, 1) for a in (x, out))
    return call(np.matmul, matrix, chunks, out=results)


def parts_of(results: Array, height: int, width: int) -> Iterator[tuple[Array, slice, slice]]:
    """What of the results of `tile_calls` is in an image of that size, with its rows and columns: whole tiles first."""
    step = results.shape[1]

    def along(length: int) -> Iterator[tuple[slice, int, slice]]:
        whole, over = divmod(length, step)
        if whole:
            yield slice(0, whole), step, slice(0, whole * step)
        if over:
            yield slice(whole, whole + 1), over, slice(whole * step, length)

    for down, height_of, rows in along(height):
        for across, width_of, columns in along(width):
            yield results[down, :height_of, across, :width_of], rows, columns


def conv_winograd(
    x: Array, w: Array, windows: Windows, group: int, tail: Tail = NO_TAIL, matrices: Matrices = SMALL
) -> Array:
    """Convolution of x (N, C, H, W) by w (M, C, 3, 3) in tiles, then `tail`; channels last."""
    batch, channels, filters, step = x.shape[0], x.shape[1], w.shape[0], matrices.tile
    height, width = windows.outputs
    rows, columns = -(-height // step), -(-width // step)
    padded = _pad_to_tiles(x, windows, rows * step + 2, columns * step + 2)
    by = tiles.panels(
        w, ("winograd", step), filters, lambda w, part: transform_filters(w[part], matrices), rows * columns
    )
    out = np.empty((batch, height, width, filters), np.result_type(x, w))
    y = channels_second(out)
    finish = tail.on(y).finish

    def compute(part: tuple[int, slice]) -> None:
        """Some rows of tiles, from the input to the end."""
        image, (first, last) = part[0], (part[1].start, part[1].stop)
        scratch = np.empty(scratch_elements(matrices, (last - first) * columns, channels, filters), x.dtype)
        calls, results = tile_calls(padded[image, first * step :], by, None, matrices, (last - first, columns), scratch)
        do_all(calls)
        begin, end = first * step, min(height, last * step)
        target = out[image, begin:end]
        for some, down, across in parts_of(results, end - begin, width):
            place = target[down, across]
            place.reshape(some.shape)[...] = some
        start = image * height
        finish(target.reshape(-1, filters), slice((start + begin) * width, (start + end) * width))

    count = max(1, round(matrices.elements * rows * columns * max(channels, filters) / BLOCK_ELEMENTS))
    is_free = by.can_be_cut and columns > 1 and channels % VECTOR == filters % VECTOR == 0
    parts = cuts(rows, max(count, threads.threads() if is_free else 2))
    threads.share(compute, [(image, part) for image in range(batch) for part in parts])
    return y


def _pad_to_tiles(x: Array, windows: Windows, rows: int, columns: int) -> Array:
    """`x` as (N, H, W, C) with padding, and zeros behind it up to whole tiles."""
    top, left = windows.begin
    out = np.zeros((x.shape[0], rows, columns, x.shape[1]), x.dtype)
    height, width = (min(n, size - b) for n, size, b in zip(x.shape[2:], out.shape[1:3], windows.begin, strict=True))
    out[:, top : top + height, left : left + width] = channels_last(x[:, :, :height, :width])
    return out
