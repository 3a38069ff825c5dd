"""ONNX Runtime: providers claim in the order of their priority all that they can run, whatever time that takes.

Source: onnxruntime/core/framework/graph_partitioner.cc (providers in turn, each on what is left) and
onnxruntime/core/providers/partitioning_utils.cc, CreateSupportedPartitionNodeGroups: a group grows while supported
operators are ready; an unsupported one that reads from it waits until the group is closed.
"""

from collections import deque
from collections.abc import Sequence

from partita.partitioner.baselines.cover import Assignment, on_unit, on_units
from partita.partitioner.baselines.dependences import order_of_groups, providers_of, readers_of
from partita.partitioner.problem import Problem


def by_priority(problem: Problem, priority: Sequence[int], fallback: int) -> Assignment:
    """Units in order of priority claim groups of operators; what nobody claims runs on `fallback`."""
    readers = readers_of(problem)
    units = [fallback] * problem.operators
    groups = [[i] for i in range(problem.operators)]
    for unit in priority:
        free = {members[0] for members in groups if len(members) == 1 and units[members[0]] == fallback}
        takes = [i in free and bool(on_unit(problem, i, unit)) for i in range(problem.operators)]
        groups = _grown(readers, groups, takes)
        for members in groups:
            if takes[members[0]]:
                for i in members:
                    units[i] = unit
    return on_units(problem, units, fallback, order_of_groups(readers, groups))


def _grown(readers: Sequence[Sequence[int]], groups: Sequence[Sequence[int]], takes: Sequence[bool]) -> list[list[int]]:
    """The groups, those single ones that are taken grown together; taken operators are groups of their own before."""
    group_of = {i: g for g, members in enumerate(groups) for i in members}
    after = [sorted({group_of[j] for i in members for j in readers[i]} - {g}) for g, members in enumerate(groups)]
    waits = [len(before) for before in providers_of(after)]
    ready = deque(g for g, count in enumerate(waits) if not count)
    later: deque[int] = deque()
    result: list[list[int]] = []
    growing: list[int] = []
    border: set[int] = set()
    while ready or later:
        if not ready:
            if growing:
                result.append(sorted(growing))
            growing, border = [], set()
            ready, later = later, deque()
        g = ready.popleft()
        is_taken = takes[groups[g][0]]
        if not is_taken and g in border:
            later.append(g)
            continue
        if is_taken:
            growing += groups[g]
            border.update(after[g])
        else:
            result.append(list(groups[g]))
        for h in after[g]:
            waits[h] -= 1
            if not waits[h]:
                ready.append(h)
    return [*result, sorted(growing)] if growing else result
