"""ExecuTorch: every partitioner in turn tags the largest convex groups that its backend supports.

Source: torch/fx/passes/infra/partitioner.py, CapabilityBasedPartitioner.propose_partitions: operators from the last to
the first, each merged with the groups of its readers unless that would close a cycle.
"""

from collections.abc import Sequence

from partita.partitioner.baselines.cover import Assignment, on_unit, on_units
from partita.partitioner.baselines.dependences import order_of_groups, providers_of, readers_of
from partita.partitioner.problem import Problem


def convex_groups(problem: Problem, priority: Sequence[int], fallback: int) -> Assignment:
    """Units in order of priority take convex groups of operators; what nobody takes runs on `fallback`."""
    if priority and all(on_unit(problem, i, priority[0]) for i in range(problem.operators)):
        return on_units(problem, [priority[0]] * problem.operators, fallback)
    readers = readers_of(problem)
    graph = _Quotient(readers)
    units = [fallback] * problem.operators
    for unit in priority:
        for i in reversed(range(problem.operators)):
            if units[i] != fallback or not on_unit(problem, i, unit):
                continue
            units[i] = unit
            for j in readers[i]:
                if units[j] == unit:
                    graph.merge(i, j)
    return on_units(problem, units, fallback, order_of_groups(readers, graph.groups()))


class _Quotient:
    """Groups of operators; two are merged unless that closes a cycle. Sets of operators are bits of an integer."""

    def __init__(self, readers: Sequence[Sequence[int]]) -> None:
        self.members = [1 << i for i in range(len(readers))]
        self.group_of = list(range(len(readers)))
        self.below = [0] * len(readers)
        """All that waits for a group, directly or not, itself left out."""
        for i in reversed(range(len(readers))):
            for j in readers[i]:
                self.below[i] |= self.below[j] | self.members[j]
        self.above = [0] * len(readers)
        for i, providers in enumerate(providers_of(readers)):
            for j in providers:
                self.above[i] |= self.above[j] | self.members[j]

    def merge(self, i: int, j: int) -> None:
        """Merges the groups of two operators, if no way leads from one through a third to the other."""
        a, b = self.group_of[i], self.group_of[j]
        both = self.members[a] | self.members[b]
        below, above = (self.below[a] | self.below[b]) & ~both, (self.above[a] | self.above[b]) & ~both
        if a == b or below & above:
            return
        self.members[a], self.below[a], self.above[a] = both, below, above
        for k in _bits(self.members[b]):
            self.group_of[k] = a
        self.members[b] = 0
        for g in {self.group_of[k] for k in _bits(above)}:
            self.below[g] |= both | below
        for g in {self.group_of[k] for k in _bits(below)}:
            self.above[g] |= both | above

    def groups(self) -> list[list[int]]:
        return [list(_bits(members)) for members in self.members if members]


def _bits(number: int) -> list[int]:
    return [i for i, bit in enumerate(reversed(bin(number))) if bit == "1"]
