"""Control flow: the branch of an If whose condition is constant, and the types inside and out of If, Loop and Scan."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from partita.errors import ModelError
from partita.graph.infer import infer_types
from partita.graph.ir import Array, Graph, Node, Value
from partita.passes.rewrite import with_reads_renamed

Types = dict[str, Value]
Specialise = Callable[[Graph, Mapping[str, Value], Mapping[str, Array]], Graph]
"""Gives a region its types, from those of the tensors around it and the constants among them."""


@dataclass(frozen=True, slots=True)
class Branch:
    """What takes the place of an If."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    missing: frozenset[str]
    values: Mapping[str, Value]


def inlined_branch(node: Node, known: Mapping[str, Array], values: Mapping[str, Value]) -> Branch | None:
    """The branch that a constant condition chooses, under names that are free outside; None for any other operator."""
    if node.op != "If" or node.domain or node.inputs[0] not in known:
        return None
    chosen = bool(known[node.inputs[0]].reshape(()))
    region: Graph = node.attributes["then_branch" if chosen else "else_branch"]
    made = {*region.constants, *region.missing, *region.producer_of}
    new_name_of = {name: _free_name(f"{node.name}/{name}" if name in values else name, values) for name in sorted(made)}
    nodes = [_renamed(inner, new_name_of) for inner in region.nodes]
    for index, (inside, outside) in enumerate(zip(region.outputs, node.outputs, strict=True)):
        if outside:
            source = new_name_of.get(inside, inside)
            nodes.append(Node(f"{node.name}/output_{index}", "Identity", (source,), (outside,), {}, "", node.version))
    return Branch(
        tuple(nodes),
        {new_name_of[name]: array for name, array in region.constants.items()},
        frozenset(new_name_of[name] for name in region.missing),
        {new_name_of[name]: value for name, value in region.values.items() if name in new_name_of},
    )


def _free_name(wanted: str, values: Mapping[str, Value]) -> str:
    name, count = wanted, 1
    while name in values:
        name, count = f"{wanted}.{count}", count + 1
    return name


def _renamed(node: Node, new_name_of: Mapping[str, str]) -> Node:
    node = with_reads_renamed(node, new_name_of)
    return replace(node, outputs=tuple(new_name_of.get(name, name) for name in node.outputs))


def typed_regions(
    node: Node, values: Mapping[str, Value], known: Mapping[str, Array], specialise: Specialise
) -> tuple[Node, Types]:
    """An operator with regions, these typed as far as they can be, and the types of its own outputs."""
    if node.op == "If" and not node.domain:
        return _typed_if(node, values, known, specialise)
    if node.op == "Loop" and not node.domain:
        return _typed_loop(node, values, known, specialise)
    if node.op == "Scan" and not node.domain and node.version >= 9:
        return _typed_scan(node, values, known, specialise)
    return node, infer_types(node, values, known)


def _with_region(node: Node, key: str, region: Graph) -> Node:
    return node if node.attributes[key] is region else replace(node, attributes={**node.attributes, key: region})


def _typed_if(
    node: Node, values: Mapping[str, Value], known: Mapping[str, Array], specialise: Specialise
) -> tuple[Node, Types]:
    """Both branches are typed; one that cannot run at these sizes is not taken, and stays as it is if the other can."""
    types: list[list[Value | None]] = []
    errors: list[ModelError] = []
    for key in ("then_branch", "else_branch"):
        try:
            region = specialise(node.attributes[key], values, known)
        except ModelError as error:
            errors.append(error)
            continue
        node = _with_region(node, key, region)
        types.append([region.values.get(name) or values.get(name) for name in region.outputs])
    if not types:
        raise errors[0]
    merged = (_common(a, b) for a, b in zip(types[0], types[-1], strict=True))
    return node, {name: value for name, value in zip(node.outputs, merged, strict=True) if name and value is not None}


