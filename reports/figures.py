"""Figures for papers and slides: the timeline and the comparison with baselines, as PNG, SVG or PDF.

The same plan gives the same bytes: no dates, no random ids. Nothing touches matplotlib's global figure state.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Patch

from partita.errors import OutputError
from partita.graph.plan import Plan
from partita.reports.account import Account
from partita.reports.colours import ACCENT, BAR, CALL, FAINT, INK, LINK, PANEL, PAPER, unit_colour
from partita.reports.curves import curves_of, draw_curves
from partita.reports.drawing_style import calm, drawable
from partita.reports.lanes import Arrow, Lane, arrows_of, envelope, lanes_of, memory_counter
from partita.reports.verdict import labelled_baselines, verdict_of
from partita.reports.wording import printable, shortened
from partita.simulator.timeline import Counter, Span, Timeline
from partita.units import US_PER_MS, ns_as_ms

WIDTH_INCHES = 11.0
LANE_INCHES = 0.46
LINK_SHARE = 0.5
"""Height of a link's lane beside a unit's."""
BAR_SHARE = 0.72
LABEL_POINTS = 6.5
CHARACTER_SHARE = 0.62
"""Width of an average character beside its font size, for DejaVu Sans."""
POINTS_PER_INCH = 72
PLOT_SHARE = 0.86
"""Share of the figure's width that the time axis has."""
SHORTEST_CUT = 7
"""A name is cut to no fewer characters than this; a label that says less is left out."""
MOST_ARROWS = 60
"""With more transfers than this, arrows lose their heads and become hairlines."""
CURVE_INCHES = 0.9
MEMORY_BINS = 400
DOTS_PER_INCH = 160
TITLE_CHARACTERS = 112
HATCH = "//////"
CROWDED = 150
"""From this many spans in a lane on, lines between them would be all that is seen."""
SETTINGS: Any = {"svg.hashsalt": "partita", "svg.fonttype": "path", "pdf.fonttype": 42, "font.family": "DejaVu Sans"}
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}
"""What each format would say of the day and the tool; left out."""

Centres = dict[str, tuple[float, float]]


def timeline_figure(plan: Plan, timeline: Timeline, *, dark: bool = False) -> Figure:
    """What ran where and when: a lane per unit and link, transfers as arrows, memory traffic beneath."""
    account = Account(plan)
    lanes = lanes_of(account.chip, timeline)
    counter = memory_counter(timeline)
    heights = [1.0 if lane.unit is not None else LINK_SHARE for lane in lanes]
    rows = sum(heights) * LANE_INCHES
    curves = curves_of(timeline)
    ratios = [rows, *([CURVE_INCHES] * (len(curves) + (counter is not None)))]
    figure = new_figure(sum(ratios) + 1.5, dark=dark)
    axes = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": ratios})[:, 0]
    end_ms = max(timeline.latency_us / US_PER_MS, 1e-9)
    centres = _centres(lanes, heights)
    names = {node.name: printable(node.op) for node in plan.graph.nodes}
    _draw_lanes(axes[0], lanes, centres, names, end_ms, dark=dark)
    _draw_arrows(axes[0], arrows_of(account.chip, timeline), centres, dark=dark)
    axes[0].set_xlim(0, end_ms)
    axes[0].set_ylim(sum(heights), 0)
    if counter is not None:
        _draw_memory(axes[1], counter, timeline, dark=dark)
    for below, counters in zip(axes[len(axes) - len(curves) :], curves, strict=True):
        draw_curves(below, account.chip, counters, end_ms, dark=dark)
    axes[-1].set_xlabel("time, ms", color=FAINT.on(dark=dark))
    _legend(figure, lanes, dark=dark)
    title = "\n".join(_wrapped(verdict_of(account, timeline).sentence, TITLE_CHARACTERS))
    head_line(figure, title, dark=dark)
    return figure


