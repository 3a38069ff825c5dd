"""Operators that are comparable with every other: whatever the order, all before them come first."""


def comparable(producers: list[list[int]]) -> list[int]:
    """Those of operators 0..n-1, in a topological order, that every other one reaches or is reached from.

    `producers[i]` are the operators that i reads, all below i.
    """
    count = len(producers)
    before, after = [0] * count, [0] * count
    for i, read in enumerate(producers):
        for producer in read:
            before[i] |= before[producer] | (1 << producer)
    for i in range(count - 1, -1, -1):
        for producer in producers[i]:
            after[producer] |= after[i] | (1 << i)
    return [i for i in range(count) if before[i].bit_count() + after[i].bit_count() == count - 1]
