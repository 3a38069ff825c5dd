"""What a set of cores does otherwise than the law of the pool says: a factor on the work of each kernel.

    factor = exp(level + depth * log depth + columns * log columns + rows * log rows), of the kernel's group

A set runs at clocks of its own and shares caches and memory in its own way, which makes some kinds of kernels dearer on
it than the pool's law says, and others cheaper. Sizes count up to `REACH` only, so that far from what was measured the
factor no longer changes. A set that nobody measured has none.
"""

from collections.abc import Mapping

import numpy as np

from partita.devices.laws.thread_pool import CLASSES, DEPTHWISE, GEMM, GROUPED, MOVING, KernelColumns
from partita.devices.laws.trees import Floats

GROUPS: Mapping[str, tuple[int, ...]] = {
    "pointwise": (CLASSES.index("pointwise"),),
    "conv": (CLASSES.index("conv"),),
    "first": (CLASSES.index("first"),),
    "depthwise": DEPTHWISE,
    "grouped": (GROUPED,),
    "rest": (GEMM, CLASSES.index("pool"), *(CLASSES.index(name) for name in MOVING)),
}
"""Group of kernels -> classes; each has four coefficients, in the order of `TERMS`."""
TERMS = ("level", "depth", "columns", "rows")
WITHOUT = {"depth": ("depthwise", "rest"), "columns": ("rest",)}
"""Term -> groups that have none: all kernels of the group are alike in it, or cost much the same for any number."""
REACH = 3.5
"""Of the logarithm of a size over its reference."""


def terms(kernels: KernelColumns) -> Floats:
    """[groups * terms, kernels]: what the coefficients multiply."""
    depth, columns, rows = (np.clip(size, -REACH, REACH) for size in kernels.sizes)
    found = []
    for name, members in GROUPS.items():
        inside = np.isin(kernels.classes, members).astype(np.float64)
        sizes = (depth * (name not in WITHOUT["depth"]), columns * (name not in WITHOUT["columns"]), rows)
        found += [inside, *(inside * size for size in sizes)]
    return np.array(found)


def factors(kernels: KernelColumns, coefficients: Floats) -> Floats:
    """Of each kernel's work on the set with these coefficients; what a kernel of any size takes has none."""
    result: Floats = np.exp(np.asarray(coefficients, dtype=np.float64) @ terms(kernels))
    return result


def name_of(cores: Mapping[str, int]) -> str:
    """
    >>> name_of({"large": 1, "med": 2, "small": 0})
    '1large2med'
    """
    return "".join(f"{count}{name}" for name, count in cores.items() if count)
