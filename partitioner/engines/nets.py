"""An instance as a hypergraph: operators that share a unit become one block, tensors become nets between blocks.

The load of a unit is the time of its blocks, plus `send` of each net that it makes and another unit reads, plus what
it takes to receive each net that it reads and another unit makes, once each.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from partita.partitioner.instance import Floats, Instance

Table = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Nets:
    """Blocks 0..n-1 and the nets between them."""

    instance: Instance
    times: Floats
    """[block, unit], infinite where unsupported."""
    memory: Floats
    """Per block."""
    producers: tuple[int, ...]
    """Per net, the block that makes it."""
    consumers: tuple[tuple[int, ...], ...]
    """Per net, the other blocks that read it."""
    send: Table
    """[net][unit]"""
    receive: tuple[Table, ...]
    """[net][from][to]"""
    nets_of: tuple[tuple[int, ...], ...]
    """Per block, the nets that it makes or reads."""

    @property
    def blocks(self) -> int:
        return len(self.times)

    @property
    def units(self) -> int:
        return self.times.shape[1]

    def loads(self, unit_of: Sequence[int]) -> list[float]:
        """Per unit, its load when block b runs on unit_of[b]."""
        loads = [0.0] * self.units
        for block, unit in enumerate(unit_of):
            loads[unit] += float(self.times[block, unit])
        for net, producer in enumerate(self.producers):
            source = unit_of[producer]
            targets = {unit_of[c] for c in self.consumers[net]} - {source}
            if targets:
                loads[source] += self.send[net][source]
                for target in targets:
                    loads[target] += self.receive[net][source][target]
        return loads

    def fits(self, unit_of: Sequence[int]) -> bool:
        """Whether every unit has the memory for its blocks."""
        held = np.bincount(unit_of, self.memory, self.units)
        return all(held[u] <= unit.memory * (1 + 1e-12) for u, unit in enumerate(self.instance.units))

    def choice(self, unit_of: Sequence[int]) -> tuple[int, ...]:
        """Per operator, its unit."""
        return tuple(unit_of[group] for group in self.instance.group_of)


def nets_of(instance: Instance) -> Nets:
    """The hypergraph of an instance; tensors with the same producer and consumers become one net."""
    group_of, groups = instance.group_of, instance.groups
    units = len(instance.units)
    times = np.array([instance.times[list(members)].sum(axis=0) for members in groups]).reshape(-1, units)
    memory = np.array([sum(instance.operators[i].memory for i in members) for members in groups], float)
    merged: dict[tuple[int, tuple[int, ...]], tuple[Floats, Floats]] = {}
    for tensor in instance.tensors:
        producer = group_of[tensor.producer]
        consumers = tuple(sorted({group_of[c] for c in tensor.consumers} - {producer}))
        if not consumers:
            continue
        send, receive = merged.setdefault((producer, consumers), (np.zeros(units), np.zeros((units, units))))
        send += np.array(tensor.send) if tensor.send else 0.0
        receive += np.array(tensor.receive)[None, :] if tensor.receive else 0.0
        receive += np.array(tensor.move) if tensor.move else 0.0
    touching: list[list[int]] = [[] for _ in groups]
    for net, (producer, consumers) in enumerate(merged):
        for block in (producer, *consumers):
            touching[block].append(net)
    return Nets(
        instance=instance,
        times=times,
        memory=memory,
        producers=tuple(producer for producer, _ in merged),
        consumers=tuple(consumers for _, consumers in merged),
        send=tuple(tuple(send.tolist()) for send, _ in merged.values()),
        receive=tuple(tuple(map(tuple, receive.tolist())) for _, receive in merged.values()),
        nets_of=tuple(map(tuple, touching)),
    )


def narrow_order(nets: Nets, chance: random.Random | None = None) -> list[int]:
    """The blocks in an order that cuts few nets at any place: always the block that leaves the fewest nets open.

    With `chance`, where it begins and which of equals comes first is drawn.
    """
    pins = [{nets.producers[j], *nets.consumers[j]} for j in range(len(nets.producers))]
    seen = [0] * len(pins)
    done = [False] * nets.blocks
    order: list[int] = []
    near: dict[int, float] = {}
    fresh = sorted(range(nets.blocks), key=lambda b: (len(nets.nets_of[b]), b), reverse=True)
    if chance is not None:
        chance.shuffle(fresh)

    def opened(block: int) -> float:
        return near[block] + sum((seen[j] == 0) - (seen[j] + 1 == len(pins[j])) for j in nets.nets_of[block])

    while len(order) < nets.blocks:
        while not near and done[fresh[-1]]:
            fresh.pop()
        block = min(near, key=lambda b: (opened(b), b)) if near else fresh.pop()
        done[block] = True
        order.append(block)
        near.pop(block, None)
        for j in nets.nets_of[block]:
            seen[j] += 1
            if seen[j] < len(pins[j]):
                near.update({b: chance.random() / 2 if chance else 0.0 for b in sorted(pins[j]) if not done[b]})
    return order


def frontier_order(nets: Nets) -> list[int]:
    """The blocks in an order that keeps few blocks waiting for a maker or reader, however many nets join the two."""
    near: list[set[int]] = [set() for _ in range(nets.blocks)]
    for producer, consumers in zip(nets.producers, nets.consumers, strict=True):
        for consumer in consumers:
            near[producer].add(consumer)
            near[consumer].add(producer)
    left = [len(others) for others in near]
    done = [False] * nets.blocks
    order: list[int] = []
    ready: set[int] = set()
    fresh = sorted(range(nets.blocks), key=lambda b: (len(near[b]), b), reverse=True)

    def opened(block: int) -> int:
        closed = sum(done[other] and left[other] == 1 for other in near[block])
        return int(any(not done[other] for other in near[block])) - closed

    while len(order) < nets.blocks:
        while not ready and done[fresh[-1]]:
            fresh.pop()
        block = min(ready, key=lambda b: (opened(b), b)) if ready else fresh.pop()
        done[block] = True
        order.append(block)
        ready.discard(block)
        for other in near[block]:
            left[other] -= 1
            if not done[other]:
                ready.add(other)
    return order
