"""ONNX file -> Graph: read, check, bind shapes; weights are mapped, never copied, and may be absent."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types

from partita.errors import ModelError
from partita.graph.bind import Shapes, Symbols, bind_shapes
from partita.graph.dtypes import OPTIONAL, SEQUENCE, name_of_numpy, name_of_onnx
from partita.graph.functions import MOST_DEPTH, MOST_OPERATORS, fused_functions, operator_of, without_functions
from partita.graph.ir import FUSED_DOMAIN, Array, Graph, Node, Value
from partita.graph.order import check_complete, in_order
from partita.graph.weights import Weights, read_weight

OLDEST_OPSET = 7
"""Before it, broadcasting and many attributes meant something else (ONNX changelog, opset 7)."""
NAMELESS = "?"
"""What paddle2onnx calls every dimension that it has no name for; two of them need not be equal."""
LARGEST_FILE_BYTES = 2**31
"""What protobuf can hold in one message."""
LONGEST_ERROR = 1000


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
    """A ModelProto in memory as a Graph, as `read_onnx` reads one from a file.

    Without a `folder`, weights in other files stay unknown.
    """
    try:
        if not model.HasField("graph") or not model.graph.output:
            raise ModelError("not an ONNX model, or cut short: it has no graph with outputs; export it again")
        scope = _Scope(_opsets(model.opset_import))
        model = without_functions(model)
        graph = _Importer(model, folder).region(model.graph, name or _name(model.graph.name) or "model", scope)
        check_complete(graph)
        return bind_shapes(graph, _symbols(model), shapes or {})
    except ModelError as error:
        raise type(error)(_one_line(f"{where}: {error}")) from None


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_ERROR else f"{line[:LONGEST_ERROR]} ..."


def _parse(path: Path) -> onnx.ModelProto:
    try:
        if path.is_dir() or (path.exists() and not path.is_file()):
            raise ModelError(f"{path}: cannot read the model: it is a folder or device; an ONNX file was expected")
        if path.stat().st_size >= LARGEST_FILE_BYTES:
            raise ModelError(f"{path}: larger than 2 GB, which no ONNX file can be; keep its weights in another file")
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such file"
        raise ModelError(f"{str(path)!r}: cannot read the model: {reason.lower()}") from None
    if not content:
        raise ModelError(f"{path}: the file is empty; an ONNX model was expected")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        if "MaxDepth" in str(error):
            raise ModelError(f"{path}: its regions are nested more than {MOST_DEPTH} deep") from None
        raise ModelError(
            f"{path}: not an ONNX model, or cut short ({len(content)} bytes); export or download it again"
        ) from None
    return model


def _opsets(imports: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    """The version of each domain that is imported; ModelError if it is one that cannot be understood."""
    versions: dict[str, int] = {}
    for entry in imports:
        domain = _domain(entry.domain)
        if versions.setdefault(domain, entry.version) != entry.version:
            raise ModelError(f"two versions of domain {domain or 'ai.onnx'!r} are imported; export the model again")
    newest, version = onnx.defs.onnx_opset_version(), versions.get("", OLDEST_OPSET)
    if version > newest:
        raise ModelError(
            f"the model is of opset {version}, but the newest that onnx {onnx.__version__} knows is {newest}; "
            "install a newer onnx, or export the model with an older opset"
        )
    if version < OLDEST_OPSET:
        raise ModelError(
            f"the model is of opset {version}, but the oldest supported is {OLDEST_OPSET}; "
            "export it again, or bring it up to date with onnx.version_converter"
        )
    return versions


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else _name(domain)


def _symbols(model: onnx.ModelProto) -> Symbols:
    return {
        i.name: tuple("" if d.dim_param == NAMELESS else _name(d.dim_param) for d in tensor.shape.dim)
        for i in model.graph.input
        if (tensor := _innermost(i.type)) is not None
    }


def _innermost(proto: onnx.TypeProto) -> onnx.TypeProto.Tensor | None:
    """The tensor type itself, or that of the tensors which a sequence or an optional holds."""
    if proto.HasField("sequence_type"):
        return _innermost(proto.sequence_type.elem_type)
    if proto.HasField("optional_type"):
        return _innermost(proto.optional_type.elem_type)
    return proto.tensor_type if proto.HasField("tensor_type") else None


@dataclass(frozen=True, slots=True)
class _Scope:
    """What operators are read under: opset versions, the names that are taken, how deep the region lies."""

    opsets: Mapping[str, int]
    names: set[str] = field(default_factory=set)
    depth: int = 0

    def region(self) -> "_Scope":
        return _Scope(self.opsets, self.names, self._deeper())

    def body(self, function: onnx.FunctionProto) -> "_Scope":
        """The body of a fused operator: its operators keep the names they had."""
        return _Scope(_opsets(function.opset_import), set(), self._deeper())

    def _deeper(self) -> int:
        if self.depth == MOST_DEPTH:
            raise ModelError(f"its regions are nested more than {MOST_DEPTH} deep")
        return self.depth + 1

    def unique(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self.names:
            name, count = f"{wanted}_{count}", count + 1
        self.names.add(name)
        return name


class _Tensors:
    """The tensors of one graph while it is read; each is defined once."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.constants: dict[str, Array] = {}
        self.missing: set[str] = set()

    def weight(self, name: str, value: Value, array: Array | None) -> None:
        """A tensor whose data is in the model, or should be (None)."""
        if not name or name in self.values:
            raise ModelError(f"tensor {name!r} is made twice, the second time by a weight or a Constant")
        self.values[name] = value
        if array is None:
            self.missing.add(name)
        else:
            self.constants[name] = array


