"""Conditions on an operator's tensors: ranks, sizes, types, constness, quantisation."""

import math
from typing import Annotated, Literal

from pydantic import Field

from partita.devices.soc import Strict
from partita.devices.subject import Failure, Subject, range_limit, scheme_limit, scheme_words

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
        limit = range_limit("rank", self.min, self.max)
        at = "" if self.of == "input 0" else f" ({self.of})"
        return Failure(f"{subject.node.op} of rank {rank}{at}: {limit}", limit, f"rank {rank}")


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
                limit = range_limit("dimension", self.min, self.max)
                if self.multiple_of is not None:
                    limit += f"{', ' if limit else ''}a multiple of {self.multiple_of}"
                where = f"{self.of}" if self.axis is None else f"axis {self.axis} of {self.of}"
                return Failure(f"{subject.node.op} with {size} in {where}: {limit}", limit, str(size))
        return None

    def _allows(self, size: int) -> bool:
        if self.multiple_of is not None and size % self.multiple_of:
            return False
        return (self.min is None or size >= self.min) and (self.max is None or size <= self.max)


class ElementsCondition(Strict):
    """How many elements a tensor has."""

    check: Literal["elements"]
    of: TensorName = "input 0"
    min: int | None = None
    max: int | None = None

    def failure(self, subject: Subject) -> Failure | None:
        dims = subject.dims(self.of)
        if dims is None or None in dims:
            return None
        found = math.prod(size for size in dims if size is not None)
        if (self.min is None or found >= self.min) and (self.max is None or found <= self.max):
            return None
        limit = range_limit("elements", self.min, self.max)
        return Failure(f"{subject.node.op} with {found} elements in {self.of}: {limit}", limit, str(found))


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


class SizesCondition(Strict):
    """How the length of one axis compares with another's, which may be of another tensor."""

    check: Literal["sizes"]
    of: TensorName
    axis: int
    than: TensorName
    than_axis: int
    relation: Literal["equal", "differ", "at_least_or_divides"]

    def failure(self, subject: Subject) -> Failure | None:
        left, right = self._size(subject, self.of, self.axis), self._size(subject, self.than, self.than_axis)
        if left is None or right is None or self._holds(left, right):
            return None
        words = {"equal": "be equal to", "differ": "differ from", "at_least_or_divides": "be at least or divide"}[
            self.relation
        ]
        limit = f"axis {self.axis} of {self.of} must {words} axis {self.than_axis} of {self.than}"
        return Failure(f"{subject.node.op} with {left} against {right}: {limit}", limit, f"{left} against {right}")

    def _holds(self, left: int, right: int) -> bool:
        if self.relation == "at_least_or_divides":
            return left >= right or (left > 0 and right % left == 0)
        return (left == right) == (self.relation == "equal")

    @staticmethod
    def _size(subject: Subject, tensor: str, axis: int) -> int | None:
        dims = subject.dims(tensor)
        return None if dims is None or not -len(dims) <= axis < len(dims) else dims[axis]


class ValuesCondition(Strict):
    """The values of a constant input; one that is absent, or whose data is not there, meets it."""

    check: Literal["values"]
    of: TensorName
    at: tuple[int, ...] | None = None
    """Which of them, counted from 0; all if absent."""
    one_of: tuple[int | float, ...] | None = None
    min: float | None = None
    max: float | None = None

    def failure(self, subject: Subject) -> Failure | None:
        name = subject.name_at(self.of)
        data = subject.data(name) if name else None
        values = [] if data is None else data.reshape(-1).tolist()
        looked_at = values if self.at is None else [values[i] for i in self.at if i < len(values)]
        found = [value for value in looked_at if not self._allows(value)]
        if not found:
            return None
        limit = range_limit(self.of, self.min, self.max)
        if self.one_of is not None:
            limit = f"{self.of} must be {' or '.join(f'{value:g}' for value in self.one_of)}"
        return Failure(f"{subject.node.op} with {found[0]:g} in {self.of}: {limit}", limit, f"{found[0]:g}")

    def _allows(self, value: float) -> bool:
        if self.one_of is not None and value not in self.one_of:
            return False
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)


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


class BorderCondition(Strict):
    """It reads no input of the model and makes no output of the model."""

    check: Literal["inside"]

    def failure(self, subject: Subject) -> Failure | None:
        outer = subject.graphs[-1]
        for name in (*subject.node.present_inputs, *subject.node.present_outputs):
            if name in outer.inputs or name in outer.outputs:
                limit = "not at the model's border"
                return Failure(f"{subject.node.op} at the model's {name!r}: {limit}", limit, "at the border")
        return None


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
        limit = range_limit(self.of, self.min, self.max)
        return Failure(f"{subject.node.op} with {len(names)} {self.of}: {limit}", limit, str(len(names)))


class QuantisedCondition(Strict):
    """The type of the activations that the operator is quantised to, "none" for floating point."""

    check: Literal["quantised"]
    one_of: tuple[str, ...]

    def failure(self, subject: Subject) -> Failure | None:
        if subject.scheme in self.one_of:
            return None
        limit = scheme_limit(self.one_of)
        return Failure(
            f"{subject.node.op} {scheme_words(subject.scheme)}: {limit}", limit, scheme_words(subject.scheme)
        )


class ScaleCondition(Strict):
    """An input that is quantised has one scale; or, where `axis` is given, one for each channel of that axis."""

    check: Literal["scale"]
    of: TensorName
    axis: int | None = None

    def failure(self, subject: Subject) -> Failure | None:
        name = subject.name_at(self.of)
        if name is None:
            return None
        itself = subject.node.op in ("QuantizeLinear", "DequantizeLinear")
        quantiser = subject.node if itself else subject.dequantises(name)
        scale = subject.value(quantiser.inputs[1]) if quantiser is not None else None
        if quantiser is None or scale is None or not scale.is_concrete or scale.elements == 1:
            return None
        found = quantiser.attributes.get("axis", 1)
        value = subject.value(name)
        rank = len(value.shape) if value is not None and value.shape is not None else 0
        if self.axis is not None and found % max(rank, 1) == self.axis:
            return None
        channels = "" if self.axis is None else f", or one for each channel of axis {self.axis}"
        limit = f"one scale for the tensor{channels}"
        scales = f"{scale.elements} scales on axis {found}"
        return Failure(f"{subject.node.op} with {scales} in {self.of}: {limit}", limit, scales)
