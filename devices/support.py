"""Whether a unit can run an operator: rules kept as data, and the verdict with its reason and source.

A support file lists rules. The first rule that names the operator and whose `when` holds decides: its status if every
condition of `require` holds, else a refusal with the first condition that does not. An operator that no rule names
is refused as not in the list.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

from pydantic import ValidationError

from partita.devices.conditions import Condition, Failure, Subject, first_failure
from partita.devices.fusion import fuses, is_chain
from partita.devices.load import as_json, data_file, read_toml
from partita.devices.soc import Strict, Unit, explain
from partita.errors import SocError
from partita.graph.dtypes import is_floating
from partita.graph.ir import FUSED_DOMAIN, Graph, Node

Status = Literal["native", "lowered", "unsupported", "accepted_then_fails"]
ANY_OPERATOR = "*"
FLOAT = "float"
"""Stands in a list of element types for every floating-point type that a unit may exchange for its own."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a unit takes an operator and, if it does not, why."""

    status: Status
    reason: str = ""
    limit: str = ""
    """What the backend allows."""
    found: str = ""
    """What the operator has instead."""
    source: str = ""

    @property
    def is_accepted(self) -> bool:
        return self.status in ("native", "lowered")


class Rule(Strict):
    """What a backend does with some operators."""

    ops: tuple[str, ...]
    domain: str = ""
    dtypes: tuple[str, ...] | None = None
    """Types to compute in; the file's own if absent."""
    types: tuple[str, ...] | None = None
    """Element types that the tensors computed at run time may have in the model; the file's own if absent."""
    when: tuple[Condition, ...] = ()
    """The rule is about these operators only where all of this holds."""
    require: tuple[Condition, ...] = ()
    status: Status = "native"
    reason: str = ""
    """Why, for a status that is not native."""
    source: str | None = None


class Support(Strict):
    """What one backend takes."""

    format: Literal["partita-support/1"]
    backend: str
    """The name that the reasons call it by."""
    source: str
    dtypes: tuple[str, ...]
    types: tuple[str, ...]
    static_shapes: bool
    """Every dimension of every tensor must be known and above 0."""
    rules: tuple[Rule, ...]
    like: str | None = None
    """Another support file whose rules hold after these, on the word of this file's source."""

    def rules_for(self, node: Node) -> tuple[Rule, ...]:
        domain = "" if node.body is not None else node.domain
        return tuple(r for r in self.rules if ANY_OPERATOR in r.ops or (node.op in r.ops and r.domain == domain))


@cache
def support_named(name: str) -> Support:
    """The support file of that name; SocError says what is wrong with it and where."""
    path, shown = data_file("support", name)
    content = read_toml(path, shown)
    try:
        support = Support.model_validate_json(as_json(content))
    except ValidationError as error:
        raise SocError(f"{shown}: {explain(error, content)}") from None
    return _with_base(support, shown)


def _with_base(support: Support, shown: str) -> Support:
    if support.like is None:
        return support
    base_content = read_toml(*data_file("support", support.like))
    if "like" in base_content:
        raise SocError(f"{shown}: like is {support.like!r}, which itself is like another; name the last one")
    borrowed = tuple(rule.model_copy(update={"source": None}) for rule in support_named(support.like).rules)
    return support.model_copy(update={"rules": (*support.rules, *borrowed)})


def verdict(graph: Graph, node: Node, unit: Unit, dtype: str) -> Verdict:
    """Whether `unit` runs `node`, its floating-point tensors in `dtype`.

    A fused operator with the name of an ONNX operator is judged as that operator; a chain such as "Conv+Relu" is
    native if the unit fuses that chain and takes each of its operators.
    """
    support = support_named(unit.support)
    if node.body is None or not is_chain(node.op):
        return _judge(support, Subject(node, (graph,)), dtype)
    if not fuses(unit, node.op, dtype):
        reason = f"{node.op}: {support.backend} does not run it as one kernel"
        return Verdict("unsupported", reason, limit="not a chain it fuses", found=node.op, source=support.source)
    verdicts = [_judge(support, Subject(inner, (node.body, graph)), dtype) for inner in node.body.nodes]
    refused = [v for v in verdicts if not v.is_accepted]
    return refused[0] if refused else Verdict("native", source=support.source)


def _judge(support: Support, subject: Subject, dtype: str) -> Verdict:
    failure = _unknown_shape(subject) if support.static_shapes else None
    if failure is not None:
        return _refusal(support.source, failure)
    for rule in support.rules_for(subject.node):
        if first_failure(rule.when, subject) is None:
            return _apply(support, rule, subject, dtype)
    node = subject.node
    name = node.op if node.domain in ("", FUSED_DOMAIN) else f"{node.domain}.{node.op}"
    reason = f"{name} is not in the list of {support.backend}"
    return Verdict("unsupported", reason, limit="listed operators", found=name, source=support.source)


def _apply(support: Support, rule: Rule, subject: Subject, dtype: str) -> Verdict:
    source = rule.source or support.source
    failure = (
        _wrong_dtype(support, rule, subject, dtype)
        or _wrong_type(support, rule, subject)
        or first_failure(rule.require, subject)
    )
    if failure is not None:
        return _refusal(source, failure)
    reason = f"{subject.node.op}: {rule.reason}" if rule.reason else ""
    return Verdict(rule.status, reason, source=source)


def _refusal(source: str, failure: Failure) -> Verdict:
    return Verdict("unsupported", failure.reason, failure.limit, failure.found, source)


def _wrong_dtype(support: Support, rule: Rule, subject: Subject, dtype: str) -> Failure | None:
    allowed = rule.dtypes if rule.dtypes is not None else support.dtypes
    if dtype in allowed:
        return None
    limit = f"computes in {' or '.join(allowed)}"
    return Failure(f"{subject.node.op} in {dtype}: {limit}", limit, dtype)


def _wrong_type(support: Support, rule: Rule, subject: Subject) -> Failure | None:
    allowed = rule.types if rule.types is not None else support.types
    if ANY_OPERATOR in allowed:
        return None
    computed = (name for name in subject.node.present_inputs if not subject.is_constant(name))
    for name in (*computed, *subject.node.present_outputs):
        value = subject.value(name)
        if value is None or value.dtype in allowed or (FLOAT in allowed and is_floating(value.dtype)):
            continue
        limit = f"tensors of type {', '.join(allowed)}"
        return Failure(f"{subject.node.op} with {value.dtype} tensor {name!r}: {limit}", limit, value.dtype)
    return None


def _unknown_shape(subject: Subject) -> Failure | None:
    for name in (*subject.node.present_inputs, *subject.node.present_outputs):
        value = subject.value(name)
        if value is None or (value.is_concrete and 0 not in value.dims):
            continue
        if subject.is_constant(name) and value.is_concrete:
            continue  # an empty constant is how Resize-11 leaves its roi or scales out
        limit = "all dimensions known and above 0"
        return Failure(f"{subject.node.op} with tensor {name!r} of shape {value}: {limit}", limit, str(value))
    return None
