"""Types of an operator's outputs, by ONNX's own shape inference, one operator at a time."""

from collections.abc import Mapping

import onnx
from onnx import helper, shape_inference

from partita.errors import ModelError
from partita.graph.contrib_types import RULES, stand_in
from partita.graph.dtypes import OPTIONAL, SEQUENCE, name_of_onnx
from partita.graph.fit import check_fit
from partita.graph.ir import Array, Node, Value
from partita.graph.onnx_export import IR_VERSION, node_proto, tensor_proto, type_proto

LARGEST_SHAPE_INPUT = 4096
"""Constants with more elements than this are never shapes, axes or sizes, and are not handed to inference."""


def infer_types(node: Node, types: Mapping[str, Value], constants: Mapping[str, Array]) -> dict[str, Value]:
    """The type of each output of `node`, from its inputs' types and the constants among them.

    Dimensions that depend on data stay None, and an output has no type if an input has none. Raises ModelError, naming
    the node, if the inputs do not fit together or the operator is not one that ONNX defines.
    """
    if node.body is not None:
        return {o: node.body.value(inner) for o, inner in zip(node.outputs, node.body.outputs, strict=True)}
    found = _inferred(node, types, constants)
    check_fit(node, types, constants, found)
    return found


def _inferred(node: Node, types: Mapping[str, Value], constants: Mapping[str, Array]) -> dict[str, Value]:
    rule = RULES.get((node.domain, node.op))
    if rule is not None:
        return rule(node, types)
    standard = stand_in(node, types)
    if standard is not None:
        substitute, input_types, dtype = standard
        found = _by_schema(substitute, input_types, {})
        check_fit(substitute, input_types, {}, found)
        return {name: Value(dtype, value.shape) for name, value in found.items()}
    if not onnx.defs.has(node.op, node.domain):
        raise ModelError(
            f"node {node}: operator {node.op!r} of domain {node.domain or 'ai.onnx'!r} is not known; "
            "rewrite it in standard ONNX operators or give it as a model function"
        )
    return _by_schema(node, types, constants)


def _by_schema(node: Node, types: Mapping[str, Value], constants: Mapping[str, Array]) -> dict[str, Value]:
    schema = schema_of(node)
    input_types = {n: proto for n in node.present_inputs if n in types and (proto := type_proto(types[n])) is not None}
    if not all(name in input_types for name in node.present_inputs):
        return {}
    data = {
        n: tensor_proto(n, constants[n])
        for n in node.present_inputs
        if n in constants and constants[n].size <= LARGEST_SHAPE_INPUT
    }
    try:
        found = shape_inference.infer_node_outputs(
            schema, node_proto(node), input_types, data, opset_imports=_imports(node), ir_version=IR_VERSION
        )
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        given = ", ".join(f"{n} {types.get(n, '?')}" for n in node.present_inputs)
        reason = str(error).replace("\n", " ").strip()
        raise ModelError(f"node {node}: its inputs ({given}) do not fit the operator: {reason}") from None
    return {name: value for name, proto in found.items() if name and (value := _value_of(proto)) is not None}


def schema_of(node: Node) -> onnx.defs.OpSchema:
    """ONNX's definition of the operator at the node's version; ModelError if it had none then."""
    try:
        return onnx.defs.get_schema(node.op, node.version, node.domain)
    except onnx.defs.SchemaError:
        raise ModelError(
            f"node {node}: operator {node.op!r} does not exist at opset {node.version}; "
            "export the model with a newer opset"
        ) from None


def _imports(node: Node) -> list[onnx.OperatorSetIdProto]:
    imports = [helper.make_opsetid(node.domain, node.version)]
    for region in node.regions:
        imports += [
            helper.make_opsetid(inner.domain, inner.version)
            for _, inner in region.walk()
            if inner.domain != node.domain
        ]
    return imports


def _value_of(proto: onnx.TypeProto) -> Value | None:
    """The type that was found; None if ONNX leaves it open, as it does for some operators with regions."""
    kind = proto.WhichOneof("value")
    if kind == "sequence_type":
        return Value(SEQUENCE, None, _value_of(proto.sequence_type.elem_type))
    if kind == "optional_type":
        return Value(OPTIONAL, None, _value_of(proto.optional_type.elem_type))
    if kind is None or proto.tensor_type.elem_type == onnx.TensorProto.UNDEFINED:
        return None
    tensor = proto.tensor_type
    dtype = name_of_onnx(tensor.elem_type)
    if not tensor.HasField("shape"):
        return Value(dtype, None)
    return Value(dtype, tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim))
