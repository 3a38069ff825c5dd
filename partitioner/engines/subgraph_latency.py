"""Latency of one sample where each accelerator runs one subgraph as one indivisible call, and processor cores are many.

The model of "Efficient Algorithms for Device Placement of DNN Graph Operators" (NeurIPS 2020), section on latency: a
subgraph starts when everything it reads from outside is made, then receives, computes and sends without overlap.
Operators on units without subgraphs start as soon as what they read is made.
"""

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from partita.errors import ProblemError
from partita.partitioner.engines.ideal_splits import ideals_of, serial_split
from partita.partitioner.engines.nets import Nets, nets_of
from partita.partitioner.engines.order_splits import stretch_loads
from partita.partitioner.engines.outcome import NOISE, Limits, Outcome, relative_gap, status_of
from partita.partitioner.engines.path_bound import path_bound
from partita.partitioner.engines.subgraph_bound import core_times, is_simple, separator_bound
from partita.partitioner.instance import Floats, Instance

SOLVER = "stretches of topological orders, then moves of single blocks; bound by separators and a path"
MOST_IDEALS = 1500
"""Sets of blocks beyond which only some orders are cut."""
FIRST_ORDERS, ORDERS = 4, 40
"""Orders that are cut before anything is proven, and in all."""
LARGEST = 3000
MOST_MOVES = 4000


def solve(instance: Instance, limits: Limits) -> Outcome:
    """The placement of least latency found, with a bound. Raises ProblemError if none fits the memory."""
    deadline = time.perf_counter() + limits.least_s
    model, chance = LatencyModel(instance), random.Random(0)
    found = _by_ideals(model) or _candidates(model, chance, range(FIRST_ORDERS), deadline)
    best = _best(model, [*found, model.all_free()], None)
    least = model.latency(best) if best is not None else inf
    bound = max(model.longest_path(), separator_bound(model.nets, model.callers, model.free) * (1 - NOISE))

    def is_open() -> bool:
        return relative_gap(least, bound) > max(limits.gap, NOISE)

    if best is not None and is_open():
        best, least = _improved(model, best, deadline)
    if is_open():
        bound = max(bound, _bound_by_path(model))
    if best is None or is_open():
        best = _best(model, _candidates(model, chance, range(FIRST_ORDERS, ORDERS), deadline), best)
        if best is None:
            raise ProblemError("no placement was found whose subgraphs fit the accelerators' memory")
        best, least = _improved(model, best, deadline)
    starts, ends = model.schedule(best)
    return Outcome(
        choice=model.nets.choice(best),
        objective=least,
        bound=min(bound, least),
        status=status_of(least, bound, limits, in_time=time.perf_counter() <= deadline),
        solver=SOLVER,
        log=(f"latency {least:g}, longest path {model.longest_path():g}, bound {bound:g}",),
        starts=tuple(starts),
        ends=tuple(ends),
    )


def _best(model: "LatencyModel", found: Iterable[list[int] | None], best: list[int] | None) -> list[int] | None:
    """The placement of least latency, of those found and the best so far; None if none fits."""
    least = model.latency(best) if best is not None else inf
    for unit_of in found:
        if unit_of is not None and model.latency(unit_of) < least:
            best, least = unit_of, model.latency(unit_of)
    return best


def _by_ideals(model: "LatencyModel") -> list[list[int] | None]:
    """The best sequence of calls over all orders, if the network is narrow."""
    ideals = ideals_of(model.before, MOST_IDEALS) if model.callers else None
    return [] if ideals is None else [serial_split(model.nets, model.callers, model.free, ideals)]


def _bound_by_path(model: "LatencyModel") -> float:
    """The closest of the bounds, and the slowest, where it applies."""
    nets, callers, free = model.nets, model.callers, model.free
    order = _topological(model, random.Random(0), 0.0, False)
    if not is_simple(model.instance) or len(order) < nets.blocks:
        return 0.0
    return path_bound(nets, callers, core_times(nets, free), order) * (1 - NOISE)


