"""Kernels of fused operators: an ONNX operator that primitives spell out, or a chain that ends in element-wise ones."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from partita.graph.ir import Array, Graph, Node
from partita.graph.match import Match, fused_node
from partita.kernels import compiled
from partita.kernels import fused_tail as tail
from partita.kernels.convolution import conv_windows, convolve
from partita.kernels.fused_tail import Link, Step, Tail
from partita.kernels.registry import has_kernel, kernel_for

Function = Callable[..., Any]
LEAST_ROWS = 16
PRODUCERS = frozenset(("Conv", "MatMul", "Gemm"))
"""Operators whose results are new arrays that a tail may change."""


def fused_kernel(node: Node) -> Function | None:
    """The function that computes a fused operator as a whole; None if there is none, so that its body must run."""
    body = node.body
    if body is None:
        return None
    if "+" in node.op:
        return _chain(node, body)
    if not has_kernel(node.op):
        return None
    found = kernel_for(node.op)
    attributes = {name: value for name, value in node.attributes.items() if name != "body"}
    if found.takes_output_count:
        attributes["n_outputs"] = len(node.outputs)
    function = found.function
    return lambda *inputs: function(*inputs, **attributes)


def worth_fusing(graph: Graph, matches: Iterable[Match]) -> tuple[Match, ...]:
    """Matches with a kernel of their own, none overlapping another: those that cover most operators come first."""
    order = {node.name: i for i, node in enumerate(graph.nodes)}
    chosen: list[Match] = []
    taken: set[str] = set()
    for match in sorted(matches, key=lambda m: (-len(m.nodes), order[m.nodes[-1]], m.pattern)):
        if taken.isdisjoint(match.nodes) and fused_kernel(fused_node(graph, match)) is not None:
            chosen.append(match)
            taken.update(match.nodes)
    return tuple(chosen)


class _Part(NamedTuple):
    """A link of a chain before its operand is known: the step, and the name of that operand ("" for none)."""

    step: Step
    operand: str = ""


def _chain(node: Node, body: Graph) -> Function | None:
    producer = body.nodes[0]
    if producer.op not in PRODUCERS or producer.domain:
        return None
    parts = _parts(node.op.split("+")[1:], body, producer.outputs[0])
    if parts is None:
        return None
    constants = dict(body.constants)
    result = body.values.get(body.outputs[0])
    if result is None or result.dtype != "float32":
        return None
    produce = _PRODUCE[producer.op]
    attributes, names = dict(producer.attributes), producer.inputs

    def compute(*inputs: Any) -> Array:
        known = {"": None, **constants, **dict(zip(body.inputs, inputs, strict=True))}
        links = [Link(part.step, known[part.operand]) for part in parts]
        return produce([known[name] for name in names], attributes, links)

    return compute


def _parts(names: Sequence[str], body: Graph, result: str) -> list[_Part] | None:
    """The tail of a chain as steps; None if one of its operators has none."""
    waiting, names = list(body.nodes[1:]), list(names)
    parts = []
    while waiting:
        group = _group(body, waiting, result)
        del waiting[: len(group)]
        used = 2 if [n.op for n in group] == ["Sigmoid", "Mul"] else 1
        part = _part(group, body, result, names[:used])
        if part is None:
            return None
        parts.append(part)
        del names[:used]
        result = group[-1].outputs[0]
    return parts


def _group(body: Graph, waiting: list[Node], result: str) -> list[Node]:
    """The first of the waiting nodes up to where only one new tensor is read by the rest."""
    for end in range(1, len(waiting) + 1):
        rest = {name for node in waiting[end:] for name in node.inputs}
        live = {result, *(name for node in waiting[: end - 1] for name in node.outputs)}
        if rest.isdisjoint(live):
            return waiting[:end]
    return waiting


def _part(group: list[Node], body: Graph, result: str, names: list[str]) -> _Part | None:
    if len(group) == 1:
        return _single(group[0], body, result)
    if names == ["Sigmoid", "Mul"]:
        return _Part(tail.swish(1.0))
    if names == ["HardSwish"]:
        return _Part(tail.hard_swish)
    if names == ["Gelu"]:
        return _Part(tail.gelu("none" if any(node.op == "Erf" for node in group) else "tanh"))
    return None


def _single(node: Node, body: Graph, result: str) -> _Part | None:
    if node.op in _BINARY and len(set(node.inputs)) == 2:
        forward, backward = _BINARY[node.op]
        is_first = node.inputs[0] == result
        return _Part(forward if is_first else backward, node.inputs[1 if is_first else 0])
    if node.op == "Clip":
        return _clip(node, body)
    make = _ALONE.get(node.op)
    return None if make is None or node.inputs != (result,) else _Part(make(node))


def _clip(node: Node, body: Graph) -> _Part | None:
    if len(node.inputs) == 1:
        return _Part(tail.Limit(node.attributes.get("min"), node.attributes.get("max")))
    bounds = [body.constants.get(name) for name in (*node.inputs[1:], "")[:2]]
    if any(name and bound is None for name, bound in zip(node.inputs[1:], bounds, strict=False)):
        return None
    return _Part(tail.Limit(*(None if bound is None else bound.reshape(()) for bound in bounds)))


_BINARY: dict[str, tuple[Step, Step]] = {
    "Add": (tail.add, tail.add),
    "Mul": (tail.multiply, tail.multiply),
    "Sub": (tail.subtract, tail.subtract_from),
    "Div": (tail.divide, tail.divide_into),
}
_ALONE: dict[str, Callable[[Node], Step]] = {
    "Relu": lambda node: tail.Limit(0, None),
    "LeakyRelu": lambda node: tail.leaky(node.attributes.get("alpha", 0.01)),
    "Sigmoid": lambda node: tail.sigmoid,
    "Tanh": lambda node: tail.apply_ufunc(np.tanh),
    "Abs": lambda node: tail.apply_ufunc(np.abs),
    "Neg": lambda node: tail.apply_ufunc(np.negative),
    "Exp": lambda node: tail.apply_ufunc(np.exp),
    "Sqrt": lambda node: tail.apply_ufunc(np.sqrt),
    "HardSigmoid": lambda node: tail.hard_sigmoid(node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)),
    "HardSwish": lambda node: tail.hard_swish,
    "Swish": lambda node: tail.swish(node.attributes.get("alpha", 1.0)),
    "Gelu": lambda node: tail.gelu(node.attributes.get("approximate", "none")),
}


def _conv(inputs: list[Any], attributes: dict[str, Any], links: list[Link]) -> Array:
    x, w, bias = (*inputs, None)[:3]
    windows = conv_windows(x, w, **attributes)
    return convolve(x, w, windows, attributes.get("group", 1), Tail(bias, links))


def _matmul(inputs: list[Any], attributes: dict[str, Any], links: list[Link]) -> Array:
    a, b = inputs
    if not _is_worth_compiling(a, b):
        return Tail(None, links, -1).finish(kernel_for("MatMul").function(a, b))
    shape = (*a.shape[:-1], b.shape[1])
    # A vector that the chain adds first is the bias of the product.
    is_bias = bool(links) and links[0].step is tail.add and links[0].operand.shape == (b.shape[1],)
    whole = Tail(links[0].operand if is_bias else None, links[1:] if is_bias else links, -1)
    ending, rest = whole.split(shape)
    rows = a.reshape(-1, a.shape[-1])
    return rest.finish(compiled.multiply(rows, b, ending).reshape(shape))


def _is_worth_compiling(a: Array, b: Array) -> bool:
    """Products of a few rows only read the weights, which BLAS does as fast and without a copy of them."""
    if b.ndim != 2 or a.ndim < 2 or not a.flags.c_contiguous or a.shape[-1] != b.shape[0]:
        return False
    return a.size >= LEAST_ROWS * max(a.shape[-1], 1) > 0 and b.size > 0 and compiled.suits_weight(a, b)


def compiled_kernel(node: Node) -> Function | None:
    """The compiled form of a single operator, where there is one."""
    if node.op != "MatMul" or node.domain or not compiled.is_available():
        return None
    return lambda a, b: _matmul([a, b], {}, [])


def _gemm(inputs: list[Any], attributes: dict[str, Any], links: list[Link]) -> Array:
    return Tail(None, links, -1).finish(kernel_for("Gemm").function(*inputs, **attributes))


_PRODUCE: dict[str, Callable[[list[Any], dict[str, Any], list[Link]], Array]] = {
    "Conv": _conv,
    "MatMul": _matmul,
    "Gemm": _gemm,
}
