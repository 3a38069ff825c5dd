"""What a kernel has to do on one core of a CPU, counted in the terms that its time is a sum of.

Kinds follow what CPU libraries tell apart: convolutions by window, groups and the number of positions (which decide
between one product, Winograd's transforms, and products of unfolded windows), products by the rows that share the
weights, everything else by operator. A fused operator is its main kernel and, for each link, a step over its result.
"""

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace

from partita.graph.dtypes import size_bytes
from partita.graph.ir import Graph, Node
from partita.graph.op_class import BATCHED_MATMUL, CONVOLUTIONS, FREE, GEMM, RECURRENT, SECOND_OPERAND
from partita.graph.products import Matmul
from partita.graph.work import Work, work_of

MILLION = 1e6
THOUSAND = 1e3
FEW_ROWS = 16
"""Rows up to which a product is bound by reading its weights."""
FEW_POSITIONS = 400
"""Positions up to which the order of the weights shows."""
FEW_CHANNELS = 8
"""So few channels do not fill a vector."""
WINOGRAD_CHANNELS, WINOGRAD_POSITIONS = 48, 144
"""Least channels and positions for which a 3x3 convolution is usually computed by Winograd's transforms."""
VIEW = "view"
TAIL = "tail"

Counts = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kind of kernel and its counts."""

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
    links = node.op.split("+")
    if len(links) == 1 and node.op in known:
        return (_whole(graph, node, dtype, cache_bytes),)
    told = replace(body, missing=body.missing | _constants_given(graph, node, body))
    if len(links) == 1:
        return tuple(k for inner in told.nodes for k in kernels_of(told, inner, dtype, cache_bytes, known))
    main, work = _kernel(told, told.nodes[0], dtype, cache_bytes), work_of(graph, node, dtype)
    extra = max(0, work.input_bytes - work_of(told, told.nodes[0], dtype).input_bytes)
    return main, *(_step(work.output_bytes, op, extra if i == 0 else 0) for i, op in enumerate(links[1:]))


def _constants_given(graph: Graph, node: Node, body: Graph) -> frozenset[str]:
    pairs = zip(body.inputs, node.inputs, strict=True)
    return frozenset(inner for inner, outer in pairs if outer and graph.is_constant(outer))


def _whole(graph: Graph, node: Node, dtype: str, cache_bytes: float) -> Kernel:
    """A fused operator with a kernel of its own: what goes over its border, and its multiplications."""
    work = work_of(graph, node, dtype)
    counts = _moved(work, cache_bytes)
    if work.macs:
        counts["mmacs"] = work.macs / MILLION
    return Kernel(node.op, work.op_class, counts)


def _step(work_bytes: int, op: str, extra_bytes: int) -> Kernel:
    """A link behind a main kernel: over the result, and over what else it reads."""
    return Kernel(f"{TAIL} {op}", "elementwise", {"calls": 1.0, "mb_out": work_bytes / MILLION, "mb_in": extra_bytes / MILLION})


def _kernel(graph: Graph, node: Node, dtype: str, cache_bytes: float) -> Kernel:
    work = work_of(graph, node, dtype)
    if work.op_class == FREE:
        return Kernel(VIEW, FREE, {"calls": 1.0, "mb_out": _bytes_of(graph, node.outputs[:1], dtype) / MILLION})
    counts = _moved(work, cache_bytes)
    if node.regions:
        return Kernel(node.op, work.op_class, counts | {"mmacs": work.macs / MILLION})
    if node.op in CONVOLUTIONS:
        return _convolution(graph, node, work, counts)
    if work.matmul is None:
        return Kernel(node.op, work.op_class, counts | _inner(graph, node, work))
    counts["mmacs"] = work.macs / MILLION
    product = work.matmul
    if work.op_class == RECURRENT:
        counts["ksteps"] = product.batch / THOUSAND
        counts["mb_weights_again"] = work.weight_bytes * product.batch / MILLION
        return Kernel(node.op, work.op_class, counts)
    if node.op in SECOND_OPERAND or work.op_class in (GEMM, BATCHED_MATMUL):
        return _product(work, product, counts)
    return Kernel(node.op, work.op_class, counts)


def _moved(work: Work, cache_bytes: float) -> dict[str, float]:
    spilled = max(0.0, work.input_bytes + work.output_bytes - cache_bytes)
    return {
        "calls": 1.0,
        "mb_in": work.input_bytes / MILLION,
        "mb_out": work.output_bytes / MILLION,
        "mb_weights": work.weight_bytes / MILLION,
        "mb_spilled": spilled / MILLION,
    }


def _inner(graph: Graph, node: Node, work: Work) -> dict[str, float]:
    """Operations where they are not as many as elements: windows, and rows that are worked on one by one."""
    output = graph.values.get(node.outputs[0])
    if "Pool" in node.op:
        return {"mops": work.element_ops / MILLION}
    first = graph.values.get(node.inputs[0]) if node.inputs else None
    if work.op_class in ("softmax", "norm", "reduce") and first is not None and first.is_concrete and first.dims:
        rows = first.elements / max(1, first.dims[-1])
        return {"krows": rows / THOUSAND}
    if work.op_class == "elementwise" and len(node.present_inputs) > 1 and output is not None and output.is_concrete:
        shapes = [graph.value(name).dims for name in node.present_inputs if name in graph.values]
        if any(_is_spread(dims, output.dims) for dims in shapes):
            return {"mb_spread": work.output_bytes / MILLION}
    return {}


def _is_spread(dims: tuple[int, ...], output: tuple[int, ...]) -> bool:
    """Whether an operand is repeated along some axes, and is more than one number."""
    return dims != output and math.prod(dims) > 1


def _convolution(graph: Graph, node: Node, work: Work, counts: dict[str, float]) -> Kernel:
    product = work.matmul
    assert product is not None
    weight = graph.value(node.inputs[3] if node.op == "QLinearConv" else node.inputs[1]).dims
    groups, taps = int(node.attributes.get("group", 1)), math.prod(weight[2:])
    channels = weight[1] * groups
    strides = node.attributes.get("strides") or (1,)
    counts["mmacs"] = work.macs / MILLION
    if taps > 1:
        counts["mb_unfolded"] = size_bytes(product.m * taps * channels, "float32") / MILLION
    kind = "conv"
    if groups > 1 and groups == channels:
        kind = "depthwise"
        width = graph.value(node.outputs[0]).dims[-1]
        counts["krows"] = product.m / max(1, width) * taps / THOUSAND
        if max(strides) > 1:
            kind = "depthwise strided"
    elif groups > 1:
        kind = "conv grouped"
        counts["kgroups"] = groups / THOUSAND
    elif taps == 1:
        kind = "conv 1x1"
        if product.m == 1:
            kind = "conv 1x1 vector"
        elif product.m <= FEW_POSITIONS:
            kind = "conv 1x1 few"
        if max(strides) > 1:
            counts["mb_unfolded"] = size_bytes(product.m * channels, "float32") / MILLION
    elif len(weight) == 3:
        kind = "conv 1d"
    elif _suits_winograd(node, weight, product):
        kind = "conv winograd"
    elif channels <= FEW_CHANNELS:
        kind = "conv few"
    return Kernel(kind, work.op_class, counts)


def _suits_winograd(node: Node, weight: tuple[int, ...], product: Matmul) -> bool:
    usual = (*(node.attributes.get("strides") or ()), *(node.attributes.get("dilations") or ()))
    return (
        weight[2:] == (3, 3) and all(step == 1 for step in usual)
        and min(weight[:2]) >= WINOGRAD_CHANNELS and product.m >= WINOGRAD_POSITIONS
    )


def _product(work: Work, product: Matmul, counts: dict[str, float]) -> Kernel:
    if work.op_class == BATCHED_MATMUL:
        counts["kgroups"] = product.batch / THOUSAND
        return Kernel("products", work.op_class, counts)
    kind = "product vector" if product.m == 1 else "product few" if product.m <= FEW_ROWS else "product"
    return Kernel(kind, work.op_class, counts)


def _bytes_of(graph: Graph, names: tuple[str, ...], dtype: str) -> int:
    values = [graph.values[name] for name in names if name in graph.values]
    return sum(size_bytes(v.elements, v.dtype) for v in values if v.is_concrete)
