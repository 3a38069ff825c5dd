"""Charts over plain tables, for studies and papers: roofline, tornado, Pareto front, heat map, placement by depth.

They know no plan and no study: rows in, a figure out. `chart_rows` makes rows of a plan.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from partita.reports.colours import ACCENT, BAR, FAINT, INK, LINK, PANEL, PAPER, RULE, Colour, unit_colour
from partita.reports.drawing_style import calm, drawable
from partita.reports.figures import head_line, new_figure
from partita.reports.wording import printable, shortened, significant
from partita.units import OPS_PER_GOP, US_PER_S

ROW_INCHES = 0.34
NAME_CHARACTERS = 44
MOST_CELL_TEXTS = 400
"""A heat map with more cells than this says its numbers by colour alone."""
DARK_CELL = 0.55
"""From this share of the range on, the text in a cell of a light page is light."""
SEEN_RANGE = 3.0
"""A roofline shows this factor beyond its outermost points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roof:
    """What a unit can do at most."""

    title: str
    kind: str
    """`cpu`, `gpu`, `npu` or `dsp`: its colour."""
    peak_gop_per_s: float
    bandwidth_gb_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RoofPoint:
    """An operator under the roof of the unit that runs it."""

    roof: int
    """Position of its unit among the roofs."""
    ops: float
    dram_bytes: float
    latency_us: float


def roofline_chart(roofs: Sequence[Roof], points: Sequence[RoofPoint], title: str, *, dark: bool = False) -> Figure:
    """Speed over intensity, both logarithmic, one panel for each unit; the area of a point is its share of the time.

    Williams, Waterman and Patterson, "Roofline", CACM 2009. Points without traffic or time are left out.
    """
    shown = [p for p in points if p.ops > 0 and p.dram_bytes > 0 and p.latency_us > 0]
    figure = new_figure(4.4, dark=dark)
    panels = figure.subplots(1, max(len(roofs), 1), sharex=True, sharey=True, squeeze=False)[0]
    total_us = sum(p.latency_us for p in shown) or 1.0
    ridges = [roof.peak_gop_per_s / roof.bandwidth_gb_per_s for roof in roofs]
    found = [p.ops / p.dram_bytes for p in shown] + ridges or [1.0]
    low, high = min(found) / SEEN_RANGE, max(found) * SEEN_RANGE
    for number, (roof, axes) in enumerate(zip(roofs, panels, strict=False)):
        calm(axes, dark=dark)
        colour = unit_colour(roof.kind).on(dark=dark)
        x = np.geomspace(low, high, 100)
        roof_line = np.minimum(x * roof.bandwidth_gb_per_s, roof.peak_gop_per_s)
        axes.loglog(x, roof_line, color=colour, linewidth=1.8)
        own = [p for p in shown if p.roof == number]
        axes.scatter(
            [p.ops / p.dram_bytes for p in own],
            [p.ops / OPS_PER_GOP / p.latency_us * US_PER_S for p in own],
            s=[8 + 900 * p.latency_us / total_us for p in own],
            color=colour, alpha=0.5, linewidth=0,
        )  # fmt: skip
        axes.set_title(_drawn(roof.title, 30), fontsize=9, color=colour, parse_math=False)
        axes.set_xlabel("operations per byte of DRAM traffic", parse_math=False, color=FAINT.on(dark=dark), fontsize=8)
        axes.grid(axis="y", color=RULE.on(dark=dark), linewidth=0.5)
        axes.tick_params(which="minor", length=0)
    panels[0].set_ylabel("Gop/s", parse_math=False, color=FAINT.on(dark=dark), fontsize=8)
    head_line(figure, title, dark=dark)
    return figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Swing:
    """What a result becomes when one number alone goes to either end of its range."""

    name: str
    at_low: float
    at_high: float


