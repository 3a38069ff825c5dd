"""Whether a unit can run an operator: rules kept as data, and the verdict with its reason and source.

A support file lists rules. The first rule that names the operator, that is about the chip's generation and whose `when`
holds decides: its status if every condition of `require` holds, else a refusal with the first condition that does not.
An operator that no rule names is refused as not in the list. One that the rules accept may be listed as a failure that
comes late: the backend takes it, and then cannot make the program.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal
from weakref import WeakKeyDictionary

from pydantic import ValidationError

from partita.devices.conditions import Condition, first_failure
from partita.devices.fusion import fuses, is_chain
from partita.devices.load import as_json, data_file, names_in, read_toml
from partita.devices.soc import Gains, Strict, Unit, explain
from partita.devices.subject import NOT_QUANTISED, Failure, Subject, scheme_limit
from partita.errors import SocError
from partita.graph.dtypes import is_floating
from partita.graph.ir import FUSED_DOMAIN, Graph, Node

Status = Literal["native", "lowered", "unsupported", "accepted_then_fails"]
ANY_OPERATOR = "*"
_STOPS: WeakKeyDictionary[Graph, dict[tuple[str, str, Gains | None], dict[str, str]]] = WeakKeyDictionary()
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


class Generations(Strict):
    """Generations of a family of chips, both ends included."""

    min: int | None = None
    max: int | None = None

    def holds(self, generation: int) -> bool:
        return (self.min is None or generation >= self.min) and (self.max is None or generation <= self.max)


class Rule(Strict):
    """What a backend does with some operators."""

    ops: tuple[str, ...]
    domain: str = ""
    generation: Generations | None = None
    """Generations that the rule is about; all if absent."""
    dtypes: tuple[str, ...] | None = None
    """Types to compute in; the file's own if absent."""
    types: tuple[str, ...] | None = None
    """Element types that the tensors computed at run time may have in the model; the file's own if absent."""
    activations: tuple[str, ...] | None = None
    """Types that its activations may be quantised to, "none" for floating point; the file's own if absent."""
    max_rank: int | None = None
    """Most dimensions of any of its tensors; the file's own if absent."""
    when: tuple[Condition, ...] = ()
    """The rule is about these operators only where all of this holds."""
    require: tuple[Condition, ...] = ()
    status: Literal["native", "lowered"] = "native"
    reason: str = ""
    """What it becomes, if it is lowered."""
    source: str | None = None


class LateFailure(Strict):
    """Operators that a backend takes by its rules, and for which it then cannot make the program."""

    ops: tuple[str, ...]
    domain: str = ""
    generation: Generations | None = None
    """Generations on which it happens; all if absent."""
    when: tuple[Condition, ...] = ()
    reason: str
    source: str | None = None


class Support(Strict):
    """What one backend takes."""

    format: Literal["partita-support/1"]
    backend: str
    """The name that the reasons call it by."""
    source: str
    generations: tuple[int, ...] = ()
    """Generations of the family that the file tells apart, the oldest first; none if it is one chip."""
    dtypes: tuple[str, ...]
    """What it computes in, the preferred one first; "w8a16" has weights of 8 bits, activations of 16."""
    types: tuple[str, ...]
    activations: tuple[str, ...] = (NOT_QUANTISED,)
    """Types that activations may be quantised to, "none" for floating point."""
    static_shapes: bool
    """Every dimension of every tensor must be known and above 0."""
    max_rank: int | None = None
    """Most dimensions of any tensor, where a rule does not say otherwise."""
    require: tuple[Condition, ...] = ()
    """What every operator must meet, beside what its rule requires."""
    rules: tuple[Rule, ...]
    failures: tuple[LateFailure, ...] = ()
    """What goes wrong after the rules have accepted; the first whose `when` holds is told."""
    one_piece: bool = False
    """It takes one piece of a model, from its inputs on: what depends on a refused operator is refused too."""
    like: str | None = None
    """Another support file whose rules hold after these, on the word of this file's source."""

    def rules_for(self, node: Node, generation: int | None) -> Iterator[Rule]:
        return (rule for rule in self.rules if _is_about(rule, node, generation))

    def failures_for(self, node: Node, generation: int | None) -> Iterator[LateFailure]:
        return (failure for failure in self.failures if _is_about(failure, node, generation))


def _is_about(rule: Rule | LateFailure, node: Node, generation: int | None) -> bool:
    domain = "" if node.body is not None else node.domain
    named = ANY_OPERATOR in rule.ops or (node.op in rule.ops and rule.domain == domain)
    return named and (rule.generation is None or generation is None or rule.generation.holds(generation))


