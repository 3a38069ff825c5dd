"""What all figures look like: text that the font can draw, axes without a frame."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findfont, get_font

from partita.reports.colours import FAINT, INK, PAPER, RULE

UNKNOWN_GLYPH = "?"
NODE_STYLES: tuple[Any, ...] = ((0, (4, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1, 1.5)))
"""Of temperatures that belong to no unit."""


def drawable(text: str) -> str:
    """The text with every character that the figure's font lacks replaced."""
    glyphs = get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap()
    return "".join(c if c == "\n" or ord(c) in glyphs else UNKNOWN_GLYPH for c in text)


def calm(axes: Axes, *, dark: bool) -> None:
    """No frame, faint ticks."""
    axes.set_facecolor(PAPER.on(dark=dark))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE.on(dark=dark))
    axes.tick_params(colors=INK.on(dark=dark), length=0, labelsize=9)
    axes.tick_params(axis="x", colors=FAINT.on(dark=dark))
    axes.set_axisbelow(True)
    axes.grid(axis="x", color=RULE.on(dark=dark), linewidth=0.7)


def calm_curves(axes: Axes, *, from_zero: bool, ticks: int, dark: bool) -> None:
    """Few ticks with the values themselves, never as a distance from a number above the axis."""
    if from_zero:
        axes.set_ylim(bottom=0)
    axes.tick_params(axis="y", labelsize=7.5, colors=FAINT.on(dark=dark))
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    axes.locator_params(axis="y", nbins=ticks)
    axes.grid(axis="y", color=RULE.on(dark=dark), linewidth=0.4)


def legend_beside(axes: Axes, *, dark: bool) -> None:
    """What each curve is, to the right of the axes."""
    legend = axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.05), frameon=False, fontsize=7, handlelength=1.4)
    for text in legend.get_texts():
        text.set_color(INK.on(dark=dark))
        text.set_parse_math(False)
