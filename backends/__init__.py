"""Who else can run a segment: runtimes behind one small interface, each found at run time.

A new one is a file here with a function under `@backend(...)` that loads a sub-model, and its line below.
"""

from partita.backends import numpy_kernels, onnxruntime_cpu, openvino_cpu, qnn_emulator
from partita.backends.backend import BACKENDS, Backend, SubModel, backend_called

__all__ = [
    "BACKENDS", "Backend", "SubModel", "backend_called", "numpy_kernels", "onnxruntime_cpu", "openvino_cpu",
    "qnn_emulator",
]  # fmt: skip
