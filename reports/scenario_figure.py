"""A scenario drawn under one time axis: what ran where, memory traffic, latency, power, clocks, temperatures."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from partita.devices.soc import Soc
from partita.reports.colours import ACCENT, FAINT, INK, LINK, OTHER_UNIT, PANEL, UNIT_COLOURS, Colour, unit_colour
from partita.reports.drawing_style import NODE_STYLES, calm, calm_curves, drawable, legend_beside
from partita.reports.figures import BAR_SHARE, LANE_INCHES, head_line, new_figure
from partita.reports.wording import printable, shortened, significant
from partita.simulator.outcome import Interval, Outcome
from partita.simulator.timeline import HOST_TRACK, Counter
from partita.units import US_PER_S, ns, ns_as_ms, ns_as_s

STREAM_COLOURS = (ACCENT, UNIT_COLOURS["cpu"], UNIT_COLOURS["npu"], UNIT_COLOURS["dsp"], OTHER_UNIT)
PANEL_INCHES = 0.95
LABELS_X = -0.046
"""Where what is drawn is named, left of the values, as a share of the axes' width."""
LONG_S = 2.0
"""From here on the axis is in seconds."""
THIN = 0.4
"""Width in points that even the shortest interval has."""
FIXED_KINDS = ("call", "inference")


def scenario_figure(outcome: Outcome, soc: Soc, *, dark: bool = False) -> Figure:
    """One row of lanes, then a row per quantity that is known."""
    rows = _rows(outcome)
    lanes = _tracks(outcome)
    heights = [len(lanes) * LANE_INCHES, *(PANEL_INCHES for _ in rows)]
    figure = new_figure(sum(heights) + 1.1, dark=dark)
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    start_ns, end_ns = _stretch(outcome)
    scale = _scale(end_ns - start_ns)
    _draw_lanes(axes[0], outcome, lanes, soc, scale, dark=dark)
    for panel, (label, names) in zip(axes[1:], rows, strict=True):
        _draw_curves(panel, outcome, names, soc, scale, dark=dark)
        panel.set_ylabel(label, color=FAINT.on(dark=dark), fontsize=8, rotation=0, ha="right", va="center")
        panel.yaxis.set_label_coords(LABELS_X, 0.5)
    axes[0].set_xlim(start_ns * scale, end_ns * scale)
    axes[-1].set_xlabel(f"time, {_axis_unit(end_ns - start_ns)}", color=FAINT.on(dark=dark))
    head_line(figure, _headline(outcome), dark=dark)
    return figure


def _headline(outcome: Outcome) -> str:
    told = [f"{outcome.scenario.name} on {outcome.soc_name}"]
    for stream in outcome.streams[:3]:
        p99 = ns_as_ms(stream.latency.percentile_ns(99))
        told.append(f"{shortened(stream.name, 28)}: {stream.answered:,} answers, 99 % within {significant(p99)} ms")
    return "\n".join((told[0], "; ".join(told[1:])))


def _stretch(outcome: Outcome) -> tuple[int, int]:
    """What is drawn: the window if there is one, else all."""
    window = outcome.scenario.window
    if window is None or not outcome.intervals:
        return 0, max(1, outcome.end_ns)
    start = ns(window.start_s * US_PER_S)
    return start, max(start + 1, min(outcome.end_ns, start + ns(window.length_s * US_PER_S)))


def _scale(length_ns: int) -> float:
    """From ns to the unit of the axis."""
    return ns_as_s(1) if ns_as_s(length_ns) > LONG_S else ns_as_ms(1)


def _axis_unit(length_ns: int) -> str:
    return "s" if ns_as_s(length_ns) > LONG_S else "ms"


def _tracks(outcome: Outcome) -> list[str]:
    """The units, and what else is seen to be busy."""
    seen = {interval.track for interval in outcome.intervals if interval.track != HOST_TRACK}
    return [track for track in outcome.tracks if track in outcome.units or track in seen]


def _rows(outcome: Outcome) -> list[tuple[str, list[str]]]:
    names = [curve.name for curve in outcome.curves]
    rows = [("DRAM\nGB/s", ["dram"]), ("latency\nms", [n for n in names if n.startswith("latency ")])]
    if "power" in names:
        rows.append(("power\nW", ["power", *(n for n in names if n.startswith("power "))]))
        rows.append(("clock\nof its top", [n for n in names if n.startswith("clock ")]))
    rows.append(("temperature\nC", [n for n in names if n.startswith("temperature ")]))
    return [(label, found) for label, found in rows if found]


