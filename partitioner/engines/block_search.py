"""The shortest schedule of a small block of operators, by listing partial schedules layer by layer.

A label is a partial schedule whose operators, and copies over links, begin one after the other in time. A label that
leaves every unit, link and tensor later than another of the same operators is dropped, and so is one that cannot end
below the limit. What is too many is dropped too, the least promising first; then the bound is what the best of those
promised.
"""

import itertools
from dataclasses import dataclass
from math import inf

import numpy as np

from partita.partitioner.engines.budget import Budget
from partita.partitioner.engines.labels import COVERED, Bools, Ints, Labels, Rules, narrowed, together
from partita.partitioner.engines.schedules import Schedule, Tasks, quickest_heads, quickest_tails, timed
from partita.partitioner.instance import Floats

LARGEST = 62
"""Operators of a block, which are the bits of a number."""
NEAR = 1e-11
"""Times closer than this share of the limit count as the same."""
STEPS = {1: 1, 2: 8, 3: 6}
"""By the number of units, into how many parts weights are divided for bounds by load; 4 with more units."""


LAYER_S, LABEL_S = 20e-6, 45e-9
"""Work of one layer, and of one label there, for each operator and each unit that it may use."""


@dataclass(frozen=True, slots=True)
class Found:
    """A schedule below the limit, if one was found, and what none is shorter than."""

    schedule: Schedule | None
    bound: float


@dataclass(frozen=True, slots=True)
class Step:
    """What one operator or copy adds to some labels."""

    action: int
    at: Ints
    """The labels that it may follow."""
    start: Floats
    """Per such label, when it begins."""
    is_called: Bools | None = None
    """Per such label, whether its unit is called for it."""


