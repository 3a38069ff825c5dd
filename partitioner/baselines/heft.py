"""HEFT: operators by upward rank, each where it finishes earliest while units work side by side.

Source: Topcuoglu, Hariri and Wu, "Performance-Effective and Low-Complexity Task Scheduling for Heterogeneous
Computing", IEEE TPDS 13 (2002), section 4.1, with insertion.
"""

from bisect import bisect_left, insort
from itertools import islice

from partita.partitioner.baselines.cover import Assignment, singles
from partita.partitioner.baselines.dependences import readers_of
from partita.partitioner.problem import HOST, Problem, Tensor

Busy = list[tuple[float, float]]
"""Start and end of what a unit does, ascending."""


def heft(problem: Problem, host: int) -> Assignment | None:
    """None if an operator can run only inside a fusion, which the rule knows nothing of."""
    single = singles(problem)
    if not all(single):
        return None
    ranks = _upward_ranks(problem, single)
    read_by: list[list[Tensor]] = [[] for _ in range(problem.operators)]
    for tensor in problem.tensors:
        for i in tensor.consumers:
            if i != HOST:
                read_by[i].append(tensor)
    order = sorted(range(problem.operators), key=lambda i: (-ranks[i], i))
    busy: list[Busy] = [[] for _ in problem.call_us]
    location, start_us, end_us = [0] * problem.operators, [0.0] * problem.operators, [0.0] * problem.operators
    for i in order:
        best: tuple[float, float, int] | None = None
        for a, (cost_us, _) in sorted(single[i].items()):
            ready_us = max((_arrival_us(problem, t, a, location, end_us) for t in read_by[i]), default=0.0)
            start = _slot_us(busy[problem.unit_of_location[a]], ready_us, cost_us)
            best = min(best or (start + cost_us, start, a), (start + cost_us, start, a))
        assert best is not None, "every operator can run somewhere"
        end_us[i], start_us[i], location[i] = best
        insort(busy[problem.unit_of_location[location[i]]], (start_us[i], end_us[i]))
    position = {i: k for k, i in enumerate(order)}
    in_time = tuple(sorted(order, key=lambda i: (start_us[i], position[i])))
    is_order = _is_order(problem, in_time)
    return Assignment(tuple((a,) for a in location), in_time if is_order else tuple(order))


def _is_order(problem: Problem, order: tuple[int, ...]) -> bool:
    """Whether providers come before readers, which operators of no time could upset."""
    position = {i: k for k, i in enumerate(order)}
    return all(position[i] < position[j] for i, readers in enumerate(readers_of(problem)) for j in readers)


def _upward_ranks(problem: Problem, single: list[dict[int, tuple[float, int]]]) -> list[float]:
    """Mean time of an operator and of the longest way from it to an end, transfers at their mean."""
    moves: dict[tuple[int, int], float] = {}
    for tensor in problem.tensors:
        table = tensor.transfer_us
        mean_us = sum(map(sum, table)) / max(1, len(table) ** 2)
        for reader in tensor.consumers:
            key = (tensor.producer, reader)
            moves[key] = max(moves.get(key, 0.0), mean_us)
    ranks = [0.0] * problem.operators
    readers = readers_of(problem)
    for i in reversed(range(problem.operators)):
        mean_us = sum(us for us, _ in single[i].values()) / len(single[i])
        ranks[i] = mean_us + max((moves[i, j] + ranks[j] for j in readers[i]), default=0.0)
    return ranks


def _arrival_us(problem: Problem, tensor: Tensor, target: int, location: list[int], end_us: list[float]) -> float:
    if tensor.producer == HOST:
        return tensor.transfer_us[problem.host][target]
    return end_us[tensor.producer] + tensor.transfer_us[location[tensor.producer]][target]


def _slot_us(busy: Busy, ready_us: float, cost_us: float) -> float:
    """The first gap that is long enough."""
    free_us = ready_us
    first = max(0, bisect_left(busy, (ready_us, 0.0)) - 1)  # what ends before that leaves no gap that is of use
    for start, end in islice(busy, first, None):
        if free_us + cost_us <= start:
            return free_us
        free_us = max(free_us, end)
    return free_us