def _draw_lanes(axes: Axes, outcome: Outcome, tracks: Sequence[str], soc: Soc, scale: float, *, dark: bool) -> None:
    calm(axes, dark=dark)
    colours = _unit_colours(soc)
    one = len(outcome.streams) == 1
    for row, track in enumerate(tracks):
        middle, half = row + 0.5, BAR_SHARE / 2
        axes.axhspan(middle - half, middle + half, color=PANEL.on(dark=dark), linewidth=0, zorder=0)
        if not outcome.intervals:
            _draw_share(axes, outcome.curve(f"busy {track}"), row, colours.get(track, LINK), scale, dark=dark)
            continue
        for stream in range(len(outcome.streams)):
            colour = colours.get(track, LINK) if one else STREAM_COLOURS[stream % len(STREAM_COLOURS)]
            shade = colour.on(dark=dark)
            found = [i for i in outcome.intervals if i.track == track and i.stream == stream and i.end_ns > i.start_ns]
            for fixed in (False, True):
                boxes = [_box(i, middle, half, scale) for i in found if (i.kind in FIXED_KINDS) == fixed]
                alpha = 0.45 if fixed else 1.0
                axes.add_collection(
                    PolyCollection(boxes, facecolor=shade, edgecolor=shade, alpha=alpha, linewidth=THIN), autolim=False
                )
    axes.set_ylim(len(tracks), 0)
    axes.set_yticks([row + 0.5 for row in range(len(tracks))], [drawable(printable(t)) for t in tracks])
    for text, track in zip(axes.get_yticklabels(), tracks, strict=True):
        text.set_color(colours.get(track, LINK).on(dark=dark))
        text.set_parse_math(False)
    if not one and outcome.intervals:
        for stream, found_stream in enumerate(outcome.streams):
            label_colour = STREAM_COLOURS[stream % len(STREAM_COLOURS)].on(dark=dark)
            axes.plot(
                [], [], color=label_colour, linewidth=5, label=drawable(shortened(printable(found_stream.name), 32))
            )
        legend_beside(axes, dark=dark)


def _box(interval: Interval, middle: float, half: float, scale: float) -> list[tuple[float, float]]:
    start, end = interval.start_ns * scale, interval.end_ns * scale
    return [(start, middle - half), (end, middle - half), (end, middle + half), (start, middle + half)]


def _draw_share(axes: Axes, curve: Counter | None, row: int, colour: Colour, scale: float, *, dark: bool) -> None:
    """How busy the unit is, as a filled curve that grows from the foot of its lane."""
    if curve is None:
        return
    foot = row + 0.5 + BAR_SHARE / 2
    edges = [time_ns * scale for time_ns, _ in curve.points]
    tops = [foot - min(1.0, value) * BAR_SHARE for _, value in curve.points[:-1]]
    axes.stairs(tops, edges, baseline=foot, fill=True, color=colour.on(dark=dark), linewidth=0)


def _draw_curves(axes: Axes, outcome: Outcome, names: Sequence[str], soc: Soc, scale: float, *, dark: bool) -> None:
    calm(axes, dark=dark)
    colours = _unit_colours(soc)
    for position, name in enumerate(names):
        curve = outcome.curve(name)
        assert curve is not None, "named after the curves"
        kind, _, what = name.partition(" ")
        colour = colours.get(what, (LINK, FAINT, INK)[position % 3])
        if kind == "latency":
            colour, what = STREAM_COLOURS[int(what) % len(STREAM_COLOURS)], outcome.streams[int(what)].name
        top = max(v for _, v in curve.points) if kind == "clock" else 1.0
        style = NODE_STYLES[position % len(NODE_STYLES)] if kind == "temperature" and what not in colours else "solid"
        axes.step(
            [time_ns * scale for time_ns, _ in curve.points],
            [value / top for _, value in curve.points],
            where="post", color=colour.on(dark=dark), linewidth=1.2, linestyle=style,
            label=drawable(shortened(printable(what or "phone" if kind == "power" else what or "all"), 24)),
        )  # fmt: skip
    calm_curves(axes, from_zero=not names[0].startswith("temperature"), ticks=4, dark=dark)
    if len(names) > 1:
        legend_beside(axes, dark=dark)


def _unit_colours(soc: Soc) -> dict[str, Colour]:
    return {unit.name: unit_colour(unit.kind) for unit in soc.units}
