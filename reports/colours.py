"""One colour per kind of unit, the same in every page and figure, and told apart by colour-blind readers.

The hues are those of Okabe and Ito, "Color Universal Design" (2008), darkened or lightened until each stands out from
the page by a contrast of at least 3:1, which WCAG 2.1, success criterion 1.4.11, asks of graphical objects.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Colour:
    """The same meaning on a light and on a dark page, as #rrggbb."""

    light: str
    dark: str

    def on(self, *, dark: bool) -> str:
        return self.dark if dark else self.light


UNIT_COLOURS = {
    "cpu": Colour("#b35900", "#f09a4e"),
    "gpu": Colour("#0b6fb0", "#58b1ea"),
    "npu": Colour("#007d61", "#35c49a"),
    "dsp": Colour("#a84c82", "#e08fbd"),
}
"""By kind of unit."""
OTHER_UNIT = Colour("#7a6a00", "#d9c74a")
LINK = Colour("#6b7280", "#9aa3b2")
CALL = Colour("#3f4652", "#c3c9d4")
"""Fixed costs: segment calls and the runtime's own."""
ACCENT = Colour("#4338a0", "#aaa4f2")

PAPER = Colour("#ffffff", "#15171c")
INK = Colour("#1b1e25", "#e8eaf0")
FAINT = Colour("#5d6472", "#a0a7b5")
RULE = Colour("#e3e6ec", "#2d313a")
PANEL = Colour("#f6f7f9", "#1c1f26")
BAR = Colour("#b9bfca", "#4d5361")
"""Bars of baselines, beside the plan's in the accent."""


def unit_colour(kind: str) -> Colour:
    return UNIT_COLOURS.get(kind, OTHER_UNIT)
