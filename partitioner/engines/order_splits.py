"""The best way to cut an order of blocks into stretches, one per unit: a start for throughput, exact for that order."""

import itertools

import numpy as np

from partita.partitioner.engines.nets import Nets
from partita.partitioner.instance import Floats

LARGEST = 3000
"""Blocks beyond which a table over all stretches is too large."""
MOST_COUNTS = 300
"""Combinations of used units beyond which only the quickest kind of unit is tried."""


def stretch_loads(nets: Nets, unit: int, order: list[int]) -> Floats:
    """[i, j]: the load of `unit` when it runs order[i:j] and others the rest; infinite if its memory is too small."""
    count = nets.blocks
    place = [0] * count
    for position, block in enumerate(order):
        place[block] = position
    steps = np.zeros((count + 2, count + 2))

    def add(first: int, last: int, beyond: int, load: float) -> None:
        """Stretches that begin in first..last and end beyond a position."""
        if first <= last:
            steps[first, beyond + 1] += load
            steps[last + 1, beyond + 1] -= load

    for net, producer in enumerate(nets.producers):
        made, read = place[producer], sorted(place[c] for c in nets.consumers[net])
        send = nets.send[net][unit]
        receive = min((nets.receive[net][a][unit] for a in range(nets.units) if a != unit), default=0.0)
        if send:
            add(0, made, made, send)
            add(0, min(made, read[0]), max(made, read[-1]), -send)
        if receive:
            for before, at in zip([-1, *read], read, strict=False):
                add(before + 1, at, at, receive)
                add(before + 1, min(at, made), max(at, made), -receive)
    loads = steps.cumsum(axis=0).cumsum(axis=1)[: count + 1, : count + 1]
    times = np.concatenate([[0.0], nets.times[order, unit]])
    barred = np.isinf(times).cumsum()
    along = np.where(np.isinf(times), 0.0, times).cumsum()
    held = np.concatenate([[0.0], nets.memory[order]]).cumsum()
    loads = loads + along[None, :] - along[:, None]
    too_much = held[None, :] - held[:, None] > nets.instance.units[unit].memory
    loads[too_much | (barred[None, :] > barred[:, None])] = np.inf
    np.fill_diagonal(loads, 0.0)
    loads[np.tril_indices(count + 1, -1)] = np.inf
    return loads


def splits(nets: Nets) -> int:
    """Combinations of used units that `best_split` looks at."""
    alike = nets.instance.alike
    count = int(np.prod([alike.count(kind) + 1 for kind in set(alike)]))
    return count if count <= MOST_COUNTS else len(alike)


def best_split(nets: Nets, order: list[int]) -> list[int] | None:
    """Per block, its unit in the best cut of the order into stretches; None if no cut fits."""
    kinds = sorted(set(nets.instance.alike))
    available = [nets.instance.alike.count(kind) for kind in kinds]
    if np.prod([count + 1 for count in available]) > MOST_COUNTS:
        quickest = int(
            np.argmin([np.where(np.isinf(nets.times[:, kind]), 1e300, nets.times[:, kind]).sum() for kind in kinds])
        )
        kinds, available = [kinds[quickest]], [available[quickest]]
    loads = [stretch_loads(nets, kind, order) for kind in kinds]
    best: dict[tuple[int, ...], tuple[Floats, Floats, Floats]] = {}
    for used in itertools.product(*(range(count + 1) for count in available)):
        least = np.full(nets.blocks + 1, np.inf)
        least[0] = 0.0
        by, cut = np.full(nets.blocks + 1, -1.0), np.zeros(nets.blocks + 1)
        for number, count in enumerate(used):
            if not count:
                continue
            fewer = (*used[:number], count - 1, *used[number + 1 :])
            reached = np.maximum(best[fewer][0][:, None], loads[number])
            at = reached.argmin(axis=0)
            found = reached[at, np.arange(nets.blocks + 1)]
            better = found < least
            least, by, cut = np.where(better, found, least), np.where(better, number, by), np.where(better, at, cut)
        best[used] = (least, by, cut)
    if np.isinf(best[tuple(available)][0][-1]):
        return None
    return _units(nets, order, kinds, best, tuple(available))


def _units(
    nets: Nets,
    order: list[int],
    kinds: list[int],
    best: dict[tuple[int, ...], tuple[Floats, Floats, Floats]],
    used: tuple[int, ...],
) -> list[int]:
    members = {kind: [u for u, same in enumerate(nets.instance.alike) if same == kind] for kind in kinds}
    unit_of = [0] * nets.blocks
    end = nets.blocks
    while end > 0:
        _, by, cut = best[used]
        number, begin = int(by[end]), int(cut[end])
        unit = members[kinds[number]][used[number] - 1]
        for block in order[begin:end]:
            unit_of[block] = unit
        used = (*used[:number], used[number] - 1, *used[number + 1 :])
        end = begin
    return unit_of
