"""What all figures look like: text that the font can draw, axes without a frame."""

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findfont, get_font

from partita.reports.colours import FAINT, INK, PAPER, RULE

UNKNOWN_GLYPH = "?"


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
