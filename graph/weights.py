"""Data of initialisers: inside the model file, or mapped from a file beside it, or absent."""

import math
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from partita.errors import ModelError
from partita.graph.dtypes import bits_of, name_of_onnx, numpy_of_name, size_bytes
from partita.graph.ir import Array
from partita.units import BITS_PER_BYTE


class Weights:
    """The files beside a model that hold its weights; each is mapped once."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._files: dict[str, np.memmap | None] = {}

    def file(self, tensor: str, location: str) -> "np.memmap | None":
        """The mapped file at `location`, or None if there is no such file; ModelError if it is not in the model's folder."""
        if location in self._files:
            return self._files[location]
        if self.folder is None:
            return None
        folder = self.folder.resolve()
        path = (folder / location).resolve()
        if not location or not path.is_relative_to(folder) or path == folder:
            raise ModelError(
                f"weight {tensor!r} lies at {location!r}, outside of the model's folder; move the file beside the model"
            )
        mapped = None
        if path.is_file():
            mapped = (
                np.memmap(path, np.uint8, "r") if path.stat().st_size else np.memmap(path, np.uint8, "r", shape=(0,))
            )
        self._files[location] = mapped
        return mapped


def read_weight(tensor: onnx.TensorProto, weights: Weights) -> Array | None:
    """The data of an initialiser, None if its file is not there; ModelError if its size contradicts its shape."""
    if any(d < 0 for d in tensor.dims):
        raise ModelError(f"weight {tensor.name!r} has a negative dimension: {list(tensor.dims)}")
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return _embedded(tensor)
    entries = {entry.key: entry.value for entry in tensor.external_data}
    mapped = weights.file(tensor.name, entries.get("location", ""))
    if mapped is None:
        return None
    dtype = name_of_onnx(tensor.data_type)
    wanted = size_bytes(math.prod(tensor.dims), dtype)
    offset = _whole(tensor.name, "offset", entries.get("offset", "0"))
    length = _whole(tensor.name, "length", entries.get("length", str(wanted)))
    if length != wanted or offset + length > mapped.size:
        raise ModelError(
            f"weight {tensor.name!r} needs {wanted} bytes at offset {offset} of {entries['location']!r}, which has {mapped.size}; "
            "the weight file is cut short or belongs to another model"
        )
    content = mapped[offset : offset + length]
    if bits_of(dtype) < BITS_PER_BYTE:
        packed = onnx.TensorProto(
            name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, raw_data=content.tobytes()
        )
        return numpy_helper.to_array(packed)
    return content.view(numpy_of_name(dtype)).reshape(tuple(tensor.dims))


def _whole(tensor: str, key: str, text: str) -> int:
    if not text.isdigit():
        raise ModelError(f"weight {tensor!r}: the {key} of its data must be a whole number, is {text!r}")
    return int(text)


def _embedded(tensor: onnx.TensorProto) -> Array:
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        raise ModelError(f"weight {tensor.name!r} of shape {list(tensor.dims)} cannot be read: {error}") from None
