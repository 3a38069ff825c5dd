"""Where in the network each unit works: the share of each unit among the operators of every depth."""

from dataclasses import dataclass

from partita.graph.plan import Plan

COLUMNS = 200
"""At most this many columns: more are narrower than a reader sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stripe:
    """Neighbouring depths with the same shares; positions and shares from 0 to 1."""

    start: float
    end: float
    shares: tuple[tuple[str, float], ...]
    """(unit, share), in the order of the units asked for; units without a share are left out."""


def depths_of(plan: Plan) -> dict[str, int]:
    """For every placed operator the number of operators before it on the longest path from the inputs."""
    depth_of: dict[str, int] = {}
    for node in plan.graph.nodes:
        before = (plan.graph.producer_of.get(name) for name in plan.graph.reads(node))
        depth_of[node.name] = max((depth_of[n.name] + 1 for n in before if n is not None), default=0)
    return depth_of


def stripes_of(plan: Plan, units: tuple[str, ...], columns: int = COLUMNS) -> tuple[Stripe, ...]:
    """The strip from the first depth to the last; empty for an empty plan."""
    depth_of = depths_of(plan)
    if not depth_of:
        return ()
    levels = max(depth_of.values()) + 1
    columns = min(columns, levels)
    counts = [dict.fromkeys(units, 0) for _ in range(columns)]
    for operator in plan.operators:
        counts[depth_of[operator.node] * columns // levels][operator.unit] += len(operator.covers)
    stripes: list[Stripe] = []
    for i, count in enumerate(counts):
        total = sum(count.values())
        shares = tuple((unit, count[unit] / total) for unit in units if count[unit])
        start = stripes.pop().start if stripes and stripes[-1].shares == shares else i / columns
        stripes.append(Stripe(start=start, end=(i + 1) / columns, shares=shares))
    return tuple(stripes)
