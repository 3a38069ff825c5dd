"""Products in float32 and chains over rows, compiled by numba (optional: install partita[fast]).

The first use on a machine compiles for some seconds; the result is kept on disk (see `native`). Large products are
shared among the threads of all kernels (see `threads`); numba's own, which spin beside those of BLAS, never start.
"""

import os
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

from partita.kernels import threads
from partita.kernels.arrays import Array
from partita.kernels.jobs import (
    CONSTANTS,
    DOT,
    FLOAT_BYTES,
    GELU,
    NORMALIZE,
    PIECE_DEPTH,
    PRODUCT,
    SOFTMAX,
    Chain,
    Job,
    address_of,
    even_rows,
    panels_of,
    pieces_of_depth,
    rows_at_once,
    table_of,
)
from partita.kernels.native import loops
from partita.kernels.packing import packed

SWITCH = "PARTITA_COMPILED"
"""Environment variable: 0 leaves numba aside even where it is installed."""
LEAST_WORK = 1 << 20
"""Smaller products (multiplications) are not worth waking another thread for."""
LEAST_CHAIN = 1 << 15
"""Chains over fewer elements are not worth it either."""
ROW = 1 << 10
"""Elements that are taken for a row where rows do not matter."""
COLUMNS_PER_ROW, LEAST_PANELS = 4, 4
"""Columns for each row, and panels for each thread, from which on threads share the columns of a product."""
LEAST_DOTS = 1 << 16
"""Numbers of a matrix that a vector is multiplied by, below which BLAS does as well."""
UNLIMITED = (np.float32(-np.inf), np.float32(np.inf))


@cache
def is_available() -> bool:
    """Whether compiled kernels are to be used: numba is installed and not switched off."""
    return os.environ.get(SWITCH) != "0" and find_spec("numba") is not None


class Ending(NamedTuple):
    """What is done to each result before it is written: bias of its column, addend at its place, limits."""

    bias: Array | None = None
    addend: Array | None = None
    low: np.float32 = UNLIMITED[0]
    high: np.float32 = UNLIMITED[1]
    gelu: bool = False
    """Of a product: Gelu, after the limits."""


PLAIN = Ending()


def suits_weight(*arrays: Array) -> bool:
    """Whether compiled products can take these arrays, the last of them a weight that is then kept in another order."""
    if not is_available() or any(array.dtype != np.float32 for array in arrays):
        return False
    return not arrays[-1].flags.writeable


def suits_rows(x: Array, *parameters: Array) -> bool:
    """Whether compiled chains over rows can take `x` and vectors as long as its last axis."""
    if not is_available() or x.dtype != np.float32 or not x.flags.c_contiguous or x.size == 0 or x.ndim == 0:
        return False
    return all(p.dtype == np.float32 and p.shape == x.shape[-1:] and p.flags.c_contiguous for p in parameters)


def multiply(a: Array, b: Array, ending: Ending = PLAIN) -> Array:
    """`a` (m, k) times `b` (k, n), both float32, `a` contiguous, `b` a weight that nobody writes to: (m, n)."""
    out = np.empty((a.shape[0], b.shape[1]), np.float32)
    given = ending.bias is not None, ending.addend is not None
    key = ("product", a.shape[0], given, ending.low.tobytes(), ending.high.tobytes(), ending.gelu, threads.threads())
    product: _Product = packed(b, key, lambda b: _product(a.shape[0], b, ending))
    ends = (address_of(x) if x is not None else 0 for x in (ending.bias, ending.addend))
    bases = np.array([0, 0, address_of(a), *ends, address_of(out)], np.int64)
    run_table(product.table, product.limits, bases, threads.threads() if out.size * b.shape[0] > LEAST_WORK else 1)
    return out


class _Product(NamedTuple):
    """A table of one job, and the arrays that it refers to."""

    table: Array
    limits: Array
    kept: tuple[Array, ...]


