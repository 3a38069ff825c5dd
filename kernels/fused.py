"""Kernels of fused operators: an ONNX operator that primitives spell out, or a chain that ends in element-wise ones."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from partita.graph.ir import Array, Graph, Node
from partita.graph.match import Match, fused_node
from partita.kernels import compiled, tiles
from partita.kernels import fused_tail as tail
from partita.kernels.convolution import convolve, windows_of
from partita.kernels.fused_tail import Link, Step, Tail
from partita.kernels.registry import Kernel, has_kernel, kernel_for

Function = Callable[..., Any]
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
    function = compiled_form(node.op, found)
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


class Part(NamedTuple):
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


def chain_parts(node: Node) -> tuple[Node, dict[str, str], list[Part]] | None:
    """The producer of a chain, or of a plain operator; names of the node's inputs by those of its body; its tail."""
    body = node.body
    if body is None:
        return node, {}, []
    parts = _parts(node.op.split("+")[1:], body, body.nodes[0].outputs[0]) if "+" in node.op else None
    return None if parts is None else (body.nodes[0], dict(zip(body.inputs, node.inputs, strict=True)), parts)


def _parts(names: Sequence[str], body: Graph, result: str) -> list[Part] | None:
    """The tail of a chain as steps; None if one of its operators has none.

    A name is an operator's own, or that of an activation which several operators spell out: as many as are left for
    it when every later name takes one. x * Sigmoid(x) goes by two names.
    """
    waiting, names = list(body.nodes[1:]), list(names)
    parts = []
    while names:
        count, used = 1, 1
        if names[:2] == ["Sigmoid", "Mul"] and len(waiting) > 1 and result in waiting[1].inputs:
            count, used = 2, 2
            part: Part | None = Part(tail.swish(1.0))
        elif waiting[0].op == names[0]:
            part = _single(waiting[0], body, result)
        else:
            count = len(waiting) - len(names) + 1
            part = _spelled_out(names[0], waiting[:count])
        if part is None or count < 1:
            return None
        parts.append(part)
        result = waiting[count - 1].outputs[0]
        del waiting[:count], names[:used]
    return None if waiting else parts


def _spelled_out(name: str, nodes: list[Node]) -> Part | None:
    if name == "HardSwish":
        return Part(tail.hard_swish)
    if name == "Gelu":
        return Part(tail.gelu("none" if any(node.op == "Erf" for node in nodes) else "tanh"))
    return None


def _single(node: Node, body: Graph, result: str) -> Part | None:
    if node.op in _BINARY and len(set(node.inputs)) == 2:
        forward, backward = _BINARY[node.op]
        is_first = node.inputs[0] == result
        return Part(forward if is_first else backward, node.inputs[1 if is_first else 0])
    if node.op == "Clip":
        return _clip(node, body)
    make = _ALONE.get(node.op)
    return None if make is None or node.inputs != (result,) else Part(make(node))


def _clip(node: Node, body: Graph) -> Part | None:
    if len(node.inputs) == 1:
        return Part(tail.Limit(node.attributes.get("min"), node.attributes.get("max")))
    bounds = [body.constants.get(name) for name in (*node.inputs[1:], "")[:2]]
    if any(name and bound is None for name, bound in zip(node.inputs[1:], bounds, strict=False)):
        return None
    return Part(tail.Limit(*(None if bound is None else bound.reshape(()) for bound in bounds)))


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
    windows = windows_of(x.shape, w.shape, **attributes)
    return convolve(x, w, windows, attributes.get("group", 1), Tail(bias, links))


def _matmul(inputs: list[Any], attributes: dict[str, Any], links: list[Link]) -> Array:
    a, b = inputs
    if not _is_worth_compiling(a, b):
        return _plain_matmul(a, b, Tail(None, links, -1))
    shape = (*a.shape[:-1], b.shape[1])
    # A vector that the chain adds first is the bias of the product.
    is_bias = bool(links) and links[0].step is tail.add and links[0].operand.shape == (b.shape[1],)
    whole = Tail(links[0].operand if is_bias else None, links[1:] if is_bias else links, -1)
    ending, rest = whole.split(shape)
    if rest.links and rest.links[0].step is tail.exact_gelu:
        ending, rest = ending._replace(gelu=True), Tail(None, rest.links[1:], -1)
    rows = a.reshape(-1, a.shape[-1])
    return rest.finish(compiled.multiply(rows, b, ending).reshape(shape))


