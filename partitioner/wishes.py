"""What the user asks of a placement beyond the graph and the Soc."""

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase

from partita.errors import PlacementError
from partita.graph.ir import Node
from partita.graph.plan import Location
from partita.partitioner.objectives import Objective, parse_objective

GAP = 1e-4
WIDE_GAP = 1e-3
"""For the objectives that balance units against each other, whose last tenth of a percent takes most of the time."""


def is_like(node: Node, pattern: str) -> bool:
    """Whether an operator's name or type is like a pattern.

    Names come first as they are: exporters write brackets, which are a pattern too.
    """
    if pattern in (node.name, node.op):
        return True
    return fnmatchcase(node.name, pattern) or fnmatchcase(node.op, pattern)


@dataclass(frozen=True, slots=True)
class Rule:
    """A wish of the user about operators whose name or type matches a pattern."""

    pattern: str
    unit: str

    def concerns(self, node: Node) -> bool:
        return is_like(node, self.pattern)

    def __str__(self) -> str:
        return f"{self.pattern}={self.unit}"


@dataclass(frozen=True, slots=True)
class OfUnit:
    """A number for one unit, or for all that it can concern if `unit` is empty."""

    unit: str
    number: float

    def __str__(self) -> str:
        return f"{self.unit}={self.number:g}" if self.unit else f"{self.number:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user asks of a placement beyond the graph and the Soc."""

    objective: str = "latency"
    """latency, makespan, throughput, energy, edp, or weights such as latency=1,energy=0.2 (of ms and mJ)."""
    pins: tuple[Rule, ...] = ()
    """Operators that may run on one unit only."""
    bans: tuple[Rule, ...] = ()
    """Operators that may not run on a unit."""
    together: tuple[str, ...] = ()
    """Patterns: the operators like each run on one unit, whichever it is."""
    allow: tuple[Location, ...] = ()
    """Further dtypes that a unit may compute in, such as a quantised one: what they do to the outputs is the user's."""
    states: tuple[str, ...] = ()
    """Patterns of inputs that stay where they are from run to run, as the outputs that continue them; see `states`."""
    deadline_ms: float | None = None
    """One inference, units taking turns, may take this long."""
    memory: tuple[OfUnit, ...] = ()
    """Bytes that may lie at a unit at any time."""
    max_segments: tuple[OfUnit, ...] = ()
    """Segments of a unit, or of all units together."""
    min_segment: tuple[OfUnit, ...] = ()
    """Operators that each segment of a unit must run; without a unit, of every unit but the host."""
    min_snr_db: float | None = None
    """Signal-to-noise ratio that the expected rounding noise of all operators must leave."""
    split: bool = False
    """Whether two units may share an operator, each computing some of its output channels."""
    explain: bool = False
    """Whether the plan is to say what every operator would cost elsewhere."""
    gap: float | None = None
    """The solver stops when the plan is proven within this share of the best; GAP or WIDE_GAP if it is not given."""
    time_limit_s: float = 60.0

    def __post_init__(self) -> None:
        parse_objective(self.objective)
        if self.gap is not None and not 0 <= self.gap < 1:
            raise PlacementError(f"the gap must be from 0 up to, but not including, 1, is {self.gap:g}")
        if not self.time_limit_s > 0:
            raise PlacementError(f"the time limit must be above 0 seconds, is {self.time_limit_s:g}")
        if self.deadline_ms is not None and not 0 < self.deadline_ms < math.inf:
            raise PlacementError(f"the deadline must be above 0 ms, is {self.deadline_ms:g}")
        if self.min_snr_db is not None and not math.isfinite(self.min_snr_db):
            raise PlacementError(f"the least signal-to-noise ratio must be a number of dB, is {self.min_snr_db:g}")
        for what, numbers in (("memory", self.memory), ("segments", self.max_segments), ("segment", self.min_segment)):
            for limit in numbers:
                if not 0 <= limit.number < math.inf:
                    raise PlacementError(f"a limit on {what} must be 0 or more, is {limit}")

    @property
    def gap_share(self) -> float:
        if self.gap is not None:
            return self.gap
        return WIDE_GAP if self.aim.name in ("throughput", "makespan") else GAP

    @property
    def aim(self) -> Objective:
        return parse_objective(self.objective)

    @property
    def rules_nothing(self) -> bool:
        """Whether every placement is allowed."""
        rules = (self.pins, self.bans, self.together, self.memory, self.max_segments, self.min_segment)
        return not any(rules) and not self.split and self.deadline_ms is None and self.min_snr_db is None
