"""ExecuTorch: every partitioner in turn tags the largest convex groups that its backend supports.

Source: torch/fx/passes/infra/partitioner.py, CapabilityBasedPartitioner.propose_partitions: operators from the last to
the first, each merged with the groups of its readers unless that would close a cycle.
"""

from collections.abc import Iterator, Sequence

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
            graph.renew(i)
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
        self.readers = readers
        self.members = [1 << i for i in range(len(readers))]
        """Of the group of this number, which is one of them; 0 if it is a member of another."""
        self.group_of = list(range(len(readers)))
        self.numbers, self.merged = (1 << len(readers)) - 1, 0
        """The groups, and those of two operators or more."""
        self.below = [0] * len(readers)
        """All that waits for a group, directly or not, itself left out; of a single operator, as it was renewed."""
        for i in reversed(range(len(readers))):
            self.renew(i)
        self.above = [0] * len(readers)
        for i, providers in enumerate(providers_of(readers)):
            for j in providers:
                self.above[i] |= self.above[j] | self.members[j]

    def renew(self, i: int) -> None:
        """What waits for a single operator, from what waits for its readers."""
        if self.members[i] != 1 << i:
            return
        found = 0
        for j in self.readers[i]:
            group = self.group_of[j]
            found |= self.below[group] | self.members[group]
        self.below[i] = found

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
        self.numbers &= ~(1 << b)
        self.merged = (self.merged | 1 << a) & ~(1 << b)
        for g in _bits(above & self.merged):
            self.below[g] |= both | below
        for g in _bits(below & self.numbers):
            self.above[g] |= both | above

    def groups(self) -> list[list[int]]:
        return [list(_bits(members)) for members in self.members if members]


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
