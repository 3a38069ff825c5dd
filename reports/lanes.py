"""What a picture of a timeline shows: one lane per unit and per link that was used, and arrows between units."""

from collections.abc import Sequence
from dataclasses import dataclass

from partita.reports.chip import Chip, UnitLabel
from partita.reports.colours import CALL, LINK, Colour, unit_colour
from partita.reports.wording import printable
from partita.simulator.timeline import HOST_TRACK, Counter, Span, Timeline

ARROW = "->"
"""Between the two units in the name of a link's track."""
DRAM = "dram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One row of the picture."""

    track: str
    title: str
    colour: Colour
    spans: tuple[Span, ...]
    unit: UnitLabel | None
    """None for a link and for the runtime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """A transfer from the lane of one unit to that of another."""

    source: str
    target: str
    span: Span


def lanes_of(chip: Chip, timeline: Timeline) -> tuple[Lane, ...]:
    """The runtime, then units in the order of the Soc, idle ones too, then the links that something crossed."""
    spans: dict[str, list[Span]] = {}
    for span in timeline.spans:
        if span.end_ns > span.start_ns:
            spans.setdefault(span.track, []).append(span)
    lanes = []
    if HOST_TRACK in spans:
        lanes.append(_lane(HOST_TRACK, "Runtime", CALL, spans[HOST_TRACK]))
    for unit in chip.units:
        colour = unit_colour(unit.kind)
        lanes.append(_lane(unit.name, printable(unit.label), colour, spans.get(unit.name, ()), unit))
    units = {unit.name for unit in chip.units}
    links = [track for track in timeline.tracks if track in spans and track not in units and track != HOST_TRACK]
    return (*lanes, *(_lane(track, link_title(chip, track), LINK, spans[track]) for track in links))


def _lane(track: str, title: str, colour: Colour, spans: Sequence[Span], unit: UnitLabel | None = None) -> Lane:
    return Lane(track=track, title=title, colour=colour, spans=tuple(spans), unit=unit)


def link_title(chip: Chip, track: str) -> str:
    """ "CPU → NPU" for the track "cpu->npu"."""
    labels = {unit.name: unit.label for unit in chip.units}
    ends = track.split(ARROW)
    return printable(" → ".join(labels.get(end, end) for end in ends))


def arrows_of(chip: Chip, timeline: Timeline) -> tuple[Arrow, ...]:
    """Every transfer between two units of the Soc."""
    units = {unit.name for unit in chip.units}
    arrows = []
    for span in timeline.spans:
        source, _, target = span.track.partition(ARROW)
        if span.kind == "transfer" and source in units and target in units and source != target:
            arrows.append(Arrow(source=source, target=target, span=span))
    return tuple(arrows)


def memory_counter(timeline: Timeline) -> Counter | None:
    """The traffic of the shared memory, all engines together."""
    return next((c for c in timeline.counters if c.name == DRAM and c.points), None)


def envelope(counter: Counter, end_ns: int, bins: int) -> tuple[tuple[float, float, float], ...]:
    """(start, end, largest value) in at most `bins` slices of the time, so that a long run stays a short path."""
    if end_ns <= 0:
        return ()
    width = end_ns / bins
    peaks = [0.0] * bins
    ends = [*(time for time, _ in counter.points[1:]), end_ns]
    for (start, value), end in zip(counter.points, ends, strict=True):
        if end <= start:
            continue
        first, last = int(start / width), min(int(end / width), bins - 1)
        for i in range(first, last + 1):
            peaks[i] = max(peaks[i], value)
    return tuple((i * width, (i + 1) * width, peak) for i, peak in enumerate(peaks))


def ticks(end: float, most: int = 8) -> tuple[float, ...]:
    """Round values from 0 to `end`, at most `most` steps of 1, 2 or 5 times a power of ten.

    >>> ticks(17.3)
    (0.0, 5.0, 10.0, 15.0)
    """
    if end <= 0:
        return (0.0,)
    power = 1e-9
    while True:
        for factor in (1, 2, 5):
            step = power * factor
            if end / step <= most:
                return tuple(round(i * step, 9) for i in range(int(end / step + 1e-9) + 1))
        power *= 10
