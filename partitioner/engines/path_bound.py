"""A lower bound of the latency of one sample with subgraphs, by one path through the network.

Operators of a path wait for one another, each on a core or in a subgraph, and a subgraph is convex: it holds a stretch
of the path, with all that lies between. So the sample takes no less than the cheapest way to cut the path into
stretches and single operators. A stretch costs what it computes, receives and sends. What lies beside the path at the
stretch's two ends may belong to it or not, whichever is cheaper; that is found by elimination, end by end. Where one
stretch follows another, what lies beside belongs to the one or the other, or the second waits for it too.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from partita.partitioner.engines.elimination import Elimination, TooWideError
from partita.partitioner.engines.nets import Nets
from partita.partitioner.engines.order_splits import stretch_loads
from partita.partitioner.engines.pricing import Ints
from partita.partitioner.instance import Floats

BEFORE, AFTER, CORE, CALL = range(4)
"""Where a block is at a passage: in the stretch that ends, in the one that begins, on cores, in another subgraph."""
RANK = np.array([0, 2, 1, 1])
"""Along an edge, this does not fall: subgraphs are convex."""
ENDS, BEGINS, ALL = (BEFORE, CORE), (AFTER, CORE), (BEFORE, AFTER, CORE, CALL)
SHORT, ROOMY, TIGHT = KINDS = range(3)
"""Kinds of stretches at an end: too short for what is known of blocks beside; with memory for the heaviest; without."""
MOST_APART = 24
"""Places between two stretches within which blocks beside the path are looked at together."""
LONGEST = 1200
"""Operators of a path beyond which the tables are too large."""
MOST_PINS = 8
"""Tensors with more ends are left out of what is paid at the ends of a stretch."""


def path_bound(nets: Nets, callers: Sequence[int], core: Floats, order: Sequence[int]) -> float:
    """No placement is through sooner. `core[b]` is block b's time on cores, `order` a topological one of the blocks."""
    if not callers:
        return 0.0
    slow = np.where(np.isinf(core), nets.times[:, list(callers)].min(axis=1), core)
    paths = {tuple(_longest_path(nets, times, order)) for times in (slow, np.ones(nets.blocks))}
    paths = {path for path in paths if len(path) <= LONGEST}
    return max((_Path(nets, tuple(callers), core, path, order).bound() for path in sorted(paths)), default=0.0)