class _Importer:
    """Reads the graphs of one model."""

    def __init__(self, model: onnx.ModelProto, folder: Path | None) -> None:
        self.weights = Weights(folder)
        self.fused = fused_functions(model)
        self.operators = 0

    def region(self, proto: onnx.GraphProto, name: str, scope: _Scope) -> Graph:
        tensors = _Tensors()
        for tensor in proto.initializer:
            value = Value(name_of_onnx(tensor.data_type), tuple(tensor.dims))
            tensors.weight(_name(tensor.name), value, read_weight(tensor, self.weights))
        if proto.sparse_initializer:
            first = proto.sparse_initializer[0].values.name
            raise ModelError(f"weight {first!r} is sparse; make it dense and export again")
        inputs = tuple(_name(i.name) for i in proto.input if i.name not in tensors.values)  # IR 3 lists weights too
        if len(set(inputs)) != len(inputs) or "" in inputs:
            raise ModelError(f"graph {name!r} has an input without a name, or two of one name: {', '.join(inputs)}")
        tensors.values.update(_types(i for i in proto.input if i.name not in tensors.values))
        nodes = self._nodes(proto.node, tensors, set(inputs), scope)
        outputs = tuple(_name(o.name) for o in proto.output)
        values = {**_types(proto.output), **tensors.values}
        return in_order(Graph(name, nodes, inputs, outputs, values, tensors.constants, frozenset(tensors.missing)))

    def _nodes(
        self, protos: Sequence[onnx.NodeProto], tensors: _Tensors, inputs: set[str], scope: _Scope
    ) -> tuple[Node, ...]:
        """The operators but for Constants, whose values become constants of the graph."""
        self.operators += len(protos)
        if self.operators > MOST_OPERATORS:
            raise ModelError(f"the model has more than {MOST_OPERATORS} operators")
        nodes = []
        for proto in protos:
            if proto.op_type == "Constant" and _domain(proto.domain) == "":
                if len(proto.output) != 1 or proto.output[0] in inputs:
                    raise ModelError(f"node {proto.name!r} (Constant) must make one tensor of its own")
                tensors.weight(_name(proto.output[0]), *self._constant(proto))
            else:
                nodes.append(self._node(proto, scope))
        return tuple(nodes)

    def _node(self, proto: onnx.NodeProto, scope: _Scope) -> Node:
        domain, op = _domain(proto.domain), _name(proto.op_type)
        name = scope.unique(_name(proto.name) or f"{op}_{len(scope.names)}")
        attributes = {_name(a.name): self._attribute(a, name, scope) for a in proto.attribute}
        inputs, outputs = tuple(map(_name, proto.input)), tuple(map(_name, proto.output))
        if domain == FUSED_DOMAIN and op in self.fused:
            function = self.fused[op]
            if len(inputs) != len(function.input) or len(outputs) != len(function.output):
                raise ModelError(f"node {name!r} does not have the inputs and outputs of its function {op!r}")
            attributes["body"] = self._body(function, scope)
            return Node(name, operator_of(function), inputs, outputs, attributes, domain, 1)
        if domain not in scope.opsets:
            raise ModelError(
                f"node {name!r} is of domain {domain or 'ai.onnx'!r}, which the model does not import; export it again"
            )
        return Node(name, op, inputs, outputs, attributes, domain, scope.opsets[domain])

    def _body(self, function: onnx.FunctionProto, scope: _Scope) -> Graph:
        """The primitives of a fused operator, as `onnx_export` wrote them."""
        tensors, inputs = _Tensors(), tuple(map(_name, function.input))
        tensors.values.update(_types(i for i in function.value_info if i.name in inputs))
        nodes = self._nodes(function.node, tensors, set(inputs), scope.body(function))
        values = {**_types(function.value_info), **tensors.values}
        outputs = tuple(map(_name, function.output))
        body = in_order(Graph(operator_of(function), nodes, inputs, outputs, values, tensors.constants))
        check_complete(body)
        return body

    def _attribute(self, proto: onnx.AttributeProto, node: str, scope: _Scope) -> Any:
        where = f"node {node!r}: attribute {proto.name!r}"
        if proto.ref_attr_name:
            raise ModelError(f"{where} refers to a function's attribute outside of a function")
        if proto.type == onnx.AttributeProto.GRAPH:
            return self.region(proto.g, f"{node}.{proto.name}", scope.region())
        if proto.type == onnx.AttributeProto.TENSOR:
            return self._array(proto.t, where)
        if proto.type == onnx.AttributeProto.TENSORS:
            return tuple(self._array(t, where) for t in proto.tensors)
        read = _READERS.get(proto.type)
        if read is None:
            kind = onnx.AttributeProto.AttributeType.Name(proto.type).lower()
            raise ModelError(f"{where} is of type {kind}, which no operator of ONNX reads")
        return read(proto)

    def _array(self, tensor: onnx.TensorProto, where: str) -> Array:
        array = read_weight(tensor, self.weights)
        if array is None:
            raise ModelError(f"{where} lies in a file that is not there; put it beside the model")
        return array

    def _constant(self, proto: onnx.NodeProto) -> tuple[Value, Array | None]:
        """The value of a Constant operator, in whichever of its attributes it stands; no data if its file is absent."""
        where = f"node {proto.name or proto.output[0]!r} (Constant)"
        if len(proto.attribute) != 1 or proto.attribute[0].ref_attr_name:
            raise ModelError(f"{where} must have one attribute, its value")
        attribute = proto.attribute[0]
        if attribute.name == "value" and attribute.type == onnx.AttributeProto.TENSOR:
            tensor = attribute.t
            return Value(name_of_onnx(tensor.data_type), tuple(tensor.dims)), read_weight(tensor, self.weights)
        dtype = _CONSTANT_DTYPES.get((attribute.name, attribute.type))
        if dtype is None:
            raise ModelError(f"{where} holds no dense value, but {attribute.name!r}; make it dense and export again")
        array = np.array(_READERS[attribute.type](attribute), dtype)
        return Value(name_of_numpy(array.dtype), array.shape), array


