"""What an operator has to do, apart from any device: multiply-accumulates, element operations, bytes moved."""

import math
from dataclasses import dataclass, replace

from partita.graph.dtypes import OPTIONAL, SEQUENCE, is_floating, size_bytes, weight_dtype
from partita.graph.ir import Graph, Node, Value
from partita.graph.op_class import (
    BATCHED_MATMUL,
    CLASS_OF_OP,
    DENSE_CONV,
    DEPTHWISE_CONV,
    ELEMENTWISE,
    FIRST_CONV,
    FREE,
    GATHER,
    GEMM,
    GROUPED_CONV,
    MOVEMENT,
    NORM,
    OP_CLASSES,
    OTHER,
    POOL,
    RECURRENT,
    REDUCE,
    RESIZE,
    SOFTMAX,
    STRIDED_DEPTHWISE_CONV,
    class_of,
)
from partita.graph.products import Matmul, products_of

__all__ = [
    "BATCHED_MATMUL", "CLASS_OF_OP", "DENSE_CONV", "DEPTHWISE_CONV", "ELEMENTWISE", "FIRST_CONV", "FREE", "GATHER",
    "GEMM", "GROUPED_CONV", "MOVEMENT", "NORM", "OP_CLASSES", "OTHER", "POOL", "RECURRENT", "REDUCE", "RESIZE",
    "SOFTMAX", "STRIDED_DEPTHWISE_CONV", "Matmul", "Work", "class_of", "work_of",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The work of one operator whose floating-point tensors are stored in one dtype."""

    op_class: str
    macs: int
    element_ops: int
    """Elementary operations besides `macs`: additions, comparisons, look-ups; a transcendental counts as several."""
    input_bytes: int
    """Activations read, each tensor once."""
    output_bytes: int
    weight_bytes: int
    """Constants read, each once; of a table only the rows that are taken."""
    matmul: Matmul | None = None
    """The largest matrix product in it, for tile and wave quantisation."""

    @property
    def total_bytes(self) -> int:
        return self.input_bytes + self.output_bytes + self.weight_bytes


_NOTHING = Work(op_class=FREE, macs=0, element_ops=0, input_bytes=0, output_bytes=0, weight_bytes=0)


def work_of(graph: Graph, node: Node, dtype: str | None = None) -> Work:
    """The work of `node`, its floating-point tensors stored as `dtype` (their own if None), its weights as that asks.

    The shapes that it touches must be known. A fused operator has the sum of its body's work, but only the bytes at
    its border. An If counts as its heavier branch, a Loop or Scan as one turn of its body times the turns that are
    known before it runs, at least one. What holds operators has the class of the heaviest of them.
    """
    if node.body is not None:
        return _fused(graph, node, node.body, dtype)
    if node.regions:
        return _control_flow(graph, node, dtype)
    op_class = class_of(graph, node)
    if op_class == FREE:
        return _NOTHING
    products = products_of(graph, node)
    inputs, outputs, weights = _border_bytes(graph, node, dtype)
    return Work(
        op_class=op_class,
        macs=sum(product.macs for product in products),
        element_ops=_element_ops(graph, node, op_class, products),
        input_bytes=inputs,
        output_bytes=outputs,
        weight_bytes=weights,
        matmul=max(products, key=lambda product: product.macs, default=None),
    )


def _fused(graph: Graph, node: Node, body: Graph, dtype: str | None) -> Work:
    weights_of_body = frozenset(name for name in body.inputs if graph.is_constant(name))  # classes depend on them
    told = replace(body, missing=body.missing | weights_of_body)
    parts = [work_of(told, inner, dtype) for inner in body.nodes]
    heaviest = max(parts, key=lambda w: (w.macs, w.element_ops), default=_NOTHING)
    inputs, outputs, weights = _border_bytes(graph, node, dtype)
    return Work(
        op_class=heaviest.op_class if heaviest.macs else CLASS_OF_OP.get(node.op, heaviest.op_class),
        macs=sum(w.macs for w in parts),
        element_ops=sum(w.element_ops for w in parts),
        input_bytes=inputs,
        output_bytes=outputs,
        weight_bytes=weights,
        matmul=heaviest.matmul,
    )


def _control_flow(graph: Graph, node: Node, dtype: str | None) -> Work:
    """What runs in its regions, operator by operator, each with all the bytes that it moves."""
    possible = [region for region in node.regions if is_typed(region)]
    bodies = [[work_of(_within(graph, region), inner, dtype) for inner in region.nodes] for region in possible]
    chosen = max(bodies, key=lambda parts: sum(w.macs + w.element_ops + w.total_bytes for w in parts), default=[])
    turns = _turns(graph, node)
    busy = [part for part in chosen if part.op_class != FREE]
    heaviest = max(busy, key=lambda w: (w.macs, w.element_ops, w.total_bytes), default=None)
    return Work(
        op_class=OTHER if heaviest is None else heaviest.op_class,
        macs=turns * sum(w.macs for w in chosen),
        element_ops=turns * sum(w.element_ops for w in chosen),
        input_bytes=turns * sum(w.input_bytes for w in chosen),
        output_bytes=turns * sum(w.output_bytes for w in chosen),
        weight_bytes=turns * sum(w.weight_bytes for w in chosen),
        matmul=max((w.matmul for w in chosen if w.matmul), key=lambda product: product.macs, default=None),
    )


def uncounted(graph: Graph, node: Node) -> str | None:
    """What `work_of` leaves out of control flow, because only a run can tell it; None if nothing."""
    if not node.regions or node.body is not None:
        return None
    if not any(map(is_typed, node.regions)):
        return "what runs within is not counted: its sizes change while it runs"
    if node.op == "Loop" and node.inputs[0] not in graph.constants:
        return "one turn is counted: how many there are is told by an input"
    inside = (uncounted(_within(graph, region), inner) for region in node.regions for inner in region.nodes)
    return next((f"within it, {why}" for why in inside if why is not None), None)


def is_typed(region: Graph) -> bool:
    """Whether every tensor in it has a full type: a branch that cannot run at the model's sizes has none."""
    made = [name for node in region.nodes for name in node.present_outputs]
    return all(name in region.values and _is_known(region.values[name]) for name in made)


def _is_known(value: Value) -> bool:
    return value.is_concrete or value.dtype in (SEQUENCE, OPTIONAL)


def _within(graph: Graph, region: Graph) -> Graph:
    """The region with what it can see of the graph around it."""
    return Graph(
        region.name, region.nodes, region.inputs, region.outputs, {**graph.values, **region.values},
        {**graph.constants, **region.constants}, graph.missing | region.missing,
    )  # fmt: skip


def _turns(graph: Graph, node: Node) -> int:
    if node.op == "Loop" and node.inputs[0] in graph.constants:
        return max(1, int(graph.constants[node.inputs[0]].reshape(-1)[0]))
    scanned = int(node.attributes.get("num_scan_inputs", 0)) if node.op == "Scan" else 0
    if scanned:
        axis = (node.attributes.get("scan_input_axes") or (0,) * scanned)[0]
        value = graph.values.get(node.inputs[-scanned])
        return max(1, value.dims[axis]) if value is not None and value.is_concrete else 1
    return 1


def _border_bytes(graph: Graph, node: Node, dtype: str | None) -> tuple[int, int, int]:
    """Bytes of activations read, of results written and of constants read."""
    inputs = outputs = weights = 0
    for is_constant, read_bytes in _reads(graph, node, dtype).values():
        if is_constant:
            weights += read_bytes
        else:
            inputs += read_bytes
    for name in node.outputs:
        outputs += _stored_bytes(graph.values.get(name), dtype)
    return inputs, outputs, weights


Read = tuple[bool, int]
"""Whether the tensor is a constant, and the bytes that are read of it."""


_TABLES = {
    "Gather": (0,), "GatherElements": (0,), "GatherND": (0,), "Slice": (0,), "Split": (0,), "Compress": (0,),
    "EmbedLayerNormalization": (2, 3, 4),
}  # fmt: skip
"""Inputs of which an operator reads no more elements than it writes: those it takes."""
_READS_NOTHING = ("Shape", "Size")


def _reads(graph: Graph, node: Node, dtype: str | None) -> dict[str, Read]:
    """What the operator reads of each tensor; a fused one what its body takes from outside and its constants."""
    if node.body is not None:
        return _reads_of_body(graph, node, node.body, dtype)
    if node.op in _READS_NOTHING:
        return {}
    tables = [node.inputs[i] for i in _TABLES.get(node.op, ()) if i < len(node.inputs)]
    taken = sum(_elements(graph, name) for name in node.present_outputs) if tables else 0
    found: dict[str, Read] = {}
    for name in graph.reads(node):
        is_constant = graph.is_constant(name)
        stored = weight_dtype(dtype) if dtype is not None and is_constant else dtype
        found[name] = is_constant, _stored_bytes(graph.values.get(name), stored, taken if name in tables else None)
    return found


def _reads_of_body(graph: Graph, node: Node, body: Graph, dtype: str | None) -> dict[str, Read]:
    outer_name = dict(zip(body.inputs, node.inputs, strict=True))
    found: dict[str, Read] = {}
    for inner in body.nodes:
        for inner_name, (is_constant, read_bytes) in _reads(body, inner, dtype).items():
            if inner_name not in body.producer_of:
                name = outer_name.get(inner_name, inner_name)
                _, known_bytes = found.get(name, (is_constant, 0))
                found[name] = is_constant or graph.is_constant(name), max(known_bytes, read_bytes)
    return found


def _stored_bytes(value: Value | None, dtype: str | None, most: int | None = None) -> int:
    """Bytes of a tensor, or of `most` of its elements; 0 if its shape is not known."""
    if value is None or not value.is_concrete:
        return 0
    elements = value.elements if most is None else min(value.elements, most)
    return size_bytes(elements, dtype if dtype and is_floating(value.dtype) else value.dtype)


_TRANSCENDENTAL = frozenset(
    ("Exp", "Log", "Erf", "Sin", "Cos", "Tan", "Tanh", "Sigmoid", "Elu", "Selu", "Celu", "Gelu", "FastGelu",
     "QuickGelu", "BiasGelu", "BiasSplitGelu", "Swish", "SwiGLU", "Mish", "Softplus", "Pow", "Acos", "Asin", "Atan",
     "Cosh", "Sinh", "Acosh", "Asinh", "Atanh")
)  # fmt: skip
_OPS_OF_TRANSCENDENTAL = 8
"""A range reduction and a polynomial; an estimate."""
_OPS_OF_NORM = 6
"""Mean, difference, square, sum, scale, shift."""
_OPS_OF_RESIZE = 6
"""Two weights and the blend of two neighbours, per axis."""
_OPS_OF_SOFTMAX = _OPS_OF_NORM + _OPS_OF_TRANSCENDENTAL
_BIASED = ("Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm")
"""Operators with a bias as their third input."""


def _element_ops(graph: Graph, node: Node, op_class: str, products: tuple[Matmul, ...]) -> int:
    output = sum(_elements(graph, name) for name in node.present_outputs)
    if products:
        return _ops_beside_products(node, op_class, products, output)
    if op_class == POOL:
        window = math.prod(node.attributes.get("kernel_shape", ()))
        whole = "Global" in node.op
        return _elements(graph, node.inputs[0]) if whole else _elements(graph, node.outputs[0]) * window
    if op_class == REDUCE:
        return _elements(graph, node.inputs[0])
    if op_class in _OPS_PER_ELEMENT:
        return output * _OPS_PER_ELEMENT[op_class]
    if node.op in _TRANSCENDENTAL:
        return output * _OPS_OF_TRANSCENDENTAL
    return output if op_class in (ELEMENTWISE, OTHER) else 0


_OPS_PER_ELEMENT = {NORM: _OPS_OF_NORM, SOFTMAX: _OPS_OF_SOFTMAX, RESIZE: _OPS_OF_RESIZE}


def _ops_beside_products(node: Node, op_class: str, products: tuple[Matmul, ...], output: int) -> int:
    """The bias, the gates of a recurrent cell, the softmax over an attention's scores."""
    if op_class == RECURRENT:
        return sum(product.batch * product.m * product.n for product in products) * _OPS_OF_TRANSCENDENTAL
    if "Attention" in node.op:
        scores = products[-2]
        return scores.batch * scores.m * scores.n * _OPS_OF_SOFTMAX
    return output if node.op in _BIASED and len(node.present_inputs) > 2 else 0


def _elements(graph: Graph, name: str) -> int:
    value = graph.values.get(name)
    return value.elements if value is not None and value.is_concrete else 0