def _longest_path(nets: Nets, times: Floats, order: Sequence[int]) -> list[int]:
    length = [float(time) for time in times]
    link = [-1] * nets.blocks
    made: dict[int, list[int]] = {}
    for net, producer in enumerate(nets.producers):
        made.setdefault(producer, []).append(net)
    for b in order:
        for net in made.get(b, ()):
            for reader in nets.consumers[net]:
                if length[b] + times[reader] > length[reader]:
                    length[reader], link[reader] = length[b] + float(times[reader]), b
    at = int(np.argmax(length))
    path = [at]
    while link[path[-1]] >= 0:
        path.append(link[path[-1]])
    return path[::-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Passage:
    """Between two places of the path: what nets with ends beside the path add."""

    crossing: tuple[int, ...]
    """The nets that have ends beside the path, and ends on both sides."""
    side: tuple[int, ...]
    """The blocks beside the path that may belong to a stretch that ends or begins here."""
    heavy: tuple[int, ...]
    """Those of them that hold the most."""
    heaviest: float
    first: int
    """A stretch that ends here pays `sent` if it begins here or earlier."""
    last: int
    """A stretch that begins here pays `received` if it ends here or later."""
    sent: tuple[float, ...]
    """By the stretch's kind."""
    received: tuple[float, ...]
    own_sent: float
    """What it pays for the ends of these nets that are on the path, which is not part of `sent`."""
    own_received: float


@dataclass
class _Path:
    nets: Nets
    callers: tuple[int, ...]
    core: Floats
    path: tuple[int, ...]
    order: Sequence[int]

    def __post_init__(self) -> None:
        nets = self.nets
        self.place = {b: p for p, b in enumerate(self.path)}
        self.quick = nets.times[:, list(self.callers)].min(axis=1)
        self.room = max(nets.instance.units[u].memory for u in self.callers)
        makes: list[set[int]] = [set() for _ in range(nets.blocks)]
        reads: list[set[int]] = [set() for _ in range(nets.blocks)]
        for net, producer in enumerate(nets.producers):
            makes[producer].update(nets.consumers[net])
            for consumer in nets.consumers[net]:
                reads[consumer].add(producer)
        self.low = self._reached(makes, reversed(range(len(self.path))), -1)
        self.high = self._reached(reads, range(len(self.path)), len(self.path))
        self.aside = [
            b for b in range(nets.blocks) if b not in self.place and self.low[b] >= 0 and self.high[b] < len(self.path)
        ]

        self.spans = self._spans()

    def _spans(self) -> dict[int, tuple[int, int]]:
        """Of the nets with ends beside the path: the places between which they are."""
        found = {}
        for n, producer in enumerate(self.nets.producers):
            pins = (producer, *self.nets.consumers[n])
            first, last = min(map(self._low, pins)), max(map(self._high, pins))
            if (
                first >= 0
                and last < len(self.path)
                and len(pins) <= MOST_PINS
                and any(b not in self.place for b in pins)
            ):
                found[n] = first, last
        return found

    def _reached(self, steps: list[set[int]], places: Iterable[int], none: int) -> list[int]:
        """Per block, the first of `places` from whose block the steps lead to it."""
        found = [none] * self.nets.blocks
        seen = [False] * self.nets.blocks
        for p in places:
            stack = [self.path[p]]
            while stack:
                b = stack.pop()
                if not seen[b]:
                    seen[b] = True
                    found[b] = p
                    stack.extend(steps[b])
        return found

    def bound(self) -> float:
        """The cheapest way along the path, with at most one stretch per caller."""
        count = len(self.path)
        passages = [self._passage(p) for p in range(count - 1)]
        memory = self._memory()
        ends, begins = self._kinds(passages, memory)
        loads = self._loads(passages, memory, ends, begins)
        is_short = (ends == SHORT) & (begins == SHORT)
        between = self._between(np.where(is_short, loads, inf))
        loads = np.where(is_short, inf, loads)
        waits = self._waits(passages, between)
        reached = np.full((len(KINDS), count + 1), inf)  # by the kind of the last stretch and where it ended
        reached[SHORT, 0], least = 0.0, float(between[0, -1])
        for _ in self.callers:
            entered = np.empty((len(KINDS), count + 1))
            for after in KINDS:
                ways = [reached[before][:, None] + between + waits[before, after] for before in KINDS]
                entered[after] = np.min(ways, axis=(0, 1))
            along = np.choose(begins, entered[:, :, None]) + loads
            reached = np.array([np.where(ends == kind, along, inf).min(axis=0) for kind in KINDS])
            least = min(least, float((reached.min(axis=0) + between[:, -1]).min()))
            reached[SHORT, 0] = 0.0
        return least

    def _between(self, short: Floats) -> Floats:
        """[j, i]: the least from place j to place i on cores and in stretches of which no more is known."""
        count = len(self.path)
        found = np.full((count + 1, count + 1), inf)
        np.fill_diagonal(found, 0.0)
        for i in range(1, count + 1):
            along = found[:, i - 1] + self.core[self.path[i - 1]]
            found[:i, i] = np.minimum(along, (found[:, :i] + short[:i, i]).min(axis=1))[:i]
        return found

    def _memory(self) -> Floats:
        """[i, j]: what places i..j-1 of the path, and all blocks between them, hold."""
        count = len(self.path)
        held = np.concatenate([[0.0], np.cumsum(self.nets.memory[list(self.path)])])
        memory = held[None, :] - held[:, None]
        for b in self.aside:
            memory[: self.low[b] + 1, self.high[b] + 1 :] += self.nets.memory[b]
        memory[np.tri(count + 1, k=-1, dtype=bool)] = inf
        return memory

    def _kinds(self, passages: list["_Passage"], memory: Floats) -> tuple[Ints, Ints]:
        """[i, j]: the kind of a stretch at its end, and at its beginning."""
        count = len(self.path)
        places = np.arange(count + 1)
        ends, begins = np.full((count + 1, count + 1), SHORT), np.full((count + 1, count + 1), SHORT)
        for p, passage in enumerate(passages):
            is_tight = memory + passage.heaviest > self.room * (1 + 1e-12)
            ends[:, p + 1] = np.where(places > passage.first, SHORT, np.where(is_tight[:, p + 1], TIGHT, ROOMY))
            begins[p + 1] = np.where(places <= passage.last, SHORT, np.where(is_tight[p + 1], TIGHT, ROOMY))
        return ends, begins

    def _waits(self, passages: list["_Passage"], between: Floats) -> Floats:
        """[kind before, kind after, j, i]: what it adds to `between` that a stretch ended at j and one begins at i."""
        count = len(self.path)
        waits = np.zeros((len(KINDS), len(KINDS), count + 1, count + 1))
        for p, end in enumerate(passages):
            for q in range(p, min(p + MOST_APART, count - 1)):
                begin = passages[q]
                if not set(end.side) & set(begin.side):
                    continue
                crossing, side = sorted({*end.crossing, *begin.crossing}), sorted({*end.side, *begin.side})
                for before, after in itertools.product((ROOMY, TIGHT), repeat=2):
                    barred = end.heavy if before == TIGHT else (), begin.heavy if after == TIGHT else ()
                    joint = self._least((p, q), crossing, side, ALL, barred)
                    alone = end.sent[before] + end.own_sent + begin.received[after] + begin.own_received
                    known = alone + between[p + 1, q + 1]
                    waits[before, after, p + 1, q + 1] = max(joint - known, 0.0) if known < inf else 0.0
        return waits

    def _loads(self, passages: list["_Passage"], memory: Floats, ends: Ints, begins: Ints) -> Floats:
        """[i, j]: the least that a subgraph takes that has places i..j-1 of the path."""
        count = len(self.path)
        loads = np.min([stretch_loads(self._own_nets(u), u, list(range(count))) for u in self.callers], axis=0)
        for b in self.aside:
            loads[: self.low[b] + 1, self.high[b] + 1 :] += self.quick[b]
        for p, passage in enumerate(passages):
            loads[:, p + 1] += np.array(passage.sent)[ends[:, p + 1]]
            loads[p + 1] += np.array(passage.received)[begins[p + 1]]
        loads[memory > self.room * (1 + 1e-12)] = inf
        return loads

    def _own_nets(self, unit: int) -> Nets:
        """The path alone, and of nets the ends that are on it."""
        nets = self.nets
        readers = [tuple(self.place[c] for c in consumers if c in self.place) for consumers in nets.consumers]
        kept = [n for n, producer in enumerate(nets.producers) if producer in self.place and readers[n]]
        times = nets.times[list(self.path)].copy()
        times[:, unit] = self.quick[list(self.path)]
        return replace(
            nets,
            times=times,
            memory=nets.memory[list(self.path)],
            producers=tuple(self.place[nets.producers[n]] for n in kept),
            consumers=tuple(readers[n] for n in kept),
            send=tuple(nets.send[n] for n in kept),
            receive=tuple(nets.receive[n] for n in kept),
            nets_of=(),
        )

    def _passage(self, p: int) -> "_Passage":
        """Between places p and p + 1."""
        nets, place = self.nets, self.place
        crossing = [n for n, (first, last) in self.spans.items() if first <= p < last]
        every = [b for n in crossing for b in (nets.producers[n], *nets.consumers[n])]
        side = tuple(sorted({b for b in every if b not in place and self.low[b] <= p < self.high[b]}))
        own = [n for n in crossing if place.get(nets.producers[n], p + 1) <= p]
        own = [n for n in own if any(place.get(c, p) > p for c in nets.consumers[n])]
        own_sent, own_received = sum(map(self._sent, own)), sum(map(self._received, own))
        heaviest = max((float(nets.memory[b]) for b in side), default=0.0)
        heavy = tuple(b for b in side if nets.memory[b] >= heaviest > 0)
        sent, received = [0.0] * len(KINDS), [0.0] * len(KINDS)
        for kind, barred in ((ROOMY, ()), (TIGHT, heavy)):
            sent[kind] = max(self._least((p, p), crossing, side, ENDS, (barred, ())) - own_sent, 0.0)
            received[kind] = max(self._least((p, p), crossing, side, BEGINS, ((), barred)) - own_received, 0.0)
        return _Passage(
            crossing=tuple(crossing),
            side=side,
            heavy=heavy,
            heaviest=heaviest,
            first=min(map(self._low, every), default=p),
            last=max(map(self._high, every), default=p + 1),
            sent=tuple(sent),
            received=tuple(received),
            own_sent=own_sent,
            own_received=own_received,
        )

    def _low(self, block: int) -> int:
        return self.place.get(block, self.low[block])

    def _high(self, block: int) -> int:
        return self.place.get(block, self.high[block])

    def _least(
        self,
        at: tuple[int, int],
        crossing: Sequence[int],
        side: Sequence[int],
        states: tuple[int, ...],
        barred: tuple[Sequence[int], Sequence[int]],
    ) -> float:
        """The least that crossing nets, and the blocks beside, cost if these are in the given states.

        The stretch before ends `at` the first place, the one after begins behind the second; for each of the two,
        some blocks are barred.
        """
        nets = self.nets
        number = {b: v for v, b in enumerate(side)}
        is_both = CALL in states
        chain = self._chain(side) if is_both else []
        problem = Elimination([len(states)] * len(side))
        for b, v in number.items():
            quick = float(self.quick[b])
            costs = {BEFORE: inf if b in barred[0] else quick, AFTER: inf if b in barred[1] else quick}
            if b in chain:
                costs |= {CORE: float(self.core[b]), CALL: quick}
            problem.add((v,), np.array([costs.get(state, 0.0) for state in states]))
        constant = 0.0
        for n in crossing:
            pins = (nets.producers[n], *nets.consumers[n])
            values = [list(states) if b in number else [self._state(b, at, states)] for b in pins]
            axes = np.meshgrid(*values, indexing="ij", sparse=True)
            table = self._net_costs(n, pins, axes, chain)
            free = [b for b in pins if b in number]
            if not free:
                constant += float(table.reshape(()))
                continue
            axis = sorted(range(len(free)), key=lambda k: number[free[k]])
            table = np.transpose(table.reshape([len(states)] * len(free)), axis)
            problem.add(tuple(number[free[k]] for k in axis), table)
        try:
            return constant + (problem.solve()[1] if side else 0.0)
        except TooWideError:
            return constant

    def _net_costs(self, net: int, pins: Sequence[int], axes: Sequence[Ints], chain: list[int]) -> Floats:
        """Sent by the stretch that ends, received by the one that begins, both by a subgraph on the chain between."""
        made, read = axes[0], axes[1:]
        shape = np.broadcast_shapes(*(axis.shape for axis in axes))
        table = np.zeros(shape)
        is_sent, is_received, falls = (np.zeros(shape, bool) for _ in range(3))
        for reader, axis in zip(pins[1:], read, strict=True):
            is_sent |= (made == BEFORE) & (axis != BEFORE)
            is_received |= (made != AFTER) & (axis == AFTER)
            falls |= RANK[made] > RANK[axis]
            if reader in chain:
                table += np.where((made != CALL) & (axis == CALL), self._received(net), 0.0)
        if pins[0] in chain:
            table += np.where((made == CALL) & is_received, self._sent(net), 0.0)
        return np.where(falls, inf, table + is_sent * self._sent(net) + is_received * self._received(net))

    def _chain(self, side: Sequence[int]) -> list[int]:
        """A longest path through the blocks beside, of which each waits for the one before."""
        members = set(side)
        best: dict[int, tuple[float, int]] = {}
        for b in self.order:
            if b in members:
                length, link = best.get(b, (0.0, -1))
                best[b] = (length + min(float(self.core[b]), float(self.quick[b])) + 1e-12, link)
                for n in self.nets.nets_of[b]:
                    for c in self.nets.consumers[n] if self.nets.producers[n] == b else ():
                        if c in members:
                            best[c] = max(best.get(c, (0.0, -1)), (best[b][0], b))
        found: list[int] = []
        at = max(best, key=lambda b: best[b][0], default=-1)
        while at >= 0:
            found.append(at)
            at = best[at][1]
        return found[::-1]

    def _state(self, block: int, at: tuple[int, int], states: tuple[int, ...]) -> int:
        wanted = BEFORE if self._high(block) <= at[0] else AFTER if self._low(block) > at[1] else CORE
        return wanted if wanted in states else CORE

    def _sent(self, net: int) -> float:
        return min(self.nets.send[net][u] for u in self.callers)

    def _received(self, net: int) -> float:
        rows = enumerate(self.nets.receive[net])
        return min((row[u] for a, row in rows for u in self.callers if a != u), default=0.0)
