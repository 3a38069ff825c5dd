"""Weights in the memory order that a schedule wants, made once per constant array."""

import weakref
from collections.abc import Callable

from partita.kernels.arrays import Array

_PACKED: dict[tuple[int, str], tuple[weakref.ref[Array], Array]] = {}


def packed(weights: Array, form: str, make: Callable[[Array], Array]) -> Array:
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
    forget = _PACKED.pop  # bound now: at the interpreter's end the module's names are gone before the last array
    _PACKED[key] = (weakref.ref(weights, lambda _: forget(key, None)), result)
    return result
