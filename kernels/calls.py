"""Calls of numpy whose operands are known beforehand, kept to be done many times.

A thread has the interpreter's lock from the end of one call to where the next one lets go of it, and another thread
that wants it meanwhile sleeps for longer than that takes. So what is called is what does the work: `partial` objects
of ufuncs, and not the functions of Python that numpy has around some of them.
"""

from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from partita.kernels.arrays import Array

Call = Callable[[], object]

clip: Callable[..., Any] = getattr(import_module("numpy._core.umath"), "clip", np.clip)
"""What `np.clip` ends in, in 0.5 instead of 2 us for a few numbers."""
einsum: Callable[..., Any] = getattr(import_module("numpy._core.multiarray"), "c_einsum", np.einsum)
"""What `np.einsum` ends in if it plans nothing, in 2 instead of 4 us."""


def call(function: Callable[..., Any], *operands: Any, out: Array) -> Call:
    """The function of these operands, written to `out`."""
    return partial(function, *operands, out=out)


def copy(source: Array, target: Array) -> Call:
    return partial(np.copyto, target, source)


def do_all(calls: Iterable[Call]) -> None:
    for each in calls:
        each()
