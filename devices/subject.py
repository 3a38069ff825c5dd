"""The operator that rules judge: its tensors, what is constant, and whether the model runs it quantised."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from partita.graph.dtypes import is_floating
from partita.graph.ir import Array, Graph, Node, Value
from partita.graph.quantisation import SCHEMES

NOT_QUANTISED = "none"
"""The scheme of an operator that computes in floating point."""
SCHEME_OF_DTYPE = {
    name: f"{'int' if scheme.is_symmetric else 'uint'}{scheme.activation_bits}" for name, scheme in SCHEMES.items()
}
"""Activations of a float operator that is placed on a unit quantised: "int8" has uint8 ones, "w8a16" uint16 ones."""
_PASSES_A_SCHEME_ON = ("Relu", "Clip")
"""Between an operator and its QuantizeLinear these are the border of its range, and change nothing of its type."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a condition does not hold: a sentence, what is allowed, and what was found."""

    reason: str
    limit: str
    found: str


@dataclass(frozen=True)
class Subject:
    """The operator that is judged, with the graphs that know its tensors, the innermost first."""

    node: Node
    graphs: tuple[Graph, ...]
    dtype: str = "float32"
    """What the unit computes its floating-point tensors in."""

    def value(self, name: str) -> Value | None:
        return next((graph.values[name] for graph in self.graphs if name in graph.values), None)

    def is_constant(self, name: str) -> bool:
        """Whether the tensor is known when the model is prepared; a quantised constant counts when dequantised."""
        if any(graph.is_constant(name) for graph in self.graphs):
            return True
        producer = self.producer(name)
        return producer is not None and producer.op == "DequantizeLinear" and self.is_constant(producer.inputs[0])

    def data(self, name: str) -> Array | None:
        """The values of a constant, if the model has them."""
        return next((graph.constants[name] for graph in self.graphs if name in graph.constants), None)

    def is_graph_input(self, name: str) -> bool:
        return name in self.graphs[-1].inputs

    def producer(self, name: str) -> Node | None:
        return next((graph.producer_of[name] for graph in self.graphs if name in graph.producer_of), None)

    def name_at(self, tensor: str) -> str | None:
        """The tensor called "input 0", "output 1", ...; None if it is absent."""
        side, index = tensor.split()
        names = self.node.inputs if side == "input" else self.node.outputs
        return names[int(index)] or None if int(index) < len(names) else None

    def dims(self, tensor: str) -> tuple[int | None, ...] | None:
        """The dimensions of the tensor called "input 0"; None if it is absent or of unknown rank."""
        name = self.name_at(tensor)
        value = self.value(name) if name else None
        return value.shape if value is not None else None

    @cached_property
    def scheme(self) -> str:
        """The type of its quantised activations, "none" if it computes in floating point.

        In a model with QuantizeLinear and DequantizeLinear they say so, whatever the unit; elsewhere the unit's dtype.
        """
        found = self._scheme_before() or self._scheme_after(self.node)
        if found is not None:
            return found
        touched = (self.value(name) for name in (*self.node.present_inputs, *self.node.present_outputs))
        if any(value is not None and is_floating(value.dtype) for value in touched):
            return SCHEME_OF_DTYPE.get(self.dtype, NOT_QUANTISED)
        return NOT_QUANTISED

    def dequantises(self, name: str) -> Node | None:
        """The DequantizeLinear that a tensor comes from, if it comes from one."""
        producer = self.producer(name)
        return producer if producer is not None and producer.op == "DequantizeLinear" else None

    def _scheme_before(self) -> str | None:
        if self.node.op in ("QuantizeLinear", "DequantizeLinear"):
            return NOT_QUANTISED
        for name in self.node.present_inputs:
            dequantise = self.dequantises(name)
            if dequantise is not None and not self.is_constant(name):
                stored = self.value(dequantise.inputs[0])
                return stored.dtype if stored is not None else None
        return None

    def _scheme_after(self, node: Node) -> str | None:
        for graph in self.graphs:
            for name in node.present_outputs:
                for reader in graph.consumers_of.get(name, ()):
                    if reader.op == "QuantizeLinear":
                        stored = self.value(reader.outputs[0])
                        return stored.dtype if stored is not None else None
                    if reader.op in _PASSES_A_SCHEME_ON and node is self.node:
                        found = self._scheme_after(reader)
                        if found is not None:
                            return found
        return None


def range_limit(what: str, least: float | None, most: float | None) -> str:
    """A range as a sentence's end; empty if it has no end."""
    if least is not None and most is not None:
        return f"{what} {least:g}" if least == most else f"{what} from {least:g} to {most:g}"
    if least is not None:
        return f"{what} at least {least:g}"
    return f"{what} at most {most:g}" if most is not None else ""


def scheme_limit(schemes: Sequence[str]) -> str:
    """The quantised types that are allowed, as a sentence's end."""
    quantised = [scheme for scheme in schemes if scheme != NOT_QUANTISED]
    if not quantised:
        return "floating point only"
    return f"{'floating point or ' if NOT_QUANTISED in schemes else ''}activations of {' or '.join(quantised)}"


def scheme_words(scheme: str) -> str:
    """A scheme as it follows an operator's name."""
    return "in floating point" if scheme == NOT_QUANTISED else f"with {scheme} activations"
