"""One entrance to all engines."""

from collections.abc import Callable

from partita.errors import ProblemError
from partita.partitioner.engines import free_order, makespan, subgraph_latency, sums, throughput
from partita.partitioner.engines.outcome import Limits, Outcome
from partita.partitioner.instance import Instance

OBJECTIVES = ("throughput", "latency", "makespan", "sum")


def solve(instance: Instance, objective: str, limits: Limits, *, order_is_free: bool = False) -> Outcome:
    """The best placement found for one of OBJECTIVES, and what is proven about it.

    Where operators take turns, they do so in the instance's order, unless it is free.

    Raises ProblemError if no placement exists or none was found in time.
    """
    if not instance.operators:
        return Outcome((), 0.0, 0.0, "optimal", "nothing to place")
    engine = _engine(instance, objective)
    if instance.links and engine in (throughput.solve, subgraph_latency.solve):
        raise ProblemError(f"{objective} knows no links, only makespan does (and sum, where nothing waits for them)")
    if engine is sums.solve and order_is_free and any(unit.call for unit in instance.units):
        engine = free_order.solve
    return engine(instance, limits)


def _engine(instance: Instance, objective: str) -> Callable[[Instance, Limits], Outcome]:
    if objective == "throughput":
        return throughput.solve
    if objective == "makespan":
        return makespan.solve
    if objective == "sum":
        return sums.solve
    if objective == "latency":
        return subgraph_latency.solve if any(u.subgraphs is not None for u in instance.units) else sums.solve
    raise ProblemError(f"there is no objective {objective!r}; there are {', '.join(OBJECTIVES)}")