def baselines_figure(plan: Plan, *, dark: bool = False) -> Figure:
    """Predicted latency of the plan and of every simpler rule, quickest first, with the proven bound."""
    account = Account(plan)
    rows = [(baseline.latency_us / US_PER_MS, baseline.title) for baseline in labelled_baselines(account)]
    rows = [(plan.latency_us / US_PER_MS, "This plan"), *rows]
    figure = new_figure(0.36 * len(rows) + 1.6, dark=dark)
    axes = figure.subplots()
    colours = [ACCENT.on(dark=dark)] + [BAR.on(dark=dark)] * (len(rows) - 1)
    bars = axes.barh(range(len(rows)), [value for value, _ in rows], color=colours, height=BAR_SHARE)
    axes.bar_label(
        bars, labels=[f"{value:,.2f} ms" for value, _ in rows], padding=4, color=INK.on(dark=dark), fontsize=9
    )
    axes.set_yticks(range(len(rows)), [drawable(shortened(title, 40)) for _, title in rows], parse_math=False)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    told = "predicted latency, ms"
    if plan.bound_us is not None:
        axes.axvline(plan.bound_us / US_PER_MS, color=INK.on(dark=dark), linewidth=1, linestyle=(0, (2, 2)))
        told += "; dotted: no placement can be quicker"
    axes.set_xlabel(told, color=FAINT.on(dark=dark))
    calm(axes, dark=dark)
    head_line(figure, "\n".join(_wrapped(verdict_of(account).sentence, TITLE_CHARACTERS)), dark=dark)
    return figure


def figure_bytes(figure: Figure, suffix: str) -> bytes:
    """The figure as `.png`, `.svg` or `.pdf`; OutputError for any other suffix."""
    form = suffix.lower().removeprefix(".")
    if form not in METADATA:
        raise OutputError(f"a figure cannot be saved as {suffix!r}; choose .png, .svg or .pdf")
    buffer = io.BytesIO()
    with mpl.rc_context(SETTINGS):
        figure.savefig(buffer, format=form, metadata=METADATA[form], facecolor=figure.get_facecolor())
    return buffer.getvalue()


def new_figure(height_inches: float, *, dark: bool) -> Figure:
    """An empty figure of the usual width, in the style of all."""
    with mpl.rc_context(SETTINGS):
        figure = Figure(
            figsize=(WIDTH_INCHES, height_inches),
            dpi=DOTS_PER_INCH,
            facecolor=PAPER.on(dark=dark),
            layout="constrained",
        )
        FigureCanvasAgg(figure)
    return figure


def head_line(figure: Figure, text: str, *, dark: bool) -> None:
    """What the figure says, above it."""
    figure.suptitle(
        drawable(text), x=0.012, ha="left", fontsize=11, fontweight="bold", color=INK.on(dark=dark), parse_math=False
    )


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _centres(lanes: Sequence[Lane], heights: Sequence[float]) -> Centres:
    """Of each track: the middle of its lane and half the height of its bars."""
    found = {}
    top = 0.0
    for lane, height in zip(lanes, heights, strict=True):
        found[lane.track] = (top + height / 2, height * BAR_SHARE / 2)
        top += height
    return found


def _draw_lanes(
    axes: Axes, lanes: Sequence[Lane], centres: Centres, names: Mapping[str, str], end_ms: float, *, dark: bool
) -> None:
    calm(axes, dark=dark)
    for lane in lanes:
        middle, half = centres[lane.track]
        if lane.unit is not None:
            axes.axhspan(middle - half, middle + half, color=PANEL.on(dark=dark), linewidth=0, zorder=0)
        work = [span for span in lane.spans if span.kind not in ("call", "inference")]
        fixed = [span for span in lane.spans if span.kind in ("call", "inference")]
        colour, paper = lane.colour.on(dark=dark), PAPER.on(dark=dark)
        line = 0.3 if len(work) < CROWDED else 0.0
        outline = paper if lane.unit is not None else colour
        boxes = [span_box(span, middle, half) for span in work]
        axes.add_collection(PolyCollection(boxes, facecolor=colour, edgecolor=outline, linewidth=line), autolim=False)
        boxes, edge = [span_box(span, middle, half) for span in fixed], CALL.on(dark=dark)
        hatched = PolyCollection(boxes, facecolor="none", edgecolor=edge, hatch=HATCH, linewidth=line)
        axes.add_collection(hatched, autolim=False)
        if lane.unit is not None:
            _label_spans(axes, [(span, names.get(span.name, "")) for span in work], middle, end_ms, paper)
    axes.set_yticks([centres[lane.track][0] for lane in lanes], [drawable(lane.title) for lane in lanes])
    for text, lane in zip(axes.get_yticklabels(), lanes, strict=True):
        text.set_parse_math(False)
        text.set_fontsize(9 if lane.unit is not None else 7.5)
        text.set_fontweight("bold" if lane.unit is not None else "normal")
        text.set_color(lane.colour.on(dark=dark))


