"""ONNX file -> Graph: read, check, bind shapes; weights are mapped, never copied, and may be absent."""

import re
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from partita.errors import ModelError
from partita.graph.dtypes import OPTIONAL, SEQUENCE, name_of_numpy, name_of_onnx
from partita.graph.ir import FUSED_DOMAIN, Array, Graph, Node, Value
from partita.graph.weights import Weights, read_weight

Shapes = Mapping[str, int | tuple[int, ...]]
"""What the user binds: a symbolic dimension (or a pattern such as 's*') to a size, an input to a whole shape."""


def read_onnx(path: str | Path, shapes: Shapes | None = None) -> Graph:
    """The model in `path` as a Graph whose inputs have concrete shapes.

    Types of inner tensors are not inferred yet. Raises ModelError if the file is not a sound ONNX model, if its
    weights reach out of the model's folder, or if a dimension of an input is left without a size.
    """
    path = Path(path)
    return from_proto(_parse(path), shapes, name=path.stem, where=str(path), folder=path.parent)


def from_proto(
    model: onnx.ModelProto,
    shapes: Shapes | None = None,
    *,
    name: str = "",
    where: str = "model",
    folder: Path | None = None,
) -> Graph:
    """A ModelProto in memory as a Graph, as `read_onnx` reads one from a file."""
    try:
        model = _inlined(model, where)
        graph = _Importer(model, folder).region(model.graph, name or model.graph.name or "model")
        return bind_shapes(graph, _symbols(model), shapes or {})
    except ModelError as error:
        if str(error).startswith(f"{where}:"):
            raise
        raise type(error)(f"{where}: {error}") from None


def _parse(path: Path) -> onnx.ModelProto:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot read the model: {(error.strerror or 'no such file').lower()}") from None
    if not content:
        raise ModelError(f"{path}: the file is empty; an ONNX model was expected")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError:
        raise ModelError(
            f"{path}: not an ONNX model, or cut short ({len(content)} bytes); export or download it again"
        ) from None
    if not model.HasField("graph") or not model.graph.output:
        raise ModelError(f"{path}: not an ONNX model, or cut short: it has no graph with outputs; export it again")
    return model


