"""Gelu spelled out: with Erf in any of its orders, or with Tanh."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from partita.graph.ir import Node
from partita.graph.match import Match
from partita.passes.patterns.view import View
from partita.passes.rewrite import is_close

ERF_ARGUMENT = {1: math.sqrt(0.5)}
"""Powers of x and their factors in x / sqrt(2). Source: ONNX operators, Gelu-20."""
TANH_ARGUMENT = {1: math.sqrt(2 / math.pi), 3: math.sqrt(2 / math.pi) * 0.044715}
"""The same of sqrt(2 / pi) * (x + 0.044715 * x**3). Source: ONNX operators, Gelu-20."""
DEEPEST_POLYNOMIAL = 6


def gelus(view: View) -> Iterator[Match]:
    """0.5 * x * (1 + f(x)), its factors in any order, f an Erf or a Tanh."""
    for node in view.graph.nodes:
        if node.op not in ("Erf", "Tanh") or node.domain:
            continue
        wanted = ERF_ARGUMENT if node.op == "Erf" else TANH_ARGUMENT
        for product in _products(view, node):
            argument = polynomial(view, node.inputs[0], product.x)
            if argument is None or not _is_same(argument.factor_of, wanted):
                continue
            nodes = (*argument.nodes, node, *product.nodes)
            approximate = "none" if node.op == "Erf" else "tanh"
            match = view.closed_match("Gelu", nodes, (product.x,), {"approximate": approximate})
            if match is not None:
                yield match
                break


class _Product(NamedTuple):
    x: str
    nodes: tuple[Node, ...]


def _products(view: View, function: Node) -> Iterator[_Product]:
    """The ways to read what follows as x * 0.5 * (1 + f)."""
    plus_one = view.reader(function.outputs[0], "Add")
    operands = view.split_number(plus_one) if plus_one is not None else None
    if plus_one is None or operands is None or operands[1] != 1:
        return
    first = view.reader(plus_one.outputs[0], "Mul", "Div")
    if first is None:
        return
    if _is_half(view, first, plus_one.outputs[0]):
        second = view.reader(first.outputs[0], "Mul")
        if second is not None:
            yield _Product(view.other_input(second, first.outputs[0]), (plus_one, first, second))
        return
    if first.op != "Mul":
        return
    factor = view.other_input(first, plus_one.outputs[0])
    second = view.reader(first.outputs[0], "Mul", "Div")
    if second is not None and _is_half(view, second, first.outputs[0]):
        yield _Product(factor, (plus_one, first, second))
    halved = view.maker(factor, "Mul", "Div")
    if halved is not None:
        x = halved.inputs[0] if view.number(halved.inputs[0]) is None else halved.inputs[1]
        if _is_half(view, halved, x):
            yield _Product(x, (plus_one, first, halved))


def _is_half(view: View, node: Node, tensor: str) -> bool:
    """Whether `node` halves `tensor`."""
    if node.op == "Div":
        return node.inputs[0] == tensor and view.number(node.inputs[1]) == 2
    return is_close(view.number(view.other_input(node, tensor)), 0.5)


class Polynomial(NamedTuple):
    factor_of: dict[int, float]
    """The factor of each power of x."""
    nodes: tuple[Node, ...]


def polynomial(view: View, name: str, x: str, depth: int = 0) -> Polynomial | None:
    """A tensor as a polynomial of another one, with the operators that compute it; None if it is something else."""
    if name == x:
        return Polynomial({1: 1.0}, ())
    number = view.number(name)
    if number is not None:
        return Polynomial({0: number}, ())
    node = view.maker(name, "Add", "Mul", "Div", "Pow")
    if node is None or depth == DEEPEST_POLYNOMIAL:
        return None
    a, b = (polynomial(view, operand, x, depth + 1) for operand in node.inputs)
    if a is None or b is None:
        return None
    factors = _combined(node.op, a.factor_of, b.factor_of)
    return None if factors is None else Polynomial(factors, (*a.nodes, *b.nodes, node))


def _combined(op: str, a: dict[int, float], b: dict[int, float]) -> dict[int, float] | None:
    if op == "Add":
        return {power: a.get(power, 0.0) + b.get(power, 0.0) for power in {*a, *b}}
    if op == "Mul":
        return _multiplied(a, b)
    if set(b) != {0}:
        return None
    if op == "Div":
        return {power: factor / b[0] for power, factor in a.items()} if b[0] else None
    if b[0] == 2:
        return _multiplied(a, a)
    return _multiplied(_multiplied(a, a), a) if b[0] == 3 else None


def _multiplied(a: dict[int, float], b: dict[int, float]) -> dict[int, float]:
    product: dict[int, float] = {}
    for power_a, factor_a in a.items():
        for power_b, factor_b in b.items():
            product[power_a + power_b] = product.get(power_a + power_b, 0.0) + factor_a * factor_b
    return product


def _is_same(found: dict[int, float], wanted: dict[int, float]) -> bool:
    return found.keys() == wanted.keys() and all(is_close(found[power], wanted[power]) for power in wanted)
