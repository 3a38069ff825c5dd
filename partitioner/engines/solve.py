"""One entrance to all engines."""

from collections.abc import Callable
from importlib import import_module

from partita.errors import ProblemError
from partita.partitioner.engines.outcome import Limits, Outcome
from partita.partitioner.instance import Instance

Engine = Callable[[Instance, Limits], Outcome]
ROUGH = 0.01
"""Gap of what is searched in rounds and seldom proven exactly."""
OBJECTIVES = ("throughput", "latency", "makespan", "sum")


def solve(instance: Instance, objective: str, limits: Limits, *, order_is_free: bool = False) -> Outcome:
    """The best placement found for one of OBJECTIVES, and what is proven about it.

    Where operators take turns, they do so in the instance's order, unless it is free.

    Raises ProblemError if no placement exists or none was found in time.
    """
    if not instance.operators:
        return Outcome((), 0.0, 0.0, "optimal", "nothing to place")
    engine = _engine(instance, objective)
    if instance.links and engine in ("throughput", "subgraph_latency"):
        raise ProblemError(f"{objective} knows no links, only makespan does (and sum, where nothing waits for them)")
    if engine == "sums" and order_is_free and any(unit.call for unit in instance.units):
        engine = "free_order"
    run: Engine = import_module(f"partita.partitioner.engines.{engine}").solve  # the others need not be loaded
    return run(instance, limits)


def default_gap(instance: Instance, objective: str) -> float:
    """The gap at which a search stops if nobody asks for another."""
    return ROUGH if _engine(instance, objective) in ("throughput", "subgraph_latency") else Limits().gap


def _engine(instance: Instance, objective: str) -> str:
    """The module of the engine for an objective."""
    if objective in ("throughput", "makespan"):
        return objective
    if objective == "sum":
        return "sums"
    if objective == "latency":
        return "subgraph_latency" if any(u.subgraphs is not None for u in instance.units) else "sums"
    raise ProblemError(f"there is no objective {objective!r}; there are {', '.join(OBJECTIVES)}")
