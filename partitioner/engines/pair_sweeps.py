"""Local search for the least largest load by pairs of units: what the two hold is cut anew, along a random order."""

import math
import random
from collections.abc import Sequence

from partita.partitioner.engines.local_search import Search
from partita.partitioner.engines.nets import Nets

SHARP = 60
"""The soft maximum is the sum of (load / largest load) to this power."""


def swept(nets: Nets, start: Sequence[int], sweeps: int, seed: int) -> list[int]:
    """The best placement that fits the memory among those visited from `start`, or `start` itself.

    Of the unit with the largest load and another one, all blocks go to the other, then one by one to the first; the
    best place to stop is kept.
    """
    chance = random.Random(seed)
    search = Search(nets, list(start))
    if nets.units < 2 or not nets.fits(start):
        return list(start)
    best, least = list(start), max(search.loads)
    for turn in range(sweeps):
        ranked = sorted(range(nets.units), key=lambda u: (-search.loads[u], u))
        first = ranked[0] if turn % 3 else ranked[int(chance.random() * nets.units)]
        near = [
            search.unit_of[other] for b, u in enumerate(search.unit_of) if u == first for other in search.neighbours[b]
        ]
        near = [u for u in near if u != first] or [u for u in ranked if u != first]
        _cut_anew(search, first, near[int(chance.random() * len(near))], chance)
        if max(search.loads) < least * (1 - 1e-12):
            best, least = list(search.unit_of), max(search.loads)
    return best


def _cut_anew(search: Search, first: int, second: int, chance: random.Random) -> None:
    members = [
        b
        for b, u in enumerate(search.unit_of)
        if u in (first, second) and search.times[b][first] < math.inf and search.times[b][second] < math.inf
    ]
    order = _order(search, members, chance)
    scale = max(search.loads) or 1.0
    began = [search.unit_of[b] for b in order]
    best, stop = _cost(search, scale) * (1 - 1e-9), -1
    for b in order:
        _to(search, b, second)
    for place, b in enumerate(order):
        _to(search, b, first)
        cost = _cost(search, scale)
        if cost < best:
            best, stop = cost, place
    for place, b in enumerate(order):
        _to(search, b, began[place] if stop < 0 else first if place <= stop else second)


def _to(search: Search, block: int, unit: int) -> None:
    if search.unit_of[block] != unit:
        search.move(block, unit, search.change(block, unit))


def _cost(search: Search, scale: float) -> float:
    """The soft maximum of the loads; infinite beyond the memory."""
    if search.is_tight and any(h > r * (1 + 1e-12) for h, r in zip(search.held, search.room, strict=True)):
        return math.inf
    return float(sum((max(load, 0.0) / scale) ** SHARP for load in search.loads))


def _order(search: Search, members: list[int], chance: random.Random) -> list[int]:
    """The members, always one that leaves few nets open; where it begins and which of equals comes first is drawn."""
    nets, inside = search.nets, set(members)
    left = {
        j: sum(b in inside for b in (nets.producers[j], *nets.consumers[j])) for b in members for j in nets.nets_of[b]
    }
    whole = dict(left)
    fresh = list(members)
    chance.shuffle(fresh)
    near: dict[int, float] = {}
    order: list[int] = []
    while inside:
        if near:
            block = min(
                near, key=lambda b: near[b] + sum((left[j] == whole[j]) - (left[j] == 1) for j in nets.nets_of[b])
            )
        else:
            while fresh[-1] not in inside:
                fresh.pop()
            block = fresh.pop()
        inside.discard(block)
        near.pop(block, None)
        order.append(block)
        for j in nets.nets_of[block]:
            left[j] -= 1
        for other in search.neighbours[block]:
            if other in inside and other not in near:
                near[other] = chance.random() * 0.9
    return order
