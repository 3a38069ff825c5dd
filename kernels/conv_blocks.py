"""The calls that compute one block of the results of a convolution, and write it to its place.

`cut` says which results; `scratch` is memory of their own, see `scratch_elements`.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from partita.kernels import tiles
from partita.kernels.arrays import Array
from partita.kernels.calls import Call, call, copy, einsum
from partita.kernels.conv_kinds import is_pointwise, matrices_of, panels_of
from partita.kernels.conv_layout import Convolution
from partita.kernels.jobs import FLOAT_BYTES
from partita.kernels.layouts import ALIGNMENT_BYTES, Sizes
from partita.kernels.packing import packed
from partita.kernels.places import Cut, Piece, Place, limited
from partita.kernels.products import cuts
from partita.kernels.winograd import Matrices, parts_of, tile_calls
from partita.kernels.winograd import scratch_elements as tile_elements

LINE_ELEMENTS = ALIGNMENT_BYTES // FLOAT_BYTES
LEAST_WIDTH = 14
"""Columns of a result from which its rows are multiplied one by one, into a place with a border."""
STEP_ELEMENTS = 1 << 16
"""Results that go through all steps together, 256 KiB."""
TILE_ELEMENTS = 1 << 13
"""The bias is repeated to about this length, for long inner loops."""


class Operands(NamedTuple):
    """Where a convolution finds what it reads, and where its results go."""

    source: Array
    """From the first number on that it reads: (N, rows, remainders, columns, C)."""
    target: Place
    addend: Array | None
    """(N, rows, columns, M)."""


def scratch_elements(c: Convolution, piece: Piece) -> int:
    """Numbers of scratch memory for a piece, a multiple of what a line of the cache holds."""
    return aligned(_scratch_elements(c, piece))


def aligned(elements: int) -> int:
    """So many or a few more, whole lines of the cache."""
    return -(-elements // LINE_ELEMENTS) * LINE_ELEMENTS


def _scratch_elements(c: Convolution, piece: Piece) -> int:
    positions, results = math.prod(piece.shape[:2]), math.prod(piece.shape)
    matrices = matrices_of(c)
    if matrices is not None:
        tiles_count = math.prod(_tiles(matrices, piece.shape))
        return results + tile_elements(matrices, tiles_count, c.w.shape[1], piece.shape[2])
    if c.is_depthwise:
        return 2 * results
    return results + (0 if is_pointwise(c) else positions * c.w[0].size)


def block(c: Convolution, piece: Piece, given: Operands, scratch: Array) -> Iterator[Call]:
    """One block from its input to its places."""
    cut, shape = piece.cut, piece.shape
    matrices = matrices_of(c)
    if matrices is not None:
        yield from _in_tiles(c, matrices, piece, given, scratch)
        return
    if is_pointwise(c):
        (down, across), image = c.windows.strides, given.source[cut[0], cut[1].start * c.windows.strides[0] :, 0]
        read = image[: (shape[0] - 1) * down + 1 : down, : (shape[1] - 1) * across + 1 : across]
        yield from pointwise(c, piece, read, given, scratch)
        return
    results = scratch[: math.prod(shape)].reshape(shape)
    compute = depthwise if c.is_depthwise else _unfolded
    yield from compute(c, cut, given.source, results, scratch[results.size :])
    yield from _biased(c, results, cut[3])
    yield from _written(c, results, cut, given)


def pointwise(c: Convolution, piece: Piece, read: Array, given: Operands, scratch: Array) -> Iterator[Call]:
    """A product over the channels of `read` (rows, columns, C), each of its results in its place at once."""
    cut, parts = piece.cut, list(given.target.parts(piece.cut))
    if all(_takes_products(part, piece.shape[1]) for _, part in parts):
        for columns, part in parts:
            yield from _multiplied(c, read[:, columns], part, cut[3])
            yield from finished(c, part, (*cut[:2], columns, cut[3]), given.addend)
        return
    results = scratch[: math.prod(piece.shape)].reshape(piece.shape)
    yield from _multiplied(c, read, results, cut[3])
    yield from _biased(c, results, cut[3])
    yield from _written(c, results, cut, given)


def _takes_products(part: Array, width: int) -> bool:
    """Whether products go to some of `width` columns (rows, columns, M) as one matrix, or row by row if they are many.

    One of several columns is no matrix by itself, for BLAS sums a single row in another order.
    """
    columns = part.shape[1]
    return columns >= LEAST_WIDTH or (columns >= min(width, 2) and _as_matrix(part).ndim == 2)


def _multiplied(c: Convolution, read: Array, results: Array, part: slice) -> Iterator[Call]:
    """`read` (rows, columns, numbers) times the weights of some filters, into (rows, columns, filters)."""
    rows, out = (_as_matrix(x) for x in (read, results))
    if rows.ndim != out.ndim:
        rows, out = read, results
    for operands, result in tiles.products(rows, panels_of(c).some(part), out):
        yield call(np.matmul, *operands, out=result)


def _as_matrix(x: Array) -> Array:
    """(rows, columns, C) as (rows * columns, C) if it lies so."""
    height, width, _ = x.shape
    lies_so = height == 1 or x.strides[0] == width * x.strides[1]
    return x.reshape(height * width, -1) if lies_so else x


def _unfolded(c: Convolution, cut: Cut, source: Array, results: Array, scratch: Array) -> Iterator[Call]:
    """All channels together: the windows of each result side by side, times the weights."""
    (height, width, _), depth, windows = results.shape, c.w.shape[1], c.windows
    (down, across), (apart, beside), (kernel, columns) = windows.strides, windows.dilations, windows.kernel
    image = source[cut[0], cut[1].start * down :, 0]
    step, over, one = image.strides
    read = as_strided(
        image, (height, width, kernel, columns, depth), (step * down, over * across, step * apart, over * beside, one),
        writeable=False,
    )  # fmt: skip
    unfolded = scratch[: read.size].reshape(read.shape)
    yield copy(read, unfolded)
    yield from _multiplied(c, unfolded.reshape(height, width, -1), results, cut[3])


def _in_tiles(c: Convolution, matrices: Matrices, piece: Piece, given: Operands, scratch: Array) -> Iterator[Call]:
    """3x3 by Winograd's tiles, whose results go to their places without being put in order before."""
    (image, rows, _, part), (height, width, _) = piece.cut, piece.shape
    padded, count = given.source[image, rows.start :, 0], _tiles(matrices, piece.shape)
    bias, ordered = c.bias[part] if isinstance(c.bias, np.ndarray) else None, scratch[: math.prod(piece.shape)]
    calls, results = tile_calls(padded, panels_of(c).some(part), bias, matrices, count, scratch[ordered.size :])
    yield from calls
    ordered = ordered.reshape(piece.shape)
    for some, down, across in parts_of(results, height, width):
        if given.target.is_plain:
            inside = image, slice(rows.start + down.start, rows.start + down.stop), across, part
            yield from _written(c, some, inside, given)
        else:
            yield copy(some, ordered[down, across].reshape(some.shape))
    if not given.target.is_plain:
        yield from _written(c, ordered, piece.cut, given)


