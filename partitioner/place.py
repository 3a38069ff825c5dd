"""Graph + Soc -> the Plan: formulate, solve, lower."""

from collections.abc import Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

from partita.devices import Soc
from partita.errors import PlacementError
from partita.graph.ir import Graph, Node
from partita.graph.match import Match
from partita.graph.plan import Plan
from partita.partitioner.baselines import alone
from partita.partitioner.candidates import Formulation, formulate
from partita.partitioner.order import drawn_together
from partita.partitioner.placing import Overlapped, Placing
from partita.partitioner.problem import evaluate
from partita.partitioner.why import Why, why_of
from partita.partitioner.wishes import Wishes


def partition(
    graph: Graph,
    soc: Soc,
    matches: Sequence[Match] = (),
    wishes: Wishes | None = None,
    overlapped: Overlapped | None = None,
) -> Plan:
    """The plan of `graph` on `soc` that is best at the objective wished for, proven to within the gap wished for.

    `graph` has concrete shapes; `overlapped` is needed for the objective makespan only. Raises PlacementError if an
    operator cannot run anywhere, a rule names nothing, no placement keeps the constraints, or none was found in time.
    """
    wishes = wishes or Wishes()
    return explained(graph, soc, matches, wishes, overlapped, ())[0]


def explained(
    graph: Graph,
    soc: Soc,
    matches: Sequence[Match],
    wishes: Wishes,
    overlapped: Overlapped | None,
    patterns: Sequence[str],
) -> tuple[Plan, tuple[Why, ...]]:
    """The plan, and why the operators whose name or type is like one of the patterns run where they do."""
    if wishes.aim.needs_energy and soc.power is None:
        raise PlacementError(f"{soc.name!r} says nothing of power, which the objective {wishes.objective} needs")
    if wishes.split:
        _check_split(soc, wishes)
    formulation = in_good_order(formulate(graph, soc, matches, wishes), soc)
    asked = Placing(formulation, soc, matches, wishes, overlapped)
    asked.check_explainable()
    placing, solution = asked.best()
    plan = asked.plan(graph.digest, placing, solution)
    plan = replace(plan, options=_recorded(wishes))
    _BEHIND[plan] = asked
    return plan, why_of(placing, solution, patterns)


_BEHIND: WeakKeyDictionary[Plan, Placing] = WeakKeyDictionary()
"""Of plans made in this process that live."""


def behind(plan: Plan) -> Placing | None:
    """The problem that a plan was made from, with the simpler rules' choices; None for a plan read from a file."""
    return _BEHIND.get(plan)


def _check_split(soc: Soc, wishes: Wishes) -> None:
    """PlacementError for what is counted by unit: a shared operator counts as its own unit's alone."""
    if wishes.aim.name in ("throughput", "makespan"):
        raise PlacementError(f"--split: operators cannot be shared by two units for the objective {wishes.objective}")
    if wishes.memory or any(unit.memory_bytes is not None for unit in soc.units):
        raise PlacementError("--split: operators cannot be shared by two units where memory is limited; give no limit")


def _recorded(wishes: Wishes) -> dict[str, tuple[str, ...]]:
    """What was asked for beyond the defaults, by the command line's option."""
    plain = Wishes()
    options: dict[str, Sequence[object]] = {
        "pin": wishes.pins,
        "ban": wishes.bans,
        "together": wishes.together,
        "allow": wishes.allow,
        "state": wishes.states,
        "memory": [f"{limit.unit}={limit.number:.0f}" for limit in wishes.memory],
        "max-segments": wishes.max_segments,
        "min-segment": wishes.min_segment,
    }
    numbers = {
        "deadline-ms": (wishes.deadline_ms, plain.deadline_ms),
        "min-snr": (wishes.min_snr_db, plain.min_snr_db),
        "gap": (wishes.gap, plain.gap),
        "time-limit": (wishes.time_limit_s, plain.time_limit_s),
    }
    found = {name: tuple(map(str, given)) for name, given in options.items() if given}
    found |= {name: (f"{value:g}",) for name, (value, usual) in numbers.items() if value != usual and value is not None}
    if wishes.split:
        found["split"] = ("yes",)
    if wishes.objective != plain.objective:
        found["objective"] = (wishes.objective,)
    return found


def in_good_order(formulation: Formulation, soc: Soc) -> Formulation:
    """The problem with the operators that the best single unit cannot take drawn together.

    The same object if it takes all.
    """
    problem, graph = formulation.unshared, formulation.graph
    host = next(u for u, unit in enumerate(soc.units) if unit.name == soc.host)
    choices = {u: alone(problem, u, host) for u in range(len(soc.units))}
    times_us = {u: evaluate(problem, chosen).total_us for u, chosen in choices.items() if chosen is not None}
    if not times_us:
        return formulation
    main = min(times_us, key=lambda u: (times_us[u], u))
    takes = {
        node.name: any(problem.unit_of_location[a] == main for a in problem.locations_of[i])
        for i, node in enumerate(graph.nodes)
    }
    if all(takes.values()):
        return formulation

    def kind_of(node: Node) -> int:
        return 0 if takes[node.name] else 1

    order = drawn_together(graph, kind_of)
    return formulation if order == tuple(range(len(order))) else formulation.in_order(order)
