"""A lower bound of the latency of one sample with subgraphs, by the blocks that lie on every path through time.

A separator is a block comparable with every other. A subgraph is convex, so it holds a stretch of separators with all
that lies between them, and must have the memory for it. Along the separators the sample passes from subgraph to
subgraph; at each passage some of what lies between two separators may belong to the one, to the other, or to others,
and both pay for the tensors that are cut. The cheapest such passage is found by elimination, the cheapest sequence of
stretches by dynamic programming. What else happens is left out, so that the result is a bound.
"""

import graphlib
import itertools
from dataclasses import dataclass
from math import inf

import numpy as np

from partita.partitioner.engines.elimination import Elimination, TooWideError
from partita.partitioner.engines.nets import Nets
from partita.partitioner.instance import Floats, Instance

BEFORE, AFTER, OTHER = 0, 1, 2
"""Where a block between two separators may be: with the one before, with the one after, or elsewhere."""
LIGHT = (0.0, 1e-5, 1e-4, 1e-3, 4e-3, 0.02)
"""Side branches are left out, from their ends, while their blocks take at most this share of all work."""
MOST_READERS = 5
"""Readers of a tensor that a passage looks at."""
NONE = -1


def separator_bound(nets: Nets, callers: list[int], free: list[int]) -> float:
    """No placement is through sooner; 0 if the groups of the instance are such that blocks say nothing."""
    if not callers or not is_simple(nets.instance):
        return 0.0
    return max(_Chain(nets, callers, free, light).bound() for light in LIGHT)


def is_simple(instance: Instance) -> bool:
    """Whether a path through blocks is a path through operators: in each group, what is read reaches what is made."""
    group_of = instance.group_of
    inside: list[list[int]] = [[] for _ in instance.operators]
    reads, makes = [False] * len(inside), [False] * len(inside)
    for producer, consumer, _ in instance.edges:
        if group_of[producer] == group_of[consumer]:
            inside[producer].append(consumer)
        else:
            reads[consumer] = makes[producer] = True
    for members in instance.groups:
        for i in members if len(members) > 1 else ():
            if reads[i]:
                reached, stack = {i}, [i]
                while stack:
                    fresh = [j for j in inside[stack.pop()] if j not in reached]
                    reached.update(fresh)
                    stack.extend(fresh)
                if any(makes[j] and j not in reached for j in members):
                    return False
    return True


def core_times(nets: Nets, free: list[int]) -> Floats:
    """Per block, the least time from what it reads to what it makes on cores, where operators run side by side."""
    instance = nets.instance
    if not free:
        return np.full(nets.blocks, inf)
    times = instance.times[:, free].min(axis=1)
    makes = {p for p, c, _ in instance.edges if instance.group_of[p] != instance.group_of[c]}
    reads = {c for p, c, _ in instance.edges if instance.group_of[p] != instance.group_of[c]}
    found = []
    for members in instance.groups:
        gates = [i for i in members if i in makes] or [i for i in members if i in reads] or list(members)
        found.append(float(min(times[i] for i in gates)) if np.isfinite(times[list(members)]).all() else inf)
    return np.array(found)


