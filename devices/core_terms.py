"""What a kernel has to do on one core of a CPU, counted in the terms that its time is a sum of.

Kinds follow what CPU libraries tell apart: convolutions by window, groups and the number of positions (which decide
between one product, Winograd's transforms, and products of unfolded windows), products by the rows that share the
weights, everything else by operator. A fused operator is its main kernel and, for each link, a step over its result.
"""

import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

from partita.devices.core_tiles import tile_counts
from partita.graph.dtypes import is_floating, size_bytes
from partita.graph.ir import Graph, Node
from partita.graph.op_class import (
    BATCHED_MATMUL,
    CONVOLUTIONS,
    ELEMENTWISE,
    FREE,
    GEMM,
    NORM,
    RECURRENT,
    REDUCE,
    SECOND_OPERAND,
    SOFTMAX,
    conv_weight,
)
from partita.graph.products import Matmul, products_of
from partita.graph.work import Work, work_of
from partita.units import BYTES_PER_MB, MACS_PER_MMAC, OPS_PER_MOP, THOUSAND

FEW_ROWS = 15
"""Rows up to which a product only reads its weights, and is not cut into tiles."""
FEW_POSITIONS = 400
"""Positions up to which the order of the weights shows in a product."""
FEW_CHANNELS = 8
"""So few channels do not fill a vector."""
LEAST_WEIGHT_BYTES = 1 << 10
"""Smaller constants are axes, bounds and the like."""
LARGEST_KEPT_BYTES = 32 << 20
"""Larger tensors get pages from the system each time. Source: mallopt(3), M_MMAP_THRESHOLD, its largest value."""
SHARED_CACHE_BYTES = 16 << 20
"""Weights beyond this come from memory in every run; a usual share of the cache that all cores have in common."""
WINOGRAD_CHANNELS, WINOGRAD_POSITIONS = 48, 144
"""Least channels and positions for which a 3x3 convolution is usually computed by Winograd's transforms."""
VIEW, TAIL, SWISH, ATTENTION = "view", "tail_", "Swish", "Attention"
MAP_RANK, BIAS = 4, 2
CHAIN = "+"
TILED = ("conv", "conv_1x1", "conv_1x1_few")
"""Convolutions that are products by their weights, of which `tile_counts` tells more."""

Counts = dict[str, float]
"""`calls`; `mmacs`, `mops`, `msteps` in millions; `krows`, `kgroups`, `ksteps` in thousands; `mb_...` in megabytes."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kind of kernel, the class of its operator, and what it has to do."""

    kind: str
    op_class: str
    counts: Counts


def kernels_of(graph: Graph, node: Node, dtype: str, cache_bytes: float, known: Container[str]) -> tuple[Kernel, ...]:
    """The kernels that `node` runs as: one, or with links fused behind it one and a step for each.

    A fused operator of a kind that is not `known` runs as what it is made of.
    """
    body = node.body
    if body is None:
        return (_kernel(graph, node, dtype, cache_bytes),)
    links = node.op.split(CHAIN)
    if len(links) == 1 and node.op in known:
        return (_whole(graph, node, dtype, cache_bytes),)
    told = replace(body, missing=body.missing | _constants_given(graph, node, body))
    if len(links) == 1:
        return tuple(k for inner in told.nodes for k in kernels_of(told, inner, dtype, cache_bytes, known))
    return _kernel(told, told.nodes[0], dtype, cache_bytes), *_steps(told, links[1:], dtype)


def _constants_given(graph: Graph, node: Node, body: Graph) -> frozenset[str]:
    pairs = zip(body.inputs, node.inputs, strict=True)
    return frozenset(inner for inner, outer in pairs if outer and graph.is_constant(outer))


def _whole(graph: Graph, node: Node, dtype: str, cache_bytes: float) -> Kernel:
    """A fused operator with a kernel of its own: what goes over its border, and what it has to do inside."""
    work = work_of(graph, node, dtype)
    counts = _moved(work, cache_bytes)
    if work.macs:
        counts["mmacs"] = work.macs / MACS_PER_MMAC
    return Kernel(node.op, work.op_class, counts | _attended(graph, node, cache_bytes) | _inner(graph, node, work))


def _attended(graph: Graph, node: Node, cache_bytes: float) -> Counts:
    """Of attention: heads, scores, those of a head that do not stay in the cache, and those that a mask is added to."""
    body = node.body
    if body is None:
        products = products_of(graph, node) if node.op == ATTENTION else ()
        shapes: list[tuple[int, ...]] = [(p.batch, p.m, p.n) for p in products[:1]]
        masked = len(node.inputs) > 3 and bool(node.inputs[3])
    else:
        shares = [inner for inner in body.nodes if inner.op == "Softmax" and _is_concrete(body, inner.outputs[0])]
        shapes = [body.value(inner.outputs[0]).dims for inner in shares]
        masked = any(inner.op in ("Add", "Where") for inner in body.nodes)
    if not shapes:
        return {}
    scores, last = math.prod(shapes[0]), math.prod(shapes[0][-2:])
    heads, head_bytes = scores // max(1, last), size_bytes(last, "float32")
    return {
        "kgroups": heads / THOUSAND,
        "mops": scores / OPS_PER_MOP,
        "mops_masked": scores / OPS_PER_MOP if masked else 0.0,
        "mb_spilled_scores": heads * max(0.0, head_bytes - cache_bytes) / BYTES_PER_MB,
    }