def _types(infos: Iterable[onnx.ValueInfoProto]) -> dict[str, Value]:
    """The types that are given; those of regions and of some exporters' outputs are not."""
    found = {_name(info.name): _type(info) for info in infos if info.type.WhichOneof("value")}
    return {name: value for name, value in found.items() if value is not None}


def _type(info: onnx.ValueInfoProto) -> Value | None:
    return _type_of(info.name, info.type)


def _type_of(name: str, proto: onnx.TypeProto) -> Value | None:
    """The type that `proto` gives to the tensor `name`, None if it leaves it open."""
    kind = proto.WhichOneof("value")
    if kind == "sequence_type":
        return Value(SEQUENCE, None, _type_of(name, proto.sequence_type.elem_type))
    if kind == "optional_type":
        return Value(OPTIONAL, None, _type_of(name, proto.optional_type.elem_type))
    if kind is None:
        return None
    if kind != "tensor_type":
        raise ModelError(f"tensor {name!r} is a {kind}; only dense tensors, sequences and optionals can be computed")
    tensor = proto.tensor_type
    if tensor.elem_type == onnx.TensorProto.UNDEFINED:
        return None
    try:
        dtype = name_of_onnx(tensor.elem_type)
    except ModelError as error:
        raise ModelError(f"tensor {name!r}: {error}") from None
    if not tensor.HasField("shape"):
        return Value(dtype, None)
    # Some exporters write -1 for a size that they do not know.
    return Value(
        dtype, tuple(d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None for d in tensor.shape.dim)
    )


def _name(name: str | bytes) -> str:
    """A name as it is; ModelError if it is not UTF-8, which protobuf then gives as bytes."""
    if isinstance(name, bytes):
        raise ModelError(f"the name {name!r} is not text; the file is damaged: export or download it again")
    return name


def _text(value: bytes) -> str | bytes:
    """Text where the bytes are text, the bytes themselves otherwise."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


_READERS: dict[int, Callable[[onnx.AttributeProto], Any]] = {
    onnx.AttributeProto.FLOAT: lambda a: a.f,
    onnx.AttributeProto.INT: lambda a: a.i,
    onnx.AttributeProto.STRING: lambda a: _text(a.s),
    onnx.AttributeProto.FLOATS: lambda a: tuple(a.floats),
    onnx.AttributeProto.INTS: lambda a: tuple(a.ints),
    onnx.AttributeProto.STRINGS: lambda a: tuple(_text(s) for s in a.strings),
    onnx.AttributeProto.TYPE_PROTO: lambda a: a.tp,
}
_CONSTANT_DTYPES = {
    ("value_float", onnx.AttributeProto.FLOAT): np.float32,
    ("value_floats", onnx.AttributeProto.FLOATS): np.float32,
    ("value_int", onnx.AttributeProto.INT): np.int64,
    ("value_ints", onnx.AttributeProto.INTS): np.int64,
    ("value_string", onnx.AttributeProto.STRING): object,
    ("value_strings", onnx.AttributeProto.STRINGS): object,
}