@dataclass
class LatencyModel:
    """The latency of a placement, block by block."""

    instance: Instance

    def __post_init__(self) -> None:
        instance = self.instance
        self.nets: Nets = nets_of(instance)
        self.group_of = instance.group_of
        self.callers = [u for u, unit in enumerate(instance.units) if unit.subgraphs is not None]
        self.free = [u for u, unit in enumerate(instance.units) if unit.subgraphs is None]
        count = len(instance.operators)
        self.made: list[list[int]] = [[] for _ in range(count)]
        self.reads: list[list[int]] = [[] for _ in range(count)]
        for number, tensor in enumerate(instance.tensors):
            self.made[tensor.producer].append(number)
            for consumer in tensor.consumers:
                self.reads[consumer].append(number)
        blocks = self.nets.blocks
        self.before: list[set[int]] = [set() for _ in range(blocks)]
        for producer, consumer, _ in instance.edges:
            if self.group_of[producer] != self.group_of[consumer]:
                self.before[self.group_of[consumer]].add(self.group_of[producer])
        self.moves = [move.tolist() for move in instance.moves]

    def longest_path(self) -> float:
        """No sample is through sooner than its longest path, every operator on its quickest unit."""
        end = [0.0] * len(self.instance.operators)
        quickest = self.instance.times.min(axis=1)
        for i in self.instance.order:
            end[i] = float(quickest[i]) + max(
                (end[self.instance.tensors[t].producer] for t in self.reads[i]), default=0.0
            )
        return max(end, default=0.0)

    def all_free(self) -> list[int] | None:
        """Everything on the processor cores, if they can run it."""
        if not self.free:
            return None
        quickest = np.array(self.free)[self.nets.times[:, self.free].argmin(axis=1)]
        return [int(u) for u in quickest] if np.isfinite(self.nets.times[:, self.free]).any(axis=1).all() else None

    def latency(self, unit_of: Sequence[int]) -> float:
        """Of a placement of blocks; infinite if a subgraph waits for itself or does not fit."""
        if not self.nets.fits(unit_of):
            return inf
        ends = self.schedule(unit_of)[1]
        return max(ends, default=0.0)

    def schedule(self, unit_of: Sequence[int]) -> tuple[list[float], list[float]]:
        """Per operator, start and end; an accelerator's operators share those of its subgraph. Infinite on a cycle."""
        instance, tensors = self.instance, self.instance.tensors
        count = len(instance.operators)
        unit = [unit_of[group] for group in self.group_of]
        is_caller = [instance.units[u].subgraphs is not None for u in range(len(instance.units))]
        task = [count + unit[i] if is_caller[unit[i]] else i for i in range(count)]
        length = dict.fromkeys(task, 0.0)
        after: dict[int, set[int]] = {t: set() for t in task}
        waiting = dict.fromkeys(task, 0)
        for i in range(count):
            length[task[i]] += float(instance.times[i, unit[i]])
        for number, tensor in enumerate(tensors):
            source = tensor.producer
            targets = {task[c] for c in tensor.consumers} - {task[source]}
            if not targets:
                continue
            if task[source] >= count and tensor.send:
                length[task[source]] += tensor.send[unit[source]]
            for target in targets:
                if target >= count:
                    received = self.moves[number][unit[source]][target - count]
                    length[target] += received - (tensor.send[unit[source]] if tensor.send else 0.0)
                if target not in after[task[source]]:
                    after[task[source]].add(target)
                    waiting[target] += 1
        start, end = _run(length, after, waiting)
        return [start[t] for t in task], [end[t] for t in task]


def _run(
    length: dict[int, float], after: dict[int, set[int]], waiting: dict[int, int]
) -> tuple[dict[int, float], dict[int, float]]:
    """Start and end of tasks that begin as soon as those before them have ended."""
    start, end = dict.fromkeys(length, 0.0), dict.fromkeys(length, inf)
    ready = [task for task, left in waiting.items() if not left]
    while ready:
        task = ready.pop()
        end[task] = start[task] + length[task]
        for target in after[task]:
            start[target] = max(start[target], end[task])
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return start, end


def _candidates(
    model: "LatencyModel", chance: random.Random, numbers: Iterable[int], deadline: float
) -> list[list[int] | None]:
    """Random topological orders of the blocks, each cut into stretches in the best way if nothing overlapped."""
    if not model.callers or model.nets.blocks > LARGEST:
        return []
    found: dict[tuple[int, ...], None] = {}
    for number in numbers:
        order = _topological(model, chance, 0.0 if not number else chance.choice([0.3, 1.0, 3.0]), bool(number % 2))
        if len(order) == model.nets.blocks:
            found[tuple(_serial_cut(model, order))] = None
        if time.perf_counter() > deadline:
            break
    return [list(unit_of) for unit_of in found if -1 not in unit_of]


