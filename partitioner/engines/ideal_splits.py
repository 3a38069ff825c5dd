"""The best way to cut a network into subgraphs that run one after the other, over all orders at once.

An ideal is a set of blocks that holds all that its members read. A subgraph that can be called once is what one ideal
has more than another, so the shortest path through the ideals is the best sequence of calls and of single blocks on
processor cores, if nothing overlaps. ("Efficient Algorithms for Device Placement of DNN Graph Operators", NeurIPS
2020, cuts pipelines so.)
"""

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from partita.partitioner.engines.nets import Nets
from partita.partitioner.instance import Floats


@dataclass(frozen=True)
class Ideals:
    """All ideals by size, the empty one first."""

    members: NDArray[np.bool_]
    """[ideal, block]"""
    steps: tuple[tuple[int, int, int], ...]
    """(ideal, larger ideal, the block that it has more)."""


def ideals_of(before: list[set[int]], most: int) -> Ideals | None:
    """The ideals of blocks that come after those in `before`; None if there are more than `most`."""
    count = len(before)
    needs = [sum(1 << b for b in earlier) for earlier in before]
    number: dict[int, int] = {0: 0}
    layer, steps = [0], []
    for _ in range(count):
        grown: dict[int, None] = {}
        for ideal in layer:
            for b in range(count):
                if not ideal >> b & 1 and needs[b] & ideal == needs[b]:
                    larger = ideal | 1 << b
                    grown[larger] = None
                    number.setdefault(larger, len(number))
                    steps.append((number[ideal], number[larger], b))
        if len(number) > most:
            return None
        layer = list(grown)
    if not layer:  # blocks wait for one another in a circle
        return None
    members = np.array([[ideal >> b & 1 for b in range(count)] for ideal in number], bool)
    return Ideals(members, tuple(steps))


def difference_loads(nets: Nets, unit: int, ideals: Ideals) -> Floats:
    """[I, J]: the load of a unit that runs what J has more than I; infinite if that is nothing or does not fit."""
    held = ideals.members.astype(float)
    times = np.where(np.isinf(nets.times[:, unit]), 0.0, nets.times[:, unit])
    barred = held @ np.isinf(nets.times[:, unit])
    along, memory = held @ times, held @ nets.memory
    producers = np.array(nets.producers, int)
    made = held[:, producers]
    read = np.zeros_like(made)
    for net, consumers in enumerate(nets.consumers):
        read[:, net] = held[:, list(consumers)].sum(axis=1)
    sizes = np.array([len(consumers) for consumers in nets.consumers], int)
    send = np.array([row[unit] for row in nets.send], float)
    others = [a for a in range(nets.units) if a != unit]
    receive = np.array([min((row[a][unit] for a in others), default=0.0) for row in nets.receive], float)
    loads = along[None, :] - along[:, None]
    loads += (1.0 - made) @ (send * made * (read < sizes)).T
    loads += (made @ receive)[:, None]
    for seen in range(int(sizes.max(initial=0)) + 1):
        same = made * (read == seen)
        loads -= (same * receive) @ same.T
    is_within = held @ (1.0 - held).T < 0.5
    np.fill_diagonal(is_within, val=False)
    fits = memory[None, :] - memory[:, None] <= nets.instance.units[unit].memory * (1 + 1e-12)
    return np.where(is_within & fits & (barred[None, :] <= barred[:, None]), loads, inf)


def serial_split(nets: Nets, callers: list[int], free: list[int], ideals: Ideals) -> list[int] | None:
    """Per block, its unit in the shortest sequence of calls and of single blocks on cores; None if none fits."""
    count = len(ideals.members)
    kind_of = nets.instance.alike
    loads = {kind: difference_loads(nets, kind, ideals) for kind in {kind_of[u] for u in callers}}
    core = nets.times[:, free].min(axis=1) if free else np.full(nets.blocks, inf)
    best: list[Floats] = []
    links: list[list[int]] = []
    """From which ideal; -1 - ideal for a step on a core."""
    for used in range(len(callers) + 1):
        least, link = np.full(count, inf), [0] * count
        if not used:
            least[0] = 0.0
        else:
            reached = best[-1][:, None] + loads[kind_of[callers[used - 1]]]
            at = reached.argmin(axis=0)
            least, link = reached[at, np.arange(count)], at.tolist()
        for small, large, b in ideals.steps:
            if least[small] + core[b] < least[large]:
                least[large], link[large] = least[small] + core[b], -1 - small
        best.append(least)
        links.append(link)
    used, at = int(np.argmin([least[-1] for least in best])), count - 1
    if best[used][at] == inf:
        return None
    unit_of = [0] * nets.blocks
    while at:
        step = links[used][at]
        below = -1 - step if step < 0 else step
        for b in np.flatnonzero(ideals.members[at] & ~ideals.members[below]).tolist():
            unit_of[b] = free[int(nets.times[b, free].argmin())] if step < 0 else callers[used - 1]
        at, used = below, used - (step >= 0)
    return unit_of
