"""Chains: an operator and one to three element-wise operators after it, each the only reader of the one before."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from partita.graph.ir import Node
from partita.graph.match import Match
from partita.passes.patterns.view import View

WEIGHTED = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))
PRODUCERS = WEIGHTED | frozenset(
    ("Add", "Sub", "Mul", "Div", "AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool", "Concat", "Resize",
     "DepthToSpace", "BatchNormalization")
)  # fmt: skip
"""Operators whose kernels can apply something to each element before they write it."""
FOLLOWERS = frozenset(
    ("Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "Sigmoid", "HardSigmoid", "Tanh",
     "HardSwish", "Gelu", "Swish", "Mish", "Softplus", "Softsign", "Abs", "Neg", "Exp", "Sqrt", "Reciprocal", "Add",
     "Sub", "Mul", "Div", "Max", "Min", "BatchNormalization")
)  # fmt: skip
LONGEST_TAIL = 3
PARAMETERS_IN_BODY = frozenset(("Resize",))
"""Operators whose constants say how to compute, not with what."""


def chains(view: View, activations: Iterable[Match]) -> Iterator[Match]:
    """Every producer with each of its tails. An activation that is spelled out is one link, under its own name.

    Only x * Sigmoid(x) is named "Sigmoid+Mul": a Mul of a Sigmoid with anything else ends a chain, as does an operator
    whose result has another shape, so that a name always stands for the same computation.
    """
    canonical = {match.inputs[0]: match for match in sorted(activations, key=lambda match: len(match.nodes))}
    for node in view.graph.nodes:
        if node.op in PRODUCERS and not node.domain and len(node.outputs) == 1 and view.has_dims(node.outputs[0]):
            yield from _chains_from(view, node, canonical)


class _Link(NamedTuple):
    name: str
    nodes: tuple[Node, ...]
    result: str


def _chains_from(view: View, producer: Node, canonical: Mapping[str, Match]) -> Iterator[Match]:
    links = [_Link(producer.op, (producer,), producer.outputs[0])]
    for _ in range(LONGEST_TAIL):
        link = _next_link(view, links[-1], canonical)
        if link is None:
            return
        links.append(link)
        nodes = [node for each in links for node in each.nodes]
        match = view.closed_match("+".join(each.name for each in links), nodes, _inputs(view, nodes))
        if match is not None:
            yield match


def _next_link(view: View, last: _Link, canonical: Mapping[str, Match]) -> _Link | None:
    whole = canonical.get(last.result)
    if whole is not None:
        nodes = tuple(view.graph.node_named[name] for name in whole.nodes)
        if {n.name for n in view.readers(last.result)} <= set(whole.nodes) and last.result not in view.graph.outputs:
            return _Link(_name(whole), nodes, whole.outputs[0])
    follower = view.reader(last.result, *FOLLOWERS)
    if follower is None or not view.has_dims(follower.outputs[0]):
        return None
    changes_shape = view.dims(follower.outputs[0]) != view.dims(last.result)
    is_parameter = follower.op in ("Clip", "PRelu", "BatchNormalization") and follower.inputs[0] != last.result
    gates_another = last.name.endswith("Sigmoid") and follower.op == "Mul"
    if changes_shape or is_parameter or gates_another:
        return None
    return _Link(follower.op, (follower,), follower.outputs[0])


def _name(match: Match) -> str:
    """An activation's own name, but SiLU, which ONNX has named only since opset 24, as it is spelled."""
    return "Sigmoid+Mul" if match.pattern == "Swish" and match.attributes["alpha"] == 1 else match.pattern


def _inputs(view: View, nodes: list[Node]) -> tuple[str, ...]:
    """What the chain reads from outside: activations, weights and vectors; single numbers belong to its body."""
    made = {name for node in nodes for name in node.outputs}
    wanted = [name for node in nodes for name in node.present_inputs if name not in made]
    numbers = {name for node in nodes for name in node.inputs if name and _is_body_constant(view, node, name)}
    return tuple(dict.fromkeys(name for name in wanted if name not in numbers))


def _is_body_constant(view: View, node: Node, name: str) -> bool:
    array = view.graph.constants.get(name)
    if array is None or node.op in WEIGHTED:
        return False
    return array.size == 1 or node.op in PARAMETERS_IN_BODY
