"""The fastest unit for each operator, boundaries forgotten: what reading a table of kernel times suggests."""

from partita.partitioner.baselines.cover import Assignment, singles
from partita.partitioner.problem import Problem


def fastest(problem: Problem) -> Assignment:
    """Each operator where its own kernel is fastest."""
    wanted = [
        (min(times, key=lambda a: (times[a][0], a)),) if times else problem.locations_of[i]
        for i, times in enumerate(singles(problem))
    ]
    return Assignment(tuple(wanted))
