"""Run one ONNX node by our kernels, and by onnxruntime without graph optimisation as the oracle."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper

import partita.kernels  # noqa: F401  (registers every kernel)
from partita.kernels.registry import kernel_for

Array = np.ndarray[Any, Any]


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Attribute values as kernels take them: text as str, lists as tuples, tensors as arrays."""
    plain: dict[str, Any] = {}
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            value = onnx.numpy_helper.to_array(value)
        elif isinstance(value, bytes):
            value = value.decode()
        elif isinstance(value, list | tuple) or hasattr(value, "__iter__"):
            value = (
                tuple(v.decode() if isinstance(v, bytes) else v for v in value) if not isinstance(value, str) else value
            )
        plain[attribute.name] = value
    return plain


def run_kernel(node: onnx.NodeProto, inputs: Sequence[Array | None], opset: int) -> tuple[Array, ...]:
    """Outputs of `node`, computed by the registered kernel of `opset`."""
    kernel = kernel_for(node.op_type, node.domain, opset)
    attributes = attributes_of(node)
    if kernel.takes_output_count:
        attributes["n_outputs"] = len(node.output)
    halves = [x.dtype for x in inputs if x is not None and kernel.widen and x.dtype.name in ("float16", "bfloat16")]
    widened = [x.astype(np.float32) if halves and x is not None and x.dtype == halves[0] else x for x in inputs]
    result = kernel.function(*widened, **attributes)
    outputs = result if isinstance(result, tuple) else (result,)
    if halves:
        outputs = tuple(y.astype(halves[0]) if y is not None and y.dtype == np.float32 else y for y in outputs)
    return outputs[: len(node.output)]


def run_onnxruntime(node: onnx.NodeProto, inputs: Sequence[Array | None], opset: int) -> tuple[Array, ...]:
    """Outputs of `node` by onnxruntime's CPU provider with every graph optimisation off."""
    given = [(name, x) for name, x in zip(node.input, inputs, strict=False) if x is not None and name]
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for n, x in given],
        [helper.make_empty_tensor_value_info(name) for name in node.output if name],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(node.domain, opset)], ir_version=10)
    if node.domain:
        model.opset_import.append(helper.make_opsetid("", 21))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return tuple(session.run(None, dict(given)))
