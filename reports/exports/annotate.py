"""Placement annotations in an ONNX model: ONNX's own device configurations, and metadata that runtimes read.

Source: onnx.proto, MultiDevice (IR version 11): `ModelProto.configuration`, `NodeProto.device_configurations`; ONNX
Runtime 1.32, layering_annotations.cc: the node metadata `layer_ann`.
"""

from collections.abc import Iterator, Mapping

import onnx

from partita.devices import Soc
from partita.graph.functions import OPERATOR_KEY
from partita.graph.ir import FUSED_DOMAIN
from partita.graph.plan import PlacedOperator, Plan

IR_VERSION = 11
"""The first with device configurations."""
LAYER_KEY = "layer_ann"
PREFIX = "partita."


def annotate(model: onnx.ModelProto, plan: Plan, soc: Soc) -> None:
    """Adds the placement to the model of the plan's graph, in place.

    Each operator names its device and, as pipeline stage, its segment; what stands inside it, a branch, a loop's body
    or the function of a fused operator, carries the same metadata.
    """
    model.ir_version = max(model.ir_version, IR_VERSION)
    model.metadata_props.add(key=f"{PREFIX}soc", value=plan.soc_name)
    model.metadata_props.add(key=f"{PREFIX}graph_digest", value=plan.graph_digest)
    configuration = model.configuration.add(name=plan.soc_name, num_devices=len(soc.units))
    configuration.device.extend(unit.name for unit in soc.units)
    device_of = {unit.name: number for number, unit in enumerate(soc.units)}
    functions = {function.name: function for function in model.functions if function.domain == FUSED_DOMAIN}
    for node in model.graph.node:
        operator = plan.placed[node.name]
        placed = node.device_configurations.add(configuration_id=plan.soc_name, pipeline_stage=operator.segment)
        for tensor in filter(None, node.output):
            placed.sharding_spec.add(tensor_name=tensor, device=[device_of[operator.unit]])
        for inner in (node, *_inside(node, functions)):
            for key, value in _metadata(operator).items():
                inner.metadata_props.add(key=key, value=value)


def _metadata(operator: PlacedOperator) -> dict[str, str]:
    shared = operator.shared
    second = {} if shared is None else {f"{PREFIX}shared": f"{shared.unit}, channels {shared.end} to {shared.channels}"}
    return second | {
        LAYER_KEY: operator.unit,
        f"{PREFIX}unit": operator.unit,
        f"{PREFIX}dtype": operator.dtype,
        f"{PREFIX}segment": str(operator.segment),
        f"{PREFIX}kernel": operator.kernel,
        f"{PREFIX}latency_us": f"{operator.cost.latency_us:g}",
    }


def _inside(node: onnx.NodeProto, functions: Mapping[str, onnx.FunctionProto]) -> Iterator[onnx.NodeProto]:
    """What runs when the node runs: the nodes of its regions and of the function that it calls."""
    function = functions.get(node.op_type) if node.domain == FUSED_DOMAIN else None
    held = list(function.node) if function is not None and _is_fused(function) else []
    for attribute in node.attribute:
        held += attribute.g.node
    for inner in held:
        yield inner
        yield from _inside(inner, functions)


def _is_fused(function: onnx.FunctionProto) -> bool:
    return any(entry.key == OPERATOR_KEY for entry in function.metadata_props)