class BlockSearch:
    """One block; its last operator waits for all others."""

    def __init__(self, tasks: Tasks, limit: float) -> None:
        """Only schedules shorter than `limit` are of interest."""
        self.tasks, self.limit, self.slack = tasks, limit, NEAR * limit
        self.count, self.units = len(tasks.times), tasks.units
        heads, tails = quickest_heads(tasks), quickest_tails(tasks)
        self.tails = tails
        self.allowed = [
            [u for u in range(self.units) if heads[i][u] + tails[i][u] < limit - self.slack] for i in range(self.count)
        ]
        self.bits = np.int64(1) << np.arange(self.count, dtype=np.int64)
        self.made: list[list[int]] = [[] for _ in tasks.times]
        self.readers: list[list[int]] = [[] for _ in tasks.moves]
        for i, row in enumerate(tasks.inputs):
            for producer, tensor in row:
                self.readers[tensor].append(i)
                if tensor not in self.made[producer]:
                    self.made[producer].append(tensor)
        self.needs = [sum(1 << p for p in {p for p, _ in row}) for row in tasks.inputs]
        self._number_places()
        self.links = 1 + max((link for row in tasks.links for link in row), default=-1)
        self._choose_weights()

    def _number_places(self) -> None:
        """Where tensors may be: the units of their maker and of their readers."""
        self.place: dict[tuple[int, int], int] = {}
        makers: list[int] = []
        matters: list[int] = []
        for producer, tensors in enumerate(self.made):
            for t in tensors:
                for u in range(self.units):
                    readers = [i for i in self.readers[t] if u in self.allowed[i]]
                    if u in self.allowed[producer] and self.tasks.links:
                        readers = self.readers[t]
                    if readers or u in self.allowed[producer]:
                        self.place[t, u] = len(matters)
                        makers.append(1 << producer)
                        matters.append(sum(1 << i for i in readers))
        self.tensors_on = [np.array([t for t, b in self.place if b == u], int) for u in range(self.units)]
        self.places_on = [np.array([n for (_, b), n in self.place.items() if b == u], int) for u in range(self.units)]
        self.rules = Rules(np.array(makers, np.int64), np.array(matters, np.int64), self.slack)

    def _choose_weights(self) -> None:
        """[weighting, unit], sums 1; and [weighting, operator]: its least weighted time. Not of the last operator."""
        used = sorted({u for row in self.allowed[1:-1] for u in row}) or [0]
        steps = STEPS.get(len(used), 4)
        rows = [row for row in itertools.product(range(steps + 1), repeat=len(used)) if sum(row) == steps]
        self.weights = np.zeros((len(rows), self.units))
        self.weights[:, used] = np.array(rows) / steps
        self.shares = np.zeros((len(rows), self.count))
        for i, units in enumerate(self.allowed[:-1]):
            if units:
                times = [self.tasks.times[i][u] for u in units]
                self.shares[:, i] = (self.weights[:, units] * times).min(axis=1)

    def run(self, width: int, budget: Budget) -> Found:
        """List labels, at most `width` per layer."""
        self.actions: list[Ints] = []
        self.parents: list[Ints] = []
        self.recorded, self.dropped = 0, self.limit - self.count * self.slack
        if not all(self.allowed):
            return Found(None, self.dropped)
        labels = self._start()
        pairs = sum(map(len, self.allowed))
        for _ in range(self.count):
            known = self.recorded
            if self.links:
                labels = self._with_copies(labels, width)
            labels = self._narrowed(self._next(labels), width)
            if not len(labels):
                return Found(None, self.dropped)
            budget.spend((LAYER_S + LABEL_S * (self.recorded - known)) * pairs)
            if budget.is_spent():
                break
        best = int(labels.bound.argmin())
        bound = min(self.dropped, float(labels.bound[best]))
        if int(labels.done[best]) != (1 << self.count) - 1:
            return Found(None, bound)
        return Found(self._schedule(int(labels.action[best])), bound)

    def _start(self) -> Labels:
        return Labels(
            done=np.zeros(1, np.int64),
            now=np.zeros(1),
            free=np.zeros((self.units + self.links, 1)),
            arrival=np.full((len(self.place), 1), inf),
            source=np.full((len(self.readers), 1), -1, np.int64),
            action=np.full(1, -1, np.int64),
            bound=np.zeros(1),
        )

    def _narrowed(self, labels: Labels, width: int) -> Labels:
        labels, lost = narrowed(labels, self.rules, width)
        self.dropped = min(self.dropped, lost)
        return labels

    def _children(self, labels: Labels, steps: list[Step]) -> tuple[Labels, list[slice]]:
        """The labels after each step, and which of them are whose; `now`, `free` and the records are set."""
        at = np.concatenate([step.at for step in steps])
        ends = list(itertools.accumulate(len(step.at) for step in steps))
        columns = [slice(end - len(step.at), end) for end, step in zip(ends, steps, strict=True)]
        child = labels.of(at)
        child.now = np.concatenate([step.start for step in steps])
        np.maximum(child.free, child.now, out=child.free)
        self.actions.append(np.repeat([step.action for step in steps], [len(step.at) for step in steps]))
        self.parents.append(child.action)
        child.action = self.recorded + np.arange(len(at))
        self.recorded += len(at)
        return child, columns

    def _promising(self, labels: Labels) -> Labels:
        labels.bound = np.maximum(labels.bound, self._bound(labels))
        return labels.of(labels.bound < self.limit - self.slack)

    # One more operator

    def _next(self, labels: Labels) -> Labels:
        """Every operator that may begin next, on every unit."""
        begun = int(np.bitwise_or.reduce(labels.done))
        steps = []
        for i, units in enumerate(self.allowed):
            if self.needs[i] & ~begun:
                continue
            waits = (labels.done & self.bits[i]) == 0
            for u in units:
                start = labels.free[u]
                for _, tensor in self.tasks.inputs[i]:
                    start = np.maximum(start, labels.arrival[self.place[tensor, u]])
                called = self._called(labels, i, u)
                if called is not None:
                    start = np.where(called, np.maximum(start, labels.free[u] + self.tasks.calls[u]), start)
                time_left = self.limit - self.slack - self.tails[i][u] - self.tasks.times[i][u]
                at = np.flatnonzero(waits & (start < time_left))
                if len(at):
                    steps.append(Step(i * self.units + u, at, start[at], None if called is None else called[at]))
        return self._promising(self._begun(labels, steps)) if steps else labels.of(np.zeros(0, np.int64))

    def _called(self, labels: Labels, i: int, u: int) -> Bools | None:
        """Where operator i on unit u waits for a call: it reads what arrived since the last; None if nowhere."""
        if not self.tasks.calls or not self.tasks.calls[u] or i in self.tasks.uncalled:
            return None
        found = np.zeros(len(labels), bool)
        for _, tensor in self.tasks.inputs[i]:
            arrival = labels.arrival[self.place[tensor, u]]
            found |= (arrival != COVERED) & (arrival < inf) & (labels.source[tensor] != u)
        return found

    def _begun(self, labels: Labels, steps: list[Step]) -> Labels:
        child, columns = self._children(labels, steps)
        for step, own in zip(steps, columns, strict=True):
            i, u = divmod(step.action, self.units)
            end = step.start + self.tasks.times[i][u]
            if step.is_called is not None:
                there, elsewhere = child.arrival[self.places_on[u], own], child.source[self.tensors_on[u], own] != u
                there[(there <= step.start) & step.is_called & elsewhere] = COVERED
                child.arrival[self.places_on[u], own] = there
            child.done[own] |= self.bits[i]
            child.free[u, own] = end
            for t in self.made[i]:
                child.source[t, own] = u
                for b, move in enumerate(self.tasks.moves[t][u]):
                    if (t, b) in self.place and self._link(t, u, b) < 0:
                        child.arrival[self.place[t, b], own] = end + move
        return child

    def _link(self, tensor: int, a: int, b: int) -> int:
        """The link that the tensor takes from a to b, -1 for none."""
        return self.tasks.links[a][b] if self.tasks.links and self.tasks.carried(tensor, a, b) > 0 else -1

    # One more copy

    def _with_copies(self, labels: Labels, width: int) -> Labels:
        """The labels, and those in which copies begin before the next operator."""
        fresh = labels
        while len(fresh):
            fresh = self._copied(fresh)
            if len(fresh):
                first = int(fresh.action.min())
                labels = self._narrowed(together([labels, fresh]), width)
                fresh = labels.of(labels.action >= first)
        return labels

    def _copied(self, labels: Labels) -> Labels:
        """Every copy that may begin next."""
        steps, carried = [], []
        for (t, b), place in self.place.items():
            readers = sum(1 << i for i in self.readers[t] if b in self.allowed[i])
            waits = ((readers & ~labels.done) != 0) & np.isinf(labels.arrival[place])
            for a in range(self.units):
                link = self._link(t, a, b)
                at = np.flatnonzero(waits & (labels.source[t] == a))
                if link >= 0 and len(at):
                    start = np.maximum(labels.free[self.units + link, at], labels.arrival[self.place[t, a], at])
                    steps.append(Step((self.count + t) * self.units + b, at, start))
                    ends = start + self.tasks.carried(t, a, b), start + self.tasks.moves[t][a][b]
                    carried.append((self.units + link, place, *ends))
        if not steps:
            return labels.of(np.zeros(0, np.int64))
        child, columns = self._children(labels, steps)
        for own, (link, place, end, arrival) in zip(columns, carried, strict=True):
            child.free[link, own] = end
            child.arrival[place, own] = arrival
        return self._promising(child)

    # Bounds

    def _bound(self, labels: Labels) -> Floats:
        """The least end: by chains of operators that wait for no other, and by what units have still to do."""
        waits = (labels.done & self.bits[:, None]) == 0
        size = len(labels)
        begin, left = np.full((self.units, size), inf), np.full((self.units, size), inf)
        ends: dict[tuple[int, int], Floats] = {}
        last = self.count - 1
        for i, units in enumerate(self.allowed):
            if not waits[i].any():
                continue
            for u in units:
                start = labels.free[u]
                for producer, tensor in self.tasks.inputs[i]:
                    start = np.maximum(start, self._ready(labels, ends, waits, producer, tensor, u))
                called = self._called(labels, i, u)
                if called is not None:
                    start = np.where(called, np.maximum(start, labels.free[u] + self.tasks.calls[u]), start)
                ends[i, u] = start + self.tasks.times[i][u]
                if i != last:
                    np.minimum(begin[u], start, out=begin[u], where=waits[i])
                    np.minimum(left[u], self.tails[i][u], out=left[u], where=waits[i])
        finished = labels.free[: self.units].max(axis=0)
        if not waits[last].any():
            return finished
        bound = np.where(waits[last], np.minimum.reduce([ends[last, u] for u in self.allowed[last]]), finished)
        work = self.shares @ waits.astype(float)
        for _ in range(2):
            level = (self.weights @ np.minimum(begin + left, bound) + work).max(axis=0)
            bound = np.where(waits[last], np.maximum(bound, level), bound)
        return bound

    def _ready(
        self, labels: Labels, ends: dict[tuple[int, int], Floats], waits: Floats, producer: int, tensor: int, u: int
    ) -> Floats:
        """The least time at which unit u has what it reads."""
        move = self.tasks.moves[tensor]
        sources = self.allowed[producer] if (producer, self.allowed[producer][0]) in ends else []
        arrival = self._arrival(labels, tensor, u)
        if not sources:
            return arrival
        later = ends[producer, sources[0]] + move[sources[0]][u]
        for a in sources[1:]:
            later = np.minimum(later, ends[producer, a] + move[a][u])
        return np.where(waits[producer], later, arrival)

    def _arrival(self, labels: Labels, tensor: int, u: int) -> Floats:
        """What is not copied yet arrives when its link has carried it."""
        arrival = labels.arrival[self.place[tensor, u]]
        for a in range(self.units) if self.links else ():
            link = self._link(tensor, a, u)
            if link >= 0 and (tensor, a) in self.place:
                made = np.maximum(labels.arrival[self.place[tensor, a]], labels.free[self.units + link])
                made = made + self.tasks.moves[tensor][a][u]
                arrival = np.where(labels.source[tensor] == a, np.minimum(arrival, made), arrival)
        return arrival

    # The schedule

    def _schedule(self, action: int) -> Schedule:
        actions, parents = np.concatenate(self.actions), np.concatenate(self.parents)
        units, order = [0] * self.count, []
        while action >= 0:
            what, unit = divmod(int(actions[action]), self.units)
            if what < self.count:
                units[what] = unit
            order.append(what if what < self.count else self.tasks.copying(what - self.count, unit))
            action = int(parents[action])
        return timed(self.tasks, units, order[::-1])
