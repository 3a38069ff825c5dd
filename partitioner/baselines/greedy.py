"""Step by step in the order of execution: each operator where it and the way there cost least at that moment.

What Core ML does is not published; that it weighs a cost for each operator and device is: MLComputePlan tells for
every operation an estimated cost, and a preferred and the supported devices (Apple, Core ML documentation,
MLComputePlan, 2024). This is the plainest rule of that kind, so it is named after Core ML but is no copy of it.
"""

from partita.partitioner.baselines.cover import Assignment, singles
from partita.partitioner.problem import HOST, Problem, Tensor


def greedy(problem: Problem) -> Assignment:
    """Each operator where its time, the call that it begins and the transfers that it still needs are least."""
    single = singles(problem)
    read_by: list[list[Tensor]] = [[] for _ in range(problem.operators)]
    for tensor in problem.tensors:
        for i in tensor.consumers:
            if i != HOST:
                read_by[i].append(tensor)
    location: list[int] = []
    lies: dict[int, set[int]] = {}
    floor: int | None = None
    for i in range(problem.operators):
        costs: dict[int, float] = {}
        for a, (cost_us, _) in single[i].items():
            unit = problem.unit_of_location[a]
            call_us = 0.0 if unit == floor else problem.call_us[unit]
            costs[a] = cost_us + call_us + sum(_way_us(problem, t, a, location, lies) for t in read_by[i])
        location.append(min(costs, key=lambda a: (costs[a], a)) if costs else problem.locations_of[i][0])
        floor = problem.unit_of_location[location[i]]
        for tensor in read_by[i]:
            lies.setdefault(id(tensor), set()).add(location[i])
    return Assignment(tuple((a,) for a in location))


def _way_us(problem: Problem, tensor: Tensor, target: int, location: list[int], lies: dict[int, set[int]]) -> float:
    source = problem.host if tensor.producer == HOST else location[tensor.producer]
    if target == source or target in lies.get(id(tensor), ()):
        return 0.0
    return tensor.transfer_us[source][target]