def _steps(body: Graph, names: Sequence[str], dtype: str) -> Iterator[Kernel]:
    """The links behind a main kernel: each goes over the result, and over what else it reads.

    A name is an operator's own, or that of an activation which several operators spell out: as many as are left for
    it when every later name takes one. x * Sigmoid(x) goes by two names, and is one link.
    """
    waiting, left, result = list(body.nodes[1:]), list(names), body.nodes[0].outputs[0]
    result_bytes = _result_bytes(body, body.nodes[0], dtype)
    while left and waiting:
        op, used, count = left[0], 1, 1
        if left[:2] == ["Sigmoid", "Mul"] and len(waiting) > 1 and result in waiting[1].inputs:
            op, used, count = SWISH, 2, 2
        elif waiting[0].op != op:
            count = max(1, len(waiting) - len(left) + 1)
        link, waiting, left = waiting[:count], waiting[count:], left[used:]
        inside = {result, *(name for node in link for name in node.present_outputs)}
        others = {name for node in link for name in node.present_inputs if name not in inside}
        extra_bytes = sum(_size_bytes(body, name, dtype) for name in others if not body.is_constant(name))
        result = link[-1].outputs[0]
        counts = {"calls": 1.0, "mb_out": result_bytes / BYTES_PER_MB, "mb_in": extra_bytes / BYTES_PER_MB}
        yield Kernel(TAIL + op, ELEMENTWISE, counts)


def _kernel(graph: Graph, node: Node, dtype: str, cache_bytes: float) -> Kernel:
    work = work_of(graph, node, dtype)
    if work.op_class == FREE:
        return Kernel(VIEW, FREE, {"calls": 1.0, "mb_out": _result_bytes(graph, node) / BYTES_PER_MB})
    counts = _moved(work, cache_bytes)
    if work.macs:
        counts["mmacs"] = work.macs / MACS_PER_MMAC
    if node.op == ATTENTION:
        return Kernel(node.op, work.op_class, counts | _attended(graph, node, cache_bytes))
    if node.regions or work.matmul is None:
        return Kernel(_kind(node), work.op_class, counts | _inner(graph, node, work))
    if node.op in CONVOLUTIONS:
        return _convolution(graph, node, work, work.matmul, counts, cache_bytes)
    if work.op_class == RECURRENT:
        steps = work.matmul.batch
        counts |= {"ksteps": steps / THOUSAND, "mb_weights_again": work.weight_bytes * steps / BYTES_PER_MB}
        return Kernel(node.op, work.op_class, counts)
    if node.op in SECOND_OPERAND or work.op_class in (GEMM, BATCHED_MATMUL):
        return _product(work, work.matmul, counts, cache_bytes)
    return Kernel(node.op, work.op_class, counts)


def _kind(node: Node) -> str:
    mode = node.attributes.get("mode", "nearest")
    return f"{node.op}_{mode}" if node.op in ("Resize", "Upsample") else node.op


def _moved(work: Work, cache_bytes: float) -> Counts:
    return {
        "calls": 1.0,
        "mb_in": work.input_bytes / BYTES_PER_MB,
        "mb_out": work.output_bytes / BYTES_PER_MB,
        "mb_weights": work.weight_bytes / BYTES_PER_MB if work.weight_bytes >= LEAST_WEIGHT_BYTES else 0.0,
        "mb_spilled": max(0.0, work.input_bytes + work.output_bytes - cache_bytes) / BYTES_PER_MB,
        "mb_mapped": work.output_bytes / BYTES_PER_MB if work.output_bytes > LARGEST_KEPT_BYTES else 0.0,
    }


def _inner(graph: Graph, node: Node, work: Work) -> Counts:
    """Operations where they are not as many as elements: windows, rows worked on one by one, repeated operands."""
    shapes = [graph.values[name].dims for name in node.present_inputs if _is_concrete(graph, name)]
    if node.op.startswith("Global") and shapes:  # maps lie with their channels last, and are added up row by row
        return {"krows": math.prod(shapes[0]) / shapes[0][1] / THOUSAND}
    if "Pool" in node.op:
        return {"mops": work.element_ops / OPS_PER_MOP}
    if work.op_class in (SOFTMAX, NORM, REDUCE) and shapes and shapes[0]:
        return {"krows": math.prod(shapes[0][:-1]) / THOUSAND}
    if node.op in ("Concat", "Split") and shapes and shapes[0]:
        return {"krows": _pieces(node, shapes) / THOUSAND}
    if work.op_class == ELEMENTWISE and _is_concrete(graph, node.outputs[0]):
        output = graph.values[node.outputs[0]].dims
        if any(dims != output and math.prod(dims) > 1 for dims in shapes):
            return {"mb_spread": work.output_bytes / BYTES_PER_MB}
    return {}


