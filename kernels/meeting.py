"""Words in memory by which threads in compiled code find each other, without the interpreter and without sleep.

After a table of jobs a thread stands by for a while and looks for the next one: it begins within a fraction of a
microsecond, where to wake a sleeping thread and get it to run took some 40 (measured, a virtual machine).
"""

from ctypes import addressof, c_int64

LONG_BYTES = 8
LINE = 8
"""Words from the word of one thread to that of the next: each has a line of the cache for itself."""
COUNTER, MISSING, ORDER = 0, 1, LINE
"""Words: the counter of the barrier, a bit for each thread that was not there to take the last order, that order."""
MOST_THREADS = 62
AWAY, WAITING, TOLD = range(3)
"""What the word of a thread says."""


class Meeting:
    """The words: what all threads share, then a word for each thread but the first."""

    def __init__(self) -> None:
        self._memory = (c_int64 * (ORDER + LINE * (MOST_THREADS + 1)))()
        self._first = -addressof(self._memory) % (LONG_BYTES * LINE) // LONG_BYTES
        self.address = addressof(self._memory) + LONG_BYTES * self._first

    def is_missing(self, thread: int) -> bool:
        return bool(self._memory[self._first + MISSING] >> thread & 1)

    def stands_by(self, thread: int) -> bool:
        return bool(self._memory[self._first + ORDER + LINE * thread] == WAITING)

    def recall(self, thread: int) -> None:
        """Let a thread that stands by come back."""
        self._memory[self._first + ORDER + LINE * thread] = AWAY

    def recall_all(self) -> None:
        for thread in range(1, MOST_THREADS):
            self.recall(thread)
