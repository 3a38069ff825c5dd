"""What a search may spend: work, which is the same on a busy machine and on an idle one, and time."""

import time
from dataclasses import dataclass

from partita.partitioner.engines.outcome import Limits


@dataclass
class Budget:
    """Searches say what they do in seconds of the core on which their costs were measured."""

    work_s: float
    """Left; what a search finds within it depends on nothing but the problem."""
    deadline: float
    """Of the wall clock, by `time.perf_counter`."""

    def spend(self, work_s: float) -> None:
        """Count work that is done, or is done later if it is negative."""
        self.work_s -= work_s

    def is_spent(self) -> bool:
        """Whether no work or no time is left."""
        return self.work_s <= 0 or time.perf_counter() > self.deadline

    @property
    def left_s(self) -> float:
        """The time that is left, for those who count none."""
        return max(0.0, min(self.work_s, self.deadline - time.perf_counter()))


def budget_of(limits: Limits) -> Budget:
    """All that the limits grant, from now on."""
    return Budget(limits.work_s, time.perf_counter() + limits.time_s)