def _plain_matmul(a: Array, b: Array, tail: Tail) -> Array:
    """What follows the product of two matrices is done part by part, on the thread that multiplied."""
    if b.ndim != 2 or a.ndim < 2 or not a.flags.c_contiguous or a.shape[-1] != b.shape[0] or not a.size * b.size:
        return tail.finish(kernel_for("MatMul").function(a, b))
    y = np.empty((*a.shape[:-1], b.shape[1]), np.result_type(a, b))
    rows, result, finish = a.reshape(-1, a.shape[-1]), y.reshape(-1, b.shape[1]), tail.on(y).finish
    tiles.by_matrix(rows, b, result, finish)
    return y


def _is_worth_compiling(a: Array, b: Array) -> bool:
    """Products of a few rows only read the weights, which BLAS does as fast and without a copy of them."""
    if b.ndim != 2 or a.ndim < 2 or not a.flags.c_contiguous or a.shape[-1] != b.shape[0]:
        return False
    return a.size >= tiles.LEAST_ROWS * max(a.shape[-1], 1) > 0 and b.size > 0 and compiled.suits_weight(a, b)


def _gemm(inputs: list[Any], attributes: dict[str, Any], links: list[Link]) -> Array:
    return Tail(None, links, -1).finish(kernel_for("Gemm").function(*inputs, **attributes))


_PRODUCE: dict[str, Callable[[list[Any], dict[str, Any], list[Link]], Array]] = {
    "Conv": _conv,
    "MatMul": _matmul,
    "Gemm": _gemm,
}


def compiled_form(op: str, kernel: Kernel) -> Function:
    """The kernel's function, or one that takes the compiled form where that is installed and fits the tensors."""
    wrap = _COMPILED.get(op)
    if kernel.domain or wrap is None or kernel.function is not kernel_for(op).function or not compiled.is_available():
        return kernel.function
    return wrap(kernel.function)


def _compiled_matmul(plain: Function) -> Function:
    return lambda a, b: _matmul([a, b], {}, []) if _is_worth_compiling(a, b) else plain(a, b)


def _compiled_gelu(plain: Function) -> Function:
    def gelu(x: Array, *, approximate: str = "none") -> Array:
        if approximate != "none" or not compiled.suits_rows(x):
            return plain(x, approximate=approximate)
        y = x.copy()
        compiled.gelu_in_place(y)
        return y

    return gelu


def _compiled_softmax(plain: Function) -> Function:
    def softmax(x: Array, *, axis: int = -1) -> Array:
        if axis not in (-1, x.ndim - 1) or not compiled.suits_rows(x):
            return plain(x, axis=axis)
        return compiled.softmax(x)

    return softmax


def _compiled_layer_normalization(plain: Function) -> Function:
    def layer_normalization(
        x: Array, scale: Array, shift: Array | None = None, *, axis: int = -1, epsilon: float = 1e-5,
        stash_type: int = 1,
    ) -> tuple[Array, ...]:  # fmt: skip
        if shift is None or axis not in (-1, x.ndim - 1) or not compiled.suits_rows(x, scale, shift):
            return plain(x, scale, shift, axis=axis, epsilon=epsilon, stash_type=stash_type)
        return compiled.layer_normalization(x, scale, shift, epsilon)

    return layer_normalization


_COMPILED: dict[str, Callable[[Function], Function]] = {
    "MatMul": _compiled_matmul,
    "Gelu": _compiled_gelu,
    "Softmax": _compiled_softmax,
    "LayerNormalization": _compiled_layer_normalization,
}
"""Wrappers of the newest version of each kernel."""