def _pieces(node: Node, shapes: Sequence[tuple[int, ...]]) -> int:
    """Runs of memory that are copied one by one: maps lie with their channels last, other tensors as written."""
    dims, axis = shapes[0], int(node.attributes.get("axis", 0)) % len(shapes[0])
    behind = dims[:1] + dims[2:] if len(dims) == MAP_RANK and axis == 1 else dims[:axis]
    return math.prod(behind) * max(len(shapes), len(node.outputs))


def _is_concrete(graph: Graph, name: str) -> bool:
    return name in graph.values and graph.values[name].is_concrete


def _convolution(graph: Graph, node: Node, work: Work, product: Matmul, counts: Counts, cache_bytes: float) -> Kernel:
    weight = graph.value(conv_weight(node)).dims
    groups, taps = int(node.attributes.get("group", 1)), math.prod(weight[2:])
    strided = max(node.attributes.get("strides") or (1,)) > 1
    kind = _kind_of_convolution(node, weight, groups, product.m)
    if taps > 1 or strided:
        counts["mb_unfolded"] = size_bytes(product.m * taps * weight[1] * groups, "float32") / BYTES_PER_MB
    if len(node.present_inputs) > BIAS:
        counts["mb_biased"] = counts["mb_out"]
    if kind == "depthwise":
        width = graph.value(node.outputs[0]).dims[-1]
        rows = product.m / max(1, width)
        filter_bytes = size_bytes(taps * width * weight[0], "float32")  # repeated to a row's length
        counts["krows"] = rows * taps / THOUSAND
        counts["mb_filters"] = filter_bytes / BYTES_PER_MB
        counts["mb_filters_again"] = rows * max(0.0, filter_bytes - cache_bytes) / BYTES_PER_MB
    if kind in TILED:
        counts |= tile_counts(product, cache_bytes)
    if kind == "conv_grouped":
        counts["kgroups"] = groups / THOUSAND
    if kind == "conv_1d":  # usually a product for each tap, on the signal shifted by so much
        counts["ksteps"] = graph.value(node.outputs[0]).dims[0] * taps / THOUSAND
        counts["mb_summed"] = counts["mb_out"] * taps
    return Kernel(f"{kind}_strided" if strided and kind == "depthwise" else kind, work.op_class, counts)


def _kind_of_convolution(node: Node, weight: tuple[int, ...], groups: int, positions: int) -> str:
    channels, window = weight[1] * groups, weight[2:]
    if groups > 1:
        return "depthwise" if groups == channels else "conv_grouped"
    if math.prod(window) == 1:
        return "conv_1x1_vector" if positions == 1 else "conv_1x1_few" if positions <= FEW_POSITIONS else "conv_1x1"
    if len(window) == 1:
        return "conv_1d"
    usual = (*(node.attributes.get("strides") or ()), *(node.attributes.get("dilations") or ()))
    is_wide = min(weight[:2]) >= WINOGRAD_CHANNELS and positions >= WINOGRAD_POSITIONS
    if window == (3, 3) and set(usual) <= {1} and is_wide:
        return "conv_winograd"
    return "conv_few" if channels <= FEW_CHANNELS else "conv"


def _product(work: Work, product: Matmul, counts: Counts, cache_bytes: float) -> Kernel:
    if work.op_class == BATCHED_MATMUL and product.batch > 1:
        return Kernel("products", work.op_class, counts | {"kgroups": product.batch / THOUSAND})
    if work.op_class == BATCHED_MATMUL:  # the right-hand side was computed, and is read as a weight is
        right = size_bytes(product.k * product.n, "float32") / BYTES_PER_MB
        counts |= {"mb_in": max(0.0, counts["mb_in"] - right), "mb_weights": right}
    counts["mb_weights_far"] = max(0.0, counts["mb_weights"] - SHARED_CACHE_BYTES / BYTES_PER_MB)
    if product.m > FEW_ROWS:
        counts |= tile_counts(product, cache_bytes, is_constant=work.op_class != BATCHED_MATMUL)
    kind = "product_vector" if product.m == 1 else "product_few" if product.m <= FEW_ROWS else "product"
    return Kernel(kind, work.op_class, counts)


def _result_bytes(graph: Graph, node: Node, dtype: str | None = None) -> int:
    return sum(_size_bytes(graph, name, dtype) for name in node.present_outputs[:1])


def _size_bytes(graph: Graph, name: str, dtype: str | None = None) -> int:
    """Of a tensor, in `dtype` if it is a floating-point one; 0 if its shape is not known."""
    if not _is_concrete(graph, name):
        return 0
    value = graph.values[name]
    return size_bytes(value.elements, dtype if dtype and is_floating(value.dtype) else value.dtype)
