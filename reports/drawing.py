"""The geometry of the page's pictures, for templates to write as SVG.

Horizontal positions are percentages of the picture's width, so that a reader can widen it without bending its text.
"""

from dataclasses import dataclass
from functools import cached_property

from partita.graph.plan import Plan
from partita.reports.chip import Chip
from partita.reports.depth import stripes_of
from partita.reports.lanes import ARROW, Lane, arrows_of, envelope, lanes_of, link_title, memory_counter, ticks
from partita.reports.wording import bytes_text, ms_text, percent_text, printable, significant
from partita.simulator.timeline import Span, Timeline
from partita.units import NS_PER_US, ms

UNIT_HEIGHT = 34
LINK_HEIGHT = 16
LANE_GAP = 10
LINK_GAP = 4
MEMORY_HEIGHT = 56
AXIS_HEIGHT = 24
AXIS_TEXT_SHARE = 0.012
"""Of the width: half of a number beneath the axis."""
WIDTH_PX = 980
"""Width of the picture on a desktop, for deciding which labels fit before the page's script knows better."""
MOST_ZOOM = 16
LABEL_PX = 6.2
"""Width of a character of a label."""
MEMORY_BINS = 500
MANY_SPANS = 60
"""From this many spans on the page offers to widen the picture."""


CROWDED = 400
"""From this many spans on, outlines of the boxes would be all that is seen."""
UNSEEN_SHARE = 1e-5
"""A gap of this share of the width is below a pixel even in the widest picture."""
FIXED = ("call", "inference")
WORK = ("operator", "split")
"""Kinds of spans in which an operator is computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle in a lane."""

    x: str
    width: str
    row: int
    """Row of the operator in the page's table; -1 if it has a text instead."""
    text: str
    is_fixed: bool
    """A call or the runtime: hatched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A text in the middle of a box, and how wide the box is; `fits` tells whether it does at first."""

    x: str
    width: str
    text: str
    fits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A lane with its place in the picture."""

    title: str
    y: int
    height: int
    style: str
    """Class of its colour: u0, u1, ... for units, "link", "runtime"."""
    runs: tuple[tuple[str, str], ...]
    """(start, width) of stretches without a gap that a reader could see, to lie beneath the boxes of a crowded lane."""
    boxes: tuple[Box, ...]
    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An arrow between two lanes, or a grid line with its text."""

    x1: str
    y1: int
    x2: str
    y2: int
    text: str
    is_at_end: bool = False
    """A grid line whose text would reach beyond the picture."""


