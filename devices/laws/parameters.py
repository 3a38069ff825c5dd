"""Named parameters of the thread-pool law as one vector, and where a fit begins."""

from collections.abc import Sequence

import numpy as np

from partita.devices.laws.thread_pool import CLASSES, PARAMETERS
from partita.devices.laws.trees import Floats


def shapes_of(types: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Parameter -> shape on a chip with these core types."""
    sizes = {"class": len(CLASSES), "core": len(types)}
    return {
        name: tuple(axis if isinstance(axis, int) else sizes[axis] for axis in axes)
        for name, axes in PARAMETERS.items()
    }


def unpack(vector: Floats, types: Sequence[str]) -> dict[str, Floats]:
    """The named parameters of a vector."""
    found: dict[str, Floats] = {}
    start = 0
    for name, shape in shapes_of(types).items():
        size = int(np.prod(shape))
        found[name] = vector[start : start + size].reshape(shape)
        start += size
    return found


def pack(parameters: dict[str, Floats], types: Sequence[str]) -> Floats:
    """The vector of named parameters."""
    return np.concatenate([np.asarray(parameters[name], float).reshape(-1) for name in shapes_of(types)])
