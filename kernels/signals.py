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
LOOKS = 1 << 17
"""How often a thread looks before it sleeps: some 300 us."""
BYTES_PER_US = 512
"""At which texts are compared (measured)."""


class Signal:
    """Set by one thread and waited for by another, in turns."""

    def __init__(self, grace_us: int = 2) -> None:
        """A thread that has stood by and seen it wants the interpreter only after `grace_us`.

        Who gave the signal has the interpreter's lock, and lets go of it soon; to wait for that lock is to sleep.
        """
        self._lock = Lock()
        self._lock.acquire()
        self.has_sleeper = False
        """Whether somebody waits who does not stand by any more."""
        self._seen = _text(0, grace_us)
        self._look = _looks_at(self._seen)

    def set(self) -> None:
        self._seen[0] = 1
        self._lock.release()

    def set_and_wait(self, other: "Signal", *, stand_by: bool) -> None:
        """Set this one and wait for another: the interpreter is free at once for who has waited for this one."""
        look = other._look if stand_by else None
        self._seen[0] = 1
        self._lock.release()
        if look is not None:
            look()
        other._sleep()

    def wait(self, *, stand_by: bool) -> None:
        """Sleep until it is set; perhaps stand by for a while before."""
        if stand_by and self._look is not None and not self._seen[0]:
            self._look()
        self._sleep()

    def _sleep(self) -> None:
        self.has_sleeper = True
        self._lock.acquire()
        self.has_sleeper, self._seen[0] = False, 0

    def take_back(self) -> bool:
        """Whether it was set and nobody has seen it; then it is not set any more."""
        if not self._lock.acquire(blocking=False):
            return False
        self._seen[0] = 0
        return True


def _text(first: int, grace_us: int) -> Text:
    """A string of C that takes so long to compare, empty if its first byte is 0."""
    text = np.full(BYTES_PER_US * grace_us + 2, ord("-"), np.uint8)
    text[0], text[-1] = first, 0
    return text


class _Search(NamedTuple):
    """C's linear search, which compares a key with one element after the other.

    With elements of no size it looks at the first again and again.
    """

    find: Callable[..., Any]
    compare: Any


@cache
def _search() -> _Search | None:
    """None where the C library has no such functions: threads then sleep at once."""
    try:
        library = ctypes.CDLL(None)
        find, compare = library.lfind, library.strverscmp  # a slow comparison: see BYTES_PER_US
    except (AttributeError, OSError, TypeError):
        return None
    find.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    find.restype = ctypes.c_void_p
    return _Search(find, ctypes.cast(compare, ctypes.c_void_p))


def _looks_at(seen: Text) -> Callable[[], object] | None:
    """A call that comes back when the first byte of `seen` is 1, or after LOOKS."""
    search = _search()
    if search is None:
        return None
    count, same = ctypes.c_size_t(LOOKS), seen.copy()
    same[0] = 1
    key, at = ctypes.c_void_p(same.ctypes.data), ctypes.c_void_p(seen.ctypes.data)
    find, arguments = search.find, (key, at, ctypes.byref(count), 0, search.compare)

    def look(_: tuple[Text, Text] = (same, seen)) -> object:
        return find(*arguments)

    return look
