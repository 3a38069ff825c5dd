"""Keeps the BLAS that numpy calls to one thread while graphs run, and gives its pool back afterwards.

OpenBLAS's own threads wait for work in a loop and for each other at every product, so that a product takes many times
as long when somebody else uses a core. Kernels share products among threads of ours instead (see `threads`), each of
which calls BLAS for a part.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from threading import Lock
from typing import NamedTuple

SPELLINGS = ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}")
"""How OpenBLAS's functions are called in numpy's wheels, and in other builds with long or usual integers."""
PRODUCTS_OF_NUMPY = "numpy._core._multiarray_umath"
"""The library that numpy's matrix products are in; a look-up in it also finds what it is linked to."""


WITH_SMALL_PRODUCTS = ("SkylakeX", "Cooperlake", "SapphireRapids")
"""OpenBLAS's names of the processors for which it multiplies small matrices of float32 as they lie."""


class _Pool(NamedTuple):
    size: Callable[[], int]
    resize: Callable[[int], None]
    core: str
    """The processor that OpenBLAS has chosen its code for."""


@cache
def _pool() -> _Pool | None:
    """The pool of OpenBLAS; None if numpy uses something else."""
    path = import_module(PRODUCTS_OF_NUMPY).__file__
    if path is None:
        return None
    try:
        library = ctypes.CDLL(path)
    except OSError:
        return None
    for spelling in SPELLINGS:
        size = getattr(library, spelling.format("get_num_threads"), None)
        resize = getattr(library, spelling.format("set_num_threads"), None)
        core = getattr(library, spelling.format("get_corename"), None)
        if size is not None and resize is not None and core is not None:
            core.restype = ctypes.c_char_p
            return _Pool(size, resize, core().decode())
    return None


def can_be_limited() -> bool:
    """Whether the number of BLAS's threads can be set from here."""
    return _pool() is not None


def has_small_products() -> bool:
    """Whether small products are the faster ones; see `tiles`."""
    pool = _pool()
    return pool is not None and pool.core in WITH_SMALL_PRODUCTS


class _Held:
    """How many want one thread, and what the pool's size was before the first of them."""

    def __init__(self) -> None:
        self.lock, self.count, self.size = Lock(), 0, 1


_held = _Held()


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Products inside run on the thread that asks for them; another library than OpenBLAS is left as it is."""
    pool = _pool()
    if pool is None:
        yield
        return
    with _held.lock:
        if _held.count == 0:
            _held.size = pool.size()
            if _held.size != 1:
                pool.resize(1)
        _held.count += 1
    try:
        yield
    finally:
        with _held.lock:
            _held.count -= 1
            if _held.count == 0 and _held.size != 1:
                pool.resize(_held.size)
