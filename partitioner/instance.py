"""A placement problem in plain numbers, as researchers exchange it: operators, units, tensors; no ONNX, no Soc.

Times are in one unit of time that the instance names. Operators, units and tensors are numbered from 0.
"""

from dataclasses import dataclass
from functools import cached_property
from math import inf

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Unit:
    """A device that runs operators, one at a time."""

    name: str
    memory: float = inf
    """The most that the operators on it may hold together."""
    call: float = 0.0
    """Fixed time of each maximal run of operators on it."""
    subgraphs: int | None = None
    """The most subgraphs of one sample that it runs, each as one indivisible call. None: it runs single operators,
    and of one sample any number side by side (a pool of processor cores)."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator; a group is a set of operators that must share a unit."""

    name: str
    times: tuple[float, ...]
    """Per unit; infinite where the unit cannot run it."""
    memory: float = 0.0
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Tensor:
    """What one operator makes and others read. A unit that reads it elsewhere receives it once.

    Moving it from a to b takes send[a] + receive[b] + move[a][b]. Where loads are counted, the producer's unit pays
    `send` once, however many units receive.
    """

    producer: int
    consumers: tuple[int, ...]
    send: tuple[float, ...] = ()
    receive: tuple[float, ...] = ()
    move: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """What tensors move over from one unit to another, one at a time. Only the makespan looks at it."""

    name: str
    pairs: tuple[tuple[int, int], ...]
    """(from, to) of the units that it joins; a pair has one link at most, and none means that nothing waits."""


@dataclass(frozen=True)
class Instance:
    """Which operator runs on which unit?"""

    name: str
    time_unit: str
    units: tuple[Unit, ...]
    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]
    links: tuple[Link, ...] = ()

    @cached_property
    def link_table(self) -> tuple[tuple[int, ...], ...]:
        """[from][to]: the number of the link between two units, -1 for none; empty without links."""
        if not self.links:
            return ()
        table = [[-1] * len(self.units) for _ in self.units]
        for number, link in enumerate(self.links):
            for a, b in link.pairs:
                table[a][b] = number
        return tuple(map(tuple, table))

    @cached_property
    def times(self) -> Floats:
        """[operator, unit], infinite where unsupported."""
        return np.array([operator.times for operator in self.operators], float).reshape(-1, len(self.units))

    @cached_property
    def edges(self) -> tuple[tuple[int, int, int], ...]:
        """(producer, consumer, tensor) of every dependency."""
        return tuple((t.producer, c, number) for number, t in enumerate(self.tensors) for c in t.consumers)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The operators in a topological order, their own where it is one; on a cycle, those before it only."""
        if all(producer < consumer for producer, consumer, _ in self.edges):
            return tuple(range(len(self.operators)))
        waiting = [0] * len(self.operators)
        after: list[list[int]] = [[] for _ in self.operators]
        for producer, consumer, _ in self.edges:
            waiting[consumer] += 1
            after[producer].append(consumer)
        ready = [i for i in reversed(range(len(self.operators))) if not waiting[i]]
        order: list[int] = []
        while ready:
            order.append(ready.pop())
            for consumer in reversed(after[order[-1]]):
                waiting[consumer] -= 1
                if not waiting[consumer]:
                    ready.append(consumer)
        return tuple(order)

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The operators that must share a unit, each operator in exactly one group, by first operator."""
        members: dict[tuple[str, object], list[int]] = {}
        for i, operator in enumerate(self.operators):
            key = ("alone", i) if operator.group is None else ("group", operator.group)
            members.setdefault(key, []).append(i)
        return tuple(tuple(found) for found in members.values())

    @cached_property
    def group_of(self) -> tuple[int, ...]:
        """Per operator, its group's number."""
        found = [0] * len(self.operators)
        for number, members in enumerate(self.groups):
            for i in members:
                found[i] = number
        return tuple(found)

    @cached_property
    def moves(self) -> tuple[Floats, ...]:
        """Per tensor, [from, to]: time until it has arrived; zero on the diagonal."""
        return tuple(self._moves_of(tensor) for tensor in self.tensors)

    def _moves_of(self, tensor: Tensor) -> Floats:
        count = len(self.units)
        found = np.zeros((count, count))
        if tensor.send:
            found += np.array(tensor.send)[:, None]
        if tensor.receive:
            found += np.array(tensor.receive)[None, :]
        if tensor.move:
            found += np.array(tensor.move)
        np.fill_diagonal(found, 0.0)
        return found

    @cached_property
    def alike(self) -> tuple[int, ...]:
        """Per unit, the first unit that no number tells from it."""
        return tuple(
            next(first for first in range(unit + 1) if first == unit or self._are_alike(first, unit))
            for unit in range(len(self.units))
        )

    def _are_alike(self, a: int, b: int) -> bool:
        """Whether exchanging units a and b leaves every number as it is."""
        one, other = self.units[a], self.units[b]
        if (one.memory, one.call, one.subgraphs) != (other.memory, other.call, other.subgraphs):
            return False
        if not np.array_equal(self.times[:, a], self.times[:, b]):
            return False
        swap = list(range(len(self.units)))
        swap[a], swap[b] = b, a
        return all(_is_symmetric(tensor, a, b, swap) for tensor in self.tensors)


def _is_symmetric(tensor: Tensor, a: int, b: int, swap: list[int]) -> bool:
    if tensor.send and tensor.send[a] != tensor.send[b]:
        return False
    if tensor.receive and tensor.receive[a] != tensor.receive[b]:
        return False
    if not tensor.move:
        return True
    return all(tensor.move[x][y] == tensor.move[swap[x]][swap[y]] for x in (a, b) for y in swap) and all(
        tensor.move[y][x] == tensor.move[swap[y]][swap[x]] for x in (a, b) for y in swap
    )
