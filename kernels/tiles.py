"""Products by constant matrices, cut into tiles so small that BLAS multiplies them as they lie.

OpenBLAS brings both operands of a large product into an order of its own, which takes a tenth to a third of the time
of the products in a network. For processors with AVX-512 it has other code for small products, which does not: 105 to
115 GFLOP/s were measured where large products reached 70 to 104. So the constant matrix is kept as panels of a few
columns, each contiguous, and one call of numpy multiplies all tiles of rows by them.

The sum of a result does not depend on which rows are multiplied together, if there are at least two and the columns
are whole groups of four (a test compares the bits). So threads share the rows as well as the panels.
"""

from collections.abc import Callable, Hashable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from partita.kernels import blas, threads
from partita.kernels.arrays import Array
from partita.kernels.packing import packed
from partita.kernels.products import ALL, LEAST_WORKS, Finish, cuts, finish_nothing
from partita.kernels.products import multiply as multiply_whole

MOST_WORK = 1_000_000
"""Multiplications up to which a product is small. Source: OpenBLAS 0.3.31, the file
kernel/x86_64/sgemm_small_kernel_permit_skylakex.c."""
WIDTHS = (64, 32, 48, 16)
"""Columns of a panel, best first."""
FEW_COLUMNS = 128
"""So many columns that no width divides are one panel: a narrower one takes as long as one of whole vectors."""
GROUP = 4
"""Columns of which a matrix must have a multiple: what is left over is summed in another order for some rows."""
LEAST_HEIGHT = 4
"""Rows of a tile that a panel must be small enough for."""
LEAST_ROWS = 16
"""Fewer rows only read a matrix, which BLAS does as fast and without a copy of it."""
BLOCK_ELEMENTS = 1 << 17
"""Results that are finished together, 512 KiB, so that they are in a cache."""
Columns = Callable[[Array, slice], Array]
"""Makes some columns of a matrix (..., k, n) of weights that lie in another form."""


