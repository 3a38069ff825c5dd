"""Small ONNX models in text, and what onnxruntime makes of them."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import parser

Array = np.ndarray[Any, np.dtype[Any]]


def parsed(
    graph: str, *, opset: int = 17, ir_version: int = 8, imports: str = "", functions: str = ""
) -> onnx.ModelProto:
    """A model from a graph in ONNX's text form: `g (float[2] x) => (float[2] y) { y = Relu(x) }`."""
    head = f'<ir_version: {ir_version}, opset_import: ["": {opset}{imports}]>'
    return parser.parse_model(f"{head}\n{graph}\n{functions}")


def run_in_onnxruntime(model: onnx.ModelProto, feeds: dict[str, Array]) -> list[Array]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, feeds))