def tornado_chart(base: float, swings: Sequence[Swing], title: str, axis: str, *, dark: bool = False) -> Figure:
    """One bar for each number, the widest on top; full where the number is high, pale where it is low."""
    rows = sorted(swings, key=lambda swing: (-_reach(base, swing), swing.name))
    figure, axes = _bars(len(rows), dark=dark)
    for row, swing in enumerate(rows):
        for value, alpha in ((swing.at_low, 0.45), (swing.at_high, 1.0)):
            axes.barh(row, value - base, left=base, height=0.66, color=ACCENT.on(dark=dark), alpha=alpha, linewidth=0)
            side = 1 if value >= base else -1
            is_on_full = value == swing.at_low and (swing.at_high - value) * side > 0
            axes.annotate(
                significant(value), (value, row), xytext=(4 * side, 0), textcoords="offset points", va="center",
                ha="left" if side > 0 else "right", fontsize=7.5,
                color=(PAPER if is_on_full else INK).on(dark=dark),
            )  # fmt: skip
    axes.axvline(base, color=INK.on(dark=dark), linewidth=1)
    _name_rows(axes, [swing.name for swing in rows])
    axes.margins(x=0.14)
    axes.set_xlabel(
        f"{drawable(axis)} (pale: the number at its low end; full: at its high end)",
        parse_math=False,
        color=FAINT.on(dark=dark),
    )
    head_line(figure, title, dark=dark)
    return figure