def _inlined(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    foreign = [f for f in model.functions if f.domain != FUSED_DOMAIN]
    if not foreign:
        return model
    try:
        return onnx.inliner.inline_local_functions(model)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{where}: its functions cannot be inlined: {error}") from None


def _symbols(model: onnx.ModelProto) -> dict[str, tuple[str, ...]]:
    """Per input the name of each dimension ('' if it is anonymous or has a size)."""
    return {
        i.name: tuple(d.dim_param for d in i.type.tensor_type.shape.dim)
        for i in model.graph.input
        if i.type.HasField("tensor_type")
    }


class _Importer:
    """Reads the graphs of one model; keeps names unique over the whole model."""

    def __init__(self, model: onnx.ModelProto, folder: Path | None) -> None:
        self.opsets = {o.domain if o.domain != "ai.onnx" else "": o.version for o in model.opset_import}
        self.weights = Weights(folder)
        self.names: set[str] = set()

    def region(self, proto: onnx.GraphProto, name: str) -> Graph:
        constants, missing, values = self._initialisers(proto)
        inputs = tuple(i.name for i in proto.input if i.name not in values)
        for info in (*proto.input, *proto.output):
            if info.name not in values and info.type.WhichOneof("value"):
                values[info.name] = self._value(info)
        nodes: list[Node] = []
        for node_proto in proto.node:
            if node_proto.op_type == "Constant" and node_proto.domain in ("", "ai.onnx"):
                array = _constant(node_proto)
                constants[node_proto.output[0]] = array
                values[node_proto.output[0]] = Value(name_of_numpy(array.dtype), array.shape)
            else:
                nodes.append(self._node(node_proto))
        outputs = tuple(o.name for o in proto.output)
        kept = {n: v for n, v in values.items() if n in inputs or n in constants or n in missing or n in outputs}
        graph = Graph(name, tuple(nodes), inputs, outputs, kept, constants, frozenset(missing))
        return _sorted(graph)

    def _initialisers(self, proto: onnx.GraphProto) -> tuple[dict[str, Array], set[str], dict[str, Value]]:
        constants: dict[str, Array] = {}
        missing: set[str] = set()
        values: dict[str, Value] = {}
        if proto.sparse_initializer:
            first = proto.sparse_initializer[0].values.name
            raise ModelError(f"weight {first!r} is sparse; make it dense and export again")
        for tensor in proto.initializer:
            values[tensor.name] = Value(name_of_onnx(tensor.data_type), tuple(tensor.dims))
            array = read_weight(tensor, self.weights)
            if array is None:
                missing.add(tensor.name)
            else:
                constants[tensor.name] = array
        return constants, missing, values

    def _value(self, info: onnx.ValueInfoProto) -> Value:
        kind = info.type.WhichOneof("value")
        if kind == "sequence_type":
            return Value(SEQUENCE, None)
        if kind == "optional_type":
            return Value(OPTIONAL, None)
        if kind != "tensor_type":
            raise ModelError(
                f"tensor {info.name!r} is a {kind}; only dense tensors, sequences and optionals can be computed"
            )
        tensor = info.type.tensor_type
        if not tensor.HasField("shape"):
            return Value(name_of_onnx(tensor.elem_type), None)
        # Some exporters write -1 for a size that they do not know.
        dims = tuple(d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None for d in tensor.shape.dim)
        return Value(name_of_onnx(tensor.elem_type), dims)

    def _node(self, proto: onnx.NodeProto) -> Node:
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        if domain not in self.opsets and domain != FUSED_DOMAIN:
            raise ModelError(
                f"node {proto.name or proto.op_type!r} is of domain {domain!r}, which the model does not import"
            )
        name = self._unique(proto.name or f"{proto.op_type}_{len(self.names)}")
        attributes = {a.name: self._attribute(a, name) for a in proto.attribute}
        return Node(
            name, proto.op_type, tuple(proto.input), tuple(proto.output), attributes, domain, self.opsets.get(domain, 1)
        )

    def _unique(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self.names:
            name, count = f"{wanted}_{count}", count + 1
        self.names.add(name)
        return name

    def _attribute(self, proto: onnx.AttributeProto, node: str) -> Any:
        if proto.type == onnx.AttributeProto.GRAPH:
            return self.region(proto.g, f"{node}.{proto.name}")
        if proto.ref_attr_name:
            raise ModelError(
                f"node {node!r}: attribute {proto.name!r} refers to a function's attribute outside of a function"
            )
        value = helper.get_attribute_value(proto)
        if isinstance(value, onnx.TensorProto):
            return numpy_helper.to_array(value)
        if isinstance(value, bytes):
            return _text(value)
        if isinstance(value, int | float | str):
            return value
        return tuple(_text(v) if isinstance(v, bytes) else v for v in value)


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _constant(proto: onnx.NodeProto) -> Array:
    """The value of a Constant operator, in whichever of its attributes it stands."""
    for attribute in proto.attribute:
        value = helper.get_attribute_value(attribute)
        if attribute.name == "value":
            return numpy_helper.to_array(value)
        if attribute.name in ("value_float", "value_floats"):
            return np.array(value, np.float32)
        if attribute.name in ("value_int", "value_ints"):
            return np.array(value, np.int64)
        if attribute.name in ("value_string", "value_strings"):
            texts = [value] if isinstance(value, bytes) else value
            return np.array([t.decode() for t in texts], object).reshape(
                () if isinstance(value, bytes) else (len(texts),)
            )
    raise ModelError(f"node {proto.name!r} (Constant) holds no dense value")


def _sorted(graph: Graph) -> Graph:
    """The graph with its operators in an order in which they can run; ModelError if a cycle or a gap forbids it."""
    known = {*graph.inputs, *graph.constants, *graph.missing}
    in_order = True
    for node in graph.nodes:
        in_order = in_order and all(name in known or name not in graph.producer_of for name in graph.reads(node))
        for output in node.present_outputs:
            if output in known:
                raise ModelError(f"tensor {output!r} is made twice, the second time by node {node}")
            known.add(output)
    if in_order:
        return graph
    edges = nx.DiGraph()
    edges.add_nodes_from(range(len(graph.nodes)))
    position = {node.name: i for i, node in enumerate(graph.nodes)}
    for i, node in enumerate(graph.nodes):
        for name in graph.reads(node):
            if name in graph.producer_of:
                edges.add_edge(position[graph.producer_of[name].name], i)
    try:
        order = list(nx.lexicographical_topological_sort(edges))
    except nx.NetworkXUnfeasible:
        cycle = [graph.nodes[a].name for a, _ in nx.find_cycle(edges)]
        raise ModelError(f"the graph has a cycle: {' -> '.join(map(repr, [*cycle, cycle[0]]))}") from None
    return replace(graph, nodes=tuple(graph.nodes[i] for i in order))


def check_complete(graph: Graph) -> None:
    """ModelError if an operator or an output reads a tensor that nothing makes."""
    if graph.free_names:
        name = graph.free_names[0]
        reader = next((str(n) for n in graph.nodes if name in graph.reads(n)), "the model's outputs")
        raise ModelError(f"tensor {name!r}, read by {reader}, is made by no operator and is no input")


def bind_shapes(graph: Graph, symbols: Mapping[str, tuple[str, ...]], shapes: Shapes) -> Graph:
    """The graph with a size for every dimension of every input; ModelError that lists those left without."""
    check_complete(graph)
    values = dict(graph.values)
    unused = set(shapes)
    unbound: list[str] = []
    for name in graph.inputs:
        value = values.get(name)
        if value is None:
            raise ModelError(f"input {name!r} has no type")
        if value.dtype in (SEQUENCE, OPTIONAL):
            continue
        given = shapes.get(name)
        if isinstance(given, tuple):
            unused.discard(name)
            values[name] = Value(value.dtype, _agreeing(name, value, given))
            continue
        if value.shape is None:
            unbound.append(f"{name} (rank unknown)")
            continue
        dims = list(value.shape)
        for axis, size in enumerate(dims):
            if size is None:
                symbol = symbols.get(name, ())[axis] if axis < len(symbols.get(name, ())) else ""
                key = _binding(symbol, shapes)
                if key is None:
                    unbound.append(f"{name}[{axis}]{f' = {symbol!r}' if symbol else ''}")
                else:
                    unused.discard(key)
                    dims[axis] = _size(key, shapes[key])
        values[name] = Value(value.dtype, tuple(dims))
    if unbound:
        example = _example(graph, unbound[0], symbols)
        raise ModelError(f"these dimensions have no size: {', '.join(unbound)}; give each one, for example {example}")
    if unused:
        known = sorted({s for dims in symbols.values() for s in dims if s} | set(graph.inputs))
        raise ModelError(
            f"shape given for {sorted(unused)[0]!r}, which is no input or open dimension; the model has: {', '.join(known)}"
        )
    return replace(graph, values=values)


def _agreeing(name: str, value: Value, given: tuple[int, ...]) -> tuple[int, ...]:
    fixed = value.shape
    fits = fixed is None or (
        len(fixed) == len(given) and all(f is None or f == g for f, g in zip(fixed, given, strict=True))
    )
    if not fits or any(g < 0 for g in given):
        raise ModelError(f"input {name!r} is {value}; the shape {'x'.join(map(str, given))} does not fit it")
    return given


def _binding(symbol: str, shapes: Shapes) -> str | None:
    """The key of `shapes` that sizes a dimension of this name: the name itself first, then patterns in order."""
    if not symbol:
        return None
    if symbol in shapes:
        return symbol
    return next(
        (k for k, v in shapes.items() if isinstance(v, int) and re.search(r"[*?\[]", k) and fnmatchcase(symbol, k)),
        None,
    )


def _size(key: str, size: int | tuple[int, ...]) -> int:
    if not isinstance(size, int) or size < 0:
        raise ModelError(f"the size given for dimension {key!r} must be a whole number of 0 or more, is {size}")
    return size


def _example(graph: Graph, unbound: str, symbols: Mapping[str, tuple[str, ...]]) -> str:
    name = re.split(r"[ \[]", unbound)[0]
    symbol = re.search(r"= '(.*)'$", unbound)
    if symbol:
        return f"--shape {symbol.group(1)}=1"
    dims = graph.values[name].shape or (1,)
    return f"--shape {name}={'x'.join(str(d or 1) for d in dims)}"
