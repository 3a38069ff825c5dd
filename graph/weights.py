"""Data of tensors in a model: inside the model file, or mapped from a file beside it, or absent."""

import math
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from partita.errors import ModelError
from partita.graph.dtypes import bits_of, name_of_onnx, numpy_of_name, size_bytes
from partita.graph.ir import Array
from partita.units import BITS_PER_BYTE

MOST_ELEMENTS = 2**40
"""A tensor that claims more elements than this is a lie: it would take a terabyte even at 8 bits."""
MOST_DIMENSIONS = 64
"""numpy's own limit (numpy 2.0 release notes, NPY_MAXDIMS)."""


class Weights:
    """The files beside a model that hold its weights; each is mapped once."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._files: dict[str, Array | None] = {}

    def file(self, tensor: str, location: str) -> Array | None:
        """The bytes of the file at `location`, or None if there is none; ModelError if it is not in the model's folder.

        Links are followed before the check, so none can lead out of the folder.
        """
        if location not in self._files:
            if self.folder is None:
                return None
            self._files[location] = _map(tensor, location, self.folder)
        return self._files[location]


def _map(tensor: str, location: str, folder: Path) -> Array | None:
    try:
        inside = folder.resolve()
        path = (inside / location).resolve()
        if not location or not path.is_relative_to(inside) or path == inside:
            raise ModelError(
                f"weight {tensor!r} lies at {location!r}, outside of the model's folder; move the file beside the model"
            )
        if path.is_symlink():  # resolved, and still a link: Python 3.13 says nothing of a loop
            raise RuntimeError("a loop of links")
        if not path.is_file():
            return None
        return np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a loop of links
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelError(f"weight {tensor!r} lies at {location!r}, which cannot be read: {reason.lower()}") from None


def read_weight(tensor: onnx.TensorProto, weights: Weights) -> Array | None:
    """The data of a tensor, None if its file is not there; ModelError if its size contradicts its shape."""
    dtype = name_of_onnx(tensor.data_type)
    elements = _elements(tensor)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        content = _external(tensor, dtype, size_bytes(elements, dtype), weights)
        return None if content is None else _decoded(tensor, dtype, content)
    if not tensor.HasField("raw_data") or dtype == "string":
        return _from_fields(tensor)
    content = np.frombuffer(tensor.raw_data, np.uint8)
    if content.size != size_bytes(elements, dtype):
        raise ModelError(
            f"weight {tensor.name!r} of shape {list(tensor.dims)} needs {size_bytes(elements, dtype)} bytes "
            f"of {dtype}, but the model holds {content.size}"
        )
    return _decoded(tensor, dtype, content)


def _elements(tensor: onnx.TensorProto) -> int:
    if any(d < 0 for d in tensor.dims):
        raise ModelError(f"weight {tensor.name!r} has a negative dimension: {list(tensor.dims)}")
    elements = math.prod(tensor.dims)
    if elements > MOST_ELEMENTS or max(tensor.dims, default=0) > MOST_ELEMENTS or len(tensor.dims) > MOST_DIMENSIONS:
        raise ModelError(f"weight {tensor.name!r} claims the shape {list(tensor.dims)}, which no memory holds")
    return elements


def _external(tensor: onnx.TensorProto, dtype: str, wanted: int, weights: Weights) -> Array | None:
    """The bytes of a tensor that lies in another file, not copied; None if that file is not there."""
    if dtype == "string":
        raise ModelError(f"weight {tensor.name!r} holds text, which cannot lie in another file; keep it in the model")
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if not all(isinstance(value, str) for value in entries.values()):  # protobuf gives what is not UTF-8 as bytes
        raise ModelError(f"weight {tensor.name!r} lies at a place that is not text; the model is damaged")
    mapped = weights.file(tensor.name, location)
    if mapped is None:
        return None
    offset = _whole(tensor.name, "offset", entries.get("offset", "0"))
    length = _whole(tensor.name, "length", entries.get("length", str(wanted)))
    if length != wanted or offset + length > mapped.size:
        raise ModelError(
            f"weight {tensor.name!r} needs {wanted} bytes, is given {length} at offset {offset} of {location!r}, "
            f"which has {mapped.size}; the weight file is cut short or belongs to another model"
        )
    return mapped[offset : offset + length]


def _whole(tensor: str, key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(2**64))):
        raise ModelError(f"weight {tensor!r}: the {key} of its data must be a whole number, is {text!r}")
    return int(text)


def _decoded(tensor: onnx.TensorProto, dtype: str, content: Array) -> Array:
    """Bytes as an array; elements of 8 bits or more are viewed where they lie, smaller ones unpacked."""
    if bits_of(dtype) >= BITS_PER_BYTE:
        return content.view(numpy_of_name(dtype)).reshape(tuple(tensor.dims))
    packed = onnx.TensorProto(
        name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, raw_data=content.tobytes()
    )
    return _from_fields(packed)


def _from_fields(tensor: onnx.TensorProto) -> Array:
    try:
        array: Array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, OverflowError) as error:
        raise ModelError(f"weight {tensor.name!r} of shape {list(tensor.dims)} cannot be read: {error}") from None
    return array