def _reach(base: float, swing: Swing) -> float:
    """How much of the axis the bar of a number covers."""
    ends = (base, swing.at_low, swing.at_high)
    return max(ends) - min(ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A point between two aims, both better if lower."""

    name: str
    x: float
    y: float


def pareto_front(choices: Sequence[Choice]) -> tuple[Choice, ...]:
    """Those that no other beats in one aim without losing in the other, by x; of equals the first."""
    front: list[Choice] = []
    for choice in sorted(choices, key=lambda c: (c.x, c.y)):
        if not front or choice.y < front[-1].y:
            front.append(choice)
    return tuple(front)


def pareto_chart(choices: Sequence[Choice], title: str, axes_titles: tuple[str, str], *, dark: bool = False) -> Figure:
    """Every choice as a point; the front as a line, with names."""
    figure = new_figure(4.8, dark=dark)
    axes = figure.subplots()
    calm(axes, dark=dark)
    front = pareto_front(choices)
    axes.scatter([c.x for c in choices], [c.y for c in choices], s=22, color=BAR.on(dark=dark), linewidth=0)
    axes.step([c.x for c in front], [c.y for c in front], where="post", color=ACCENT.on(dark=dark), linewidth=1.2)
    axes.scatter([c.x for c in front], [c.y for c in front], s=34, color=ACCENT.on(dark=dark), linewidth=0, zorder=3)
    for choice in front:
        axes.annotate(
            _drawn(choice.name, 32), (choice.x, choice.y), xytext=(6, 5), textcoords="offset points", fontsize=8,
            color=INK.on(dark=dark), parse_math=False,
        )  # fmt: skip
    axes.margins(0.12)
    axes.grid(axis="y", color=RULE.on(dark=dark), linewidth=0.5)
    axes.set_xlabel(drawable(axes_titles[0]), parse_math=False, color=FAINT.on(dark=dark))
    axes.set_ylabel(drawable(axes_titles[1]), parse_math=False, color=FAINT.on(dark=dark))
    head_line(figure, title, dark=dark)
    return figure


@dataclass(frozen=True, eq=False, kw_only=True)
class Grid:
    """A result over two variables; `values[row][column]`, NaN where there is none."""

    row_title: str
    column_title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    unit: str


def heat_map(grid: Grid, title: str, *, dark: bool = False) -> Figure:
    """Low is pale, high is dark on a light page; the first row is at the top."""
    values = np.array(grid.values, dtype=float).reshape(len(grid.rows), len(grid.columns))
    figure = new_figure(ROW_INCHES * max(len(grid.rows), 4) + 1.9, dark=dark)
    axes = figure.subplots()
    shades = LinearSegmentedColormap.from_list("partita", [PANEL.on(dark=dark), ACCENT.on(dark=dark)])
    image = axes.pcolormesh(values, cmap=shades, edgecolors=PAPER.on(dark=dark), linewidth=1.0)
    axes.set_ylim(len(grid.rows), 0)
    calm(axes, dark=dark)
    axes.grid(visible=False)
    axes.set_xticks(np.arange(len(grid.columns)) + 0.5, [_drawn(c, 14) for c in grid.columns], parse_math=False)
    axes.set_yticks(np.arange(len(grid.rows)) + 0.5, [_drawn(r, 32) for r in grid.rows], parse_math=False)
    axes.set_xlabel(drawable(grid.column_title), parse_math=False, color=FAINT.on(dark=dark))
    axes.set_ylabel(drawable(grid.row_title), parse_math=False, color=FAINT.on(dark=dark))
    if values.size <= MOST_CELL_TEXTS:
        _cell_texts(axes, values, dark=dark)
    bar = figure.colorbar(image, ax=axes, pad=0.015, fraction=0.04)
    bar.ax.set_frame_on(False)
    bar.ax.tick_params(length=0, labelsize=7.5, colors=FAINT.on(dark=dark))
    bar.set_label(drawable(grid.unit), parse_math=False, color=FAINT.on(dark=dark), fontsize=8)
    head_line(figure, title, dark=dark)
    return figure


def _cell_texts(axes: Axes, values: "np.ndarray[tuple[int, int], np.dtype[np.float64]]", *, dark: bool) -> None:
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    for (row, column), value in np.ndenumerate(values):
        if not np.isfinite(value):
            continue
        is_deep = (value - low) / ((high - low) or 1.0) > DARK_CELL
        colour = PAPER if is_deep else INK
        axes.text(
            column + 0.5, row + 0.5, significant(float(value)), ha="center", va="center", fontsize=7.5,
            color=colour.on(dark=dark),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A part of one stripe of the network's depth; positions from 0 to 1."""

    start: float
    end: float
    kind: str
    """Of the unit."""
    title: str
    share: float


def depth_chart(shares: Sequence[Share], title: str, *, dark: bool = False) -> Figure:
    """Placement by depth: shares of the units stacked in the order in which they come, from input to output."""
    figure = new_figure(2.3, dark=dark)
    axes = figure.subplots()
    calm(axes, dark=dark)
    bottoms: dict[float, float] = {}
    named: dict[str, Colour] = {}
    for share in shares:
        bottom = bottoms.get(share.start, 0.0)
        colour = named.setdefault(share.title, unit_colour(share.kind))
        width = share.end - share.start
        axes.bar(share.start, share.share, width, bottom=bottom, align="edge", color=colour.on(dark=dark), linewidth=0)
        bottoms[share.start] = bottom + share.share
    for name, colour in named.items():
        axes.bar(0, 0, 0, color=colour.on(dark=dark), label=_drawn(name, 40))
    axes.set(xlim=(0, 1), ylim=(0, 1), yticks=[], xticks=[])
    axes.set_xlabel("depth, from the inputs to the outputs", parse_math=False, color=FAINT.on(dark=dark))
    if named:
        legend = figure.legend(loc="outside lower left", ncols=4, frameon=False, fontsize=8, handlelength=1.2)
        for text in legend.get_texts():
            text.set_color(INK.on(dark=dark))
            text.set_parse_math(False)
    head_line(figure, title, dark=dark)
    return figure


def _bars(rows: int, *, dark: bool) -> tuple[Figure, Axes]:
    figure = new_figure(ROW_INCHES * max(rows, 2) + 1.4, dark=dark)
    axes = figure.subplots()
    calm(axes, dark=dark)
    axes.set_ylim(max(rows, 1) - 0.4, -0.6)
    axes.spines["bottom"].set_color(LINK.on(dark=dark))
    return figure, axes


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [_drawn(name, NAME_CHARACTERS) for name in names], parse_math=False)


def _drawn(text: str, width: int) -> str:
    return drawable(shortened(printable(text), width))
