"""OpenVINO's CPU plug-in, in float32."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from partita.backends.backend import LONGEST_ERROR, Run, SubModel, backend
from partita.errors import BackendError

PLAIN = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
"""Without the second, products with weights of 8 bits quantise their activations on the fly (OpenVINO 2026.4)."""


@backend("openvino", "OpenVINO, CPU", packages=("openvino",), extra="openvino", precision="float32")
def load(sub_model: SubModel) -> Run:
    import openvino  # type: ignore[import-not-found,unused-ignore]  # optional

    core = openvino.Core()
    try:
        compiled = core.compile_model(core.read_model(sub_model.path), "CPU", PLAIN)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:LONGEST_ERROR]
        raise BackendError(f"openvino does not take {sub_model.title}: {reason}") from None
    outputs = {name: compiled.output(name) for name in sub_model.piece.graph.outputs}

    def run(feeds: Mapping[str, Any]) -> dict[str, Any]:
        results = compiled(dict(feeds))
        return {name: np.array(results[output]) for name, output in outputs.items()}

    return run
