"""A schedule that does not fit the units' memory, changed until it does: the cheapest move of some at a time."""

from collections.abc import Iterator, Sequence
from math import inf

from partita.partitioner.engines.schedules import Schedule, Tasks, timed

TRIED = 12
"""Operators of the unit that is too full that are tried for each move, spread over the order."""


def fitted(tasks: Tasks, schedule: Schedule, held: Sequence[float], rooms: Sequence[float]) -> Schedule | None:
    """`held[i]` is what operator i holds, `rooms[u]` what fits on unit u. None if no more can be moved."""
    units = list(schedule.units)
    order = list(schedule.order)
    best: Schedule | None = schedule
    while best is not None:
        used = [0.0] * tasks.units
        for i, unit in enumerate(units):
            used[unit] += held[i]
        excess, full = max((use - room * (1 + 1e-12), u) for u, (use, room) in enumerate(zip(used, rooms, strict=True)))
        if excess <= 0:
            return best
        cheapest = inf
        now, best = best.length, None
        for together, target in _moves(tasks, units, full, held):
            size = sum(held[i] for i in together)
            if used[target] + size > rooms[target] * (1 + 1e-12):
                continue
            moved = timed(tasks, [target if i in together else unit for i, unit in enumerate(units)], order)
            price = (moved.length - now) / min(size, excess)
            if price < cheapest:
                cheapest, best = price, moved
        if best is not None:
            units = list(best.units)
    return None


def _moves(
    tasks: Tasks, units: Sequence[int], full: int, held: Sequence[float]
) -> Iterator[tuple[tuple[int, ...], int]]:
    """Some operators (with their partners) that hold something on a unit, and the units that they can go to."""
    members = [i for i, unit in enumerate(units) if unit == full and held[i] > 0]
    movable = [i for i in members if sum(time < inf for time in tasks.times[i]) > 1]
    for i in movable[:: max(1, len(movable) // TRIED)]:
        for target, time in enumerate(tasks.times[i]):
            if target != full and time < inf:
                yield tasks.partners.get(i, (i,)), target
