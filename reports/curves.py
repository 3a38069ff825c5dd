"""The curves beneath a timeline: power, clock and temperature, where the simulator has counted them."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from partita.reports.chip import Chip
from partita.reports.colours import FAINT, LINK, unit_colour
from partita.reports.drawing_style import NODE_STYLES, calm, calm_curves, drawable, legend_beside
from partita.reports.wording import printable, shortened
from partita.simulator.timeline import Counter, Timeline
from partita.units import ns_as_ms

KINDS = ("power", "clock", "temperature")
"""From the top; a counter's kind is the first word of its name, the rest is what it is of."""


def curves_of(timeline: Timeline) -> tuple[tuple[Counter, ...], ...]:
    """The counters of each kind that there is, in the order of KINDS."""
    found = (tuple(c for c in timeline.counters if c.points and c.name.split(" ")[0] == kind) for kind in KINDS)
    return tuple(counters for counters in found if counters)


def draw_curves(axes: Axes, chip: Chip, counters: Sequence[Counter], end_ms: float, *, dark: bool) -> None:
    """Counters of one kind over time in ms, those of a unit in its colour."""
    calm(axes, dark=dark)
    kinds = {unit.name: unit.kind for unit in chip.units}
    for position, counter in enumerate(counters):
        kind, _, what = counter.name.partition(" ")
        style = NODE_STYLES[position % len(NODE_STYLES)] if kind == "temperature" and what not in kinds else "solid"
        colour = unit_colour(kinds[what]) if what in kinds else LINK
        times = [*(ns_as_ms(time_ns) for time_ns, _ in counter.points), end_ms]
        values = [*(value for _, value in counter.points), counter.points[-1][1]]
        label = drawable(shortened(printable(what or "all"), 20))
        axes.step(times, values, where="post", color=colour.on(dark=dark), linewidth=1.2, linestyle=style, label=label)
    kind = counters[0].name.split(" ")[0]
    axes.set_ylabel(
        drawable(f"{kind}\n{printable(counters[0].unit)}"), parse_math=False, color=FAINT.on(dark=dark), fontsize=8,
        rotation=0, ha="right", va="center",
    )  # fmt: skip
    calm_curves(axes, from_zero=kind != "temperature", ticks=3, dark=dark)
    if len(counters) > 1:
        legend_beside(axes, dark=dark)
