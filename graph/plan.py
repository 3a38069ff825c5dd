"""The Plan: a graph placed on the units of a Soc, with its transfers, its cost and the proof of how good it is.

It is what the partitioner returns and what the executor, the simulator and the reports read; it knows no solver and
no device model. Times are in microseconds, sizes in bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from partita.graph.dtypes import is_floating
from partita.graph.ir import Graph, Value


@dataclass(frozen=True, slots=True)
class Location:
    """Where a tensor lies and in which floating-point type: a unit's name and a dtype."""

    unit: str
    dtype: str

    def stored(self, value: Value) -> Value:
        """How a tensor lies here: floating-point tensors in this location's dtype, all others in their own."""
        return Value(self.dtype, value.shape) if is_floating(value.dtype) else value

    def __str__(self) -> str:
        return f"{self.unit}:{self.dtype}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Predicted time of one operator on one unit while nothing else runs; `low_us` and `high_us` bound it."""

    latency_us: float
    low_us: float
    high_us: float
    dispatch_us: float
    """The part spent before the work begins; the rest is the longer of `compute_us` and `memory_us`."""
    compute_us: float
    memory_us: float
    dram_bytes: int
    """Traffic that the shared memory sees."""
    evidence: str
    """What the prediction rests on: "table", "fitted", "roofline" or "free"."""

    @property
    def bound(self) -> str:
        """What the time is made of mostly: "dispatch", "compute" or "memory"."""
        parts = {"dispatch": self.dispatch_us, "compute": self.compute_us, "memory": self.memory_us}
        return max(parts, key=lambda part: parts[part])


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """How a second unit computes some of an operator's output channels while its own unit computes the others.

    Before that the second unit is given what it reads (`transform`, `map`, `pre_sync`), and after it both parts are
    joined where the operator runs (`post_sync`).
    """

    unit: str
    """The second unit."""
    dtype: str
    channels: int
    """Of the output; the operator's own unit computes the first of them, up to `end`."""
    end: int
    eighths: int
    """About how many of the channels that are."""
    first: Cost
    """Of the own unit's part, side by side with the other."""
    second: Cost
    transform_us: float
    map_us: float
    pre_sync_us: float
    post_sync_us: float

    @property
    def location(self) -> Location:
        return Location(self.unit, self.dtype)

    @property
    def sharing_us(self) -> float:
        """What sharing costs beside the work."""
        return self.transform_us + self.map_us + self.pre_sync_us + self.post_sync_us


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedOperator:
    """One operator of the placed graph and the kernel call that runs it."""

    node: str
    covers: tuple[str, ...]
    """The operators of the model that this one stands for; more than one if it is fused."""
    unit: str
    dtype: str
    kernel: str
    segment: int
    cost: Cost
    shared: Shared | None = None
    """If two units share it; `cost` is then that of all of it."""

    @property
    def location(self) -> Location:
        return Location(self.unit, self.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Operators that one unit runs as one call; segments run in the order of their index."""

    index: int
    unit: str
    call_us: float
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A tensor made available at another unit, in another dtype or layout, once for all its readers there."""

    tensor: str
    source: Location
    target: Location
    size_bytes: int
    """As it leaves the source."""
    sync_us: float
    copy_us: float
    convert_us: float
    """Cast and layout change."""
    dram_bytes: int
    layout: str
    """How a four-dimensional tensor lies at the target: "NCHW", "NHWC", or "any" for as it came."""
    before: str
    """The operator that needs it first; empty for a model output on its way to the host."""

    @property
    def latency_us(self) -> float:
        return self.sync_us + self.copy_us + self.convert_us

    @property
    def crosses_units(self) -> bool:
        return self.source.unit != self.target.unit


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A tensor that stays where it lies: each run takes the input `before` and leaves the output `after`."""

    before: str
    after: str
    location: Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a unit cannot run an operator of the model as it should."""

    node: str
    op: str
    unit: str
    verdict: str
    """`unsupported`, `accepted_then_fails`, or `ruled_out` by the user."""
    reason: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What a simpler rule would have reached on the same costs."""

    name: str
    title: str
    latency_us: float
    segments: int
    value: float | None
    """Its figure under the plan's objective; None if that is the latency."""
    breaks: tuple[str, ...]
    """The user's constraints that it does not keep."""

    @property
    def figure(self) -> float:
        """What the plan's objective counts of it: the latency in microseconds, if that is the objective."""
        return self.latency_us if self.value is None else self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A constraint that the plan keeps, and how near it comes to it."""

    option: str
    """As on the command line, or where in the Soc it stands."""
    demand: float
    """What the plan needs of it."""
    limit: float
    unit: str
    """Unit of measure of both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """What it would cost in total to have an operator on another unit, all others placed anew."""

    node: str
    unit: str
    extra: float | None
    """More of the objective than the plan has, 0 or above; None if no placement allows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How good the plan is, and who says so."""

    objective: str
    """latency, makespan, throughput, energy, edp, or weights such as latency=1,energy=0.2."""
    value: float
    """Of the objective: us of latency, of makespan, or between two frames (throughput); mJ; mJ ms; a weighted sum."""
    bound: float
    """No placement can have less, if its operators run in the plan's order."""
    status: str
    """`optimal` (within the gap asked for), `time_limit`, or `not_proven` by this method."""
    solver: str
    solve_s: float
    unit: str
    """Unit of measure of `value` and `bound`: us, mJ, mJ ms or score."""
    any_order: float | None = None
    """No placement can have less in any order of the operators; None if that is not known."""

    @property
    def gap(self) -> float:
        """(value - bound) / value, 0 for an empty plan."""
        return max(0.0, self.value - self.bound) / self.value if self.value > 0 else 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """A placed graph. `graph` holds one node per kernel call, in the order in which they run."""

    graph: Graph
    graph_digest: str
    """Digest of the graph before fusion: the one that `partita.load` gives for the model."""
    soc_name: str
    soc_digest: str
    soc_json: str
    """The whole Soc, so that a plan can be simulated and shown without the file it came from."""
    host: Location
    """Where model inputs come from and outputs go to."""
    inference_us: float
    """The runtime's fixed cost of one inference, whatever the placement."""
    operators: tuple[PlacedOperator, ...]
    segments: tuple[Segment, ...]
    transfers: tuple[Transfer, ...]
    proof: Proof
    refusals: tuple[Refusal, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What was asked for beyond the defaults, by the command line's option: {"pin": ("Softmax=cpu",)}."""
    energy_mj: float | None = None
    """Of one inference while units take turns; None if nothing is known of the Soc's power."""
    limits: tuple[Limit, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    states: tuple[State, ...] = ()
    """Inputs and outputs that do not travel from and to the host."""

    @cached_property
    def latency_us(self) -> float:
        """One inference while units take turns, whatever the objective."""
        if self.proof.objective == "latency":
            return self.proof.value
        moves_us = sum(transfer.latency_us for transfer in self.transfers)
        kernels_us = sum(operator.cost.latency_us for operator in self.operators)
        return self.inference_us + sum(segment.call_us for segment in self.segments) + moves_us + kernels_us

    @cached_property
    def period_us(self) -> float:
        """Time between two pipelined frames: what the busiest unit or link has to do for one."""
        busy_us: dict[tuple[str, str], float] = {}
        for segment in self.segments:
            busy_us[segment.unit, segment.unit] = busy_us.get((segment.unit, segment.unit), 0.0) + segment.call_us
        for operator in self.operators:
            busy_us[operator.unit, operator.unit] += operator.cost.latency_us
        for transfer in self.transfers:
            link = transfer.source.unit, transfer.target.unit
            busy_us[link] = busy_us.get(link, 0.0) + transfer.latency_us
        return max((self.inference_us, *busy_us.values()))

    @property
    def bound_us(self) -> float | None:
        """No placement in the plan's order has less latency; None if the objective is another."""
        return self.proof.bound if self.proof.objective == "latency" else None

    @cached_property
    def placed(self) -> dict[str, PlacedOperator]:
        """Placed operators by the name of their node."""
        return {operator.node: operator for operator in self.operators}

    @cached_property
    def state_location(self) -> dict[str, Location]:
        """Where a run finds or leaves state, by the name of the input or output."""
        return {name: state.location for state in self.states for name in (state.before, state.after)}

    @cached_property
    def transfers_before(self) -> dict[str, tuple[Transfer, ...]]:
        """Transfers by the operator that waits for them; those of model outputs under the empty name."""
        found: dict[str, tuple[Transfer, ...]] = {}
        for transfer in self.transfers:
            found[transfer.before] = (*found.get(transfer.before, ()), transfer)
        return found
