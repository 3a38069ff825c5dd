"""The model's own operators, back from a placed graph in which some stand as one kernel."""

from dataclasses import replace

from partita.graph.ir import Graph
from partita.graph.plan import Plan


def unfused(plan: Plan) -> Graph:
    """The plan's graph with every kernel that covers several operators replaced by these, in their order."""
    graph = plan.graph
    many = {operator.node for operator in plan.operators if len(operator.covers) > 1}
    bodies = {node.name: node.body for node in graph.nodes if node.name in many and node.body is not None}
    if not bodies:
        return graph
    nodes = tuple(
        inner for node in graph.nodes for inner in (bodies[node.name].nodes if node.name in bodies else (node,))
    )
    values, constants, missing = dict(graph.values), dict(graph.constants), graph.missing
    for body in bodies.values():
        values = {**body.values, **values}
        constants = {**body.constants, **constants}
        missing = missing | body.missing
    return replace(graph, nodes=nodes, values=values, constants=constants, missing=missing)
