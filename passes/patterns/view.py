"""What every pattern asks of a graph: who made a tensor, who reads it, which number it is, and is a match closed."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from partita.graph.ir import Graph, Node
from partita.graph.match import Match
from partita.passes.rewrite import integers, scalar, sole_reader


class View:
    """A graph with the questions that patterns ask of it. Operators of other domains than ONNX's own are opaque."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    @cached_property
    def position_of(self) -> dict[str, int]:
        return {node.name: i for i, node in enumerate(self.graph.nodes)}

    def maker(self, name: str, *ops: str) -> Node | None:
        """The operator that makes a tensor as its only output, if it is one of `ops`."""
        node = self.graph.producer_of.get(name)
        if node is None or node.domain or node.op not in ops or len(node.outputs) != 1:
            return None
        return node

    def reader(self, name: str, *ops: str) -> Node | None:
        """The only operator that reads a tensor, if it is one of `ops`."""
        node = sole_reader(self.graph, name)
        return node if node is not None and not node.domain and node.op in ops and len(node.outputs) == 1 else None

    def readers(self, name: str) -> tuple[Node, ...]:
        return self.graph.consumers_of.get(name, ())

    def number(self, name: str) -> float | None:
        return scalar(self.graph, name)

    def integers(self, name: str) -> tuple[int, ...] | None:
        return integers(self.graph, name)

    def dims(self, name: str) -> tuple[int, ...]:
        return self.graph.value(name).dims

    def has_dims(self, name: str) -> bool:
        value = self.graph.values.get(name)
        return value is not None and value.is_concrete

    def other_input(self, node: Node, name: str) -> str:
        """The operand of a binary operator that is not `name`; `name` itself if it is read twice."""
        return node.inputs[1] if node.inputs[0] == name else node.inputs[0]

    def split_number(self, node: Node) -> tuple[str, float] | None:
        """The tensor and the number that a commutative operator combines; None if it has no number for an operand."""
        for tensor, constant in (node.inputs, node.inputs[::-1]):
            number = self.number(constant)
            if number is not None and self.number(tensor) is None:
                return tensor, number
        return None

    def closed_match(
        self, pattern: str, nodes: Iterable[Node], inputs: tuple[str, ...], attributes: Mapping[str, Any] | None = None
    ) -> Match | None:
        """The match of `nodes`; None if it cannot stand for them.

        Everything but the last operator must be read inside only, and everything that is read must be made inside,
        listed in `inputs`, or be a constant whose data is there.
        """
        by_name = {node.name: node for node in nodes}
        ordered = sorted(by_name.values(), key=lambda node: self.position_of[node.name])
        made = {name for node in ordered for name in node.present_outputs}
        sink = ordered[-1]
        inner = made.difference(sink.present_outputs)
        if len(set(inputs)) != len(inputs) or made.intersection(inputs) or inner.intersection(self.graph.outputs):
            return None
        if any(reader.name not in by_name for name in inner for reader in self.readers(name)):
            return None
        reads = {name for node in ordered for name in self.graph.reads(node)}
        if not reads - made - set(inputs) <= self.graph.constants.keys() or not reads.issuperset(inputs):
            return None
        return Match(pattern, tuple(n.name for n in ordered), inputs, sink.present_outputs, dict(attributes or {}))
