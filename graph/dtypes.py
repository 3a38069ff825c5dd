"""Names of element types: ours are numpy's; ONNX enums and sizes in bits are looked up here."""

from functools import cache

import ml_dtypes
import numpy as np
import onnx

from partita.errors import ModelError
from partita.graph.quantisation import SCHEMES
from partita.units import BITS_PER_BYTE

_ONNX_NAMES = {
    "FLOAT": "float32", "DOUBLE": "float64", "FLOAT16": "float16", "BFLOAT16": "bfloat16",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "BOOL": "bool", "STRING": "string", "COMPLEX64": "complex64", "COMPLEX128": "complex128",
    "INT4": "int4", "UINT4": "uint4", "INT2": "int2", "UINT2": "uint2",
    "FLOAT8E4M3FN": "float8_e4m3fn", "FLOAT8E4M3FNUZ": "float8_e4m3fnuz",
    "FLOAT8E5M2": "float8_e5m2", "FLOAT8E5M2FNUZ": "float8_e5m2fnuz",
    "FLOAT4E2M1": "float4_e2m1fn", "FLOAT8E8M0": "float8_e8m0fnu",
    "FLOAT6E2M3": "float6_e2m3fn", "FLOAT6E3M2": "float6_e3m2fn",
}  # fmt: skip
_NAME_OF_ENUM = {enum: _ONNX_NAMES[k] for k, enum in onnx.TensorProto.DataType.items() if k in _ONNX_NAMES}
_ENUM_OF_NAME = {name: enum for enum, name in _NAME_OF_ENUM.items()}
_BITS = {
    "bool": 8, "string": 64, "int4": 4, "uint4": 4, "int2": 2, "uint2": 2, "float4_e2m1fn": 4,
    "float6_e2m3fn": 6, "float6_e3m2fn": 6,
}  # fmt: skip

SEQUENCE = "sequence"
"""The dtype of a value that holds a list of tensors; its shape is None."""
OPTIONAL = "optional"
"""The dtype of a value that may hold nothing; its shape is None."""

FLOATING = ("float32", "float16", "bfloat16")
"""The dtypes a unit may exchange for one another when it computes a floating-point operator."""


def name_of_onnx(enum: int) -> str:
    """Our name of an ONNX element type; ModelError for one that no tensor may have."""
    if enum not in _NAME_OF_ENUM:
        raise ModelError(f"element type {enum} is not one that this version of ONNX defines")
    return _NAME_OF_ENUM[enum]


def onnx_of_name(dtype: str) -> int:
    return _ENUM_OF_NAME[dtype]


@cache
def numpy_of_name(dtype: str) -> np.dtype:
    """The numpy dtype that holds `dtype`; text is held as objects."""
    if dtype == "string":
        return np.dtype(object)
    if hasattr(ml_dtypes, dtype):
        return np.dtype(getattr(ml_dtypes, dtype))
    return np.dtype(dtype)


def name_of_numpy(dtype: np.dtype) -> str:
    if dtype.kind in "OUS":
        return "string"
    return dtype.name


@cache
def bits_of(dtype: str) -> int:
    """Bits that one element takes in memory; elements below a byte are packed, a string counts as its pointer.

    A quantised dtype of a location, such as "w8a16", counts as its activations do.
    """
    if dtype in SCHEMES:
        return SCHEMES[dtype].activation_bits
    if dtype in _BITS:
        return _BITS[dtype]
    return numpy_of_name(dtype).itemsize * BITS_PER_BYTE


def size_bytes(elements: int, dtype: str) -> int:
    return (elements * bits_of(dtype) + BITS_PER_BYTE - 1) // BITS_PER_BYTE


def weight_dtype(dtype: str) -> str:
    """How floating-point weights are stored at a location whose floating-point activations are stored as `dtype`."""
    return f"int{SCHEMES[dtype].weight_bits}" if dtype in SCHEMES else dtype


def is_floating(dtype: str) -> bool:
    return dtype in FLOATING
