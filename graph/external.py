"""Weights in a file beside the models that use them, written without a copy in memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

from partita.graph.dtypes import bits_of, name_of_numpy, onnx_of_name
from partita.graph.ir import Array
from partita.graph.onnx_export import tensor_proto
from partita.units import BITS_PER_BYTE

ALIGNMENT = 4096
"""Weights begin at whole memory pages, so that a reader can map each by itself."""
LEAST_BYTES = 4096
"""Smaller tensors stay in the model, where shape inference of any reader finds them."""
CHUNK_BYTES = 2**24
STRING = "string"


class WeightFile:
    """Weights that several models share; each array lies in the file once, however many models name it.

    The arrays are kept, not copied: mapped ones are read page by page while they are written.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._places: dict[int, tuple[Array, int]] = {}
        self._end = 0

    def tensor(self, name: str, array: Array) -> onnx.TensorProto:
        """The tensor as it stands in a model: a pointer into this file, or the data itself if it is small."""
        if name_of_numpy(array.dtype) == STRING or array.nbytes < LEAST_BYTES:
            return tensor_proto(name, array)
        stored = _stored_bytes(array)
        if id(array) not in self._places:
            offset = -(-self._end // ALIGNMENT) * ALIGNMENT
            self._places[id(array)] = array, offset
            self._end = offset + stored
        data_type = onnx_of_name(name_of_numpy(array.dtype))
        proto = onnx.TensorProto(
            name=name, data_type=data_type, dims=array.shape, data_location=onnx.TensorProto.EXTERNAL
        )
        offset = self._places[id(array)][1]
        for key, value in (("location", self.name), ("offset", str(offset)), ("length", str(stored))):
            proto.external_data.add(key=key, value=value)
        return proto

    @property
    def size_bytes(self) -> int:
        """Of the whole file; 0 if no model needs it."""
        return self._end

    def write(self, folder: Path) -> None:
        """Writes the file into the folder in which its models lie; nothing if none needs it."""
        if not self._places:
            return
        with (folder / self.name).open("wb") as file:
            for array, offset in self._places.values():
                file.seek(offset)
                for chunk in _chunks(array):
                    file.write(chunk)


def _stored_bytes(array: Array) -> int:
    bits = bits_of(name_of_numpy(array.dtype))
    return -(-array.size * bits // BITS_PER_BYTE)


def _chunks(array: Array) -> Iterator[bytes | memoryview]:
    """The elements in C order, as ONNX packs them; whole arrays are never copied."""
    if bits_of(name_of_numpy(array.dtype)) < BITS_PER_BYTE:
        yield tensor_proto("", array).raw_data
    elif array.flags.c_contiguous:
        flat = array.reshape(-1).view(np.uint8)
        for start in range(0, flat.size, CHUNK_BYTES):
            yield flat[start : start + CHUNK_BYTES].data
    else:
        for part in array:
            yield from _chunks(np.ascontiguousarray(part))