@dataclass(frozen=True, eq=False)
class Picture:
    """The timeline of a plan as rectangles, lines and texts."""

    plan: Plan
    chip: Chip
    timeline: Timeline

    @cached_property
    def lanes(self) -> tuple[Lane, ...]:
        return lanes_of(self.chip, self.timeline)

    @cached_property
    def end_ns(self) -> int:
        return max((span.end_ns for span in self.timeline.spans), default=0) or 1

    @cached_property
    def places(self) -> dict[str, tuple[int, int]]:
        """(top, height) of each track's lane."""
        found = {}
        top = 0
        for lane in self.lanes:
            height = UNIT_HEIGHT if lane.unit is not None else LINK_HEIGHT
            found[lane.track] = (top, height)
            top += height + (LANE_GAP if lane.unit is not None else LINK_GAP)
        return found

    @property
    def lanes_height(self) -> int:
        return max((top + height for top, height in self.places.values()), default=0) + LANE_GAP

    @property
    def height(self) -> int:
        return self.lanes_height + (MEMORY_HEIGHT if self.memory else 0) + AXIS_HEIGHT

    @property
    def can_zoom(self) -> bool:
        return len(self.timeline.spans) >= MANY_SPANS

    @property
    def is_crowded(self) -> bool:
        return len(self.timeline.spans) >= CROWDED

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        row_of = {operator.node: i for i, operator in enumerate(self.plan.operators)}
        style_of = {unit.name: f"u{i}" for i, unit in enumerate(self.chip.units)}
        rows = []
        for lane in self.lanes:
            top, height = self.places[lane.track]
            style = style_of.get(lane.track, "link" if ARROW in lane.track else "runtime")
            boxes = tuple(self._box(span, row_of) for span in lane.spans)
            labels = tuple(self._labels(lane)) if lane.unit is not None else ()
            runs = self._runs(lane) if self.is_crowded else ()
            row = Row(title=lane.title, y=top, height=height, style=style, runs=runs, boxes=boxes, labels=labels)
            rows.append(row)
        return tuple(rows)

    def _runs(self, lane: Lane) -> tuple[tuple[str, str], ...]:
        runs: list[list[int]] = []
        for span in lane.spans:
            if span.kind in FIXED:
                continue
            if runs and span.start_ns - runs[-1][1] <= self.end_ns * UNSEEN_SHARE:
                runs[-1][1] = max(runs[-1][1], span.end_ns)
            else:
                runs.append([span.start_ns, span.end_ns])
        return tuple((self._percent(start), self._percent(end - start)) for start, end in runs)

    def _box(self, span: Span, row_of: dict[str, int]) -> Box:
        row = row_of.get(span.name, -1) if span.kind in WORK else -1
        return Box(
            x=self._percent(span.start_ns),
            width=self._percent(span.end_ns - span.start_ns),
            row=row,
            text="" if row >= 0 else self._text(span),
            is_fixed=span.kind in FIXED,
        )

    def _text(self, span: Span) -> str:
        took = ms_text(span.duration_us)
        if span.kind == "inference":
            return f"the runtime's fixed cost of an inference: {took}"
        if span.kind == "call":
            return f"call of {printable(span.name)}: {took}"
        moved = f", {bytes_text(span.dram_bytes)} through DRAM" if span.dram_bytes else ""
        what = link_title(self.chip, span.track) if span.kind == "transfer" else span.kind
        return f"{printable(span.name)}, {what}: {took}{moved}"

    def _labels(self, lane: Lane) -> list[Label]:
        labels = []
        for span in lane.spans:
            node = self.plan.graph.node_named.get(span.name)
            if span.kind not in WORK or node is None:
                continue
            share = (span.end_ns - span.start_ns) / self.end_ns
            text = printable(node.op)
            needed = len(text) * LABEL_PX + 6
            if share * WIDTH_PX * MOST_ZOOM < needed:
                continue
            middle = self._percent((span.start_ns + span.end_ns) / 2)
            width = significant(share * 100)
            labels.append(Label(x=middle, width=width, text=text, fits=share * WIDTH_PX >= needed))
        return labels

    def _percent(self, time_ns: float) -> str:
        return f"{time_ns / self.end_ns * 100:.4f}".rstrip("0").rstrip(".") + "%"

    @cached_property
    def arrows(self) -> tuple[Line, ...]:
        lines = []
        for arrow in arrows_of(self.chip, self.timeline):
            (source, source_height), (target, target_height) = self.places[arrow.source], self.places[arrow.target]
            down = target > source
            lines.append(
                Line(
                    x1=self._percent(arrow.span.start_ns),
                    y1=source + source_height if down else source,
                    x2=self._percent(arrow.span.end_ns),
                    y2=target - 1 if down else target + target_height + 1,
                    text=self._text(arrow.span),
                )
            )
        return tuple(lines)

    @cached_property
    def grid(self) -> tuple[Line, ...]:
        end_ms = ms(self.end_ns / NS_PER_US)
        bottom = self.height - AXIS_HEIGHT
        return tuple(
            Line(x1=x, y1=0, x2=x, y2=bottom, text=f"{value:g}", is_at_end=value > end_ms * (1 - AXIS_TEXT_SHARE))
            for value in ticks(end_ms, 10)
            for x in (self._percent(value / end_ms * self.end_ns),)
        )

    @cached_property
    def memory(self) -> str:
        """An SVG path of the memory traffic in a box of 1000 x 100; empty without a counter."""
        counter = memory_counter(self.timeline)
        if counter is None or self.memory_peak <= 0:
            return ""
        steps = ["M0 100"]
        for start, end, value in envelope(counter, self.end_ns, MEMORY_BINS):
            y = 100 - value / self.memory_peak * 92
            steps.append(f"L{start / self.end_ns * 1000:.1f} {y:.1f}H{end / self.end_ns * 1000:.1f}")
        return "".join([*steps, "V100Z"])

    @cached_property
    def memory_peak(self) -> float:
        counter = memory_counter(self.timeline)
        return max((value for _, value in counter.points), default=0.0) if counter is not None else 0.0

    @property
    def memory_title(self) -> str:
        counter = memory_counter(self.timeline)
        return f"peak {significant(self.memory_peak)} {printable(counter.unit)}" if counter is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A share of one stripe of the depth strip, in percent of the strip."""

    x: float
    y: float
    width: float
    height: float
    style: str
    text: str


def strip_of(plan: Plan, chip: Chip) -> tuple[Block, ...]:
    """Placement by depth: stripes from the first operators to the last, shares stacked in the order of the units."""
    labels = {unit.name: unit.label for unit in chip.units}
    style_of = {unit.name: f"u{i}" for i, unit in enumerate(chip.units)}
    blocks = []
    for stripe in stripes_of(plan, tuple(labels)):
        text = ", ".join(f"{labels[unit]} {percent_text(share)}" for unit, share in stripe.shares)
        top = 0.0
        for unit, share in stripe.shares:
            blocks.append(
                Block(
                    x=round(stripe.start * 100, 3),
                    y=round(top * 100, 2),
                    width=round((stripe.end - stripe.start) * 100, 3),
                    height=round(share * 100, 2),
                    style=style_of[unit],
                    text=f"{percent_text(stripe.start)} to {percent_text(stripe.end)} of the depth: {text}",
                )
            )
            top += share
    return tuple(blocks)
