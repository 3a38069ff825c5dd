"""What simpler rules would choose on the same problem, each faithful to its source: the plan is never worse.

A rule says which unit runs which operator, and in which order if it has one of its own. All are judged on the same
costs: operators that lie together at a location are fused where that saves time, and every boundary is paid.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from partita.devices import Soc
from partita.partitioner.baselines.alone import alone, one_unit
from partita.partitioner.baselines.cover import Assignment, chosen_for
from partita.partitioner.baselines.executorch import convex_groups
from partita.partitioner.baselines.fastest import fastest
from partita.partitioner.baselines.greedy import greedy
from partita.partitioner.baselines.heft import heft
from partita.partitioner.baselines.litert import largest_partition
from partita.partitioner.baselines.onnxruntime import by_priority
from partita.partitioner.baselines.pipedream import contiguous_split
from partita.partitioner.problem import Problem, evaluate, reordered

__all__ = ["Simple", "all_baselines", "alone"]


@dataclass(frozen=True, slots=True)
class Simple:
    """What a simpler rule chose."""

    name: str
    title: str
    order: tuple[int, ...] | None
    """The operators in its own order of execution; None for the problem's."""
    chosen: tuple[int, ...]

    def problem(self, problem: Problem) -> Problem:
        """The problem in the order of the rule."""
        return problem if self.order is None else reordered(problem, self.order)


def all_baselines(problem: Problem, soc: Soc) -> tuple[Simple, ...]:
    """Every rule's choice, in the order in which reports list them; without those that find none."""
    host = next(u for u, unit in enumerate(soc.units) if unit.name == soc.host)
    found: list[Simple] = []
    for name, title, assignment in _rules(problem, soc, host):
        chosen = chosen_for(problem, assignment, host) if assignment is not None else None
        if chosen is not None and assignment is not None:
            found.append(Simple(name, title, assignment.order, chosen))
    return tuple(found)


def _rules(problem: Problem, soc: Soc, host: int) -> Iterator[tuple[str, str, Assignment | None]]:
    for u, unit in enumerate(soc.units):
        if u == host:
            yield f"{unit.name}_only", f"{unit.title} alone", one_unit(problem, u, host)
            continue
        yield f"{unit.name}_with_fallback", f"{unit.title}, {soc.host} fallback", one_unit(problem, u, host)
        partition = largest_partition(problem, u, host)
        yield f"largest_partition_{unit.name}", f"Largest partition on {unit.title} (LiteRT)", partition
    priority = _quickest_first(problem, host)
    yield "provider_priority", "Providers by priority (ONNX Runtime)", by_priority(problem, priority, host)
    yield "convex_groups", "Largest convex groups (ExecuTorch)", convex_groups(problem, priority, host)
    yield "heft", "Earliest finish by upward rank (HEFT)", heft(problem, host)
    yield "contiguous_split", "One stretch per unit (PipeDream)", contiguous_split(problem)
    yield "greedy", "Cheapest unit step by step (Core ML-like)", greedy(problem)
    yield "fastest_per_operator", "Fastest unit for each operator", fastest(problem)


def _quickest_first(problem: Problem, host: int) -> tuple[int, ...]:
    """The accelerators, that with the quickest placement first: the order in which an expert lists them."""
    times_us: dict[int, float] = {}
    for unit in range(len(problem.call_us)):
        chosen = alone(problem, unit, host) if unit != host else None
        if chosen is not None:
            times_us[unit] = evaluate(problem, chosen).total_us
    return tuple(sorted(times_us, key=lambda u: (times_us[u], u)))
