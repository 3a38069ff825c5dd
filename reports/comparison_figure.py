"""Two timelines of one plan, one above the other on one axis: the simulated and the measured."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from partita.reports.chip import chip_of
from partita.reports.colours import FAINT, INK, PANEL, PAPER
from partita.reports.comparison_of_run import RunComparison, verdict_of_run
from partita.reports.drawing_style import calm, drawable
from partita.reports.figures import head_line, new_figure, span_box
from partita.reports.lanes import Lane, lanes_of
from partita.simulator.timeline import Timeline
from partita.units import US_PER_MS, ns_as_ms

LANE_INCHES = 0.42
BORDER_INCHES = 1.5
HALF_BAR = 0.36
MOST_LABELS = 40
"""With more segments than this in a timeline, numbers would run into each other."""
LEAST_SHARE = 0.02
"""A segment that takes less of the time has no room for its number."""
EDGE = 0.25
CROWDED = 60
"""From this many spans in a timeline on, lines between them would be all that is seen."""


def comparison_figure(found: RunComparison, *, dark: bool = False) -> Figure:
    """A lane per unit that the plan uses and per link in both halves; the numbers are those of segments."""
    chip = chip_of(found.plan)
    halves = [("simulated", found.simulated), ("measured", found.measured)]
    used = {segment.unit for segment in found.plan.segments}
    lanes = [
        [lane for lane in lanes_of(chip, timeline) if lane.unit is None or lane.track in used] for _, timeline in halves
    ]
    rows = [max(len(each), 1) for each in lanes]
    figure = new_figure(LANE_INCHES * sum(rows) + BORDER_INCHES, dark=dark)
    axes = figure.subplots(2, 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": rows})[:, 0]
    end_ms = max(timeline.latency_us for _, timeline in halves) / US_PER_MS
    for half, (title, timeline), own in zip(axes, halves, lanes, strict=True):
        _draw(half, own, timeline, end_ms, dark=dark)
        half.set_title(
            f"{title}: {timeline.latency_us / US_PER_MS:.3g} ms", loc="left", fontsize=9, fontweight="bold",
            color=INK.on(dark=dark),
        )  # fmt: skip
    axes[0].set_xlim(0, max(end_ms, 1e-9) * 1.01)
    axes[-1].set_xlabel("time, ms", color=FAINT.on(dark=dark))
    head_line(figure, verdict_of_run(found), dark=dark)
    return figure


def _draw(axes: Axes, lanes: Sequence[Lane], timeline: Timeline, end_ms: float, *, dark: bool) -> None:
    calm(axes, dark=dark)
    line = EDGE if len(timeline.spans) < CROWDED else 0.0
    for row, lane in enumerate(lanes):
        if lane.unit is not None:
            axes.axhspan(row - HALF_BAR, row + HALF_BAR, color=PANEL.on(dark=dark), linewidth=0, zorder=0)
        colour, edge = lane.colour.on(dark=dark), PAPER.on(dark=dark)
        for fixed, alpha in ((False, 1.0), (True, 0.45)):
            spans = [span for span in lane.spans if (span.kind in ("call", "inference")) == fixed]
            boxes = [span_box(span, row, HALF_BAR) for span in spans]
            bars = PolyCollection(boxes, facecolor=colour, alpha=alpha, edgecolor=edge, linewidth=line)
            axes.add_collection(bars, autolim=False)
        if lane.unit is not None:
            _number_segments(axes, lane, row, end_ms, dark=dark)
    axes.set_yticks(range(len(lanes)), [drawable(lane.title) for lane in lanes], parse_math=False)
    for text, lane in zip(axes.get_yticklabels(), lanes, strict=True):
        text.set_color(lane.colour.on(dark=dark))
        text.set_fontsize(9 if lane.unit is not None else 7.5)
    axes.set_ylim(max(len(lanes), 1) - 0.5, -0.5)
    axes.axvline(timeline.latency_us / US_PER_MS, color=INK.on(dark=dark), linewidth=1, linestyle=(0, (2, 2)))


def _number_segments(axes: Axes, lane: Lane, row: int, end_ms: float, *, dark: bool) -> None:
    extents: dict[int, tuple[int, int]] = {}
    for span in lane.spans:
        start_ns, end_ns = extents.get(span.segment, (span.start_ns, span.end_ns))
        extents[span.segment] = min(start_ns, span.start_ns), max(end_ns, span.end_ns)
    if len(extents) > MOST_LABELS:
        return
    for segment, (start_ns, end_ns) in extents.items():
        start, end = ns_as_ms(start_ns), ns_as_ms(end_ns)
        if segment < 0 or end - start < LEAST_SHARE * end_ms:
            continue
        axes.text(
            (start + end) / 2, row, str(segment), ha="center", va="center", fontsize=7.5, fontweight="bold",
            color=PAPER.on(dark=dark), clip_on=True,
        )  # fmt: skip