def _typed_loop(
    node: Node, values: Mapping[str, Value], known: Mapping[str, Array], specialise: Specialise
) -> tuple[Node, Types]:
    """The carried tensors are typed by what goes in and what the body makes of it, widened until both agree."""
    body: Graph = node.attributes["body"]
    carried = [values.get(name) for name in node.inputs[2:]]
    typed, after = body, carried
    for _ in range(_LOOP_ROUNDS):
        given = [Value("int64", ()), Value("bool", ()), *carried]
        typed = specialise(_with_inputs(body, given), values, known)
        made = [typed.values.get(name) or values.get(name) for name in typed.outputs]
        after = [_common(a, b) for a, b in zip(carried, made[1 : 1 + len(carried)], strict=True)]
        if after == carried:
            break
        carried = after
    scanned = [_stacked(value, _trip_count(node, typed, known)) for value in made[1 + len(carried) :]]
    return _with_region(node, "body", typed), _named(node.outputs, [*after, *scanned])


_LOOP_ROUNDS = 4
"""Widening of shapes settles after two rounds; a change of rank takes one more."""


def _typed_scan(
    node: Node, values: Mapping[str, Value], known: Mapping[str, Array], specialise: Specialise
) -> tuple[Node, Types]:
    scanned_inputs = int(node.attributes["num_scan_inputs"])
    states = [values.get(name) for name in node.inputs[: len(node.inputs) - scanned_inputs]]
    axes = node.attributes.get("scan_input_axes") or (0,) * scanned_inputs
    sequences = [values.get(name) for name in node.inputs[len(states) :]]
    for value, axis in zip(sequences, axes, strict=True):
        if value is not None and value.shape is not None and not -len(value.shape) <= axis < len(value.shape):
            raise ModelError(f"node {node}: it cannot scan {value} along axis {axis}, which that does not have")
    slices = [_without_axis(value, axis) for value, axis in zip(sequences, axes, strict=True)]
    body = specialise(_with_inputs(node.attributes["body"], [*states, *slices]), values, known)
    made = [body.values.get(name) or values.get(name) for name in body.outputs]
    steps = next((v.shape[a] for v, a in zip(sequences, axes, strict=True) if v is not None and v.shape), None)
    output_axes = node.attributes.get("scan_output_axes") or (0,) * (len(made) - len(states))
    stacked = [_stacked(value, steps, axis) for value, axis in zip(made[len(states) :], output_axes, strict=True)]
    return _with_region(node, "body", body), _named(node.outputs, [*made[: len(states)], *stacked])


def _named(names: Sequence[str], types: Sequence[Value | None]) -> Types:
    return {name: value for name, value in zip(names, types, strict=False) if name and value is not None}


def _with_inputs(body: Graph, types: Sequence[Value | None]) -> Graph:
    values = dict(body.values)
    for name, value in zip(body.inputs, types, strict=True):
        if value is not None:
            values[name] = value
    return body if values == body.values else replace(body, values=values)


def _common(a: Value | None, b: Value | None) -> Value | None:
    """The type that both have: dimensions that differ become unknown."""
    if a is None or b is None or a == b:
        return a or b
    if a.shape is None or b.shape is None or len(a.shape) != len(b.shape):
        return Value(a.dtype, None, _common(a.element, b.element) if a.element and b.element else None)
    return Value(a.dtype, tuple(x if x == y else None for x, y in zip(a.shape, b.shape, strict=True)))


def _trip_count(node: Node, body: Graph, known: Mapping[str, Array]) -> int | None:
    """How often a Loop runs, if a constant says so and its condition always holds; else None."""
    limit, start = node.inputs[0], node.inputs[1]
    always = body.outputs[0] in body.constants and bool(body.constants[body.outputs[0]].reshape(()))
    passed_on = body.outputs[0] == body.inputs[1] or (
        body.outputs[0] in body.producer_of
        and body.producer_of[body.outputs[0]].op == "Identity"
        and body.producer_of[body.outputs[0]].inputs[0] == body.inputs[1]
    )
    starts = not start or (start in known and bool(known[start].reshape(())))
    if limit not in known or not starts or not (always or passed_on):
        return None
    return int(known[limit].reshape(()))


def _stacked(value: Value | None, steps: int | None, axis: int = 0) -> Value | None:
    if value is None or value.shape is None:
        return value
    at = axis if axis >= 0 else axis + len(value.shape) + 1
    return Value(value.dtype, (*value.shape[:at], steps, *value.shape[at:]))


def _without_axis(value: Value | None, axis: int) -> Value | None:
    if value is None or value.shape is None:
        return value
    at = axis % len(value.shape)
    return Value(value.dtype, (*value.shape[:at], *value.shape[at + 1 :]))
