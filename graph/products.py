"""The matrix products that an operator amounts to, from its shapes."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from partita.graph.ir import Graph, Node, Shape
from partita.graph.op_class import SECOND_OPERAND, conv_weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Matmul:
    """One matrix product: `batch` times [m, k] by [k, n]."""

    batch: int
    m: int
    n: int
    k: int

    @property
    def macs(self) -> int:
        return self.batch * self.m * self.n * self.k


def products_of(graph: Graph, node: Node) -> tuple[Matmul, ...]:
    """The products that `node` computes, none for an operator without any; the shapes that it touches must be known."""
    rule = _RULES.get((node.domain, node.op)) or _RULES.get(("", node.op))
    return rule(graph, node) if rule is not None else ()


def _dims(graph: Graph, name: str) -> Shape:
    return graph.value(name).dims


def _conv(graph: Graph, node: Node) -> tuple[Matmul, ...]:
    groups = int(node.attributes.get("group", 1))
    weight, output = _dims(graph, conv_weight(node)), _dims(graph, node.outputs[0])
    pixels = output[0] * math.prod(output[2:])
    return (Matmul(batch=groups, m=pixels, n=weight[0] // groups, k=math.prod(weight[1:])),)


def _conv_transpose(graph: Graph, node: Node) -> tuple[Matmul, ...]:
    """Every input pixel meets the whole kernel; what padding crops from the result is counted."""
    groups = int(node.attributes.get("group", 1))
    image, weight = _dims(graph, node.inputs[0]), _dims(graph, node.inputs[1])
    pixels = image[0] * math.prod(image[2:])
    return (Matmul(batch=groups, m=pixels, n=math.prod(weight[1:]), k=weight[0] // groups),)


def _matmul(graph: Graph, node: Node) -> tuple[Matmul, ...]:
    a, b = _dims(graph, node.inputs[0]), _dims(graph, node.inputs[SECOND_OPERAND[node.op]])
    out = _dims(graph, node.outputs[0])
    n = out[-1] if len(b) > 1 else 1
    k = a[-1]
    if len(a) > 1 and node.attributes.get("transA", 0):
        k = a[0] if node.attributes.get("transBatchA", 0) else a[-2]
    if math.prod(b[:-2]) == 1:  # one right-hand matrix for the whole batch
        return (Matmul(batch=1, m=math.prod(out) // max(n, 1), n=n, k=k),)
    m = out[-2] if len(a) > 1 else 1
    return (Matmul(batch=math.prod(out) // max(m * n, 1), m=m, n=n, k=k),)


def _gemm(graph: Graph, node: Node) -> tuple[Matmul, ...]:
    a, out = _dims(graph, node.inputs[0]), _dims(graph, node.outputs[0])
    return (Matmul(batch=1, m=out[0], n=out[1], k=a[0] if node.attributes.get("transA", 0) else a[1]),)


def _matmul_n_bits(graph: Graph, node: Node) -> tuple[Matmul, ...]:
    a = _dims(graph, node.inputs[0])
    return (Matmul(batch=1, m=math.prod(a[:-1]), n=int(node.attributes["N"]), k=int(node.attributes["K"])),)


def _recurrent(graph: Graph, node: Node) -> tuple[Matmul, ...]:
    """All gates of one step as one product, of the input and the state side by side with both weights."""
    sequence, weight, recurrence = (_dims(graph, name) for name in node.inputs[:3])
    steps, batch = (sequence[1], sequence[0]) if node.attributes.get("layout", 0) else (sequence[0], sequence[1])
    gates = weight[1]
    if node.op == "DynamicQuantizeLSTM":  # its weights are [directions, depth, gates]
        weight, gates = (weight[0], weight[2], weight[1]), weight[2]
        recurrence = (recurrence[0], recurrence[2], recurrence[1])
    return (Matmul(batch=steps * weight[0], m=batch, n=gates, k=weight[2] + recurrence[2]),)


def _einsum(graph: Graph, node: Node) -> tuple[Matmul, ...]:
    """The sums of products as written, two operands at a time; a single operand is only summed or moved."""
    left, arrow, right = str(node.attributes["equation"]).replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) < 2:
        return ()
    size_of, broadcast = _letter_sizes(terms, [_dims(graph, name) for name in node.inputs])
    letters = [term.replace("...", "") for term in terms]
    kept = set(right) if arrow else {letter for letter, count in Counter("".join(letters)).items() if count == 1}
    a, b = set(letters[0]), set(letters[-1])
    m, n, k = (a & kept) - b, (b & kept) - a, set(size_of) - kept
    batch = set(size_of) - m - n - k
    sizes = [math.prod(size_of[letter] for letter in chosen) for chosen in (batch, m, n, k)]
    times = (len(terms) - 1) * math.prod(broadcast)
    return (Matmul(batch=times * sizes[0], m=sizes[1], n=sizes[2], k=sizes[3]),)


def _letter_sizes(terms: list[str], shapes: list[Shape]) -> tuple[dict[str, int], Shape]:
    """The size of each letter, and the dimensions that the dots stand for."""
    size_of: dict[str, int] = {}
    broadcast: Shape = ()
    for term, dims in zip(terms, shapes, strict=True):
        before, dots, after = term.partition("...")
        ends = zip(before + after, dims[: len(before)] + dims[len(dims) - len(after) :], strict=True)
        for letter, size in ends:
            size_of[letter] = max(size, size_of.get(letter, 0))
        if dots:
            broadcast = _broadcast(broadcast, dims[len(before) : len(dims) - len(after)])
    return size_of, broadcast


def _broadcast(a: Shape, b: Shape) -> Shape:
    rank = max(len(a), len(b))
    wide = zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True)
    return tuple(y if x == 1 else x for x, y in wide)


def _attention(graph: Graph, node: Node) -> tuple[Matmul, ...]:
    """Query by key, then scores by value; ONNX's operator, whose tensors have three or four dimensions.

    Source: ONNX operators, Attention-23. Keys and values of earlier steps (inputs 4 and 5) are attended to as well.
    """
    query, key, value = (_dims(graph, name) for name in node.inputs[:3])
    past = _dims(graph, node.inputs[4])[2] if len(node.inputs) > 4 and node.inputs[4] else 0
    if len(query) == 4:
        heads, depth, value_depth = query[1], query[3], value[3]
    else:
        heads = int(node.attributes["q_num_heads"])
        depth, value_depth = query[2] // heads, value[2] // int(node.attributes["kv_num_heads"])
    return _two_products(query[0] * heads, query[-2], past + key[-2], depth, value_depth)


def _two_products(batch: int, queries: int, keys: int, depth: int, value_depth: int) -> tuple[Matmul, ...]:
    return (
        Matmul(batch=batch, m=queries, n=keys, k=depth),
        Matmul(batch=batch, m=queries, n=value_depth, k=keys),
    )


def _contrib_attention(graph: Graph, node: Node) -> tuple[Matmul, ...]:
    """The projection to query, key and value at once, then attention.

    Source: ONNX Runtime contrib operators, com.microsoft.Attention: input [batch, sequence, depth], weights
    [depth, 3 x hidden], where hidden is the output's depth.
    """
    tokens, weight = _dims(graph, node.inputs[0]), _dims(graph, node.inputs[1])
    hidden, heads = _dims(graph, node.outputs[0])[-1], int(node.attributes["num_heads"])
    projection = Matmul(batch=1, m=tokens[0] * tokens[1], n=weight[1], k=tokens[2])
    return (projection, *_two_products(tokens[0] * heads, tokens[1], tokens[1], hidden // heads, hidden // heads))


def _headed_attention(graph: Graph, node: Node) -> tuple[Matmul, ...]:
    """Query by key, then scores by value, heads in the last dimension.

    Source: ONNX Runtime contrib operators, MultiHeadAttention and GroupQueryAttention; query is [batch, sequence,
    depth], the key [batch, sequence, depth] or [batch, heads, sequence, depth of a head]. A query packed with key and
    value attends to its own sequence. The second output, if there is one, is every key so far.
    """
    query, heads = _dims(graph, node.inputs[0]), int(node.attributes["num_heads"])
    key = _dims(graph, node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] else query
    depth = _dims(graph, node.outputs[0])[-1] // heads
    keys = key[2] if len(key) == 4 else key[1]
    if len(node.outputs) > 1 and node.outputs[1]:
        keys = _dims(graph, node.outputs[1])[2]
    return _two_products(query[0] * heads, query[1], keys, depth, depth)


_RULES: dict[tuple[str, str], Callable[[Graph, Node], tuple[Matmul, ...]]] = {
    **dict.fromkeys((("", op) for op in ("Conv", "FusedConv", "ConvInteger", "QLinearConv", "DeformConv")), _conv),
    **dict.fromkeys((("", op) for op in SECOND_OPERAND), _matmul),
    **dict.fromkeys((("", op) for op in ("Gemm", "FusedGemm", "QGemm")), _gemm),
    **dict.fromkeys((("", op) for op in ("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM")), _recurrent),
    ("", "ConvTranspose"): _conv_transpose,
    ("", "MatMulNBits"): _matmul_n_bits,
    ("", "Einsum"): _einsum,
    ("", "Attention"): _attention,
    ("com.microsoft", "Attention"): _contrib_attention,
    ("", "MultiHeadAttention"): _headed_attention,
    ("", "GroupQueryAttention"): _headed_attention,
}
"""By domain and operator; an operator of another domain that is not listed is computed like ONNX's of that name."""
