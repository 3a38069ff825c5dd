"""The conditions of support rules: what a backend asks of one operator beyond its name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from partita.devices.soc import Strict
from partita.graph.ir import Graph, Node, Value

Scalar = int | float | str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a condition does not hold: a sentence, what is allowed, and what was found."""

    reason: str
    limit: str
    found: str


@dataclass(frozen=True, slots=True)
class Subject:
    """The operator that is judged, with the graphs that know its tensors, the innermost first."""

    node: Node
    graphs: tuple[Graph, ...]

    def value(self, name: str) -> Value | None:
        return next((graph.values[name] for graph in self.graphs if name in graph.values), None)

    def is_constant(self, name: str) -> bool:
        return any(graph.is_constant(name) for graph in self.graphs)

    def is_graph_input(self, name: str) -> bool:
        return name in self.graphs[-1].inputs

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


TensorName = Annotated[str, Field(pattern=r"^(input|output) [0-9]+$")]


class RankCondition(Strict):
    """The number of dimensions of a tensor."""

    check: Literal["rank"]
    of: TensorName = "input 0"
    min: int | None = None
    max: int | None = None
    ignore_ones: bool = False
    """Dimensions of 1 do not count."""

    def failure(self, subject: Subject) -> Failure | None:
        dims = subject.dims(self.of)
        if dims is None:
            return None
        rank = sum(size != 1 for size in dims) if self.ignore_ones else len(dims)
        if (self.min is None or rank >= self.min) and (self.max is None or rank <= self.max):
            return None
        limit = _range("rank", self.min, self.max)
        at = "" if self.of == "input 0" else f" ({self.of})"
        return Failure(f"{subject.node.op} of rank {rank}{at}: {limit}", limit, f"rank {rank}")


class ConstantCondition(Strict):
    """Inputs that must be known when the model is prepared, if they are present."""

    check: Literal["constant"]
    inputs: tuple[int, ...]

    def failure(self, subject: Subject) -> Failure | None:
        for index in self.inputs:
            name = subject.name_at(f"input {index}")
            if name is not None and not subject.is_constant(name):
                limit = f"input {index} must be constant"
                return Failure(f"{subject.node.op} with run-time {name!r}: {limit}", limit, "run-time")
        return None


class ComputedCondition(Strict):
    """Inputs that must not be constant."""

    check: Literal["computed"]
    inputs: tuple[int, ...]

    def failure(self, subject: Subject) -> Failure | None:
        for index in self.inputs:
            name = subject.name_at(f"input {index}")
            if name is not None and subject.is_constant(name):
                limit = f"input {index} must not be constant"
                return Failure(f"{subject.node.op} of the constant {name!r}: {limit}", limit, "constant")
        return None


class OneComputedCondition(Strict):
    """At least one input is computed at run time."""

    check: Literal["one_computed"]

    def failure(self, subject: Subject) -> Failure | None:
        if any(not subject.is_constant(name) for name in subject.node.present_inputs):
            return None
        limit = "at least one input at run time"
        return Failure(f"{subject.node.op} of constants only: {limit}", limit, "constants")


class OriginCondition(Strict):
    """An input of the given types must be constant or an input of the model, where the runtime can cast it."""

    check: Literal["origin"]
    of: TensorName
    types: tuple[str, ...]

    def failure(self, subject: Subject) -> Failure | None:
        name = subject.name_at(self.of)
        value = subject.value(name) if name else None
        if name is None or value is None or value.dtype not in self.types:
            return None
        if subject.is_constant(name) or subject.is_graph_input(name):
            return None
        limit = f"{self.of} must be constant or a model input"
        return Failure(f"{subject.node.op} with computed {value.dtype} {self.of}: {limit}", limit, "computed")


class AttributeCondition(Strict):
    """An attribute's value, or each of its values; `default` is ONNX's own, for an absent attribute."""

    check: Literal["attribute"]
    name: str
    one_of: tuple[Scalar, ...] | None = None
    min: float | None = None
    max: float | None = None
    default: Scalar | None = None
    absent: bool | None = None
    """True asks that the attribute be absent, False that it be there."""

    def failure(self, subject: Subject) -> Failure | None:
        node = subject.node
        if self.absent is not None and (self.name in node.attributes) == self.absent:
            limit = f"{self.name} must be {'absent' if self.absent else 'given'}"
            return Failure(f"{node.op}: {limit}", limit, "given" if self.absent else "absent")
        found = node.attributes.get(self.name, self.default)
        if found is None:
            return None
        values = list(found) if isinstance(found, Sequence) and not isinstance(found, str | bytes) else [found]
        bad = [value for value in values if not self._allows(_plain(value))]
        if not bad:
            return None
        limit = self._limit()
        shown = _plain(values[0]) if len(values) == 1 else [_plain(value) for value in values]
        return Failure(f"{node.op} with {self.name} = {shown}: {limit}", limit, f"{self.name} = {shown}")

    def _allows(self, value: Any) -> bool:
        if self.one_of is not None and value not in self.one_of:
            return False
        below = self.min is not None and value < self.min
        return not below and not (self.max is not None and value > self.max)

    def _limit(self) -> str:
        if self.one_of is not None:
            return f"{self.name} must be {' or '.join(str(value) for value in self.one_of)}"
        return _range(self.name, self.min, self.max)


