"""Asks Qualcomm's own partitioner, in the optional package onnxruntime-qnn, which operators of a model it takes.

Run as a module it is the process that does so: the libraries print on standard output and may end the process, which
must not happen to ours. Arguments: the model's file, the soc_model number, the file to write the answer to.
"""

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from partita.errors import SocError
from partita.graph.ir import Graph
from partita.graph.onnx_export import to_model

PROVIDER = "QNNExecutionProvider"
SOC_MODEL = {68: 30, 69: 36, 73: 43, 75: 57, 79: 69, 81: 87}
"""QNN's number of a chip of each generation: SM8350, SM8450, SM8550, SM8650, SM8750, SM8850.

Source: google-ai-edge/LiteRT litert/vendors/qualcomm/supported_soc.csv.
"""
TIME_LIMIT_S = 900
_ADDED_SUFFIX = re.compile(r"_token_\d+$")
"""What the runtime's layout step adds to an operator's name."""
_LONGEST_ERROR = 300


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the partitioner took, by operator; or why the session could not be made."""

    is_taken: dict[str, bool]
    error: str = ""


def ask_partitioner(graph: Graph, generation: int) -> Assignment:
    """The assignment of a graph whose weights are all there; SocError if the package is not installed or crashes."""
    if any(find_spec(name) is None for name in ("onnxruntime", "onnxruntime_qnn")):
        raise SocError("--verify asks the package onnxruntime-qnn, which is not installed: pip install 'partita[qnn]'")
    with tempfile.TemporaryDirectory() as folder:
        model, answer = Path(folder) / "model.onnx", Path(folder) / "answer.json"
        model.write_bytes(to_model(graph).SerializeToString())
        command = [
            sys.executable,
            "-m",
            "partita.vendor_partitioner",
            str(model),
            str(SOC_MODEL[generation]),
            str(answer),
        ]
        try:
            done = subprocess.run(command, capture_output=True, timeout=TIME_LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            raise SocError(f"onnxruntime-qnn gave no answer within {TIME_LIMIT_S} s") from None
        if not answer.is_file():
            told = done.stderr.decode(errors="replace").strip().splitlines()
            raise SocError(
                f"onnxruntime-qnn ended without an answer (exit code {done.returncode}): {''.join(told[-1:])}"
            )
        found = json.loads(answer.read_text("utf-8"))
    return Assignment(dict(found["is_taken"]), found["error"])


def _assignment(model: str, soc_model: str) -> Assignment:
    """The assignment with the runtime's own rewriting off, so that the operators keep their names."""
    import onnxruntime
    import onnxruntime_qnn  # type: ignore[import-not-found,unused-ignore]  # optional, and it ships no types
    from onnxruntime.capi.onnxruntime_pybind11_state import EPFail, Fail, InvalidGraph, RuntimeException

    onnxruntime.register_execution_provider_library(PROVIDER, onnxruntime_qnn.get_library_path())
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == PROVIDER]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    backend = {"backend_path": onnxruntime_qnn.get_qnn_htp_path(), "soc_model": soc_model}
    options.add_provider_for_devices(devices, backend)
    try:
        session = onnxruntime.InferenceSession(model, options)
    except (EPFail, Fail, InvalidGraph, RuntimeException) as error:
        return Assignment({}, " ".join(str(error).split())[:_LONGEST_ERROR])
    is_taken: dict[str, bool] = {}
    for group in session.get_provider_graph_assignment_info():
        for node in group.get_nodes():
            is_taken[_ADDED_SUFFIX.sub("", node.name)] = group.ep_name == PROVIDER
    return Assignment(is_taken)


if __name__ == "__main__":
    _model, _soc_model, _answer = sys.argv[1:]
    _found = _assignment(_model, _soc_model)
    Path(_answer).write_text(json.dumps({"is_taken": _found.is_taken, "error": _found.error}), "utf-8")