def _topological(model: LatencyModel, chance: random.Random, noise: float, by_cost: bool) -> list[int]:
    """The ready block first that leaves the least open: the fewest nets, or the cheapest."""
    nets = model.nets
    pins = [1 + len(consumers) for consumers in nets.consumers]
    cost = [max((max(row) for row in nets.receive[j]), default=0.0) if by_cost else 1.0 for j in range(len(pins))]
    noise *= float(np.median(cost)) if cost else 0.0
    seen = [0] * len(pins)
    waiting = [len(before) for before in model.before]
    after: list[list[int]] = [[] for _ in waiting]
    for block, before in enumerate(model.before):
        for earlier in sorted(before):
            after[earlier].append(block)
    ready = [b for b, left in enumerate(waiting) if not left]
    order: list[int] = []

    def opened(block: int) -> float:
        change = sum(cost[j] * ((seen[j] == 0) - (seen[j] + 1 == pins[j])) for j in nets.nets_of[block])
        return change + noise * chance.random()

    while ready:
        block = min(ready, key=lambda b: (opened(b), b))
        ready.remove(block)
        order.append(block)
        for j in nets.nets_of[block]:
            seen[j] += 1
        for later in after[block]:
            waiting[later] -= 1
            if not waiting[later]:
                ready.append(later)
    return order


def _serial_cut(model: LatencyModel, order: list[int]) -> list[int]:
    """Stretches on accelerators and single blocks on processor cores, for the least sum; -1 where none fits."""
    nets, count = model.nets, model.nets.blocks
    kinds = sorted({model.instance.alike[u] for u in model.callers})
    loads = {kind: stretch_loads(nets, kind, order) for kind in kinds}
    alone = nets.times[order][:, model.free].min(axis=1) if model.free else np.full(count, inf)
    best: list[Floats] = []
    links: list[list[tuple[int, int]]] = []
    for used in range(len(model.callers) + 1):
        least, link = np.full(count + 1, inf), [(-1, 0)] * (count + 1)
        if not used:
            least[0] = 0.0
        else:
            kind = model.instance.alike[model.callers[used - 1]]
            reached = best[used - 1][:, None] + loads[kind]
            at = reached.argmin(axis=0)
            least = reached[at, np.arange(count + 1)]
            link = [(1, int(begin)) for begin in at]
        for end in range(1, count + 1):
            if least[end - 1] + alone[end - 1] < least[end]:
                least[end], link[end] = least[end - 1] + alone[end - 1], (0, end - 1)
        best.append(least)
        links.append(link)
    unit_of = [-1] * count
    end, used = count, int(np.argmin([least[count] for least in best]))
    while end > 0:
        is_stretch, begin = links[used][end]
        if is_stretch < 0:
            break
        for position in range(begin, end):
            block = order[position]
            cores = nets.times[block, model.free] if model.free else np.zeros(0)
            unit_of[block] = model.callers[used - 1] if is_stretch else model.free[int(cores.argmin())]
        end, used = begin, used - is_stretch
    return unit_of


def _improved(model: LatencyModel, unit_of: list[int], deadline: float) -> tuple[list[int], float]:
    """Move single blocks to a neighbour's unit, or to the cores, while that helps."""
    nets, best, least = model.nets, list(unit_of), model.latency(unit_of)
    tries, is_better = 0, True
    while is_better:
        is_better = False
        for block in range(nets.blocks):
            near = {b for j in nets.nets_of[block] for b in (nets.producers[j], *nets.consumers[j])}
            targets = ({best[b] for b in near} | set(model.free[:1])) - {best[block]}
            for target in sorted(targets):
                if tries >= MOST_MOVES or time.perf_counter() > deadline:
                    return best, least
                if nets.times[block, target] == inf:
                    continue
                tries += 1
                trial = [*best[:block], target, *best[block + 1 :]]
                latency = model.latency(trial)
                if latency < least * (1 - 1e-12):
                    best, least, is_better = trial, latency, True
    return best, least