class DimensionCondition(Strict):
    """The length of one axis, or of every axis, of a tensor."""

    check: Literal["dimension"]
    of: TensorName = "input 0"
    axis: int | None = None
    min: int | None = None
    max: int | None = None
    multiple_of: int | None = None

    def failure(self, subject: Subject) -> Failure | None:
        dims = subject.dims(self.of)
        if dims is None or (self.axis is not None and not -len(dims) <= self.axis < len(dims)):
            return None
        chosen = dims if self.axis is None else (dims[self.axis],)
        for size in chosen:
            if size is not None and not self._allows(size):
                limit = _range("dimension", self.min, self.max)
                if self.multiple_of is not None:
                    limit += f"{', ' if limit else ''}a multiple of {self.multiple_of}"
                where = f"{self.of}" if self.axis is None else f"axis {self.axis} of {self.of}"
                return Failure(f"{subject.node.op} with {size} in {where}: {limit}", limit, str(size))
        return None

    def _allows(self, size: int) -> bool:
        if self.multiple_of is not None and size % self.multiple_of:
            return False
        return (self.min is None or size >= self.min) and (self.max is None or size <= self.max)


class CountCondition(Strict):
    """How many inputs or outputs are present."""

    check: Literal["count"]
    of: Literal["inputs", "outputs"]
    min: int | None = None
    max: int | None = None

    def failure(self, subject: Subject) -> Failure | None:
        names = subject.node.present_inputs if self.of == "inputs" else subject.node.present_outputs
        if (self.min is None or len(names) >= self.min) and (self.max is None or len(names) <= self.max):
            return None
        limit = _range(self.of, self.min, self.max)
        return Failure(f"{subject.node.op} with {len(names)} {self.of}: {limit}", limit, str(len(names)))


class AxisCondition(Strict):
    """An axis attribute, counted from the end or from the front as the limit says."""

    check: Literal["axis"]
    name: str = "axis"
    default: int = -1
    allowed: tuple[int, ...]
    """Allowed axes; negative ones count from the end, so -1 is the last."""
    of: TensorName = "input 0"

    def failure(self, subject: Subject) -> Failure | None:
        dims = subject.dims(self.of)
        found = subject.node.attributes.get(self.name, self.default)
        if dims is None or not isinstance(found, int):
            return None
        rank = len(dims)
        if found % max(rank, 1) in {axis % max(rank, 1) for axis in self.allowed}:
            return None
        last = "the last axis only" if self.allowed == (-1,) else f"axis {' or '.join(map(str, self.allowed))} only"
        return Failure(f"{subject.node.op} over axis {found} of rank {rank}: {last}", last, f"axis {found}")


class OpsetCondition(Strict):
    """The opset version whose meaning the operator has."""

    check: Literal["opset"]
    min: int | None = None
    max: int | None = None

    def failure(self, subject: Subject) -> Failure | None:
        version = subject.node.version
        if (self.min is None or version >= self.min) and (self.max is None or version <= self.max):
            return None
        limit = _range("opset", self.min, self.max)
        return Failure(f"{subject.node.op} of opset {version}: {limit}", limit, f"opset {version}")


class TypeCondition(Strict):
    """The element type of one tensor in the model, before the unit picks its own floating-point type."""

    check: Literal["type"]
    of: TensorName
    one_of: tuple[str, ...]

    def failure(self, subject: Subject) -> Failure | None:
        name = subject.name_at(self.of)
        value = subject.value(name) if name else None
        if value is None or value.dtype in self.one_of:
            return None
        limit = f"{self.of} must be {' or '.join(self.one_of)}"
        return Failure(f"{subject.node.op} with {value.dtype} {self.of}: {limit}", limit, value.dtype)


class BetweenCondition(Strict):
    """The operators before it and after it are of the given kinds."""

    check: Literal["between"]
    ops: tuple[str, ...]

    def failure(self, subject: Subject) -> Failure | None:
        graph = subject.graphs[0]
        before = [graph.producer_of.get(name) for name in subject.node.present_inputs]
        after = [node for name in subject.node.present_outputs for node in graph.consumers_of.get(name, ())]
        neighbours = [node.op if node is not None else "an input" for node in (*before, *after)]
        strange = [op for op in neighbours if op not in self.ops]
        if not strange and before and after:
            return None
        limit = f"only between {' and '.join(self.ops)}"
        found = strange[0] if strange else "an end of the graph"
        return Failure(f"{subject.node.op} next to {found}: {limit}", limit, found)


class PatternCondition(Strict):
    """The operator is taken only as part of a larger pattern, never alone."""

    check: Literal["pattern"]
    inside: str

    def failure(self, subject: Subject) -> Failure | None:
        if len(subject.graphs) > 1:
            return None
        limit = f"only inside {self.inside}"
        return Failure(f"{subject.node.op} on its own: {limit}", limit, "alone")


class NeverCondition(Strict):
    """Never holds: the operator is refused, or fails, whatever its shape."""

    check: Literal["never"]
    reason: str

    def failure(self, subject: Subject) -> Failure | None:
        return Failure(f"{subject.node.op}: {self.reason}", "never", "present")


Condition = Annotated[
    RankCondition
    | ConstantCondition
    | ComputedCondition
    | OneComputedCondition
    | OriginCondition
    | AttributeCondition
    | DimensionCondition
    | CountCondition
    | AxisCondition
    | OpsetCondition
    | TypeCondition
    | BetweenCondition
    | PatternCondition
    | NeverCondition,
    Field(discriminator="check"),
]


def first_failure(conditions: Sequence[Condition], subject: Subject) -> Failure | None:
    return next((failure for c in conditions if (failure := c.failure(subject)) is not None), None)


def _plain(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _range(what: str, least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f"{what} {least:g}" if least == most else f"{what} from {least:g} to {most:g}"
    if least is not None:
        return f"{what} at least {least:g}"
    return f"{what} at most {most:g}" if most is not None else ""
