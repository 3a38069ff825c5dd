"""One row of a table of measurements: what was measured beside what is predicted, or why nothing is."""

from dataclasses import dataclass
from typing import Literal

from partita.errors import StudyError

Level = Literal["op", "block", "model", "contention", "schedule", "split"]
SHARE = "share"
"""The `measure` of shares such as a relative speed, whose errors are told in percentage points too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A measurement and its prediction, both in `measure`."""

    level: Level
    unit: str
    """Of processors: "CPU", "GPU", "NPU", or several joined by "+"."""
    runtime: str
    device: str
    precision: str
    op_class: str
    """Class of the operator; of a model the class that takes most of its time, or what fits the table."""
    name: str
    """What was measured, as the reader of the table finds it again."""
    measured: float
    predicted: float
    low: float
    high: float
    baseline: float | None = None
    """What the naive baseline predicts: a straight line through latency over work. None to have it fitted."""
    work: float | None = None
    """Floating-point operations, from which the baseline is fitted within the row's group if it is None."""
    measure: str = "ms"
    """Unit of measure of `measured` and of every prediction."""
    in_sample: bool = False
    """Whether the parameters behind the prediction were fitted on this measurement too."""
    evidence: str = ""
    """What the prediction rests on, as in `graph.plan.Cost`."""

    def __post_init__(self) -> None:
        if self.measured <= 0:
            raise StudyError(f"{self.name}: a measurement must be above 0, is {self.measured:g}")
        if not 0 <= self.low <= self.predicted <= self.high:
            raise StudyError(
                f"{self.name}: 0 <= low <= predicted <= high must hold, is {self.low:g}, {self.predicted:g}, "
                f"{self.high:g}"
            )

    @property
    def error(self) -> float:
        """|predicted - measured| as a share of what was measured."""
        return abs(self.predicted - self.measured) / self.measured

    @property
    def is_covered(self) -> bool:
        return self.low <= self.measured <= self.high


@dataclass(frozen=True, slots=True)
class Unpredicted:
    """A row without a prediction."""

    name: str
    reason: str
    """Without the row's own name, so that rows of one reason can be counted together."""


Row = Prediction | Unpredicted