def _product(m: int, b: Array, ending: Ending) -> _Product:
    width, tile, (k, n) = loops().width, loops().rows, b.shape
    panels = packed(b, ("panels", width), lambda b: panels_of(b, width))
    rows, results = even_rows(m, FLOAT_BYTES * k), even_rows(m, FLOAT_BYTES * n)
    pieces, tap, bias = pieces_of_depth(k), np.zeros(1, np.int64), np.zeros(n, np.float32)
    job = Job(
        PRODUCT, m, n, 2, 0, address_of(rows), 5, 0, address_of(results), taps=address_of(tap),
        pieces=address_of(pieces), piece_count=len(pieces), depth=k, weights=address_of(panels),
        bias_slot=3 if ending.bias is not None else CONSTANTS, bias=address_of(bias) if ending.bias is None else 0,
        addend_slot=4 if ending.addend is not None else CONSTANTS, addend_rows=address_of(results),
        at_once=rows_at_once(FLOAT_BYTES * min(k, PIECE_DEPTH), tile), by_columns=shares_columns(m, n),
        gelu=ending.gelu,
    )  # fmt: skip
    limits = np.array([(ending.low, ending.high)], np.float32)
    return _Product(table_of([job]), limits, (panels, rows, results, pieces, tap, bias))


def shares_columns(rows: int, columns: int) -> bool:
    """Whether threads had better share the columns of a product: with few rows, most of what is read is weights.

    Each then reads its own weights and all of the input. There must be panels enough for even shares.
    """
    return columns >= COLUMNS_PER_ROW * rows and columns >= LEAST_PANELS * threads.threads() * loops().width


def gelu_in_place(x: Array) -> None:
    """Gelu by erf of contiguous float32."""
    whole = x.size // ROW
    jobs = [Chain(GELU, whole, ROW, CONSTANTS, 1), Chain(GELU, 1, x.size % ROW, CONSTANTS, 2)]
    address = address_of(x)
    _run_chains(jobs, x.size, 0.0, address, address + FLOAT_BYTES * ROW * whole)


def softmax(x: Array) -> Array:
    """Softmax along the last axis of contiguous float32."""
    out = np.empty_like(x)
    columns = x.shape[-1]
    _run_chains([Chain(SOFTMAX, x.size // columns, columns, 1, 2)], x.size, 1.0, address_of(x), address_of(out))
    return out


def layer_normalization(x: Array, scale: Array, shift: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """LayerNormalization over the last axis, all contiguous float32; also means and inverse deviations."""
    out, columns = np.empty_like(x), x.shape[-1]
    means, inverses = (np.empty((*x.shape[:-1], 1), np.float32) for _ in range(2))
    job = Chain(NORMALIZE, means.size, columns, 1, 2, 3, 4, 5, 6)
    _run_chains([job], x.size, epsilon, *map(address_of, (x, out, scale, shift, means, inverses)))
    return out, means, inverses


def suits_dots(a: Array, b: Array) -> bool:
    """Whether `a` is one row and `b` lies in memory as a large matrix with the same rows, transposed."""
    if not is_available() or a.shape[:-1] != (1,) or b.ndim != 2 or b.size < LEAST_DOTS:
        return False
    return a.dtype == b.dtype == np.float32 and a.flags.c_contiguous and b.T.flags.c_contiguous


def dots(a: Array, b: Array) -> Array:
    """`a` (1, k) times `b` (k, n): (1, n); see `suits_dots`."""
    out = np.empty((1, b.shape[1]), np.float32)
    job = Chain(DOT, b.shape[1], b.shape[0], 1, 2, 3)
    _run_chains([job], b.size, 0.0, address_of(a), address_of(out), address_of(b))
    return out


def _run_chains(jobs: Sequence[Chain], elements: int, factor: float, *addresses: int) -> None:
    """`factor` goes where jobs have their limits; see `Chain`. Addresses are those of slots from 1 on."""
    limits = np.full((len(jobs), 2), factor, np.float32)
    bases = np.array([0, *addresses], np.int64)
    run_table(table_of(jobs), limits, bases, threads.threads() if elements > LEAST_CHAIN else 1)


def run_table(table: Array, limits: Array, bases: Array, wanted: int = 1) -> None:
    """Run a table of jobs (see `jobs`) on up to `wanted` threads, which wait for each other after every job.

    Only one table at a time gets more than one thread, so that none waits for threads that another one holds.
    """
    run = loops().run
    given = (address_of(table), len(table), address_of(limits), address_of(bases))
    threads.at_once(lambda thread, count, meeting: run(*given, thread, count, meeting), wanted)