@dataclass
class _Chain:
    """Separators along the order of the blocks that matter, and the sums between them."""

    nets: Nets
    callers: list[int]
    free: list[int]
    light: float

    def __post_init__(self) -> None:
        nets = self.nets
        self.caller = np.array(nets.times[:, self.callers].min(axis=1))
        self.core = core_times(nets, self.free)
        self.quick = np.minimum(self.caller, self.core)
        self.room = max(self.nets.instance.units[u].memory for u in self.callers)
        self.kept = self._peeled(self.light * float(self.quick.sum()))
        self.before, self.order = self._ancestors()
        count = len(self.order)
        after_count = [0] * count
        for row in self.before:
            for p in range(count):
                after_count[p] += row >> p & 1
        whole = [p for p in range(count) if self.before[p].bit_count() + after_count[p] == count - 1]
        self.cuts = [NONE, *whole, count]
        self.place = {self.order[p]: k for k, p in enumerate(self.cuts[1:-1], 1)}
        self.is_kept = set(self.order)

    def _peeled(self, light: float) -> list[int]:
        """The blocks that are left when light ones that read nothing, or are read by none, go one after the other."""
        nets = self.nets
        makes: list[set[int]] = [set() for _ in range(nets.blocks)]
        reads: list[set[int]] = [set() for _ in range(nets.blocks)]
        for net, producer in enumerate(nets.producers):
            makes[producer].update(nets.consumers[net])
            for consumer in nets.consumers[net]:
                reads[consumer].add(producer)
        gone = [False] * nets.blocks
        stack = list(range(nets.blocks))
        while stack:
            b = stack.pop()
            if gone[b] or self.quick[b] > light or (makes[b] and reads[b]):
                continue
            gone[b] = True
            for others, own in ((makes, reads), (reads, makes)):
                for other in others[b]:
                    own[other].discard(b)
                    stack.append(other)
        return [b for b in range(nets.blocks) if not gone[b]]

    def _ancestors(self) -> tuple[list[int], list[int]]:
        """Per place in a topological order of the kept blocks, the places before it as bits; and that order."""
        kept = set(self.kept)
        reads: dict[int, set[int]] = {b: set() for b in self.kept}
        for net, producer in enumerate(self.nets.producers):
            for consumer in kept.intersection(self.nets.consumers[net]) if producer in kept else ():
                reads[consumer].add(producer)
        try:
            order = list(graphlib.TopologicalSorter(reads).static_order())
        except graphlib.CycleError:
            return [], []
        place = {b: p for p, b in enumerate(order)}
        before = [0] * len(order)
        for b in order:
            for producer in reads[b]:
                before[place[b]] |= before[place[producer]] | (1 << place[producer])
        return before, order

    def bound(self) -> float:
        """The cheapest sequence of stretches and single blocks along the separators."""
        order, cuts = self.order, self.cuts
        if not order:
            return 0.0
        times = self.caller[order]
        load = np.concatenate([[0.0], np.cumsum(np.where(np.isinf(times), 0.0, times))])
        barred = np.concatenate([[0], np.cumsum(np.isinf(times))])
        memory = np.concatenate([[0.0], np.cumsum(self.nets.memory[order])])
        count = len(cuts)
        calls = len(self.callers) + 1
        on_call, on_core = np.full((count, calls), inf), np.full((count, calls), inf)
        on_core[0, 0] = 0.0
        begun = np.full((count, calls), inf)  # a stretch begins with this separator
        cut = self._cut_by_stretches()
        for j in range(1, count):
            gap = self._passages(j - 1, is_last=j == count - 1)
            core = np.minimum(on_call[j - 1] + gap[True, False], on_core[j - 1] + gap[False, False])
            on_core[j] = core + (self.core[order[cuts[j]]] if j < count - 1 else 0.0)
            if j == count - 1:
                return float(on_core[j].min())
            entered = np.minimum(on_call[j - 1] + gap[True, True], on_core[j - 1] + gap[False, True])
            begun[j, 1:] = entered[:-1]
            low = np.array([cuts[i] for i in range(1, j + 1)])
            held = memory[cuts[j] + 1] - memory[low]
            runs = (held <= self.room * (1 + 1e-12)) & (barred[cuts[j] + 1] == barred[low])
            spent = np.where(runs, load[cuts[j] + 1] - load[low], inf)
            on_call[j] = (begun[1 : j + 1] + (spent + cut[1 : j + 1, j])[:, None]).min(axis=0)
        return 0.0

    def _cut_by_stretches(self) -> Floats:
        """[i, j]: what a subgraph from separator i to j pays for nets whose pins are all separators."""
        place = self.place
        cut = np.zeros((len(self.cuts), len(self.cuts)))
        for net, producer in enumerate(self.nets.producers):
            if not self._is_among_separators(net):
                continue
            made, read = place[producer], sorted(place[c] for c in self.nets.consumers[net] if c in place)
            cut[1 : made + 1, made : read[-1]] += min(self.nets.send[net][u] for u in self.callers)
            received = self._received(net)
            for before, at in itertools.pairwise([made, *read]):
                cut[before + 1 : at + 1, at:] += received
        return cut

    def _is_among_separators(self, net: int) -> bool:
        """Whether the producer is a separator, and so are the readers that matter, of which there are some."""
        readers = [c for c in self.nets.consumers[net] if c in self.is_kept]
        return self.nets.producers[net] in self.place and bool(readers) and all(c in self.place for c in readers)

    def _passages(self, k: int, *, is_last: bool) -> dict[tuple[bool, bool], float]:
        """[separator k is in a subgraph, the next one is in another]: the least that passing on adds."""
        kinds = [(a, b) for a in (True, False) for b in (True, False)]
        return {(a, b): inf if (a and k == 0) or (b and is_last) else self._passage(k, a, b) for a, b in kinds}

    def _passage(self, k: int, is_call: bool, is_next_call: bool) -> float:
        first, last = self.cuts[k], self.cuts[k + 1]
        inner = self.order[first + 1 : last]
        ends = {self.order[first]: BEFORE} if first >= 0 else {}
        if last < len(self.order):
            ends[self.order[last]] = AFTER
        variable_of = {b: v for v, b in enumerate(inner)}
        problem = Elimination([3] * len(inner))
        on_path = self._longest_path(first, last)
        for b, v in variable_of.items():
            costs = [self.caller[b] if is_call else inf, self.caller[b] if is_next_call else inf, 0.0]
            costs[OTHER] = float(self.quick[b]) if b in on_path else 0.0
            problem.add((v,), np.array(costs))
        constant = 0.0
        for net in sorted({j for b in (*inner, *list(ends)[:1]) for j in self.nets.nets_of[b]}):
            constant += self._add_net(problem, net, variable_of, ends, (is_call, is_next_call))
        try:
            return constant + problem.solve()[1]
        except TooWideError:
            return constant

    def _add_net(
        self,
        problem: Elimination,
        net: int,
        variable_of: dict[int, int],
        ends: dict[int, int],
        is_call: tuple[bool, bool],
    ) -> float:
        """Both sides pay for what is cut; along an edge nothing goes back. What is fixed is returned."""
        producer = self.nets.producers[net]
        if producer not in variable_of and (ends.get(producer) != BEFORE or self._is_among_separators(net)):
            return 0.0
        readers = [c for c in self.nets.consumers[net] if c in variable_of or c in ends][:MOST_READERS]
        if not readers:
            return 0.0
        send = min(self.nets.send[net][u] for u in self.callers) if is_call[0] else 0.0
        received = self._received(net) if is_call[1] else 0.0
        pins = [producer, *readers]
        axes = np.meshgrid(*[[ends[b]] if b in ends else [0, 1, 2] for b in pins], indexing="ij", sparse=True)
        made, read = axes[0], axes[1:]
        table = np.zeros(np.broadcast_shapes(*[axis.shape for axis in axes]))
        some_elsewhere = sum(((axis != BEFORE).astype(int) for axis in read), np.zeros((), int)) > 0
        some_after = sum(((axis == AFTER).astype(int) for axis in read), np.zeros((), int)) > 0
        table += np.where((made == BEFORE) & some_elsewhere, send, 0.0)
        table += np.where((made != AFTER) & some_after, received, 0.0)
        rank = np.array([0, 2, 1])
        for axis in read:
            table += np.where(rank[made] > rank[axis], inf, 0.0)
        free = [place for place, b in enumerate(pins) if b in variable_of]
        table = table.reshape([table.shape[place] for place in free])
        if not free:
            return float(table)
        variables = [variable_of[pins[place]] for place in free]
        by_number = sorted(range(len(variables)), key=lambda place: variables[place])
        problem.add(tuple(variables[place] for place in by_number), np.transpose(table, by_number))
        return 0.0

    def _received(self, net: int) -> float:
        """The least that a subgraph pays for a tensor from outside."""
        rows = enumerate(self.nets.receive[net])
        return min((row[u] for a, row in rows for u in self.callers if a != u), default=0.0)

    def _longest_path(self, first: int, last: int) -> set[int]:
        """The blocks of a longest path strictly between two separators."""
        best: dict[int, tuple[float, int]] = {}
        inner = range(first + 1, last)
        for p in inner:
            reached = max(((best[q][0], q) for q in inner if q < p and self.before[p] >> q & 1), default=(0.0, NONE))
            best[p] = (reached[0] + float(self.quick[self.order[p]]), reached[1])
        found: set[int] = set()
        at = max(best, key=lambda p: best[p][0], default=NONE)
        while at != NONE:
            found.add(self.order[at])
            at = best[at][1]
        return found
