"""Charts of a study's page as plain SVG that takes its colours from the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT, TOP = 960, 260, 30, 10
ROW, PLOT, BOTTOM = 24, 300, 46
NAME_CHARACTERS = 38
TICKS = 6
LEAST_TOLD = 20
"""Cells of a map from this height and twice this width on have their value written in them."""
Chart = str
"""One <svg> element."""


@dataclass(frozen=True, slots=True)
class Bar:
    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Dot:
    x: float
    y: float
    label: str
    is_best: bool


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class _Scale:
    """Numbers -> pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (
            (math.log(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        if self.log:
            low, high = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            found = [m * 10.0**e for e in range(low, high + 1) for m in (1, 2, 5)]
        else:
            step = _round_step((self.high - self.low) / TICKS or 1.0)
            first = math.ceil(self.low / step)
            found = [i * step for i in range(first, first + 2 * TICKS + 2)]
        return [tick for tick in found if self.low * (1 - 1e-9) <= tick <= self.high * (1 + 1e-9)]


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= step * (1 - 1e-9))


def bars(found: Sequence[Bar], middle: float, title: str) -> Chart | None:
    """Horizontal bars, each from its start to its end, with a line at the middle."""
    if not found:
        return None
    ends = [end for bar in found for end in (bar.start, bar.end)] + [middle]
    pad = (max(ends) - min(ends)) * 0.02 or 1.0
    bottom = TOP + ROW * len(found)
    x = _Scale(min(ends) - pad, max(ends) + pad, LEFT, WIDTH - RIGHT)
    parts = _x_axis(x, bottom, title)
    for i, bar in enumerate(found):
        y = TOP + ROW * i
        a, b = sorted((x(bar.start), x(bar.end)))
        hint = f"{bar.name}: {bar.start:.4g} to {bar.end:.4g}"
        parts.append(f'<text class="c-name" x="{LEFT - 10}" y="{y + 16}">{escape(_cut(bar.name))}</text>')
        box = f'x="{a:.1f}" y="{y + 4}" width="{max(b - a, 1):.1f}" height="{ROW - 8}"'
        parts.append(f'<rect class="c-bar" {box}><title>{escape(hint)}</title></rect>')
    parts.append(f'<line class="c-mark" x1="{x(middle):.1f}" x2="{x(middle):.1f}" y1="{TOP}" y2="{bottom}"/>')
    return _svg(bottom + BOTTOM, parts, title)


def scatter(dots: Sequence[Dot], x_title: str, y_title: str) -> Chart | None:
    """Dots, the best of them joined."""
    if not dots:
        return None
    x, y = _plane([dot.x for dot in dots], [dot.y for dot in dots], log=False)
    parts = [*_x_axis(x, TOP + PLOT, x_title), *_y_axis(y, y_title)]
    best = sorted((dot.x, dot.y) for dot in dots if dot.is_best)
    if len(best) > 1:
        parts.append(_polyline([(x(a), y(b)) for a, b in best]))
    for dot in sorted(dots, key=lambda dot: dot.is_best):
        kind = "best" if dot.is_best else "dot"
        centre = f'cx="{x(dot.x):.1f}" cy="{y(dot.y):.1f}"'
        parts.append(f'<circle class="c-{kind}" {centre} r="4"><title>{escape(dot.label)}</title></circle>')
    return _svg(TOP + PLOT + BOTTOM, parts, f"{y_title} over {x_title}")


def lines(found: Sequence[Line], x_title: str, y_title: str, *, log: bool, mark: float | None = None) -> Chart | None:
    """Curves, with a vertical line at the mark."""
    points = [point for line in found for point in line.points]
    if not points:
        return None
    x, y = _plane([a for a, _ in points], [b for _, b in points], log=log)
    parts = [*_x_axis(x, TOP + PLOT, x_title), *_y_axis(y, y_title)]
    for line in found:
        parts.append(_polyline([(x(a), y(b)) for a, b in line.points]))
        for a, b in line.points:
            centre = f'cx="{x(a):.1f}" cy="{y(b):.1f}"'
            parts.append(f'<circle class="c-best" {centre} r="3"><title>{a:.4g}: {b:.4g}</title></circle>')
    if mark is not None:
        parts.append(f'<line class="c-mark" x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="{TOP}" y2="{TOP + PLOT}"/>')
    return _svg(TOP + PLOT + BOTTOM, parts, f"{y_title} over {x_title}")


def heat_map(
    cells: dict[tuple[str, str], float], rows: Sequence[str], columns: Sequence[str], title: str
) -> Chart | None:
    """One cell for each pair of values; dark is much."""
    if not cells:
        return None
    low, high = min(cells.values()), max(cells.values())
    height = max(4.0, min(ROW, 480 / len(rows)))
    width = (WIDTH - LEFT - RIGHT) / len(columns)
    parts = []
    for i, row in enumerate(rows):
        if i % max(1, math.ceil(14 / height)) == 0:
            y = TOP + height * (i + 0.5) + 4
            parts.append(f'<text class="c-name" x="{LEFT - 10}" y="{y:.1f}">{escape(_cut(row))}</text>')
        for j, column in enumerate(columns):
            value = cells.get((row, column))
            if value is None:
                continue
            shade = 0.08 + 0.92 * ((value - low) / (high - low) if high > low else 0.5)
            box = f'x="{LEFT + width * j:.1f}" y="{TOP + height * i:.1f}" width="{width:.1f}" height="{height:.1f}"'
            hint = escape(f"{row}, {column}: {value:.4g}")
            parts.append(f'<rect class="c-cell" {box} fill-opacity="{shade:.3f}"><title>{hint}</title></rect>')
            if height >= LEAST_TOLD and width >= 2 * LEAST_TOLD:
                at = f'x="{LEFT + width * (j + 0.5):.1f}" y="{TOP + height * (i + 0.5) + 4:.1f}"'
                parts.append(f'<text class="c-told{" c-dark" if shade > 0.5 else ""}" {at}>{value:.3g}</text>')
    bottom = TOP + height * len(rows)
    every = max(1, math.ceil(len(columns) / 12))
    for j in range(0, len(columns), every):
        parts.append(
            f'<text class="c-tick" x="{LEFT + width * (j + 0.5):.1f}" y="{bottom + 16:.1f}">{escape(columns[j])}</text>'
        )
    told = f"{title}: {low:.4g} (light) to {high:.4g} (dark)"
    parts.append(
        f'<text class="c-tick" x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{bottom + 38:.1f}">{escape(told)}</text>'
    )
    return _svg(bottom + BOTTOM, parts, title)


def _plane(xs: Sequence[float], ys: Sequence[float], *, log: bool) -> tuple[_Scale, _Scale]:
    pad = (max(ys) - min(ys)) * 0.06 or max(abs(ys[0]) * 0.1, 1e-9)
    x_pad = 0.0 if log else (max(xs) - min(xs)) * 0.02 or max(abs(xs[0]) * 0.1, 1e-9)
    x = _Scale(min(xs) - x_pad, max(xs) + x_pad, LEFT - 160, WIDTH - RIGHT, log)
    return x, _Scale(min(ys) - pad, max(ys) + pad, TOP + PLOT, TOP)


def _x_axis(x: _Scale, bottom: float, title: str) -> list[str]:
    parts = []
    for tick in x.ticks:
        at = f"{x(tick):.1f}"
        parts.append(f'<line class="c-grid" x1="{at}" x2="{at}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="c-tick" x="{at}" y="{bottom + 16}">{tick:.6g}</text>')
    parts.append(f'<text class="c-tick" x="{(x.start + x.end) / 2:.1f}" y="{bottom + 38}">{escape(title)}</text>')
    return parts


def _y_axis(y: _Scale, title: str) -> list[str]:
    left = LEFT - 160
    parts = [f'<text class="c-name" x="{left + 6}" y="{TOP + 4}" style="text-anchor:start">{escape(title)}</text>']
    for tick in y.ticks:
        at = y(tick)
        parts.append(f'<line class="c-grid" x1="{left}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="c-name" x="{left - 8}" y="{at + 4:.1f}">{tick:.6g}</text>')
    return parts


def _polyline(points: Sequence[tuple[float, float]]) -> str:
    return f'<polyline class="c-line" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}"/>'


def _cut(name: str) -> str:
    return name if len(name) <= NAME_CHARACTERS else f"{name[: NAME_CHARACTERS - 1]}…"


def _svg(height: float, parts: Sequence[str], title: str) -> Chart:
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title, quote=True)}">'
    return f"{head}{''.join(parts)}</svg>"
