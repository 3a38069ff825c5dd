"""Local search for the least largest load: one block moves at a time, to a unit that shares a net with it.

Simulated annealing on a soft maximum of the loads; the random numbers are seeded, so a run can be repeated.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from partita.partitioner.engines.nets import Nets

SHARPNESS = 12
"""The soft maximum is the sum of (load / best largest load) to this power."""
NEAR = 0.9
"""Share of the moves that begin at a block with a neighbour elsewhere, and that end at a neighbour's unit."""
FRESH = 40
"""Moves made after which the blocks with a neighbour elsewhere are looked up again."""
OVER_MEMORY = 100.0
"""Penalty for one byte too many, as a share of the unit's memory, in soft maxima."""


@dataclass
class Search:
    """A placement under change, its loads kept up to date."""

    nets: Nets
    unit_of: list[int]

    def __post_init__(self) -> None:
        nets = self.nets
        self.times = nets.times.tolist()
        self.memory = nets.memory.tolist()
        self.room = [unit.memory for unit in nets.instance.units]
        self.readers = [[0] * nets.units for _ in nets.producers]
        for net, consumers in enumerate(nets.consumers):
            for consumer in consumers:
                self.readers[net][self.unit_of[consumer]] += 1
        self.loads = nets.loads(self.unit_of)
        self.held = [0.0] * nets.units
        for block, unit in enumerate(self.unit_of):
            self.held[unit] += self.memory[block]
        self.is_tight = any(room < math.inf for room in self.room)
        self.neighbours = [
            sorted({b for j in nets.nets_of[block] for b in (nets.producers[j], *nets.consumers[j])} - {block})
            for block in range(nets.blocks)
        ]

    def border(self) -> list[int]:
        """The blocks with a neighbour on another unit."""
        unit_of = self.unit_of
        return [b for b, near in enumerate(self.neighbours) if any(unit_of[other] != unit_of[b] for other in near)]

    def change(self, block: int, target: int) -> dict[int, float]:
        """Per unit, what moving `block` to `target` would add to its load."""
        nets, unit_of = self.nets, self.unit_of
        source = unit_of[block]
        added = {source: -self.times[block][source], target: self.times[block][target]}
        for j in nets.nets_of[block]:
            readers, receive = self.readers[j], nets.receive[j]
            if nets.producers[j] == block:
                self._send_changes(added, j, source, target)
                continue
            maker = unit_of[nets.producers[j]]
            if source != maker and readers[source] == 1:
                added[source] -= receive[maker][source]
            if target != maker and not readers[target]:
                added[target] += receive[maker][target]
            before = len(nets.consumers[j]) - readers[maker]
            after = before + (source == maker) - (target == maker)
            if (before > 0) != (after > 0):
                added[maker] = added.get(maker, 0.0) + (nets.send[j][maker] if after else -nets.send[j][maker])
        return added

    def _send_changes(self, added: dict[int, float], net: int, source: int, target: int) -> None:
        """The producer itself moves: what others receive comes from elsewhere."""
        readers, receive, send = self.readers[net], self.nets.receive[net], self.nets.send[net]
        count = len(self.nets.consumers[net])
        if readers[source] < count:
            added[source] -= send[source]
        if readers[target] < count:
            added[target] += send[target]
        for unit, reading in enumerate(readers):
            if reading:
                old = receive[source][unit] if unit != source else 0.0
                new = receive[target][unit] if unit != target else 0.0
                if old != new:
                    added[unit] = added.get(unit, 0.0) + new - old

    def move(self, block: int, target: int, added: dict[int, float]) -> None:
        source = self.unit_of[block]
        for unit, load in added.items():
            self.loads[unit] += load
        for j in self.nets.nets_of[block]:
            if self.nets.producers[j] != block:
                self.readers[j][source] -= 1
                self.readers[j][target] += 1
        self.held[source] -= self.memory[block]
        self.held[target] += self.memory[block]
        self.unit_of[block] = target

    def excess(self, block: int, target: int) -> float:
        """What moving would add to the units' use beyond their memory, as a share of it."""
        source, size = self.unit_of[block], self.memory[block]
        found = 0.0
        for unit, change in ((source, -size), (target, size)):
            room = self.room[unit]
            if room < math.inf:
                scale = max(room, 1.0)
                found += (max(0.0, self.held[unit] + change - room) - max(0.0, self.held[unit] - room)) / scale
        return found


def annealed(nets: Nets, start: Sequence[int], moves: int, seed: int, heat: float = 0.3) -> list[int]:
    """The best placement that fits the memory among those visited from `start`, or `start` itself."""
    chance = random.Random(seed)
    draw = chance.random
    search = Search(nets, list(start))
    unit_of, times, border = search.unit_of, search.times, search.border()
    best, best_load = list(start), max(search.loads) if nets.fits(start) else math.inf
    scale = max(search.loads) or 1.0
    powers = [(load / scale) ** SHARPNESS for load in search.loads]
    over = sum(max(0.0, h - r) / max(r, 1.0) for h, r in zip(search.held, search.room, strict=True) if r < math.inf)
    changes = 0
    for turn in range(moves):
        if changes == FRESH:
            border, changes = search.border(), 0
        block = border[int(draw() * len(border))] if border and draw() < NEAR else int(draw() * len(unit_of))
        target = _target(search, block, draw)
        if target == unit_of[block] or times[block][target] == math.inf:
            continue
        added = search.change(block, target)
        rise = 0.0
        fresh = {}
        for unit, load in added.items():
            fresh[unit] = (max(search.loads[unit] + load, 0.0) / scale) ** SHARPNESS
            rise += fresh[unit] - powers[unit]
        excess = search.excess(block, target) if search.is_tight else 0.0
        rise += OVER_MEMORY * excess
        warmth = heat * (1.0 - turn / moves) ** 2
        if rise > 0 and (warmth <= 0 or draw() >= math.exp(-rise / (warmth + 1e-12))):
            continue
        search.move(block, target, added)
        changes += 1
        over += excess
        for unit, power in fresh.items():
            powers[unit] = power
        largest = max(search.loads)
        if largest < best_load * (1 - 1e-12) and over <= 1e-12:
            best, best_load = list(unit_of), largest
            if largest < 0.97 * scale:
                scale = largest
                powers = [(load / scale) ** SHARPNESS for load in search.loads]
    return best


def _target(search: Search, block: int, draw: Callable[[], float]) -> int:
    near = search.neighbours[block]
    if near and draw() < NEAR:
        return search.unit_of[near[int(draw() * len(near))]]
    return int(draw() * search.nets.units)