@dataclass(frozen=True, slots=True)
class Backend:
    """Whose rules are asked: a support file, and which generation of its family."""

    support: Support
    generation: int | None = None

    @property
    def operators(self) -> frozenset[str]:
        """The operators that its rules name, those of other domains with them."""
        named = ((rule.domain, op) for rule in self.support.rules for op in rule.ops if op != ANY_OPERATOR)
        return frozenset(f"{domain}.{op}" if domain else op for domain, op in named)

    def answer(self, operator: str) -> Literal["native", "limits", "lowered", "no"]:
        """What the rules say of an operator, with its domain, apart from any model: "limits" if it depends."""
        domain, _, op = operator.rpartition(".")
        node = Node("", op, (), (), domain=domain)
        rules = list(self.support.rules_for(node, self.generation))
        if not rules or all(any(c.check == "never" for c in rule.require) for rule in rules):
            return "no"
        if all(rule.status == "lowered" for rule in rules):
            return "lowered"
        depends = len(rules) > 1 or any(rule.when or rule.require for rule in rules)
        return "limits" if depends or any(self.support.failures_for(node, self.generation)) else "native"

    @property
    def title(self) -> str:
        return self.support.backend if self.generation is None else f"{self.support.backend} v{self.generation}"


@cache
def backend_named(name: str) -> Backend:
    """The backend of a name such as "qnn-htp:v73"; without a generation the newest that the file tells apart."""
    file, colon, generation = name.partition(":")
    if not file.endswith(".toml") and file not in names_in("support"):
        raise SocError(f"there is no support file {file!r}; known: {', '.join(names_in('support'))}")
    support = support_named(file)
    known = ", ".join(f"{file}:v{each}" for each in support.generations)
    if not colon:
        return Backend(support, support.generations[-1] if support.generations else None)
    if not known:
        raise SocError(f"{file} tells no generations apart; write {file!r} for {name!r}")
    if generation.removeprefix("v") not in [str(each) for each in support.generations]:
        raise SocError(f"there is no generation {generation!r} of {file}; known: {known}")
    return Backend(support, int(generation.removeprefix("v")))


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
    base = support_named(support.like)
    rules = (*support.rules, *(rule.model_copy(update={"source": None}) for rule in base.rules))
    failures = (*support.failures, *(each.model_copy(update={"source": None}) for each in base.failures))
    return support.model_copy(update={"rules": rules, "failures": failures})


def verdict(graph: Graph, node: Node, unit: Unit, dtype: str) -> Verdict:
    """Whether `unit` runs `node`, its floating-point tensors in `dtype`.

    A fused operator with the name of an ONNX operator is judged as that operator; a chain such as "Conv+Relu" is
    native if the unit fuses that chain and takes each of its operators.
    """
    backend = backend_named(unit.support)
    if unit.gains is not None and dtype in unit.gains.dtypes:
        dtype = unit.dtypes[0]
    if node.body is None or not is_chain(node.op):
        own = _assumed(unit.gains, node) or _judge(backend, Subject(node, (graph,), dtype))
        return _in_one_piece(graph, node, backend, dtype, own, unit.gains)
    return _in_one_piece(graph, node, backend, dtype, _chain_verdict(graph, node, unit, dtype), unit.gains)


def _assumed(gains: Gains | None, node: Node) -> Verdict | None:
    """Taken or refused because a what-if says so."""
    if gains is None:
        return None
    if node.op in gains.lost_operators:
        limit = "operators that the what-if leaves"
        return Verdict("unsupported", f"{node.op} is switched off", limit, found=node.op, source="what-if")
    return Verdict("native", source="what-if") if {node.op, ANY_OPERATOR} & set(gains.operators) else None


def _chain_verdict(graph: Graph, node: Node, unit: Unit, dtype: str) -> Verdict:
    backend = backend_named(unit.support)
    if node.body is None or not fuses(unit, node.op, dtype):
        reason = f"{node.op}: {backend.title} does not run it as one kernel"
        source = backend.support.source
        return Verdict("unsupported", reason, limit="not a chain it fuses", found=node.op, source=source)
    inside = node.body, graph
    subjects = [Subject(inner, inside, dtype) for inner in node.body.nodes]
    verdicts = [_assumed(unit.gains, subject.node) or _judge(backend, subject) for subject in subjects]
    refused = [v for v in verdicts if not v.is_accepted]
    return refused[0] if refused else Verdict("native", source=backend.support.source)


def backend_verdict(graph: Graph, node: Node, backend: Backend, dtype: str) -> Verdict:
    """Whether the backend takes an operator that is no chain; see `verdict`."""
    return _in_one_piece(graph, node, backend, dtype, _judge(backend, Subject(node, (graph,), dtype)))


def _in_one_piece(
    graph: Graph, node: Node, backend: Backend, dtype: str, own: Verdict, gains: Gains | None = None
) -> Verdict:
    """The verdict on an operator by itself, unless the backend takes one piece and has been stopped before."""
    if not (backend.support.one_piece and own.is_accepted):
        return own
    stopped_by = _stops(graph, backend, dtype, gains)
    for name in node.present_inputs:
        producer = graph.producer_of.get(name)
        stop = stopped_by.get(producer.name) if producer is not None else None
        if stop is not None:
            limit = "one piece, which ends at the first operator that is refused"
            reason = f"{node.op} after {stop!r}, which is refused: {backend.title} takes {limit}"
            return Verdict("unsupported", reason, limit, f"after {stop!r}", backend.support.source)
    return own


