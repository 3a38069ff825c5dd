"""The cheapest way through a block of operators in any order, when every change of unit costs a call.

A block lies between two separators. Dynamic programming over its ideals (sets of operators closed under what they
read): a table per ideal over the unit that ran last, the units of operators that something still reads, and for each
tensor that has reached some of its readers, the units that have received it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from partita.partitioner.engines.elimination import LARGEST_TABLE, TooWideError
from partita.partitioner.instance import Floats

MOST_IDEALS = 20_000
MOST_ENTRIES = 100_000_000
"""Entries of all tables made for one block: a few seconds."""

Keys = tuple[int, ...]
"""Axes of a table before its last: an operator's unit, or ~net for the units that have received a net's tensor."""
Layer = dict[int, tuple[Keys, Floats]]
"""By ideal, a bit set over the places of inner operators."""


@dataclass(frozen=True, slots=True)
class Net:
    """A tensor that is made and read within a block and its separators."""

    number: int
    producer: int
    consumers: tuple[int, ...]
    cost: Floats
    """[from, to], zero on the diagonal."""


@dataclass(frozen=True)
class CallBlock:
    """Operators between the separators `first` and `last`; None where the graph begins or ends."""

    inner: tuple[int, ...]
    """In a topological order."""
    first: int | None
    last: int | None
    producers: tuple[tuple[int, ...], ...]
    """Per inner operator, the inner operators that it reads."""
    times: dict[int, Floats]
    """Per operator, separators too: its time on each unit, or what of it is not counted elsewhere."""
    nets: tuple[Net, ...]
    kept: frozenset[int]
    """Operators whose units the table tells apart."""
    call: Floats
    """Per unit."""

    def table(self) -> tuple[Keys, Floats]:
        """The least cost by the units of `kept`, and of `last` (the last axis) if there is one. Raises TooWideError."""
        search = _Search(self)
        *_, layer = search.layers()
        ((ideal, (keys, table)),) = layer.items()
        if self.last is None:
            return keys, table.min(axis=-1)
        return search.step(keys, table, ideal, self.last)

    def best(self, unit_of: dict[int, int]) -> list[tuple[int, int]]:
        """The inner operators with their units in the best order, once the units of separators and kept are known."""
        units = np.arange(len(self.call))
        times = {i: np.where(units == unit_of.get(i, units), row, inf) for i, row in self.times.items()}
        return _Search(replace(self, times=times, kept=frozenset())).path()


class _Search:
    """Tables by ideal, and the way back through them."""

    def __init__(self, block: CallBlock) -> None:
        self.block = block
        self.units = len(block.call)
        self.place = {operator: bit for bit, operator in enumerate(block.inner)}
        self.needs = [self._bits(producers) for producers in block.producers]
        self.readers = {net.number: self._bits(net.consumers) for net in block.nets}
        self.read: dict[int, list[Net]] = {}
        self.made: dict[int, list[Net]] = {}
        for net in block.nets:
            self.made.setdefault(net.producer, []).append(net)
            for consumer in net.consumers:
                self.read.setdefault(consumer, []).append(net)
        self.received = [
            [m for m in range(1, 1 << self.units) if m.bit_count() <= most] for most in range(self.units + 1)
        ]

    def layers(self) -> Iterator[Layer]:
        """The tables of all ideals with 0, 1, 2, ... operators. Raises TooWideError."""
        layer: Layer = {0: self._begun()}
        yield layer
        ideals = entries = 0
        for _ in self.block.inner:
            following: Layer = {}
            for ideal, (keys, table) in layer.items():
                for v in self._ready(ideal):
                    after, found = self.step(keys, table, ideal, v)
                    there = ideal | 1 << self.place[v]
                    following[there] = (after, np.minimum(found, following[there][1]) if there in following else found)
                    entries += table.size * self.units
            layer = following
            ideals += len(layer)
            if entries > MOST_ENTRIES or ideals > MOST_IDEALS:
                raise TooWideError(f"a block of {len(self.block.inner)} operators has too many orders")
            yield layer

    def step(self, keys: Keys, table: Floats, ideal: int, v: int) -> tuple[Keys, Floats]:
        """The table after `ideal` and then v have run."""
        block, names = self.block, list(keys)
        table = np.minimum(table, table.min(axis=-1, keepdims=True) + block.call) + block.times[v]
        for net in self.read.get(v, ()):
            table = self._delivered(names, table, net, (self.readers[net.number] & ideal).bit_count())
        after = ideal | (1 << self.place[v] if v in self.place else 0)
        for producer in sorted({net.producer for net in self.read.get(v, ())}):
            if not self._is_alive(producer, after, v):
                table = table.min(axis=names.index(producer))
                names.remove(producer)
        if v != block.last and self._is_alive(v, after, v):
            table = _on_diagonal(table)
            names.append(v)
        if table.size > LARGEST_TABLE:
            raise TooWideError(f"a table of {table.size} entries is needed; at most {LARGEST_TABLE} are made")
        axes = sorted(range(len(names)), key=names.__getitem__)
        return tuple(sorted(names)), np.transpose(table, [*axes, len(names)])

    def _delivered(self, names: list[int], table: Floats, net: Net, done: int) -> Floats:
        """Pay for a net's tensor on the unit of the last axis, and note that it has arrived there."""
        where = names.index(net.producer)
        is_last = done + 1 == len(net.consumers)
        if not done:
            table = table + _along(table, (where,), net.cost)
            if not is_last:
                table = _on_diagonal(table)  # the unit of the last axis alone has received
                names.append(~net.number)
            return table
        axis = names.index(~net.number)
        known = self.received[min(done, self.units)]
        missing = np.array([[not m >> u & 1 for u in range(self.units)] for m in known])
        table = table + _along(table, (where, axis), net.cost[:, None, :] * missing[None])
        if is_last:
            names.pop(axis)
            return table.min(axis=axis)
        wider = self.received[min(done + 1, self.units)]
        index = {m: place for place, m in enumerate(wider)}
        table = np.moveaxis(table, axis, 0)
        found = np.full((len(wider), *table.shape[1:]), inf)
        for place, m in enumerate(known):
            for u in range(self.units):
                target = found[index[m | 1 << u]][..., u]
                np.minimum(target, table[place][..., u], out=target)
        return np.moveaxis(found, 0, axis)

    def _begun(self) -> tuple[Keys, Floats]:
        """Before anything has run, as if the call of the first run were paid; or after the first separator."""
        block = self.block
        if block.first is None:
            return (), block.call.copy()
        row = block.times[block.first]
        return ((block.first,), _on_diagonal(row)) if self._is_alive(block.first, 0, block.first) else ((), row)

    def _is_alive(self, operator: int, ideal: int, v: int) -> bool:
        """Whether its unit matters after `ideal`, which v completes."""
        if operator in self.block.kept:
            return True
        for net in self.made.get(operator, ()):
            left = self.readers[net.number] & ~ideal
            if left or (self.block.last in net.consumers and v != self.block.last):
                return True
        return False

    def _ready(self, ideal: int) -> list[int]:
        return [
            v for v, bit in self.place.items() if not ideal >> bit & 1 and self.needs[bit] & ideal == self.needs[bit]
        ]

    def _bits(self, operators: Iterable[int]) -> int:
        return sum(1 << self.place[operator] for operator in operators if operator in self.place)

    def path(self) -> list[tuple[int, int]]:
        """The inner operators with their units along the cheapest way."""
        layers = list(self.layers())
        ideal = (1 << len(self.place)) - 1
        state: dict[int, int] = {}
        if self.block.last is None:
            unit = int(layers[-1][ideal][1].argmin())
        else:
            final = self.step(*layers[-1][ideal], ideal, self.block.last)[1]
            state, unit = self._before(layers[-1][ideal], ideal, self.block.last, {}, int(final.argmin()))
        steps: list[tuple[int, int]] = []
        while ideal:
            rows = [(v, ideal & ~(1 << bit)) for v, bit in self.place.items() if ideal >> bit & 1]
            layer = layers[ideal.bit_count() - 1]
            ways = [
                (self._value(*layer[before], before, v, state, unit), v, before)
                for v, before in rows
                if before in layer
            ]
            _, v, before = min(ways)
            steps.append((v, unit))
            state, unit = self._before(layer[before], before, v, state, unit)
            ideal = before
        return steps[::-1]

    def _before(
        self, entry: tuple[Keys, Floats], ideal: int, v: int, state: dict[int, int], unit: int
    ) -> tuple[dict[int, int], int]:
        """The best state before v, given the state after it: one axis is settled after the other."""
        keys, table = entry
        read = {~net.number for net in self.read.get(v, ())}
        found: list[int] = []
        for axis, size in enumerate(table.shape):
            key = keys[axis] if axis < len(keys) else None
            values = [state[key]] if key is not None and key in state and key not in read else list(range(size))
            tried = []
            for value in values if len(values) > 1 else ():
                only = _only(table, axis, value)
                tried.append((self._value(keys, only, ideal, v, state, unit), value))
            found.append(min(tried)[1] if tried else values[0])
            table = _only(table, axis, found[-1])
        return dict(zip(keys, found[:-1], strict=True)), found[-1]

    def _value(self, keys: Keys, table: Floats, ideal: int, v: int, state: dict[int, int], unit: int) -> float:
        """What it costs to be in this state after v."""
        after, found = self.step(keys, table, ideal, v)
        where = (*(state[key] for key in after), unit)
        return float(found[where])


def _only(table: Floats, axis: int, value: int) -> Floats:
    """The table, infinite wherever this axis has another value."""
    found = np.full(table.shape, inf)
    np.moveaxis(found, axis, 0)[value] = np.moveaxis(table, axis, 0)[value]
    return found


def _on_diagonal(table: Floats) -> Floats:
    """A further axis before the last, with the same value as the last."""
    size = table.shape[-1]
    found = np.full((*table.shape, size), inf)
    places = np.arange(size)
    found[..., places, places] = table
    return found


def _along(table: Floats, axes: tuple[int, ...], values: Floats) -> Floats:
    """`values`, with axes for some of the table's and for its last, shaped to be added to it."""
    order = sorted(range(len(axes)), key=axes.__getitem__)
    values = np.transpose(values, [*order, len(axes)])
    return values.reshape([n if i in axes or i == table.ndim - 1 else 1 for i, n in enumerate(table.shape)])