class Panels(NamedTuple):
    """A constant matrix (k, n), or a stack of them, by its columns."""

    whole: Array
    """(..., n // width, k, width)."""
    rest: Array
    """(..., k, n % width)."""
    is_tiled: bool
    """Whether rows are multiplied a tile at a time; else all that are asked for are one product."""
    can_be_cut: bool
    """Whether a result has the same bits whichever rows and columns are multiplied together."""

    @property
    def width(self) -> int:
        return self.whole.shape[-1]

    @property
    def columns(self) -> int:
        return self.whole.shape[-3] * self.width + self.rest.shape[-1]

    def some(self, part: slice) -> "Panels":
        """Those of some columns, whole panels but for the last."""
        first, last, _ = part.indices(self.columns)
        whole = self.whole[..., first // self.width : last // self.width, :, :]
        return self._replace(whole=whole, rest=self.rest if last == self.columns else self.rest[..., :0])


def tiled(weights: Array, form: Hashable, columns: int, matrix_of: Columns, rows: int) -> Panels | None:
    """Constant weights that stand for so many columns, as panels to multiply `rows` rows by in tiles.

    None where they gain nothing, as for one row or another BLAS, and for an odd number of columns.
    """
    if weights.flags.writeable or weights.dtype != np.float32 or rows < 2 or not blas.has_small_products():
        return None
    made: Panels | None = packed(weights, ("tiled", form), lambda w: _tiled(w, columns, matrix_of))
    return made


def panels(weights: Array, form: Hashable, columns: int, matrix_of: Columns, rows: int) -> Panels:
    """As `tiled`, or one panel where that is None."""
    some = tiled(weights, form, columns, matrix_of, rows)
    if some is not None:
        return some
    b: Array = packed(weights, ("whole", form), lambda w: np.ascontiguousarray(matrix_of(w, ALL)))
    return Panels(b[..., None, :, :], b[..., :0], is_tiled=False, can_be_cut=False)


def by_matrix(
    a: Array, b: Array, out: Array | None = None, finish: Finish = finish_nothing, *, is_transposed: bool = False
) -> Array:
    """`a` (m, k) times a matrix `b` (k, n), or (n, k): in tiles where it is constant and that gains."""
    by = _matrix_tiled(a, b, is_transposed=is_transposed)
    if by is None:
        return multiply_whole(a, b.T if is_transposed else b, out, finish)
    out = np.empty((len(a), by.columns), a.dtype) if out is None else out
    multiply(a, by, out, finish)
    return out


def _matrix_tiled(a: Array, b: Array, *, is_transposed: bool) -> Panels | None:
    if a.dtype != np.float32 or len(a) < LEAST_ROWS or not a.flags.c_contiguous:
        return None
    if is_transposed:
        return tiled(b, "transposed matrix", len(b), lambda b, part: b[part].T, len(a))
    return tiled(b, "matrix", b.shape[1], lambda b, part: b[:, part], len(a))


def panel_width(k: int, n: int) -> int:
    """Columns of a panel of a matrix (k, n), 0 where it is not cut; `devices.core_tiles` has the same rule."""
    most = MOST_WORK // (LEAST_HEIGHT * k)
    if n % GROUP or most < WIDTHS[1] < n:  # so narrow they are slower than a whole product (measured from k = 9900)
        return 0
    fitting = [width for width in WIDTHS if width <= min(n, most)]
    whole = n if n <= min(FEW_COLUMNS, most) else next(iter(fitting), 0)
    return next((width for width in fitting if n % width == 0), whole)


def _tiled(weights: Array, n: int, matrix_of: Columns) -> Panels | None:
    """Panel by panel, so that the matrix as a whole is never there besides."""
    if n % GROUP or weights.size == 0:
        return None
    *stack, k, _ = matrix_of(weights, slice(0, GROUP)).shape
    width = panel_width(k, n)
    if width == 0:
        return None
    whole = np.empty((*stack, n // width, k, width), weights.dtype)
    for i in range(n // width):
        whole[..., i, :, :] = matrix_of(weights, slice(i * width, (i + 1) * width))
    rest = np.empty((*stack, k, n % width), weights.dtype)
    if rest.size:
        rest[...] = matrix_of(weights, slice(n // width * width, n))
    return Panels(whole, rest, is_tiled=True, can_be_cut=True)


def multiply(a: Array, by: Panels, out: Array, finish: Finish = finish_nothing) -> None:
    """`a` (m, k) times the constant matrix into `out` (m, n), which threads share.

    `finish` is called for parts of the result that are ready: the part, its rows and its columns.
    """
    (m, k), n = a.shape, by.columns
    lanes = threads.threads() if out.size * k >= LEAST_WORKS[0] else 1

    def multiply_part(rows: slice, columns: slice, some: Panels) -> None:
        multiply_rows(a[rows], some, out[rows, columns])
        finish(out[rows, columns], rows, columns)

    if m >= n or n < 2 * lanes * by.width:
        count = lanes * max(1, round(out.size / (lanes * BLOCK_ELEMENTS)))
        threads.share(lambda rows: multiply_part(rows, ALL, by), row_cuts(m, count))
    else:
        threads.share(lambda columns: multiply_part(ALL, columns, by.some(columns)), cuts(n, lanes, by.width))


def row_cuts(m: int, count: int) -> list[slice]:
    """At most `count` even parts of so many rows, each of at least two."""
    count = max(1, min(count, m // 2))
    return [slice(m * i // count, m * (i + 1) // count) for i in range(count)]


def multiply_rows(a: Array, by: Panels, out: Array) -> None:
    """`a` (..., m, k) times the constant matrices into `out` (..., m, n), on this thread."""
    for operands, result in products(a, by, out):
        np.matmul(*operands, out=result)


def products(a: Array, by: Panels, out: Array) -> Iterator[tuple[tuple[Array, Array], Array]]:
    """The operands and the result of each call of `np.matmul` for `multiply_rows`."""
    split = by.whole.shape[-3] * by.width
    yield from _tiles(a, by.whole, out[..., :split], is_tiled=by.is_tiled)
    if by.rest.size:
        yield from _tiles(a, by.rest[..., None, :, :], out[..., split:], is_tiled=by.is_tiled)


def _tiles(a: Array, by: Array, out: Array, *, is_tiled: bool) -> Iterator[tuple[tuple[Array, Array], Array]]:
    """`by`: (..., panels, k, width). All are views."""
    m, (count, k, width) = a.shape[-2], by.shape[-3:]
    height, even = _tiling(m, k * width) if is_tiled else (m, m)
    results = out.reshape(*out.shape[:-1], count, width)
    tiles = a[..., :even, :].reshape(*a.shape[:-2], 1, even // height, height, k)
    places = results[..., :even, :, :].reshape(*out.shape[:-2], even // height, height, count, width)
    yield (tiles, by[..., :, None, :, :]), np.moveaxis(places, -2, -4)
    if even < m:
        yield (a[..., None, even:, :], by), np.moveaxis(results[..., even:, :, :], -2, -3)


@lru_cache(maxsize=4096)
def _tiling(m: int, panel: int) -> tuple[int, int]:
    """Rows of a tile, and how many are in tiles of that height; the others are one tile more, of at least two.

    The code for small products takes an even number of rows at a time.
    """
    most = MOST_WORK // panel
    if m <= most:
        return m, m
    for height in range(most, most // 2, -1):
        if m % height == 0 and (height % 2 == 0 or height > 24):
            return height, m
    height = -(-m // -(-m // (most - 1)))
    height += height % 2 if height < most - 1 else -(height % 2)
    even = m // height * height
    return height, even - height if m - even == 1 else even
