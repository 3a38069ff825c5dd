"""ONNX Runtime's CPU provider."""

from collections.abc import Mapping
from typing import Any

from partita.backends.backend import LONGEST_ERROR, Run, SubModel, backend
from partita.errors import BackendError

ERRORS_ONLY = 3
PROVIDER = "CPUExecutionProvider"


@backend("onnxruntime", "ONNX Runtime, CPU", packages=("onnxruntime",), extra="onnxruntime", precision="float32")
def load(sub_model: SubModel) -> Run:
    import onnxruntime  # optional
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (e for e in vars(state).values() if isinstance(e, type) and issubclass(e, Exception))
    errors: tuple[type[Exception], ...] = (RuntimeError, *own)

    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(str(sub_model.path), options, providers=[PROVIDER])
    except errors as error:
        reason = " ".join(str(error).split())[:LONGEST_ERROR]
        raise BackendError(f"onnxruntime does not take {sub_model.title}: {reason}") from None
    outputs = sub_model.piece.graph.outputs

    def run(feeds: Mapping[str, Any]) -> dict[str, Any]:
        return dict(zip(outputs, session.run(list(outputs), dict(feeds)), strict=True))

    return run
