"""The graph: operators and tensors, frozen; `onnx_import` reads it from ONNX, `onnx_export` writes it."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np

from partita.errors import ModelError
from partita.graph.dtypes import size_bytes

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int, ...]
FUSED_DOMAIN = "partita"
"""The domain of fused operators, whose `body` attribute holds the primitives that they stand for."""


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a tensor: its element type and its shape (None for an unknown dimension or rank)."""

    dtype: str
    shape: tuple[int | None, ...] | None
    element: "Value | None" = None
    """Of a sequence or an optional: the type of what it holds, None if that is not known. Of a tensor: None."""

    @property
    def is_concrete(self) -> bool:
        return self.shape is not None and None not in self.shape

    @property
    def dims(self) -> Shape:
        """The shape, all of it known; ValueError otherwise."""
        if self.shape is None or None in self.shape:
            raise ValueError(f"the shape {self} is not known in full")
        return cast(Shape, self.shape)

    @property
    def elements(self) -> int:
        return math.prod(self.dims)

    @property
    def size_bytes(self) -> int:
        return size_bytes(self.elements, self.dtype)

    def __str__(self) -> str:
        if self.element is not None:
            return f"{self.dtype}({self.element})"
        if self.shape is None:
            return f"{self.dtype}[?]"
        return f"{self.dtype}[{'x'.join('?' if d is None else str(d) for d in self.shape)}]"


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operator. Two nodes are equal only if they are the same object."""

    name: str
    """Unique in its graph."""
    op: str
    inputs: tuple[str, ...]
    """Tensor names; an empty name is an absent optional input."""
    outputs: tuple[str, ...]
    """Tensor names; an empty name is an output that nobody wants."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """ONNX attributes with the standard's names; a subgraph is a Graph."""
    domain: str = ""
    version: int = 17
    """The opset version whose meaning of `op` holds."""

    @property
    def regions(self) -> tuple["Graph", ...]:
        """The graphs among the attributes: branches, loop bodies, the body of a fused operator."""
        if not self.attributes:
            return ()
        return tuple([a for a in self.attributes.values() if isinstance(a, Graph)])

    @property
    def body(self) -> "Graph | None":
        """The primitives that a fused operator stands for; None for any other operator."""
        return self.attributes.get("body") if self.domain == FUSED_DOMAIN else None

    @property
    def present_inputs(self) -> tuple[str, ...]:
        return tuple(filter(None, self.inputs))

    @property
    def present_outputs(self) -> tuple[str, ...]:
        return tuple(filter(None, self.outputs))

    def __str__(self) -> str:
        operator = f"{self.domain}::{self.op}" if self.domain else self.op
        return f"{self.name!r} ({operator})"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a graph came from, so that a plan can find it again."""

    path: str
    shapes: tuple[tuple[str, int | tuple[int, ...]], ...]
    random_weights: bool


@dataclass(frozen=True, eq=False)
class Graph:
    """Operators in an order in which they can run, and the tensors between them.

    A constant is a tensor whose data is in the model: `constants` holds it, or, if the weight file is not there,
    only its name stands in `missing`. `values` knows the type of every tensor that has been inferred.
    """

    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: Mapping[str, Value]
    constants: Mapping[str, Array] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    source: Source | None = None

    def is_constant(self, name: str) -> bool:
        return name in self.constants or name in self.missing

    @cached_property
    def producer_of(self) -> dict[str, Node]:
        return {output: node for node in self.nodes for output in node.present_outputs}

    @cached_property
    def consumers_of(self) -> dict[str, tuple[Node, ...]]:
        """For each tensor the operators that read it, in order, each once; reads from inside a region count."""
        consumers: dict[str, dict[str, Node]] = {}
        for node in self.nodes:
            for name in self.reads(node):
                consumers.setdefault(name, {})[node.name] = node
        return {name: tuple(nodes.values()) for name, nodes in consumers.items()}

    @cached_property
    def node_named(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    def reads(self, node: Node) -> tuple[str, ...]:
        """The tensors that `node` needs: its inputs, then what its regions take from around them, each once."""
        regions = node.regions
        if not regions or node.body is not None:
            return tuple(dict.fromkeys(node.present_inputs))
        captured = (name for region in regions for name in region.free_names)
        return tuple(dict.fromkeys((*node.present_inputs, *captured)))

    @cached_property
    def free_names(self) -> tuple[str, ...]:
        """Names that a region reads but does not define: they come from the graph around it."""
        defined = {*self.inputs, *self.constants, *self.missing, *self.producer_of}
        wanted = [name for node in self.nodes for name in self.reads(node)] + list(self.outputs)
        return tuple(dict.fromkeys(name for name in wanted if name not in defined))

    def value(self, name: str) -> Value:
        """The type of a tensor; ModelError if it is not known."""
        if name not in self.values:
            raise ModelError(f"graph {self.name!r}: the type of tensor {name!r} is not known")
        return self.values[name]

    def activations(self, node: Node) -> tuple[str, ...]:
        """The tensors that `node` reads and that are computed or given at run time."""
        return tuple(name for name in self.reads(node) if not self.is_constant(name))

    def walk(self) -> Iterator[tuple["Graph", Node]]:
        """Every node with its graph, those inside regions after the node that holds them."""
        for node in self.nodes:
            yield self, node
            for region in node.regions:
                yield from region.walk()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the structure, types, attributes and of the constants that act as shapes, axes or indices.

        The values of weights are left out, so that a model has one digest with and without its weight file.
        """
        from partita.graph.text import to_text  # the text form reads graphs, so it cannot be imported above

        return hashlib.sha256(to_text(self, exact=True).encode()).hexdigest()
