"""LiteRT (TensorFlow Lite): the delegate gets the partition with the most operators, whatever time that takes.

Source: tensorflow/lite/graph_info.cc, PartitionGraphIntoIndependentNodeSubsets (epochs), and
tensorflow/lite/delegates/utils.cc, GraphPartitionHelper::GetFirstNLargestPartitions, which counts operators; the GPU
delegate's `max_delegated_partitions` is 1 by default.
"""

from partita.partitioner.baselines.cover import Assignment, on_unit, on_units
from partita.partitioner.baselines.dependences import providers_of, readers_of
from partita.partitioner.problem import Problem

LEAST_NODES = 1
"""Operators that a partition must have; the GPU delegate asks for no more."""


def largest_partition(
    problem: Problem, unit: int, fallback: int, most_partitions: int | None = 1, least_nodes: int = LEAST_NODES
) -> Assignment:
    """The `most_partitions` largest epochs of the unit's operators run there, all others on `fallback`.

    None takes all epochs. Each that is taken has at least `least_nodes` operators. An epoch takes the kind, delegated
    or not, of the first operator that is ready, and then all that are or become ready of that kind.
    """
    takes = [bool(on_unit(problem, i, unit)) for i in range(problem.operators)]
    epochs = epochs_of(problem, takes)
    delegated = [epoch for epoch in epochs if takes[epoch[0]] and len(epoch) >= least_nodes]
    largest = sorted(delegated, key=lambda epoch: (-len(epoch), epoch[0]))[:most_partitions]
    chosen = {i for epoch in largest for i in epoch}
    units = [unit if i in chosen else fallback for i in range(problem.operators)]
    return on_units(problem, units, fallback, tuple(i for epoch in epochs for i in epoch))


def epochs_of(problem: Problem, takes: list[bool]) -> list[list[int]]:
    """The operators in epochs of one kind, in the order in which they run."""
    readers = readers_of(problem)
    waits = [len(providers) for providers in providers_of(readers)]
    ready = {kind: [i for i, count in enumerate(waits) if not count and takes[i] == kind] for kind in (False, True)}
    epochs: list[list[int]] = []
    while ready[False] or ready[True]:
        kind = min((queue[0], kind) for kind, queue in ready.items() if queue)[1]
        epoch: list[int] = []
        while ready[kind]:
            i = ready[kind].pop(0)
            epoch.append(i)
            for j in readers[i]:
                waits[j] -= 1
                if not waits[j]:
                    ready[takes[j]] = sorted([*ready[takes[j]], j])
        epochs.append(epoch)
    return epochs
