"""Who waits for whom, in plain numbers."""

import heapq
from collections.abc import Iterable, Sequence

from partita.partitioner.problem import HOST, Problem


def readers_of(problem: Problem) -> list[list[int]]:
    """Per operator, the operators that read what it makes, ascending."""
    found: list[set[int]] = [set() for _ in range(problem.operators)]
    for tensor in problem.tensors:
        if tensor.producer != HOST:
            found[tensor.producer].update(i for i in tensor.consumers if i != HOST)
    return [sorted(readers) for readers in found]


def providers_of(readers: Sequence[Iterable[int]]) -> list[list[int]]:
    """Per operator, those that it waits for, ascending."""
    found: list[list[int]] = [[] for _ in readers]
    for i, there in enumerate(readers):
        for j in there:
            found[j].append(i)
    return found


def order_of_groups(readers: Sequence[Sequence[int]], groups: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The operators, each group in one stretch: ready groups run in the order of their first operator.

    The quotient by the groups must have no cycle.
    """
    group_of = {i: g for g, members in enumerate(groups) for i in members}
    after: list[set[int]] = [set() for _ in groups]
    for i, there in enumerate(readers):
        after[group_of[i]].update(group_of[j] for j in there if group_of[j] != group_of[i])
    waits = [0] * len(groups)
    for g in (g for later in after for g in later):
        waits[g] += 1
    ready = [(min(groups[g]), g) for g, count in enumerate(waits) if not count]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        _, g = heapq.heappop(ready)
        order += sorted(groups[g])
        for later in sorted(after[g]):
            waits[later] -= 1
            if not waits[later]:
                heapq.heappush(ready, (min(groups[later]), later))
    return tuple(order)
