"""Graph -> ONNX: a model that any runtime opens; fused operators become ONNX functions."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from partita.errors import ModelError
from partita.graph.dtypes import OPTIONAL, SEQUENCE, name_of_numpy, onnx_of_name
from partita.graph.functions import OPERATOR_KEY
from partita.graph.ir import FUSED_DOMAIN, Array, Graph, Node, Value

IR_VERSION = 10
DEFAULT_OPSET = 17

ToTensor = Callable[[str, Array], onnx.TensorProto]
"""How the data of a weight stands in the model: inside, or as a pointer into a file beside it."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a model gets beside its graph while that is written."""

    weight: ToTensor
    functions: list[onnx.FunctionProto] = field(default_factory=list)


def to_model(graph: Graph, weight: ToTensor | None = None, *, ir_version: int = IR_VERSION) -> onnx.ModelProto:
    """The graph as an ONNX model, each fused operator a call of a function.

    Its constants stand inside, or as `weight` writes them; what belongs to a fused operator always stands inside.
    Raises ModelError if weights are missing, or if operators of different opsets cannot stand in one model.
    """
    missing = sorted({*graph.missing, *(name for _, node in graph.walk() for r in node.regions for name in r.missing)})
    if missing:
        raise ModelError(
            f"graph {graph.name!r} has no data for {len(missing)} weights (such as {missing[0]!r}): fill them first"
        )
    _check_versions(graph)
    parts = _Parts(weight or tensor_proto)
    body = _graph_proto(graph, parts)
    model = helper.make_model(
        body, opset_imports=_imports(_opsets(graph)), functions=parts.functions, ir_version=ir_version
    )
    model.producer_name = "partita"
    return model


def node_proto(node: Node) -> onnx.NodeProto:
    """One operator as a NodeProto, regions included."""
    return _node_proto(node, _Parts(tensor_proto))


def tensor_proto(name: str, array: Array) -> onnx.TensorProto:
    if name_of_numpy(array.dtype) == "string":
        texts = [x if isinstance(x, bytes) else str(x).encode() for x in array.reshape(-1)]
        return onnx.TensorProto(name=name, data_type=onnx.TensorProto.STRING, dims=array.shape, string_data=texts)
    return numpy_helper.from_array(np.asarray(array, order="C"), name)


def type_proto(value: Value) -> onnx.TypeProto | None:
    """The type in ONNX's terms; None for a sequence or an optional if it is not known what it holds."""
    if value.dtype in (SEQUENCE, OPTIONAL):
        element = None if value.element is None else type_proto(value.element)
        if element is None:
            return None
        wrap = helper.make_sequence_type_proto if value.dtype == SEQUENCE else helper.make_optional_type_proto
        return wrap(element)
    return helper.make_tensor_type_proto(onnx_of_name(value.dtype), value.shape)


def _opsets(graph: Graph) -> dict[str, int]:
    """One version per domain: the newest that a node was written for."""
    versions = {"": 0}
    for _, node in graph.walk():
        versions[node.domain] = max(versions.get(node.domain, 1), node.version)
    return {**versions, "": versions[""] or DEFAULT_OPSET}


def _imports(versions: Mapping[str, int]) -> list[onnx.OperatorSetIdProto]:
    return [helper.make_opsetid(domain, version) for domain, version in sorted(versions.items())]


def _check_versions(graph: Graph) -> None:
    """ModelError if an operator would mean something else at the opset of the whole model."""
    versions = _opsets(graph)
    first = {(n.op, n.domain, n.version): n for _, n in graph.walk()}
    for (op, domain, version), node in first.items():
        newest = versions[domain]
        if (
            version != newest
            and onnx.defs.has(op, domain)
            and _since(op, version, domain) != _since(op, newest, domain)
        ):
            raise ModelError(
                f"node {node} is of opset {version}, others of {newest}, where {op} is another operator; "
                "bring the model to one opset with onnx.version_converter"
            )


def _since(op: str, version: int, domain: str) -> int:
    try:
        return onnx.defs.get_schema(op, version, domain).since_version
    except onnx.defs.SchemaError:
        return 0


def _graph_proto(graph: Graph, parts: _Parts) -> onnx.GraphProto:
    return helper.make_graph(
        [_node_proto(node, parts) for node in graph.nodes],
        graph.name or "graph",
        [_value_info(graph, name) for name in graph.inputs],
        [_value_info(graph, name) for name in graph.outputs],
        initializer=[parts.weight(name, array) for name, array in graph.constants.items()],
    )


def _value_info(graph: Graph, name: str) -> onnx.ValueInfoProto:
    value = graph.values.get(name)
    proto = None if value is None else type_proto(value)
    return helper.make_empty_tensor_value_info(name) if proto is None else helper.make_value_info(name, proto)


def _node_proto(node: Node, parts: _Parts) -> onnx.NodeProto:
    if node.body is not None:
        return _call_function(node, node.body, parts)
    proto = helper.make_node(node.op, node.inputs, node.outputs, name=node.name, domain=node.domain)
    for name, value in node.attributes.items():
        proto.attribute.append(_attribute_proto(name, value, parts))
    return proto


def _attribute_proto(name: str, value: Any, parts: _Parts) -> onnx.AttributeProto:
    if isinstance(value, Graph):
        return helper.make_attribute(name, _graph_proto(value, parts))
    if isinstance(value, np.ndarray):
        return helper.make_attribute(name, tensor_proto(name, value))
    if isinstance(value, tuple) and value and isinstance(value[0], np.ndarray):
        return helper.make_attribute(name, [tensor_proto("", array) for array in value])
    if value == ():
        return helper.make_attribute(name, [], attr_type=onnx.AttributeProto.INTS)
    return helper.make_attribute(name, value)


def _call_function(node: Node, body: Graph, parts: _Parts) -> onnx.NodeProto:
    """A call of the function that holds the body; each fused operator has its own, named after it."""
    call = helper.make_node("", node.inputs, node.outputs, name=node.name, domain=FUSED_DOMAIN)
    for name, value in node.attributes.items():
        if name != "body":
            call.attribute.append(_attribute_proto(name, value, parts))
    constants = [
        helper.make_node("Constant", [], [constant], value=tensor_proto(constant, array))
        for constant, array in body.constants.items()
    ]
    nodes = [*constants, *(_node_proto(inner, parts) for inner in body.nodes)]
    call.op_type = _free_name(re.sub(r"\W", "_", f"{node.op}__{node.name}"), parts.functions)
    function = helper.make_function(
        FUSED_DOMAIN, call.op_type, body.inputs, body.outputs, nodes, _imports(_opsets(body)),
        [attribute.name for attribute in call.attribute],
        value_info=[_value_info(body, name) for name in body.values if name not in body.constants],
    )  # fmt: skip
    function.metadata_props.add(key=OPERATOR_KEY, value=node.op)
    parts.functions.append(function)
    return call


def _free_name(wanted: str, functions: list[onnx.FunctionProto]) -> str:
    taken = {function.name for function in functions}
    name, count = wanted, 1
    while name in taken:
        name, count = f"{wanted}_{count}", count + 1
    return name
