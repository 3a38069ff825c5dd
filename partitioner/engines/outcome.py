"""What every engine takes and returns."""

from dataclasses import dataclass, field
from math import inf

from partita.errors import ProblemError
from partita.partitioner.engines.carrying import Copy

OPTIMAL = "optimal"
TIME_LIMIT = "time_limit"
STOPPED = "stopped"
"""The engine has done all that it knows, and a gap is left."""
NOISE = 1e-9
"""Relative differences below this are rounding."""


class OutOfTimeError(ProblemError):
    """Time was up before any answer was found."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop: at this relative gap, after this much work, or after this time."""

    gap: float = 1e-4
    time_s: float = 600.0
    """Of the wall clock."""
    work_s: float = 60.0
    """Work counted in seconds of one core, which a busy machine does not change; see `budget.py`. Programs that the
    solver of linear programs runs count in time."""

    @property
    def least_s(self) -> float:
        """The time that is granted to what does not count its work."""
        return min(self.time_s, self.work_s)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A choice of units, what it costs, and what is proven about it. Times are in the instance's unit of time."""

    choice: tuple[int, ...]
    """Per operator, its unit."""
    objective: float
    bound: float
    """No choice is better than this."""
    status: str
    solver: str
    log: tuple[str, ...] = ()
    starts: tuple[float, ...] = ()
    """Per operator, when it starts; for objectives that have a schedule."""
    ends: tuple[float, ...] = ()
    order: tuple[int, ...] = field(default=())
    """The operators in the order in which they run; for objectives that choose one."""
    copies: tuple[Copy, ...] = ()
    """What links carry, by start; for problems that have links."""

    @property
    def gap(self) -> float:
        """(objective - bound) / objective."""
        return relative_gap(self.objective, self.bound)


def relative_gap(objective: float, bound: float) -> float:
    """How far the bound lies below the objective, as a share of it; 0 where both are 0."""
    if objective == inf:
        return inf
    return max(0.0, objective - bound) / objective if objective > 0 else 0.0


def status_of(objective: float, bound: float, limits: Limits, *, in_time: bool) -> str:
    """Whether the gap asked for is reached, or why not."""
    if relative_gap(objective, bound) <= max(limits.gap, NOISE):
        return OPTIMAL
    return STOPPED if in_time else TIME_LIMIT
