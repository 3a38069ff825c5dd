"""The Timeline: what the simulator says happened. The clock counts whole nanoseconds."""

from dataclasses import dataclass
from functools import cached_property

from partita.units import NS_PER_US

HOST_TRACK = "host"
"""The track of the runtime's fixed cost of an inference."""
SEQUENTIAL = "sequential"
OVERLAP = "overlap"
MEASURED = "measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something that occupied a track for a while."""

    track: str
    """A unit's name, a link as "cpu->npu", or "host"."""
    kind: str
    """`operator`, `call` (a segment's fixed cost), `transfer`, `convert` (a cast inside one unit) or `inference`;
    of an operator that two units share `transform`, `map`, `pre_sync`, `split` (once on each unit), `post_sync`."""
    name: str
    """The operator's node, the segment ("segment 3") or the tensor."""
    start_ns: int
    end_ns: int
    segment: int
    """Index of the segment it belongs to or waits for; -1 outside of any."""
    dram_bytes: int = 0
    waited_ns: int = 0
    """How much longer it took than alone, because others used the memory at the same time."""

    @property
    def duration_us(self) -> float:
        return (self.end_ns - self.start_ns) / NS_PER_US


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A quantity over time, constant between its points."""

    name: str
    """For example "dram" or "dram npu"."""
    unit: str
    """For example "GB/s"."""
    points: tuple[tuple[int, float], ...]
    """(time in ns, value from then on)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Timeline:
    """Spans sorted by start, then track; tracks in the order in which the Soc lists its units and links."""

    soc_name: str
    model_name: str
    graph_digest: str
    scenario: str
    """`sequential` (units take turns), `overlap` (segments run side by side), or `measured` on a machine."""
    tracks: tuple[str, ...]
    spans: tuple[Span, ...]
    counters: tuple[Counter, ...] = ()

    @property
    def latency_us(self) -> float:
        return max((span.end_ns for span in self.spans), default=0) / NS_PER_US

    @cached_property
    def busy_us(self) -> dict[str, float]:
        """Time each track is occupied."""
        return {track: sum(s.duration_us for s in self.spans if s.track == track) for track in self.tracks}

    @cached_property
    def us_by_kind(self) -> dict[str, float]:
        """Time per kind of span, over all tracks."""
        totals: dict[str, float] = {}
        for span in self.spans:
            totals[span.kind] = totals.get(span.kind, 0.0) + span.duration_us
        return totals
