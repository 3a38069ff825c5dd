"""Builds small graphs by hand: for passes that write operators, and for tests."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, overload

import numpy as np
import onnx
from numpy.typing import ArrayLike

from partita.graph.dtypes import name_of_numpy
from partita.graph.infer import infer_types
from partita.graph.ir import Array, Graph, Node, Value
from partita.graph.match import prune

DEFAULT_OPSET = 17


class GraphBuilder:
    """Collects operators one after another; `build` types them and freezes the graph.

    >>> b = GraphBuilder("g")
    >>> b.output(b.node("Relu", b.input("x", "float32", (1, 8))))
    >>> str(b.build().value("Relu_0"))
    'float32[1x8]'
    """

    def __init__(self, name: str = "graph", opset: int = DEFAULT_OPSET) -> None:
        self.name, self.opset = name, opset
        self._inputs: list[str] = []
        self._outputs: list[str] = []
        self._values: dict[str, Value] = {}
        self._constants: dict[str, Array] = {}
        self._missing: set[str] = set()
        self._nodes: list[tuple[Node, int | None]] = []
        self._known: set[str] = set()

    def input(self, name: str, dtype: str, shape: tuple[int | None, ...] | None) -> str:
        self._inputs.append(self._define(name, Value(dtype, shape)))
        return name

    def constant(self, name: str, array: ArrayLike) -> str:
        data = np.asarray(array)
        self._constants[self._define(name, Value(name_of_numpy(data.dtype), data.shape))] = data
        return name

    def missing(self, name: str, dtype: str, shape: tuple[int, ...]) -> str:
        """A weight whose data is not there."""
        self._missing.add(self._define(name, Value(dtype, shape)))
        return name

    def captured(self, name: str, dtype: str, shape: tuple[int | None, ...] | None) -> str:
        """A tensor that this graph, a region, takes from the graph around it."""
        return self._define(name, Value(dtype, shape))

    @overload
    def node(
        self, op: str, *inputs: str, outputs: Literal[1] = 1, name: str | None = None, version: int | None = None,
        domain: str = "", **attributes: Any,
    ) -> str: ...  # fmt: skip

    @overload
    def node(
        self, op: str, *inputs: str, outputs: int, name: str | None = None, version: int | None = None,
        domain: str = "", **attributes: Any,
    ) -> tuple[str, ...]: ...  # fmt: skip

    def node(
        self,
        op: str,
        *inputs: str,
        outputs: int = 1,
        name: str | None = None,
        version: int | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> str | tuple[str, ...]:
        """Append an operator; the result is its output's name, or a tuple of `outputs` names.

        The single output is named like the node, several are numbered: `Split_0.0`, `Split_0.1`. Without a `version`
        the node gets the graph's: the newest that one of its operators needs, at least the builder's own.
        """
        for read in inputs:
            if read and read not in self._known:
                raise ValueError(f"{op} reads {read!r}, which the graph {self.name!r} does not have yet")
        label = name or f"{op}_{len(self._nodes)}"
        results = (label,) if outputs == 1 else tuple(f"{label}.{i}" for i in range(outputs))
        for result in results:
            self._claim(result)
        self._nodes.append((Node(label, op, inputs, results, attributes, domain), version))
        return results[0] if outputs == 1 else results

    def output(self, *names: str) -> None:
        self._outputs += names

    def build(self) -> Graph:
        """The graph, every tensor typed as far as ONNX's inference goes; ModelError if an operator does not fit."""
        newest = max((_first_version(n.op, n.domain) for n, version in self._nodes if version is None), default=0)
        opset = max(self.opset, newest)
        values = dict(self._values)
        nodes = []
        for node, version in self._nodes:
            default = 1 if node.domain else opset
            nodes.append(_at_version(node, default if version is None else version))
            values.update(infer_types(nodes[-1], values, self._constants))
        graph = Graph(
            self.name,
            tuple(nodes),
            tuple(self._inputs),
            tuple(self._outputs),
            values,
            self._constants,
            frozenset(self._missing),
        )
        return prune(graph)

    def _define(self, name: str, value: Value) -> str:
        self._claim(name)
        self._values[name] = value
        return name

    def _claim(self, name: str) -> None:
        if name in self._known:
            raise ValueError(f"the graph {self.name!r} has a tensor {name!r} already")
        self._known.add(name)


def _at_version(node: Node, version: int) -> Node:
    return Node(node.name, node.op, node.inputs, node.outputs, node.attributes, node.domain, version)


def _first_version(op: str, domain: str) -> int:
    """The opset that brought `op` to ONNX; 0 for other domains."""
    return 0 if domain else _first_versions().get(op, 0)


@cache
def _first_versions() -> Mapping[str, int]:
    first: dict[str, int] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if not schema.domain:
            first[schema.name] = min(schema.since_version, first.get(schema.name, schema.since_version))
    return first
