"""How one thread tells another that there is something to do: seen at once by a thread that stands by.

To wake a thread that sleeps, and get it to run, takes 20 to 60 us where the system gives an idle processor away
(measured, a virtual machine): as long as many a block of a kernel. So a thread looks at a byte in memory for a while,
in the C library and without the interpreter's lock, and sleeps only then.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

Text = np.ndarray[tuple[int], np.dtype[np.uint8]]
LOOKS = 1 << 16
"""How often a thread looks before it sleeps: some 200 us."""
GRACE_BYTES = 2048
"""How many more bytes a thread compares once it has seen its signal, some 4 us, before it wants the interpreter. Who
gave the signal has the interpreter's lock and soon lets go of it, in a call of numpy; to wait for it is to sleep."""


class Signal:
    """Set by one thread and waited for by another, in turns."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._lock.acquire()
        self._seen = _text(0)
        self._look = _looks_at(self._seen)

    def set(self) -> None:
        self._seen[0] = 1
        self._lock.release()

    def wait(self, *, stand_by: bool) -> None:
        """Sleep until it is set; perhaps stand by for a while before."""
        if stand_by and self._look is not None and not self._seen[0]:
            self._look()
        self._lock.acquire()
        self._seen[0] = 0

    def take_back(self) -> bool:
        """Whether it was set and nobody has seen it; then it is not set any more."""
        if not self._lock.acquire(blocking=False):
            return False
        self._seen[0] = 0
        return True


def _text(first: int) -> Text:
    """A string of C, empty if its first byte is 0."""
    text = np.full(GRACE_BYTES, ord("-"), np.uint8)
    text[0], text[-1] = first, 0
    return text


class _Search(NamedTuple):
    """C's linear search, which compares a key with one element after the other, and a key to look for.

    With elements of no size it looks at the first again and again.
    """

    find: Callable[..., Any]
    compare: Any
    key: Text


@cache
def _search() -> _Search | None:
    """None where the C library has no such functions: threads then sleep at once."""
    try:
        library = ctypes.CDLL(None)
        find, compare = library.lfind, library.strverscmp  # a slow comparison: 2 ns a byte
    except (AttributeError, OSError, TypeError):
        return None
    find.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    find.restype = ctypes.c_void_p
    return _Search(find, ctypes.cast(compare, ctypes.c_void_p), _text(1))


def _looks_at(seen: Text) -> Callable[[], object] | None:
    """A call that comes back when the first byte of `seen` is 1, or after LOOKS."""
    search = _search()
    if search is None:
        return None
    count = ctypes.c_size_t(LOOKS)
    key, at = ctypes.c_void_p(search.key.ctypes.data), ctypes.c_void_p(seen.ctypes.data)
    return lambda: search.find(key, at, ctypes.byref(count), 0, search.compare)
