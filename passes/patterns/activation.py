"""Activations spelled out in primitives: Swish, HardSigmoid, HardSwish, Mish."""

from collections.abc import Iterator
from typing import NamedTuple

from partita.graph.ir import Node
from partita.graph.match import Match
from partita.passes.patterns.view import View
from partita.passes.rewrite import is_close

SIXTH = 1 / 6
HARD_SIGMOID_ALPHA, HARD_SIGMOID_BETA = 0.2, 0.5
"""Defaults of the operator. Source: ONNX operators, HardSigmoid-6."""


def activations(view: View) -> Iterator[Match]:
    for node in view.graph.nodes:
        if node.domain or len(node.outputs) != 1:
            continue
        if node.op == "Sigmoid":
            yield from _present(_swish(view, node))
        elif node.op == "HardSigmoid":
            yield from _present(_gated_hard_sigmoid(view, node))
        elif node.op == "Tanh":
            yield from _present(_mish(view, node))
        elif node.op == "Clip":
            yield from _clipped(view, node)


def _present(match: Match | None) -> Iterator[Match]:
    if match is not None:
        yield match


def _gate(view: View, x: str, gate: str) -> Node | None:
    """The Mul of x with a tensor that nobody else reads."""
    multiply = view.reader(gate, "Mul")
    return multiply if multiply is not None and view.other_input(multiply, gate) == x != gate else None


def _swish(view: View, sigmoid: Node) -> Match | None:
    """x * sigmoid(alpha * x). Source: ONNX operators, Swish-24."""
    x, alpha = sigmoid.inputs[0], 1.0
    nodes: tuple[Node, ...] = (sigmoid,)
    gate = _gate(view, x, sigmoid.outputs[0])
    scaling = view.maker(x, "Mul")
    operands = view.split_number(scaling) if scaling is not None else None
    if gate is None and scaling is not None and operands is not None:
        x, alpha = operands
        nodes = (scaling, sigmoid)
        gate = _gate(view, x, sigmoid.outputs[0])
    return None if gate is None else view.closed_match("Swish", (*nodes, gate), (x,), {"alpha": alpha})


def _gated_hard_sigmoid(view: View, node: Node) -> Match | None:
    """x * HardSigmoid(x) with the slope 1/6 that HardSwish has. Source: ONNX operators, HardSwish-14."""
    is_sixth = is_close(node.attributes.get("alpha", HARD_SIGMOID_ALPHA), SIXTH)
    if not is_sixth or not is_close(node.attributes.get("beta", HARD_SIGMOID_BETA), 0.5):
        return None
    gate = _gate(view, node.inputs[0], node.outputs[0])
    return None if gate is None else view.closed_match("HardSwish", (node, gate), (node.inputs[0],))


def _mish(view: View, tanh: Node) -> Match | None:
    """x * tanh(softplus(x)), the softplus whole or as log(1 + exp(x)). Source: ONNX operators, Mish-18."""
    softplus = _softplus(view, tanh.inputs[0])
    if softplus is None:
        return None
    gate = _gate(view, softplus.x, tanh.outputs[0])
    return None if gate is None else view.closed_match("Mish", (*softplus.nodes, tanh, gate), (softplus.x,))


class _Softplus(NamedTuple):
    x: str
    nodes: tuple[Node, ...]


def _softplus(view: View, name: str) -> _Softplus | None:
    node = view.maker(name, "Softplus", "Log")
    if node is None or node.op == "Softplus":
        return None if node is None else _Softplus(node.inputs[0], (node,))
    plus_one = view.maker(node.inputs[0], "Add")
    operands = view.split_number(plus_one) if plus_one is not None else None
    exp = view.maker(operands[0], "Exp") if operands is not None and operands[1] == 1 else None
    if plus_one is None or exp is None:
        return None
    return _Softplus(exp.inputs[0], (exp, plus_one, node))


def _clipped(view: View, clip: Node) -> Iterator[Match]:
    """clip(x + 3, 0, 6) / 6, which is HardSigmoid, and its product with x, which is HardSwish."""
    add = view.maker(clip.inputs[0], "Add")
    operands = view.split_number(add) if add is not None else None
    if add is None or operands is None or operands[1] != 3 or _limits(view, clip) != (0, 6):
        return
    x = operands[0]
    inner = (add, clip)
    divide = view.reader(clip.outputs[0], "Div", "Mul")
    if divide is not None and _is_sixth(view, divide, clip.outputs[0]):
        attributes = {"alpha": SIXTH, "beta": 0.5}
        yield from _present(view.closed_match("HardSigmoid", (*inner, divide), (x,), attributes))
        gate = _gate(view, x, divide.outputs[0])
        if gate is not None:
            yield from _present(view.closed_match("HardSwish", (*inner, divide, gate), (x,)))
        return
    yield from _hard_swish_divided_last(view, x, inner)


def _hard_swish_divided_last(view: View, x: str, inner: tuple[Node, ...]) -> Iterator[Match]:
    """x * clip(x + 3, 0, 6) with the division after the product, or in x before it."""
    clipped = inner[-1].outputs[0]
    gate = view.reader(clipped, "Mul")
    if gate is None:
        return
    factor = view.other_input(gate, clipped)
    divide = view.reader(gate.outputs[0], "Div", "Mul") if factor == x else view.maker(factor, "Div", "Mul")
    divided = gate.outputs[0] if factor == x else x
    if divide is not None and _is_sixth(view, divide, divided):
        yield from _present(view.closed_match("HardSwish", (*inner, gate, divide), (x,)))


def _limits(view: View, clip: Node) -> tuple[float | None, float | None]:
    if len(clip.inputs) == 3:
        return view.number(clip.inputs[1]), view.number(clip.inputs[2])
    return clip.attributes.get("min"), clip.attributes.get("max")


def _is_sixth(view: View, node: Node, tensor: str) -> bool:
    """Whether `node` divides `tensor` by 6."""
    if node.op == "Div":
        return node.inputs[0] == tensor and view.number(node.inputs[1]) == 6
    return tensor in node.inputs and is_close(view.number(view.other_input(node, tensor)), SIXTH)
