"""What a scenario came to: figures per stream, per unit and per operator, curves, and the intervals of a window."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from partita.graph.plan import Plan
from partita.simulator.scenario import Scenario
from partita.simulator.summary import Distribution
from partita.simulator.timeline import Counter


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorEnergy:
    """What one operator, call or transfer of a plan drew in all its runs, above idle and without leakage."""

    kind: str
    name: str
    unit: str
    """The unit that works, or "host"."""
    count: int
    time_us: float
    energy_mj: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOutcome:
    """What became of one stream. Latencies run from the arrival of a query to its answer."""

    name: str
    plan: Plan
    mode: str
    asked: int
    """Queries that arrived."""
    answered: int
    dropped: int
    missed: int
    """Answers after their deadline, and dropped queries of a stream that has one."""
    deadline_us: float | None
    inferences: int
    latency: Distribution
    mean_waiting: float
    """Mean number of queries that have arrived and are not answered (L of Little's law)."""
    parts_us: Mapping[str, float] = field(hash=False)
    """Mean critical path of an inference, by PARTS; it begins when the query arrives."""
    operators: tuple[OperatorEnergy, ...]

    @property
    def energy_mj(self) -> float:
        """Of its operators, calls and transfers, above idle and without leakage."""
        return sum(operator.energy_mj for operator in self.operators)

    @property
    def miss_share(self) -> float:
        return self.missed / self.asked if self.asked else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Where the energy went, in mJ. The parts add up to the whole exactly: they are whole numbers of 1e-21 J."""

    base_mj: float
    idle_mj: Mapping[str, float] = field(hash=False)
    """By unit, as the next two."""
    dynamic_mj: Mapping[str, float] = field(hash=False)
    leakage_mj: Mapping[str, float] = field(hash=False)
    host_mj: float
    """The core that drives the units: calls, dispatches, hand-overs, polling, wake-ups."""
    dram_mj: float
    together_mj: float
    background_mj: float
    wake_mj: float
    """Part of `host_mj` that no operator is charged with."""
    total_mj: float
    rest_quanta: int
    """Whole minus the parts, in 1e-21 J: 0 unless the books are wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Something that occupied a track for a while, in the scenario's window."""

    track: str
    stream: int
    inference: int
    kind: str
    name: str
    start_ns: int
    end_ns: int
    segment: int
    dram_bytes: int
    waited_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """The first time that a node was so hot that clocks were lowered."""

    node: str
    time_ns: int
    temperature_c: float
    units: tuple[str, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """One scenario on one phone."""

    scenario: Scenario
    soc_name: str
    tracks: tuple[str, ...]
    units: tuple[str, ...]
    end_ns: int
    """When the last query was answered, or the duration if that is later."""
    streams: tuple[StreamOutcome, ...]
    busy_us: Mapping[str, float] = field(hash=False)
    """By track."""
    energy: Energy | None
    """None if the Soc has no [power]."""
    curves: tuple[Counter, ...]
    """Means over stretches: "dram", "busy UNIT", "power", "power UNIT", "clock UNIT", "temperature NODE",
    "latency STREAM" (number from 0)."""
    intervals: tuple[Interval, ...]
    trips: tuple[Trip, ...]
    """In the order of time."""
    events: int
    """Pieces that ended."""
    notes: tuple[str, ...] = ()

    @property
    def inferences(self) -> int:
        return sum(stream.inferences for stream in self.streams)

    @property
    def energy_per_inference_mj(self) -> float | None:
        """All energy of the phone over all inferences."""
        if self.energy is None or not self.inferences:
            return None
        return self.energy.total_mj / self.inferences

    def curve(self, name: str) -> Counter | None:
        return next((curve for curve in self.curves if curve.name == name), None)
