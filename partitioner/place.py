"""partition(graph, soc): formulate, solve, lower."""

from collections.abc import Sequence
from dataclasses import replace

from partita.devices import Soc
from partita.graph.ir import Graph, Node
from partita.graph.match import Match
from partita.graph.plan import Plan, Proof
from partita.partitioner import ilp
from partita.partitioner.baselines import all_baselines, alone
from partita.partitioner.candidates import Formulation, Wishes, formulate
from partita.partitioner.lower import lower
from partita.partitioner.order import drawn_together
from partita.partitioner.problem import evaluate


def partition(graph: Graph, soc: Soc, matches: Sequence[Match] = (), wishes: Wishes | None = None) -> Plan:
    """The plan that runs one inference of `graph` on `soc` in the least time, proven to within the gap wished for.

    `graph` has concrete shapes. Raises PlacementError if an operator cannot run anywhere, a rule names nothing, or no
    placement was found in time.
    """
    wishes = wishes or Wishes()
    formulation = formulate(graph, soc, matches, wishes)
    ordered = in_good_order(formulation, soc)
    if ordered is not graph:
        formulation = formulate(ordered, soc, matches, wishes)
    baselines = all_baselines(formulation, soc)
    best = min(baselines, key=lambda baseline: baseline.latency_us, default=None)
    start = baselines[best] if best is not None else None
    if wishes.pins or wishes.bans:  # simpler rules know nothing of the user's
        free = replace(wishes, pins=(), bans=())
        baselines = all_baselines(formulate(formulation.graph, soc, matches, free), soc)
    solution = ilp.solve(formulation.problem, start=start, gap=wishes.gap, time_limit_s=wishes.time_limit_s)
    proof = Proof(
        objective=wishes.objective,
        objective_us=solution.objective_us,
        bound_us=solution.bound_us,
        status=solution.status,
        solver=solution.solver,
        solve_s=solution.solve_s,
    )
    plan = lower(formulation, soc, solution.chosen, proof, tuple(baselines))
    return replace(plan, graph_digest=graph.digest, options=_recorded(wishes))


def _recorded(wishes: Wishes) -> dict[str, tuple[str, ...]]:
    """What was asked for beyond the defaults, by the command line's option."""
    options = {"pin": wishes.pins, "ban": wishes.bans, "allow": wishes.allow}
    found = {name: tuple(map(str, given)) for name, given in options.items() if given}
    if wishes.gap != Wishes().gap:
        found["gap"] = (f"{wishes.gap:g}",)
    if wishes.time_limit_s != Wishes().time_limit_s:
        found["time-limit"] = (f"{wishes.time_limit_s:g}",)
    return found


def in_good_order(formulation: Formulation, soc: Soc) -> Graph:
    """The graph with the operators that the best single unit cannot take drawn together.

    The same object if it takes all.
    """
    problem, graph = formulation.problem, formulation.graph
    host = next(u for u, unit in enumerate(soc.units) if unit.name == soc.host)
    choices = {u: alone(problem, u, host) for u in range(len(soc.units))}
    times_us = {u: evaluate(problem, chosen).total_us for u, chosen in choices.items() if chosen is not None}
    if not times_us:
        return graph
    main = min(times_us, key=lambda u: (times_us[u], u))
    takes = {
        node.name: any(problem.unit_of_location[a] == main for a in problem.locations_of[i])
        for i, node in enumerate(graph.nodes)
    }
    if all(takes.values()):
        return graph

    def kind_of(node: Node) -> int:
        return 0 if takes[node.name] else 1

    return drawn_together(graph, kind_of)
