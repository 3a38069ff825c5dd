"""partition(graph, soc): formulate, solve, lower."""

from collections.abc import Sequence
from typing import Any

from partita.devices import Soc
from partita.errors import PlacementError
from partita.graph.ir import Graph, Node
from partita.graph.match import Match
from partita.graph.plan import Plan, Proof
from partita.partitioner import ilp
from partita.partitioner.baselines import all_baselines, alone
from partita.partitioner.candidates import Formulation, Rule, formulate
from partita.partitioner.lower import lower
from partita.partitioner.order import drawn_together
from partita.partitioner.problem import evaluate

OBJECTIVES = ("latency",)


def partition(
    graph: Graph,
    soc: Soc,
    matches: Sequence[Match] = (),
    *,
    objective: str = "latency",
    pins: Sequence[Rule] = (),
    bans: Sequence[Rule] = (),
    gap: float = 1e-4,
    time_limit_s: float = 60.0,
) -> Plan:
    """The plan that runs one inference of `graph` on `soc` in the least time, proven to within `gap`.

    `graph` has concrete shapes. Raises PlacementError if an operator cannot run anywhere, a rule names nothing, or no
    placement was found in time.
    """
    if objective not in OBJECTIVES:
        raise PlacementError(f"objective {objective!r} is not known; there is: {', '.join(OBJECTIVES)}")
    if gap < 0 or time_limit_s <= 0:
        raise PlacementError("the gap must be 0 or more and the time limit above 0")
    formulation = _in_good_order(formulate(graph, soc, matches, pins=pins, bans=bans), graph, soc, matches, pins, bans)
    baselines = all_baselines(formulation, soc)
    best = min(baselines, key=lambda baseline: baseline.latency_us, default=None)
    start = baselines[best] if best is not None else None
    solution = ilp.solve(formulation.problem, start=start, gap=gap, time_limit_s=time_limit_s)
    proof = Proof(
        objective=objective,
        objective_us=solution.objective_us,
        bound_us=solution.bound_us,
        status=solution.status,
        solver=solution.solver,
        solve_s=solution.solve_s,
    )
    options = {"pin": " ".join(map(str, pins)), "ban": " ".join(map(str, bans))}
    return lower(
        formulation,
        soc,
        solution.chosen,
        proof,
        graph_digest=graph.digest,
        baselines=tuple(baselines),
        options={name: value for name, value in options.items() if value},
    )


def _in_good_order(formulation: Formulation, graph: Graph, soc: Soc, *rest: Any) -> Formulation:
    """The same problem with the operators that the best single unit cannot take drawn together."""
    problem = formulation.problem
    host = next(u for u, unit in enumerate(soc.units) if unit.name == soc.host)
    times = {}
    for u in range(len(soc.units)):
        chosen = alone(problem, u, host)
        if chosen is not None:
            times[u] = evaluate(problem, chosen).total_us
    if not times:
        return formulation
    main = min(times, key=lambda u: (times[u], u))
    takes = {
        node.name: any(problem.unit_of_location[a] == main for a in problem.locations_of[i])
        for i, node in enumerate(formulation.graph.nodes)
    }
    if all(takes.values()):
        return formulation

    def kind_of(node: Node) -> int:
        return 0 if takes[node.name] else 1

    ordered = drawn_together(graph, kind_of)
    matches, pins, bans = rest
    return formulate(ordered, soc, matches, pins=pins, bans=bans)
