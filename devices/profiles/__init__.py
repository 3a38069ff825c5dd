"""Profiles that other tools write: one module per format, each registered by its import here."""

from partita.devices.profiles import aihub, executorch, litert, onnxruntime, qnn, tflite, vela
from partita.devices.profiles.profile import FORMATS, Profile, Row, in_real_time, needs_clock, with_clock
from partita.devices.profiles.read import read_profile

READERS = (onnxruntime, tflite, litert, aihub, qnn, executorch, vela)
"""A new format is a new module, imported above and named here."""

__all__ = ["FORMATS", "READERS", "Profile", "Row", "in_real_time", "needs_clock", "read_profile", "with_clock"]
