"""A plan cut at its boundaries: one graph for each segment, which any runtime can run by itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from partita.errors import PlanError
from partita.graph.ir import Array, Graph, Node, Value
from partita.graph.match import prune
from partita.graph.open_sizes import with_open_branches, with_open_sizes
from partita.graph.plan import PlacedOperator, Plan, Segment


@dataclass(frozen=True, eq=False, slots=True)
class Piece:
    """One segment as a graph whose inputs and outputs are what crosses its borders, in the model's own dtypes."""

    segment: Segment
    graph: Graph
    operators: tuple[PlacedOperator, ...]

    @property
    def unit(self) -> str:
        return self.segment.unit

    @property
    def dtypes(self) -> tuple[str, ...]:
        """What the plan computes in here, in order of first use."""
        return tuple(dict.fromkeys(operator.dtype for operator in self.operators))


def pieces_of(plan: Plan) -> tuple[Piece, ...]:
    """The segments of a plan as graphs, in the order in which they run.

    Sizes that depend on data stay open in them. An output of the model that is a constant belongs to the last one.
    Raises PlanError for a plan without operators.
    """
    if not plan.segments:
        raise PlanError(f"the plan of {plan.graph.name!r} has no operators, so there is nothing to cut")
    graph = with_open_sizes(plan.graph)
    members = [[graph.node_named[name] for name in segment.operators] for segment in plan.segments]
    read_later = _read_later(graph, members)
    constants = [name for name in graph.outputs if graph.is_constant(name)]
    pieces = []
    for segment, nodes, wanted in zip(plan.segments, members, read_later, strict=True):
        outputs = [name for node in nodes for name in node.present_outputs if name in wanted]
        if segment is plan.segments[-1]:
            outputs += dict.fromkeys(constants)
        part = _part(graph, f"{graph.name}.{segment.index}", nodes, outputs)
        pieces.append(Piece(segment, part, tuple(plan.placed[name] for name in segment.operators)))
    return tuple(pieces)


def primitives(graph: Graph) -> Graph:
    """The graph with each fused operator replaced by what it stands for, so that every runtime knows its operators."""
    bodies = {node.name: primitives(node.body) for node in graph.nodes if node.body is not None and _is_plain(node)}
    if not bodies:
        return graph
    nodes = tuple(
        inner for node in graph.nodes for inner in (bodies[node.name].nodes if node.name in bodies else (node,))
    )
    values: dict[str, Value] = {}
    constants: dict[str, Array] = {}
    missing = graph.missing
    for body in bodies.values():
        values |= body.values
        constants |= body.constants
        missing |= body.missing
    return replace(
        graph,
        nodes=nodes,
        values={**values, **graph.values},
        constants={**constants, **graph.constants},
        missing=missing,
    )


def _is_plain(node: Node) -> bool:
    """Whether the body calls its tensors as the graph around it does."""
    return node.body is not None and node.body.inputs == node.inputs and node.body.outputs == node.outputs


def _read_later(graph: Graph, members: Sequence[Sequence[Node]]) -> list[set[str]]:
    """For each segment the tensors that later ones read, or that the model gives."""
    wanted = set(graph.outputs)
    found: list[set[str]] = []
    for nodes in reversed(members):
        found.append(set(wanted))
        wanted.update(name for node in nodes for name in graph.reads(node))
    return found[::-1]


def _part(graph: Graph, name: str, nodes: Sequence[Node], outputs: Sequence[str]) -> Graph:
    made = {output for node in nodes for output in node.present_outputs}
    read = dict.fromkeys(name for node in nodes for name in graph.reads(node))
    inputs = tuple(name for name in read if name not in made and not graph.is_constant(name))
    part = replace(graph, name=name, nodes=tuple(nodes), inputs=inputs, outputs=tuple(outputs), source=None)
    return with_open_branches(prune(part))
