"""A simulated timeline beside a measured one of the same plan: how far off, segment by segment and type by type.

A segment takes from the beginning of its first span on its unit to the end of the last; an operator from its own
beginning to that of the next one of its segment, so that what a runtime does between two kernels counts on both sides.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from partita.errors import SimulationError
from partita.graph.plan import Plan
from partita.reports.summary import TABLE_ROWS, plain_table, row
from partita.reports.wording import significant
from partita.simulator.timeline import Span, Timeline
from partita.units import NS_PER_US, ms

PERCENT = 0.01
HANDED_OVER = ("transfer", "map", "pre_sync", "post_sync")
"""Kinds of spans that take a link, or the time of a hand-over."""
Pair = tuple[float, float]
"""Simulated and measured time in microseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentPair:
    """One segment in both timelines."""

    index: int
    unit: str
    operators: int
    simulated_us: float
    measured_us: float
    simulated_start_us: float
    measured_start_us: float

    @property
    def error(self) -> float:
        return _relative(self.simulated_us, self.measured_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class TypePair:
    """All operators of one type, or fused chain, in both timelines."""

    op: str
    count: int
    simulated_us: float
    measured_us: float

    @property
    def error(self) -> float:
        return _relative(self.simulated_us, self.measured_us)


@dataclass(frozen=True, eq=False)
class RunComparison:
    """Two timelines of one plan; SimulationError if they are of different ones."""

    plan: Plan
    simulated: Timeline
    measured: Timeline

    def __post_init__(self) -> None:
        known = {operator.node for operator in self.plan.operators}
        for title, timeline in (("simulated", self.simulated), ("measured", self.measured)):
            if timeline.graph_digest != self.plan.graph_digest:
                raise SimulationError(
                    f"the {title} timeline is of another model ({timeline.model_name}) than the plan "
                    f"({self.plan.graph.name}), or the model has changed; run this plan again"
                )
            missing = known - {span.name for span in timeline.spans if span.kind in ("operator", "split")}
            if missing:
                raise SimulationError(
                    f"the {title} timeline does not hold operator {min(missing)!r} of the plan: it is of another "
                    "plan of the model; run this plan again"
                )

    @property
    def error(self) -> float:
        """Of the latency, relative to what was measured."""
        return _relative(self.simulated.latency_us, self.measured.latency_us)

    @cached_property
    def segments(self) -> tuple[SegmentPair, ...]:
        found = []
        for segment in self.plan.segments:
            simulated, measured = (_extent(t, segment.index, segment.unit) for t in (self.simulated, self.measured))
            found.append(
                SegmentPair(
                    index=segment.index,
                    unit=segment.unit,
                    operators=len(segment.operators),
                    simulated_us=(simulated[1] - simulated[0]) / NS_PER_US,
                    measured_us=(measured[1] - measured[0]) / NS_PER_US,
                    simulated_start_us=simulated[0] / NS_PER_US,
                    measured_start_us=measured[0] / NS_PER_US,
                )
            )
        return tuple(found)

    @cached_property
    def types(self) -> tuple[TypePair, ...]:
        """The type with the largest difference first."""
        simulated, measured = (dict(_operator_us(timeline)) for timeline in (self.simulated, self.measured))
        sums: dict[str, Pair] = {}
        counts: dict[str, int] = {}
        for operator in self.plan.operators:
            op = self.plan.graph.node_named[operator.node].op
            a, b = sums.get(op, (0.0, 0.0))
            sums[op] = a + simulated.get(operator.node, 0.0), b + measured.get(operator.node, 0.0)
            counts[op] = counts.get(op, 0) + 1
        pairs = [TypePair(op=op, count=counts[op], simulated_us=a, measured_us=b) for op, (a, b) in sums.items()]
        return tuple(sorted(pairs, key=lambda pair: -abs(pair.simulated_us - pair.measured_us)))

    @property
    def transfers_us(self) -> Pair:
        """Time of everything that is handed from one unit to another."""
        return _transfers_us(self.simulated), _transfers_us(self.measured)


def _relative(simulated_us: float, measured_us: float) -> float:
    """(simulated - measured) / measured; where nothing was measured 1, or 0 if nothing was simulated either."""
    if measured_us <= 0:
        return 0.0 if simulated_us <= 0 else 1.0
    return simulated_us / measured_us - 1


def _extent(timeline: Timeline, segment: int, unit: str) -> tuple[int, int]:
    """From when to when a segment is on its unit, in ns."""
    own = [span for span in timeline.spans if span.segment == segment and span.track == unit]
    return (min(s.start_ns for s in own), max(s.end_ns for s in own)) if own else (0, 0)


def _transfers_us(timeline: Timeline) -> float:
    return sum(span.duration_us for span in timeline.spans if span.kind in HANDED_OVER)


def _operator_us(timeline: Timeline) -> Iterator[tuple[str, float]]:
    """The time of each operator up to the next one of its segment on its unit."""
    lanes: dict[tuple[str, int], list[Span]] = {}
    for span in timeline.spans:
        if span.kind == "operator":
            lanes.setdefault((span.track, span.segment), []).append(span)
    for spans in lanes.values():
        spans.sort(key=lambda span: (span.start_ns, span.end_ns))
        ends = [*(after.start_ns for after in spans[1:]), spans[-1].end_ns]
        for span, end_ns in zip(spans, ends, strict=True):
            yield span.name, (max(end_ns, span.end_ns) - span.start_ns) / NS_PER_US


def runs_side_by_side(timeline: Timeline) -> bool:
    """Whether two units compute at the same time somewhere."""
    ends: dict[str, int] = {}
    for span in sorted((s for s in timeline.spans if s.kind == "operator"), key=lambda s: s.start_ns):
        if any(end_ns > span.start_ns for track, end_ns in ends.items() if track != span.track):
            return True
        ends[span.track] = max(ends.get(span.track, 0), span.end_ns)
    return False


def run_comparison_document(found: RunComparison) -> dict[str, Any]:
    """`partita compare --json`; described by templates/comparison.schema.json."""
    moved = found.transfers_us
    return {
        "format": "partita-comparison/1",
        "model": found.plan.graph.name,
        "soc": found.plan.soc_name,
        "scenario": found.simulated.scenario,
        "simulated_ms": ms(found.simulated.latency_us),
        "measured_ms": ms(found.measured.latency_us),
        "error": found.error,
        "segments": [
            {
                "index": pair.index,
                "unit": pair.unit,
                "operators": pair.operators,
                "simulated_ms": ms(pair.simulated_us),
                "measured_ms": ms(pair.measured_us),
                "simulated_start_ms": ms(pair.simulated_start_us),
                "measured_start_ms": ms(pair.measured_start_us),
                "error": pair.error,
            }
            for pair in found.segments
        ],
        "by_type": {pair.op: _type_document(pair) for pair in found.types},
        "transfers_ms": {"simulated": ms(moved[0]), "measured": ms(moved[1])},
        "busy_ms": {
            unit: {
                "simulated": ms(found.simulated.busy_us.get(unit, 0.0)),
                "measured": ms(found.measured.busy_us.get(unit, 0.0)),
            }
            for unit in dict.fromkeys(segment.unit for segment in found.plan.segments)
        },
    }


def _type_document(pair: TypePair) -> dict[str, Any]:
    return {
        "count": pair.count,
        "simulated_ms": ms(pair.simulated_us),
        "measured_ms": ms(pair.measured_us),
        "error": pair.error,
    }


def verdict_of_run(found: RunComparison) -> str:
    """The one sentence."""
    how = "side by side" if runs_side_by_side(found.measured) else "in turns"
    return (
        f"{found.plan.graph.name} on {found.plan.soc_name}, units {how}: simulated "
        f"{significant(ms(found.simulated.latency_us))} ms, measured {significant(ms(found.measured.latency_us))} ms, "
        f"{_signed(found.error)}"
    )


def run_comparison_summary(found: RunComparison) -> RenderableType:
    """What `partita compare` prints."""
    head = Text(verdict_of_run(found), style="bold")
    segments = plain_table("Segments", "", "unit", "operators", "simulated ms", "measured ms", "error", numbers=4)
    for pair in _largest(found.segments):
        cells = (f"segment {pair.index}", pair.unit, str(pair.operators), *_cells(pair.simulated_us, pair.measured_us))
        row(segments, *cells, _signed(pair.error))
    _more(segments, len(found.segments), 6)
    types = plain_table("Types, the largest difference first", "type", "operators", "simulated ms", "measured ms",
                        "error", numbers=4)  # fmt: skip
    for each in found.types[:TABLE_ROWS]:
        row(types, each.op, str(each.count), *_cells(each.simulated_us, each.measured_us), _signed(each.error))
    _more(types, len(found.types), 5)
    parts: list[RenderableType] = [head, segments, types]
    if any(found.transfers_us):
        simulated, measured = found.transfers_us
        parts.append(Text(f"Transfers: simulated {ms(simulated):.3f} ms, measured {ms(measured):.3f} ms"))
    return Group(*parts)


def _largest(segments: Sequence[SegmentPair]) -> list[SegmentPair]:
    """The segments that a table has room for, in their order."""
    largest = sorted(segments, key=lambda pair: -max(pair.simulated_us, pair.measured_us))[:TABLE_ROWS]
    return sorted(largest, key=lambda pair: pair.index)


def _more(table: Any, count: int, columns: int) -> None:
    if count > TABLE_ROWS:
        row(table, f"and {count - TABLE_ROWS} more", *[""] * (columns - 1))


def _cells(simulated_us: float, measured_us: float) -> tuple[str, str]:
    return f"{ms(simulated_us):.3f}", f"{ms(measured_us):.3f}"


def _signed(error: float) -> str:
    """ "+3 %", "-12 %"; with a decimal where whole percents would say nothing or everything: "-99.6 %"."""
    size = abs(error)
    places = 1 if 0 < size < PERCENT or 1 - PERCENT < size < 1 else 0
    return f"{error * 100:+.{places}f} %"