def span_box(span: Span, middle: float, half: float) -> list[tuple[float, float]]:
    """The corners of a span's bar, over milliseconds and lanes."""
    start, end = ns_as_ms(span.start_ns), ns_as_ms(span.end_ns)
    top, bottom = middle - half, middle + half
    return [(start, top), (end, top), (end, bottom), (start, bottom)]


def _label_spans(axes: Axes, named: Sequence[tuple[Span, str]], middle: float, end_ms: float, colour: str) -> None:
    """The operator's type, where it fits into its box."""
    characters_per_ms = WIDTH_INCHES * POINTS_PER_INCH * PLOT_SHARE / end_ms / (LABEL_POINTS * CHARACTER_SHARE)
    for span, name in named:
        width = ns_as_ms(span.end_ns - span.start_ns)
        fitting = int(width * characters_per_ms) - 1
        if not name or fitting < min(len(name), SHORTEST_CUT):
            continue
        axes.text(
            ns_as_ms(span.start_ns) + width / 2, middle, drawable(shortened(name, fitting)), ha="center", va="center",
            color=colour, fontsize=LABEL_POINTS, clip_on=True, parse_math=False,
        )  # fmt: skip


def _draw_arrows(axes: Axes, arrows: Sequence[Arrow], centres: Centres, *, dark: bool) -> None:
    """From the edge of the giving lane to the edge of the taking one."""
    few = len(arrows) <= MOST_ARROWS
    for arrow in arrows:
        (start, start_half), (end, end_half) = centres[arrow.source], centres[arrow.target]
        down = 1 if end > start else -1
        axes.add_patch(
            FancyArrowPatch(
                (ns_as_ms(arrow.span.start_ns), start + down * start_half),
                (ns_as_ms(arrow.span.end_ns), end - down * end_half),
                arrowstyle="-|>" if few else "-",
                mutation_scale=6,
                linewidth=0.9 if few else 0.3,
                color=LINK.on(dark=dark),
                shrinkA=0,
                shrinkB=0,
                zorder=3,
            )
        )


def _draw_memory(axes: Axes, counter: Counter, timeline: Timeline, *, dark: bool) -> None:
    calm(axes, dark=dark)
    bins = envelope(counter, max((span.end_ns for span in timeline.spans), default=0), MEMORY_BINS)
    edges = [ns_as_ms(start) for start, _, _ in bins] + [ns_as_ms(bins[-1][1])] if bins else [0.0, 1.0]
    values = [value for _, _, value in bins] or [0.0]
    axes.stairs(values, edges, fill=True, color=LINK.on(dark=dark), alpha=0.55, linewidth=0)
    axes.set_ylim(0, max(values) * 1.1 or 1.0)
    axes.set_ylabel(
        f"DRAM\n{printable(counter.unit)}", color=FAINT.on(dark=dark), fontsize=8, rotation=0, ha="right", va="center"
    )
    axes.tick_params(axis="y", labelsize=7.5, colors=FAINT.on(dark=dark))
    axes.locator_params(axis="y", nbins=3)


def _legend(figure: Figure, lanes: Sequence[Lane], *, dark: bool) -> None:
    units = [lane.unit for lane in lanes if lane.unit is not None]
    handles = [
        Patch(facecolor=unit_colour(unit.kind).on(dark=dark), label=drawable(shortened(printable(unit.title), 48)))
        for unit in units
    ]
    handles.append(Patch(facecolor="none", edgecolor=CALL.on(dark=dark), hatch=HATCH, label="call, runtime"))
    handles.append(Patch(facecolor=LINK.on(dark=dark), label="transfer"))
    legend = figure.legend(
        handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=8, handlelength=1.2
    )
    for text in legend.get_texts():
        text.set_color(INK.on(dark=dark))
        text.set_parse_math(False)
