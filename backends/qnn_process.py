"""The process that runs one sub-model on Qualcomm's HTP library; nothing falls back to the CPU.

The libraries print on standard output and may end the process, which must not happen to ours. Arguments: the model,
the soc_model number, an .npz archive of inputs, the .npz archive to write, a file for the error.
"""

import sys
from pathlib import Path

import numpy as np

PROVIDER = "QNNExecutionProvider"
LONGEST_ERROR = 300
SILENT = 4


def main(model: str, soc_model: str, given: str, made: str, error: str) -> None:
    import onnxruntime
    import onnxruntime_qnn  # type: ignore[import-not-found,unused-ignore]  # optional, and it ships no types
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (e for e in vars(state).values() if isinstance(e, type) and issubclass(e, Exception))
    errors: tuple[type[Exception], ...] = (RuntimeError, *own)
    onnxruntime.register_execution_provider_library(PROVIDER, onnxruntime_qnn.get_library_path())
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == PROVIDER]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    choice = {"backend_path": onnxruntime_qnn.get_qnn_htp_path(), "soc_model": soc_model}
    options.add_provider_for_devices(devices, choice)
    try:
        session = onnxruntime.InferenceSession(model, options)
        session.disable_fallback()
        with np.load(given) as archive:
            arrays = [archive[key] for key in archive.files]
        names = [i.name for i in session.get_inputs()]
        results = session.run(None, dict(zip(names, arrays, strict=True)))
    except errors as refusal:
        Path(error).write_text(" ".join(str(refusal).split())[:LONGEST_ERROR], "utf-8")
        return
    np.savez(made, *results)


if __name__ == "__main__":
    main(*sys.argv[1:])
