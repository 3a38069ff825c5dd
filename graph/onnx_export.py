"""Graph -> ONNX: a model that any runtime opens; fused operators become ONNX functions."""

import re
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from partita.errors import ModelError
from partita.graph.dtypes import name_of_numpy, onnx_of_name
from partita.graph.ir import FUSED_DOMAIN, Array, Graph, Node, Value

IR_VERSION = 10


def to_model(graph: Graph) -> onnx.ModelProto:
    """The graph as an ONNX model with its constants inside; ModelError if weights are missing."""
    if graph.missing:
        first = sorted(graph.missing)[0]
        raise ModelError(
            f"graph {graph.name!r} has no data for {len(graph.missing)} weights ({first!r}, ...): fill them first"
        )
    functions: list[onnx.FunctionProto] = []
    body = _graph_proto(graph, functions)
    model = helper.make_model(body, opset_imports=_opsets(graph), functions=functions, ir_version=IR_VERSION)
    model.producer_name = "partita"
    return model


def node_proto(node: Node) -> onnx.NodeProto:
    """One operator as a NodeProto, regions included."""
    return _node_proto(node, [])


def tensor_proto(name: str, array: Array) -> onnx.TensorProto:
    if name_of_numpy(array.dtype) == "string":
        return helper.make_tensor(
            name, onnx.TensorProto.STRING, array.shape, [str(x).encode() for x in array.reshape(-1)]
        )
    return numpy_helper.from_array(np.ascontiguousarray(array), name)


def type_proto(value: Value) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(onnx_of_name(value.dtype), value.shape)


def _opsets(graph: Graph) -> list[onnx.OperatorSetIdProto]:
    """One version per domain: the newest that a node was written for."""
    versions: dict[str, int] = {}
    for _, node in graph.walk():
        if node.domain != FUSED_DOMAIN:
            versions[node.domain] = max(versions.get(node.domain, 1), node.version)
    if any(node.domain == FUSED_DOMAIN for _, node in graph.walk()):
        versions[FUSED_DOMAIN] = 1
    versions.setdefault("", 17)
    return [helper.make_opsetid(domain, version) for domain, version in sorted(versions.items())]


def _graph_proto(graph: Graph, functions: list[onnx.FunctionProto]) -> onnx.GraphProto:
    return helper.make_graph(
        [_node_proto(node, functions) for node in graph.nodes],
        graph.name or "graph",
        [_value_info(graph, name) for name in graph.inputs],
        [_value_info(graph, name) for name in graph.outputs],
        initializer=[tensor_proto(name, array) for name, array in graph.constants.items()],
    )


def _value_info(graph: Graph, name: str) -> onnx.ValueInfoProto:
    value = graph.values.get(name)
    if value is None or value.dtype in ("sequence", "optional"):
        return helper.make_empty_tensor_value_info(name)
    return helper.make_value_info(name, type_proto(value))


def _node_proto(node: Node, functions: list[onnx.FunctionProto]) -> onnx.NodeProto:
    if node.body is not None:
        return _call_function(node, node.body, functions)
    proto = helper.make_node(node.op, node.inputs, node.outputs, name=node.name, domain=node.domain)
    for name, value in node.attributes.items():
        proto.attribute.append(_attribute_proto(name, value, functions))
    return proto


def _attribute_proto(name: str, value: Any, functions: list[onnx.FunctionProto]) -> onnx.AttributeProto:
    if isinstance(value, Graph):
        return helper.make_attribute(name, _graph_proto(value, functions))
    if isinstance(value, np.ndarray):
        return helper.make_attribute(name, tensor_proto(name, value))
    if value == ():
        return helper.make_attribute(name, [], attr_type=onnx.AttributeProto.INTS)
    return helper.make_attribute(name, value)


def _call_function(node: Node, body: Graph, functions: list[onnx.FunctionProto]) -> onnx.NodeProto:
    """A call of the function that holds the body; each fused operator has its own, named after it."""
    name = re.sub(r"\W", "_", f"{node.op}__{node.name}")
    constants = [
        helper.make_node("Constant", [], [constant], value=tensor_proto(constant, array))
        for constant, array in body.constants.items()
    ]
    functions.append(
        helper.make_function(
            FUSED_DOMAIN,
            name,
            list(body.inputs),
            list(body.outputs),
            [*constants, *(_node_proto(inner, functions) for inner in body.nodes)],
            [o for o in _opsets(body) if o.domain != FUSED_DOMAIN],
        )
    )
    return helper.make_node(name, node.inputs, node.outputs, name=node.name, domain=FUSED_DOMAIN)
