"""The conditions of support rules: what a backend asks of one operator beyond its name."""

import string
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from partita.devices.soc import Strict
from partita.devices.subject import Failure, Subject, range_limit
from partita.devices.tensor_conditions import (
    AxisCondition,
    BorderCondition,
    ComputedCondition,
    ConstantCondition,
    CountCondition,
    DimensionCondition,
    ElementsCondition,
    OneComputedCondition,
    OriginCondition,
    QuantisedCondition,
    RankCondition,
    ScaleCondition,
    SizesCondition,
    TensorName,
    TypeCondition,
    ValuesCondition,
)
from partita.graph.ir import Node

Scalar = int | float | str


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
    any: bool = False
    """One value that is allowed is enough; else each must be."""
    alike: bool | None = None
    """True asks that its values be all the same, False that they be not."""

    def failure(self, subject: Subject) -> Failure | None:
        node = subject.node
        if self.absent is not None and (self.name in node.attributes) == self.absent:
            limit = f"{self.name} must be {'absent' if self.absent else 'given'}"
            return Failure(f"{node.op}: {limit}", limit, "given" if self.absent else "absent")
        found = node.attributes.get(self.name, self.default)
        if found is None:
            return None
        values = list(found) if isinstance(found, Sequence) and not isinstance(found, str | bytes) else [found]
        if self.alike is not None and (len(set(values)) == 1) != self.alike:
            limit = f"{self.name} must {'be the same' if self.alike else 'differ'} in all directions"
            return Failure(f"{node.op} with {self.name} = {values}: {limit}", limit, f"{self.name} = {values}")
        bad = [value for value in values if not self._allows(plain(value))]
        if not bad or (self.any and len(bad) < len(values)):
            return None
        limit = self._limit()
        shown = plain(values[0]) if len(values) == 1 else [plain(value) for value in values]
        return Failure(f"{node.op} with {self.name} = {shown}: {limit}", limit, f"{self.name} = {shown}")

    def _allows(self, value: Any) -> bool:
        if self.one_of is not None and value not in self.one_of:
            return False
        below = self.min is not None and value < self.min
        return not below and not (self.max is not None and value > self.max)

    def _limit(self) -> str:
        if self.one_of is not None:
            return f"{self.name} must be {' or '.join(str(value) for value in self.one_of)}"
        return range_limit(self.name, self.min, self.max)


class EquationCondition(Strict):
    """The equation of an Einsum, whatever its letters."""

    check: Literal["equation"]
    one_of: tuple[str, ...]
    """With letters in the order of the alphabet as they first occur: "ab,bc->ac"."""

    def failure(self, subject: Subject) -> Failure | None:
        equation = str(plain(subject.node.attributes.get("equation", ""))).replace(" ", "")
        letters = dict.fromkeys(letter for letter in equation if letter.isalpha())
        in_order = {letter: string.ascii_lowercase[index % 26] for index, letter in enumerate(letters)}
        if "".join(in_order.get(letter, letter) for letter in equation) in self.one_of:
            return None
        limit = f"equations such as {self.one_of[0]}"
        return Failure(f"{subject.node.op} of {equation}: {limit}", limit, equation)


class OpsetCondition(Strict):
    """The opset version whose meaning the operator has."""

    check: Literal["opset"]
    min: int | None = None
    max: int | None = None

    def failure(self, subject: Subject) -> Failure | None:
        version = subject.node.version
        if (self.min is None or version >= self.min) and (self.max is None or version <= self.max):
            return None
        limit = range_limit("opset", self.min, self.max)
        return Failure(f"{subject.node.op} of opset {version}: {limit}", limit, f"opset {version}")


class BetweenCondition(Strict):
    """The operators before it and after it are of the given kinds."""

    check: Literal["between"]
    ops: tuple[str, ...]

    def failure(self, subject: Subject) -> Failure | None:
        before, after = _neighbours(subject)
        neighbours = [node.op if node is not None else "an input" for node in (*before, *after)]
        strange = [op for op in neighbours if op not in self.ops]
        if not strange and before and after:
            return None
        limit = f"only between {' and '.join(self.ops)}"
        found = strange[0] if strange else "an end of the graph"
        return Failure(f"{subject.node.op} next to {found}: {limit}", limit, found)


class BesideCondition(Strict):
    """An operator of the given kinds is right before it or right after it."""

    check: Literal["beside"]
    ops: tuple[str, ...]

    def failure(self, subject: Subject) -> Failure | None:
        before, after = _neighbours(subject)
        if any(node is not None and node.op in self.ops for node in (*before, *after)):
            return None
        limit = f"only beside {' or '.join(self.ops)}"
        return Failure(f"{subject.node.op} without such a neighbour: {limit}", limit, "none")


class ChainCondition(Strict):
    """An input is the end of a chain of operators of the given kinds, the nearest first."""

    check: Literal["chain"]
    of: TensorName
    ops: tuple[str, ...]

    def failure(self, subject: Subject) -> Failure | None:
        name = subject.name_at(self.of)
        if name is not None and _ends_chain(subject, name, self.ops):
            return None
        limit = f"{self.of} must come from {' after '.join(self.ops)}"
        return Failure(f"{subject.node.op}: {limit}", limit, "another origin")


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
    | DimensionCondition
    | ElementsCondition
    | ConstantCondition
    | ComputedCondition
    | ValuesCondition
    | OneComputedCondition
    | OriginCondition
    | BorderCondition
    | TypeCondition
    | AxisCondition
    | CountCondition
    | QuantisedCondition
    | ScaleCondition
    | SizesCondition
    | AttributeCondition
    | EquationCondition
    | OpsetCondition
    | BetweenCondition
    | BesideCondition
    | ChainCondition
    | PatternCondition
    | NeverCondition,
    Field(discriminator="check"),
]


def first_failure(conditions: Sequence[Condition], subject: Subject) -> Failure | None:
    return next((failure for c in conditions if (failure := c.failure(subject)) is not None), None)


def _neighbours(subject: Subject) -> tuple[list[Node | None], list[Node]]:
    """The operators before and after, in the innermost graph; None for what comes from outside."""
    graph = subject.graphs[0]
    before = [graph.producer_of.get(name) for name in subject.node.present_inputs]
    return before, [node for name in subject.node.present_outputs for node in graph.consumers_of.get(name, ())]


def _ends_chain(subject: Subject, name: str, ops: Sequence[str]) -> bool:
    producer = subject.producer(name)
    if producer is None or producer.op != ops[0]:
        return False
    return len(ops) == 1 or any(_ends_chain(subject, each, ops[1:]) for each in producer.present_inputs)


def plain(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