def _stops(graph: Graph, backend: Backend, dtype: str, gains: Gains | None) -> dict[str, str]:
    """By operator that is not in the piece, the first refused operator that it is or depends on."""
    stops = _STOPS.setdefault(graph, {})
    key = (backend.title, dtype, gains)
    if key not in stops:
        found: dict[str, str] = {}
        for node in graph.nodes:
            producers = (graph.producer_of.get(name) for name in node.present_inputs)
            before = next((found[p.name] for p in producers if p is not None and p.name in found), None)
            if before is not None:
                found[node.name] = before
            elif not (_assumed(gains, node) or _judge(backend, Subject(node, (graph,), dtype))).is_accepted:
                found[node.name] = node.name
        stops[key] = found
    return stops[key]


def _judge(backend: Backend, subject: Subject) -> Verdict:
    support = backend.support
    failure = _unknown_shape(subject) if support.static_shapes else None
    if failure is not None:
        return _refusal(support.source, failure)
    for rule in support.rules_for(subject.node, backend.generation):
        if first_failure(rule.when, subject) is None:
            found = _apply(support, rule, subject)
            return _late_failure(backend, subject) or found if found.is_accepted else found
    node = subject.node
    name = node.op if node.domain in ("", FUSED_DOMAIN) else f"{node.domain}.{node.op}"
    reason = f"{name} is not in the list of {backend.title}"
    return Verdict("unsupported", reason, limit="listed operators", found=name, source=support.source)


def _apply(support: Support, rule: Rule, subject: Subject) -> Verdict:
    source = rule.source or support.source
    failure = (
        _wrong_dtype(support, rule, subject)
        or _wrong_type(support, rule, subject)
        or _wrong_activations(support, rule, subject)
        or _wrong_rank(support, rule, subject)
        or first_failure((*rule.require, *support.require), subject)
    )
    if failure is not None:
        return _refusal(source, failure)
    reason = f"{subject.node.op}: {rule.reason}" if rule.reason else ""
    return Verdict(rule.status, reason, source=source)


def _late_failure(backend: Backend, subject: Subject) -> Verdict | None:
    for each in backend.support.failures_for(subject.node, backend.generation):
        if first_failure(each.when, subject) is None:
            reason = f"{subject.node.op}: {each.reason}"
            source = each.source or backend.support.source
            return Verdict(
                "accepted_then_fails", reason, limit="a graph that can be made ready", found="present", source=source
            )
    return None


def _refusal(source: str, failure: Failure) -> Verdict:
    return Verdict("unsupported", failure.reason, failure.limit, failure.found, source)


def _wrong_dtype(support: Support, rule: Rule, subject: Subject) -> Failure | None:
    allowed = rule.dtypes if rule.dtypes is not None else support.dtypes
    if subject.dtype in allowed:
        return None
    limit = f"computes in {' or '.join(allowed)}"
    return Failure(f"{subject.node.op} in {subject.dtype}: {limit}", limit, subject.dtype)


def _wrong_activations(support: Support, rule: Rule, subject: Subject) -> Failure | None:
    allowed = rule.activations if rule.activations is not None else support.activations
    if ANY_OPERATOR in allowed or subject.scheme in allowed:
        return None
    limit = scheme_limit(allowed)
    found = "floating point" if subject.scheme == NOT_QUANTISED else f"{subject.scheme} activations"
    return Failure(f"{subject.node.op} with {found}: {limit}", limit, found)


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


def _wrong_rank(support: Support, rule: Rule, subject: Subject) -> Failure | None:
    most = rule.max_rank if rule.max_rank is not None else support.max_rank
    if most is None:
        return None
    for name in (*subject.node.present_inputs, *subject.node.present_outputs):
        value = subject.value(name)
        if value is not None and value.shape is not None and len(value.shape) > most:
            limit = f"rank at most {most}"
            found = f"rank {len(value.shape)}"
            return Failure(f"{subject.node.op} with tensor {name!r} of {found}: {limit}", limit, found)
    return None


def _unknown_shape(subject: Subject) -> Failure | None:
    for name in (*subject.node.present_inputs, *subject.node.present_outputs):
        value = subject.value(name)
        if value is None or value.shape is None or (value.is_concrete and 0 not in value.dims):
            continue
        if subject.is_constant(name) and value.is_concrete:
            continue  # an empty constant is how Resize-11 leaves its roi or scales out
        limit = "all dimensions known and above 0"
        return Failure(f"{subject.node.op} with tensor {name!r} of shape {value}: {limit}", limit, str(value))
    return None
