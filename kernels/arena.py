"""Memory for tensors between operators: what is freed stays in the process, and tapes share what they lay out.

The next tensor of a graph gets pages that are already there. A kernel's result is a fresh array. By default the C
library gives large freed blocks back to the system, which then has to map and zero the same pages again for the next
operator: page faults took a quarter of ResNet-50's time and a third of MobileNetV2's and BERT's (measured against the
same run with this switch on). Raising two limits of glibc's allocator makes its free lists the arena: the executor
frees by liveness, malloc reuses the largest hole that fits.
"""

import ctypes
import sys
from functools import cache
from threading import Lock
from weakref import ref

import numpy as np

from partita.kernels.arrays import Array
from partita.kernels.layouts import ALIGNMENT_BYTES

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Source: glibc manual, section 3.2.3.7, Malloc Tunable Parameters; the numbers are those of its malloc.h."""
LARGEST_THRESHOLD_BYTES = 32 << 20
"""glibc serves no larger blocks from the heap. Source: mallopt(3), M_MMAP_THRESHOLD."""
KEPT_BYTES = (1 << 31) - 1
"""So much free memory may stay at the heap's top: all that the parameter, an int, can say."""
STEP_BYTES = 16 << 20
"""The heap grows by this much at a time."""


@cache
def keep_freed_memory() -> bool:
    """Raise the limits once for this process; False if its C library has no such limits."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = ((M_MMAP_THRESHOLD, LARGEST_THRESHOLD_BYTES), (M_TRIM_THRESHOLD, KEPT_BYTES), (M_TOP_PAD, STEP_BYTES))
    done = [mallopt(parameter, size) == 1 for parameter, size in wanted]
    return all(done)


class Arena:
    """Memory in which one run at a time lays out its tensors, of float32. Whoever uses it holds its lock."""

    def __init__(self, elements: int) -> None:
        over = ALIGNMENT_BYTES // np.dtype(np.float32).itemsize
        memory = np.empty(elements + over, np.float32)
        first = -memory.ctypes.data % ALIGNMENT_BYTES // memory.itemsize
        self.memory: Array = memory[first : first + elements]
        self.lock = Lock()


_arenas: list[ref[Arena]] = []
"""Those that somebody keeps; a list, for a set may not grow while another thread goes through it."""


def held_arena(elements: int) -> Arena:
    """An arena of at least this size, whose lock the caller now holds: one that nobody uses just now, or a new one."""
    for known in list(_arenas):
        arena = known()
        if arena is not None and arena.memory.size >= elements and arena.lock.acquire(blocking=False):
            return arena
    made = Arena(1 << max(0, elements - 1).bit_length())  # pages that nobody touches are not there
    made.lock.acquire()
    _arenas.append(ref(made, _arenas.remove))
    return made
