"""Products and convolutions in float32, compiled by numba (optional: install partita[fast]).

The first use in a new environment compiles for some seconds; the result is kept on disk. Large products are shared
among as many threads of Python's as BLAS may use; numba's own threads, which spin beside those of BLAS, never start.
"""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from partita.kernels.arrays import Array
from partita.kernels.packing import packed
from partita.kernels.windows import Windows, channels_second, pad_channels_last

SWITCH = "PARTITA_COMPILED"
"""Environment variable: 0 leaves numba aside even where it is installed."""
PIECE_DEPTH = 768
"""Rows of weights that are used at a time: 96 KiB with 32 columns, so that they stay in the second-level cache."""
CHUNK_BYTES = 1 << 19
"""Input rows that are used at a time with all weights: half of a second-level cache of 1 MiB (measured)."""
DEPTHWISE_CHUNK_BYTES = 1 << 18
LEAST_WORK = 1 << 15
LEAST_ROWS_PER_THREAD = 16
"""Smaller outputs are not worth waking another thread for."""
FLOAT_BYTES = 4
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


@cache
def _loops() -> Any:
    from partita.kernels import compiled_loops  # imports numba, which takes a second

    return compiled_loops


def multiply(a: Array, b: Array, ending: Ending = PLAIN) -> Array:
    """`a` (m, k) times `b` (k, n), both float32, `a` contiguous, `b` a weight that nobody writes to: (m, n)."""
    loops, (m, k), n = _loops(), a.shape, b.shape[1]
    panels = packed(b, f"panels of {loops.WIDTH}", lambda b: _panels(b, loops.WIDTH))
    out = np.empty((m, n), np.float32)
    rows, chunk = _even_rows(m, FLOAT_BYTES * k), _rows_at_once(min(k, PIECE_DEPTH), loops.ROWS)
    _in_parts(loops.multiply, a, rows, (_one_tap(), _pieces_of_depth(k), panels, chunk), ending, out)
    return out


def stack_panels(stack: Array) -> Array:
    """Matrices (count, k, n) as `multiply_stack` takes them."""
    return np.stack([_panels(b, _loops().WIDTH) for b in stack])


def multiply_stack(a: Array, panels: Array, columns: int) -> Array:
    """`a` (count, m, k), contiguous float32, times the matrices behind `panels`: (count, m, columns)."""
    loops, (count, m, k) = _loops(), a.shape
    out = np.empty((count, m, columns), np.float32)
    given = _even_rows(m, FLOAT_BYTES * k), _one_tap(), _pieces_of_depth(k), panels
    loops.multiply_stack(a, *given, max(loops.ROWS, m), _zeros(columns), *UNLIMITED, out)
    return out


def convolve(x: Array, w: Array, windows: Windows, ending: Ending = PLAIN) -> Array:
    """Convolution of `x` (N, C, spatial ...) by `w` (M, C, kernel ...), both float32; the result is channels last."""
    loops, filters, depth = _loops(), w.shape[0], w.shape[1]
    panels = packed(w, f"panels of {loops.WIDTH}", lambda w: _panels(_by_input(w), loops.WIDTH))
    padded = pad_channels_last(x, windows)
    rows, taps = _geometry(windows, x.shape[0], padded.shape)
    pieces = _pieces_of_taps(windows.taps, depth) if windows.taps > 1 else _pieces_of_depth(depth)
    out = np.empty((len(rows), filters), np.float32)
    chunk = _rows_at_once(min(depth, PIECE_DEPTH) * math.prod(windows.strides), loops.ROWS)
    _in_parts(loops.multiply, padded, rows, (taps, pieces, panels, chunk), ending, out)
    return channels_second(out.reshape(x.shape[0], *windows.outputs, filters))


def convolve_depthwise(x: Array, w: Array, windows: Windows, ending: Ending = PLAIN) -> Array:
    """Convolution of `x` (N, C, spatial ...) by one filter per channel, `w` (C, 1, kernel ...); channels last."""
    loops, channels = _loops(), w.shape[0]
    weights = packed(w, "taps, channels", lambda w: np.ascontiguousarray(w.reshape(channels, -1).T))
    padded = pad_channels_last(x, windows)
    rows, taps = _geometry(windows, x.shape[0], padded.shape)
    out = np.empty((len(rows), channels), np.float32)
    chunk = _rows_at_once(channels, loops.ROWS, DEPTHWISE_CHUNK_BYTES)
    _in_parts(loops.convolve_depthwise, padded, rows, (taps, weights, chunk), ending, out)
    return channels_second(out.reshape(x.shape[0], *windows.outputs, channels))


def _by_input(w: Array) -> Array:
    """(M, C, kernel ...) as (taps * C, M)."""
    return w.reshape(*w.shape[:2], -1).transpose(2, 1, 0).reshape(-1, w.shape[0])


