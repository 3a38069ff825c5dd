"""The designs that no other beats at both of two results."""

from partita.studies.analyses.finding import Ask, Context, Finding, axis, cost, number, told
from partita.studies.charts import Dot, scatter
from partita.studies.points import Point, design_points
from partita.studies.study_file import Analysis
from partita.studies.work import Row

KIND = "pareto"
USUAL = ("latency_ms", "energy_mj")


def points(ctx: Context, analysis: Analysis) -> list[Point]:
    return _mine(ctx)


def finding(ctx: Context, analysis: Analysis, ask: Ask) -> Finding:
    first, second = analysis.results or USUAL
    known = [(point, ask(point)) for point in _mine(ctx)]
    placed = [(number(row, first), number(row, second), point, row) for point, row in known]
    both = [(a, b, point, row) for a, b, point, row in placed if a is not None and b is not None]
    front = front_of([(cost(a, first), cost(b, second)) for a, b, _, _ in both])
    best = sorted((both[i] for i in front), key=lambda item: item[:2])
    labels = [f"{_named(point)}: {told(a, first)}, {told(b, second)}" for a, b, point, _ in both]
    return Finding(
        kind=KIND,
        title=f"Pareto front of {axis(first)} and {axis(second)}, {ctx.model}",
        sentence=f"{len(front)} of {len(both)} designs are beaten by no other at both {first} and {second}.",
        columns=("design", first, second, "operators"),
        rows=tuple((_named(point), told(a, first), told(b, second), row["operators"]) for a, b, point, row in best)[
            : analysis.top
        ],
        document={"results": [first, second], "front": [_document(a, b, point, row) for a, b, point, row in best]},
        chart=scatter(
            [Dot(a, b, labels[i], i in front) for i, (a, b, _, _) in enumerate(both)], axis(first), axis(second)
        ),
    )


def front_of(values: list[tuple[float, float]]) -> set[int]:
    """Numbers of the pairs that none is at least as small at both and smaller at one; of equal pairs, all."""
    found: set[int] = set()
    least = float("inf")
    order = sorted(range(len(values)), key=lambda i: values[i])
    for i in order:
        if values[i][1] < least:
            least = values[i][1]
            found.update(j for j in order if values[j] == values[i])
    return found


def _mine(ctx: Context) -> list[Point]:
    """The study's design for its first model."""
    return [point for point in design_points(ctx.study) if point.model == ctx.model]


def _named(point: Point) -> str:
    return ", ".join((point.soc, *(f"{title} {text}" for title, text in point.labels)))


def _document(a: float, b: float, point: Point, row: Row) -> dict[str, object]:
    return {"soc": point.soc, "variables": dict(point.labels), "values": [a, b], "key": row["key"]}