def _tiles(matrices: Matrices, shape: Sizes) -> tuple[int, int]:
    return -(-shape[0] // matrices.tile), -(-shape[1] // matrices.tile)


def depthwise(c: Convolution, cut: Cut, source: Array, results: Array, scratch: Array) -> Iterator[Call]:
    """Each channel on its own: `einsum` over views of the windows, with a whole row as the inner loop."""
    windows = c.windows
    (kernel, columns), (dilation, across) = windows.kernel, windows.dilations
    stride, channels = windows.strides[1], c.w.shape[0]
    run = windows.outputs[1] * channels
    filters = packed(
        c.w, f"taps, channels times {windows.outputs[1]}",
        lambda w: np.tile(np.moveaxis(w[:, 0], 0, -1), (1, 1, windows.outputs[1])),
    )  # fmt: skip
    step = math.lcm(stride, across) // across  # taps that are so far apart have one remainder
    sums = results.reshape(len(results), run)
    for tap in range(min(step, columns)):
        offset, remainder = divmod(tap * across, stride)
        first = source[cut[0], cut[1].start * windows.strides[0] :, remainder, offset:]
        row, column = first.strides[0], first.strides[1]
        view = as_strided(
            first, (len(results), kernel, len(range(tap, columns, step)), run),
            (row * windows.strides[0], row * dilation, column * (step * across // stride), source.itemsize),
            writeable=False,
        )  # fmt: skip
        if tap == 0:
            yield call(einsum, "hijz,ijz->hz", view, filters[:, tap::step], out=sums)
        else:
            more = scratch[: sums.size].reshape(sums.shape)
            yield call(einsum, "hijz,ijz->hz", view, filters[:, tap::step], out=more)
            yield call(np.add, sums, more, out=sums)


def finished(c: Convolution, results: Array, cut: Cut, addend: Array | None) -> Iterator[Call]:
    """Bias, addend, limits and steps, in the place of the results."""
    yield from _biased(c, results, cut[3])
    yield from _ended(c, results, None if addend is None else addend[cut])


def _ended(c: Convolution, results: Array, addend: Array | None) -> Iterator[Call]:
    """All that follows the bias, in the place of the results."""
    if addend is not None and not c.adds_last:
        yield call(np.add, results, addend, out=results)
    if np.isfinite(c.low) or np.isfinite(c.high):
        yield limited(results, results, c.low, c.high)
    yield from _stepped(c, results)
    if addend is not None and c.adds_last:
        yield call(np.add, results, addend, out=results)


def _stepped(c: Convolution, results: Array) -> Iterator[Call]:
    """The steps, on parts of the results along their first axis that stay in a cache with what the steps need."""
    if c.steps:
        for part in cuts(len(results), -(-results.size // STEP_ELEMENTS)):
            yield from (partial(step, results[part], None) for step in c.steps)


def _biased(c: Convolution, results: Array, part: slice) -> Iterator[Call]:
    """The bias added to a block of results (rows, columns, M): to whole rows, or all of it, where they lie so."""
    if not isinstance(c.bias, np.ndarray):
        return
    height, width, channels = results.shape
    if results.strides[1] != channels * results.itemsize:
        yield call(np.add, results, c.bias[part], out=results)
        return
    count = _divisor(height * width, TILE_ELEMENTS // channels) if results.flags.c_contiguous else width
    long = results.reshape(-1, count * channels)
    bias = packed(c.bias, f"{part.start}:{part.stop} times {count}", lambda b: np.tile(b[part], count))
    yield call(np.add, long, bias, out=long)


def _written(c: Convolution, results: Array, cut: Cut, given: Operands) -> Iterator[Call]:
    """All that follows the bias, and how results get to their place."""
    addend = None if given.addend is None else given.addend[cut].reshape(results.shape)
    if c.steps or c.adds_last:
        yield from _ended(c, results, addend)
        yield from given.target.write(results, cut)
        return
    if addend is not None:
        yield call(np.add, results, addend, out=results)
    yield from given.target.write(results, cut, c.low, c.high)


def _divisor(number: int, most: int) -> int:
    """The largest divisor of `number` up to `most`, at least 1."""
    return next(d for d in range(max(1, min(number, most)), 0, -1) if number % d == 0)