def gelu_in_place(x: Array) -> None:
    """Gelu by erf of contiguous float32."""
    _row_loops().gelu_in_place(x.reshape(-1))


def softmax(x: Array) -> Array:
    """Softmax along the last axis of contiguous float32."""
    out = np.empty_like(x)
    _row_loops().softmax(x.reshape(-1, x.shape[-1]), out.reshape(-1, x.shape[-1]))
    return out


def layer_normalization(x: Array, scale: Array, shift: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """LayerNormalization over the last axis, all contiguous float32; also means and inverse deviations."""
    out, width = np.empty_like(x), x.shape[-1]
    means, inverses = (np.empty((*x.shape[:-1], 1), np.float32) for _ in range(2))
    rows, results = x.reshape(-1, width), out.reshape(-1, width)
    _row_loops().normalize(rows, scale, shift, np.float32(epsilon), results, means.reshape(-1), inverses.reshape(-1))
    return out, means, inverses


def _panels(b: Array, width: int) -> Array:
    """(k, n) as (panels, k, width), filled up with zeros."""
    depth, columns = b.shape
    panels = np.zeros((-(-columns // width), depth, width), np.float32)
    for p, panel in enumerate(panels):
        part = b[:, p * width : (p + 1) * width]
        panel[:, : part.shape[1]] = part
    return panels


def _rows_at_once(channels: int, tile: int, chunk_bytes: int = CHUNK_BYTES) -> int:
    """A number of output rows whose inputs fit the chunk, in whole tiles."""
    return max(1, chunk_bytes // (FLOAT_BYTES * channels) // tile) * tile


@lru_cache(maxsize=1024)
def _geometry(windows: Windows, batch: int, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Where windows begin and where their elements lie, in bytes, in contiguous data of `shape` (N, spatial ..., C)."""
    steps = [FLOAT_BYTES * math.prod(shape[axis + 1 :]) for axis in range(len(shape) - 1)]
    rows, taps = np.arange(batch, dtype=np.int64) * steps[0], np.zeros(1, np.int64)
    axes = zip(windows.outputs, windows.kernel, windows.strides, windows.dilations, steps[1:], strict=True)
    for outputs, kernel, stride, dilation, step in axes:
        rows = np.add.outer(rows, np.arange(outputs) * (stride * step)).reshape(-1)
        taps = np.add.outer(taps, np.arange(kernel) * (dilation * step)).reshape(-1)
    return rows, taps


@lru_cache(maxsize=256)
def _pieces_of_depth(depth: int) -> Array:
    """Pieces of one tap: (bytes from the row's begin, first tap, taps, inputs, row of the weights)."""
    starts = range(0, depth, PIECE_DEPTH)
    return np.array([(FLOAT_BYTES * k, 0, 1, min(PIECE_DEPTH, depth - k), k) for k in starts], np.int64)


@lru_cache(maxsize=256)
def _pieces_of_taps(taps: int, depth: int) -> Array:
    """Pieces of as many whole taps as have about the depth of one piece."""
    count = max(1, PIECE_DEPTH // depth)
    return np.array([(0, t, min(count, taps - t), depth, t * depth) for t in range(0, taps, count)], np.int64)


def _in_parts(
    loop: Callable[..., None], x: Array, rows: Array, middle: tuple[Any, ...], ending: Ending, out: Array
) -> None:
    """Run a loop on all rows of `out`: on as many threads as BLAS may use, each with its own share of the rows."""
    bias = _zeros(out.shape[1]) if ending.bias is None else ending.bias
    addend = out if ending.addend is None else ending.addend
    limits = ending.low, ending.high

    def run(part: slice) -> None:
        given = (bias, addend[part], ending.addend is not None, *limits, out[part])
        loop(x, rows[part], *middle, *given)

    count = min(threads(), len(rows) // LEAST_ROWS_PER_THREAD) if out.size * middle[0].size > LEAST_WORK else 1
    if count < 2:
        run(slice(None))
        return
    step = -(-len(rows) // count)
    waiting = [_pool().submit(run, slice(start, start + step)) for start in range(step, len(rows), step)]
    run(slice(0, step))
    for each in waiting:
        each.result()


@cache
def threads() -> int:
    """How many threads a product may use: what BLAS was told by the environment, else the number of processors."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name, "").isdigit():
            return max(1, int(os.environ[name]))
    return os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads(), "partita-product")


@lru_cache(maxsize=256)
def _even_rows(count: int, step_bytes: int) -> Array:
    return np.arange(count, dtype=np.int64) * step_bytes


@cache
def _one_tap() -> Array:
    return np.zeros(1, np.int64)


@lru_cache(maxsize=256)
def _zeros(count: int) -> Array:
    return np.zeros(count, np.float32)
