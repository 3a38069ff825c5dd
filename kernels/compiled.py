"""Products in float32 and chains over rows, compiled by numba (optional: install partita[fast]).

The first use on a machine compiles for some seconds; the result is kept on disk (see `native`). Large products are
shared among the threads of all kernels (see `threads`); numba's own, which spin beside those of BLAS, never start.
"""

import os
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from partita.kernels import threads
from partita.kernels.arrays import BLOCK, Array
from partita.kernels.jobs import (
    CONSTANTS,
    FLOAT_BYTES,
    PIECE_DEPTH,
    PRODUCT,
    Job,
    address_of,
    even_rows,
    panels_of,
    pieces_of_depth,
    rows_at_once,
)
from partita.kernels.native import loops
from partita.kernels.packing import packed
from partita.kernels.products import cuts

SWITCH = "PARTITA_COMPILED"
"""Environment variable: 0 leaves numba aside even where it is installed."""
LEAST_WORK = 1 << 20
"""Smaller products (multiplications) are not worth waking another thread for."""
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


@cache
def _row_loops() -> Any:
    from partita.kernels import compiled_rows

    return compiled_rows


def multiply(a: Array, b: Array, ending: Ending = PLAIN) -> Array:
    """`a` (m, k) times `b` (k, n), both float32, `a` contiguous, `b` a weight that nobody writes to: (m, n)."""
    out = np.empty((a.shape[0], b.shape[1]), np.float32)
    given = ending.bias is not None, ending.addend is not None
    key = ("product", a.shape[0], given, ending.low.tobytes(), ending.high.tobytes())
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
        at_once=rows_at_once(FLOAT_BYTES * min(k, PIECE_DEPTH), tile),
    )  # fmt: skip
    limits = np.array([(ending.low, ending.high)], np.float32)
    return _Product(np.array([job], np.int64), limits, (panels, rows, results, pieces, tap, bias))


def gelu_in_place(x: Array) -> None:
    """Gelu by erf of contiguous float32."""
    gelu, flat = _row_loops().gelu_in_place, x.reshape(-1)
    threads.share(lambda part: gelu(flat[part]), cuts(x.size, -(-x.size // BLOCK)))


def softmax(x: Array) -> Array:
    """Softmax along the last axis of contiguous float32."""
    out = np.empty_like(x)
    compute, rows, results = _row_loops().softmax, x.reshape(-1, x.shape[-1]), out.reshape(-1, x.shape[-1])
    threads.share(lambda part: compute(rows[part], results[part]), cuts(len(rows), -(-x.size // BLOCK)))
    return out


def layer_normalization(x: Array, scale: Array, shift: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """LayerNormalization over the last axis, all contiguous float32; also means and inverse deviations."""
    out, width = np.empty_like(x), x.shape[-1]
    means, inverses = (np.empty((*x.shape[:-1], 1), np.float32) for _ in range(2))
    normalize, small = _row_loops().normalize, np.float32(epsilon)
    rows, results, m, i = x.reshape(-1, width), out.reshape(-1, width), means.reshape(-1), inverses.reshape(-1)
    threads.share(
        lambda part: normalize(rows[part], scale, shift, small, results[part], m[part], i[part]),
        cuts(len(rows), -(-x.size // BLOCK)),
    )
    return out, means, inverses


def run_table(table: Array, limits: Array, bases: Array, wanted: int = 1) -> None:
    """Run a table of jobs (see `jobs`) on up to `wanted` threads, which wait for each other after every job.

    Only one table at a time gets more than one thread, so that none waits for threads that another one holds.
    """
    run, counter = loops().run, np.zeros(1, np.int64)
    given = (address_of(table), len(table), address_of(limits), address_of(bases))
    # The counter is what a thread looks at last, perhaps after this call: the function holds it.
    threads.at_once(lambda thread, count: run(*given, thread, count, address_of(counter)), wanted)
