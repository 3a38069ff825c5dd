"""Weights in the memory order that a schedule wants, made once per constant array."""

import mmap
import weakref
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from partita.kernels.arrays import Array

_PACKED: dict[tuple[int, Hashable], tuple[weakref.ref[Array], Any]] = {}


def packed(weights: Array, form: Hashable, make: Callable[[Array], Any]) -> Any:
    """`make(weights)`, remembered under `form` for as long as `weights` lives if nobody can write to it.

    An array with `flags.writeable` set may change between calls, so it is packed anew each time.
    """
    if weights.flags.writeable:
        return make(weights)
    key = (id(weights), form)
    known = _PACKED.get(key)
    if known is not None and known[0]() is weights:
        return known[1]
    result = make(weights)
    release_pages(weights)
    forget = _PACKED.pop  # bound now: at the interpreter's end the module's names are gone before the last array
    _PACKED[key] = (weakref.ref(weights, lambda _: forget(key, None)), result)
    return result


def release_pages(array: Array) -> None:
    """Let the system take back the pages of a mapped file that lie within `array`: it reads them again if need be."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:  # what was written to a private mapping would be lost
            return
        base = base.base
    if not isinstance(base, mmap.mmap) or not hasattr(base, "madvise") or not array.flags.c_contiguous:
        return
    begin = array.ctypes.data - np.frombuffer(base, np.uint8, 1).ctypes.data
    first = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE
    size = (begin + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE - first
    if size > 0:
        base.madvise(mmap.MADV_DONTNEED, first, size)
