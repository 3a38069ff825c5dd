"""Matrix products by BLAS, cut into blocks that threads share."""

import math
from collections.abc import Callable

import numpy as np

from partita.kernels import blas, compiled, threads
from partita.kernels.arrays import Array

LEAST_WORKS = (1 << 22, 1 << 26, 1 << 28)
"""Multiplications from which a product is cut in 2, 4 and 8: less is not worth waking a thread for, and each block has
BLAS bring a whole operand into its own order again (measured: 8 blocks of the largest products cost 3 to 6 %)."""
READING = 4
"""Multiplications in the time that one number of a matrix takes to be read, which is all that counts with few rows."""
Finish = Callable[[Array, slice, slice], None]
ALL = slice(None)
GRAIN = 16
"""Columns and rows of a block are a multiple of this, as BLAS's own tiles are."""
FEW = 2
"""With up to so many rows or columns of a result, and in float64, OpenBLAS sums some of a block in another order."""


def finish_nothing(block: Array, rows: slice, columns: slice) -> None:
    """What follows a product that is all there is."""


def multiply(a: Array, b: Array, out: Array | None = None, finish: Finish = finish_nothing) -> Array:
    """`np.matmul` of two matrices, or of stacks of them that broadcast.

    `finish` is called for parts of the result of two matrices that are ready: the part, its rows and its columns. One
    thread multiplies without cuts. Blocks are so large that OpenBLAS sums each result in the same order as in the whole
    product (a test compares the bits). Where it would not, as for other processors than those of `tiles`, the blocks
    are the same for any number of threads.
    """
    if out is None and finish is finish_nothing and compiled.suits_dots(a, b):
        return compiled.dots(a, b)
    if out is None:
        leading = a.shape[:-2]
        if b.shape[:-2] != leading:
            leading = np.broadcast_shapes(leading, b.shape[:-2])
        out = np.empty((*leading, a.shape[-2], b.shape[-1]), np.result_type(a, b))
    work = max(out.size * a.shape[-1], READING * max(a.size, b.size))
    count = _blocks(work, out)
    axis = next((i for i, n in enumerate(out.shape[:-2]) if n > 1), None)
    if count == 1:
        np.matmul(a, b, out=out)
        finish(out, ALL, ALL)
    elif axis is not None:
        count = min(out.shape[axis], 4 * count)
        threads.share(lambda part: _multiply_part(a, b, out, axis, part), cuts(out.shape[axis], count))
    elif out.shape[-2] > out.shape[-1]:
        threads.share(lambda part: _multiply_rows(a, b, out, part, finish), _even_cuts(out.shape[-2], count))
    else:
        threads.share(lambda part: _multiply_columns(a, b, out, part, finish), _even_cuts(out.shape[-1], count))
    return out


def _multiply_rows(a: Array, b: Array, out: Array, part: slice, finish: Finish) -> None:
    np.matmul(a[..., part, :], b, out=out[..., part, :])
    finish(out[..., part, :], part, ALL)


def _multiply_columns(a: Array, b: Array, out: Array, part: slice, finish: Finish) -> None:
    """What follows is done to contiguous memory, in long loops."""
    if finish is finish_nothing:
        np.matmul(a, b[..., part], out=out[..., part])
        return
    block = np.matmul(a, b[..., part])
    finish(block, ALL, part)
    out[..., part] = block


def _multiply_part(a: Array, b: Array, out: Array, axis: int, part: slice) -> None:
    """The entries `part` of a stack along one axis of the result."""
    behind = out.ndim - axis
    np.matmul(_entries(a, behind, part), _entries(b, behind, part), out=_entries(out, behind, part))


def _entries(x: Array, behind: int, part: slice) -> Array:
    """`x` cut on the axis that is `behind` from the end, unless it lacks that axis or broadcasts along it."""
    if x.ndim < behind or x.shape[-behind] == 1:
        return x
    return x[(slice(None),) * (x.ndim - behind) + (part,)]


def _blocks(work: int, out: Array) -> int:
    """A block for each thread where there is work for so many.

    More would make up for a thread that is late. But BLAS takes the first of its buffers that is free, and which thread
    has which changes with each block: 5 to 10 % of a product for what the other processor's cache holds (measured).
    """
    if out.dtype.kind != "f" or not blas.can_be_limited():
        return 1
    most = math.prod(2 for least in LEAST_WORKS if work >= least)
    is_free = blas.has_small_products() and min(out.shape[-2:]) > FEW and out.dtype == np.float32
    if math.prod(out.shape[:-2]) == 1 and not is_free:
        return most
    return 1 if threads.are_taken() else min(most, 1 << (threads.threads() - 1).bit_length())


def _even_cuts(length: int, count: int) -> list[slice]:
    """As `cuts` in whole grains, but the last has what is left over: BLAS has other code for a small block.

    >>> _even_cuts(40, 2)
    [slice(0, 16, None), slice(16, 40, None)]
    """
    *others, last = cuts(max(1, length // GRAIN) * GRAIN, count, GRAIN)
    return [*others, slice(last.start, length)]


def cuts(length: int, count: int, grain: int = 1) -> list[slice]:
    """At most `count` even parts of `length`, all but the last in whole grains.

    >>> cuts(100, 3, 16)
    [slice(0, 48, None), slice(48, 96, None), slice(96, 100, None)]
    """
    step = max(1, -(-length // max(1, count * grain)) * grain)
    return [slice(first, min(first + step, length)) for first in range(0, length, step)]
