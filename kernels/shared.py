"""An operator that two units share: each computes some of its output channels in its own dtype, and they are joined."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from partita.errors import PlanError
from partita.graph.ir import Array, Graph, Node
from partita.graph.plan import Shared
from partita.graph.split import channels_of, cut_input, part_of
from partita.kernels.storage import Storage


class Halves:
    """The two parts of an operator, ready to be computed many times."""

    def __init__(self, graph: Graph, node: Node, shared: Shared) -> None:
        """PlanError if the operator cannot be split as the plan says."""
        channels = channels_of(graph, node)
        if channels is None or channels.size != shared.channels or not 0 < shared.end < channels.size:
            raise PlanError(f"operator {node} cannot be split after channel {shared.end}; place the model again")
        self.channels, self.node = channels, node
        self.ranges = ((0, shared.end), (shared.end, channels.size))
        self.parts = tuple(part_of(graph, node, channels, *ends) for ends in self.ranges)
        self._weights: dict[tuple[int, str], Any] = {}

    def joined(self, known: Mapping[str, Any], first: Storage, second: Storage) -> Array:
        """The output in the arithmetic of `first`, from the tensors that the whole operator reads there."""
        made = [self._half(half, known, arithmetic) for half, arithmetic in enumerate((first, second))]
        halves = [first.stored(self.node.outputs[0], half) for half in made]
        found: Array = np.concatenate(halves, axis=self.channels.axis)
        return found

    def _half(self, half: int, known: Mapping[str, Any], arithmetic: Storage) -> Array:
        graph = self.parts[half]
        (node,) = graph.nodes
        read: dict[str, Any] = {}
        for name in node.present_inputs:
            if graph.is_constant(name):
                key = (half, name)
                if key not in self._weights:
                    self._weights[key] = arithmetic.constant(graph.constants[name])
                read[name] = self._weights[key]
            else:
                mine = cut_input(self.channels, self.node, name, known[name], *self.ranges[half])
                read[name] = arithmetic.stored(name, mine)
        inputs = [read[name] if name else None for name in node.inputs]
        (result,) = arithmetic.compute(node, inputs, None)
        stored: Array = arithmetic.stored(node.outputs[0], result)
        return stored
