"""Operators that make tensors: Constant, ConstantOfShape, Range, EyeLike, OneHot; and Dropout."""

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array, axis_of, dtype_of, quiet, scalar_of
from partita.kernels.registry import kernel


@kernel("Constant", widen=False)
def constant(
    *,
    value: Array | None = None,
    sparse_value: Array | None = None,
    value_float: float | None = None,
    value_floats: tuple[float, ...] | None = None,
    value_int: int | None = None,
    value_ints: tuple[int, ...] | None = None,
    value_string: str | None = None,
    value_strings: tuple[str, ...] | None = None,
) -> Array:
    """The tensor in the one attribute given; a sparse one arrives dense. Source: ONNX operators, Constant-13."""
    if value is not None:
        return np.asarray(value)
    if sparse_value is not None:
        return np.asarray(sparse_value)
    numbers = (
        (value_float, np.float32),
        (value_floats, np.float32),
        (value_int, np.int64),
        (value_ints, np.int64),
        (value_string, object),
        (value_strings, object),
    )
    for given, dtype in numbers:
        if given is not None:
            return np.array(given, dtype)
    raise KernelError("needs one of the attributes value, sparse_value or value_*, has none")


@kernel("ConstantOfShape", since=9, widen=False)
def constant_of_shape(input: Array, *, value: Array | None = None) -> Array:
    """A tensor of the shape `input` full of `value`, or of float32 0. Source: ONNX operators, ConstantOfShape-9."""
    shape = input.tolist()
    if any(size < 0 for size in shape):
        raise KernelError(f"the shape {shape} has a negative size")
    if value is None:
        return np.zeros(shape, np.float32)
    if value.size != 1:
        raise KernelError(f"value must hold one element, has the shape {value.shape}")
    return np.full(shape, value.reshape(-1)[0], value.dtype)


@kernel("Range", since=11)
@quiet
def range_(start: Array, limit: Array, delta: Array, *, stash_type: int = 1) -> Array:
    """start, start + delta, ... up to before `limit`, all scalars of one type. Source: ONNX operators, Range-27."""
    if delta == 0:
        raise KernelError("delta must not be 0")
    if start.dtype.kind in "iu":
        first, last, step = int(start.item()), int(limit.item()), int(delta.item())
        return np.arange(first, last, step, dtype=start.dtype)
    count = max(0, int(np.ceil((limit.astype(np.float64) - start) / delta).item()))
    return np.asarray(start.reshape(()) + np.arange(count).astype(start.dtype) * delta.reshape(()))


@kernel("EyeLike", since=9, widen=False)
def eye_like(input: Array, *, dtype: int | None = None, k: int = 0) -> Array:
    """Ones on diagonal `k` of a matrix of the shape of `input`, zeros elsewhere. Source: ONNX operators, EyeLike-22."""
    if input.ndim != 2:
        raise KernelError(f"input must be a matrix, has {input.ndim} dimensions")
    return np.eye(input.shape[0], input.shape[1], k=k).astype(input.dtype if dtype is None else dtype_of(dtype))


@kernel("OneHot", since=9, widen=False)
def one_hot(indices: Array, depth: Array, values: Array, *, axis: int = -1) -> Array:
    """values[1] at each index along a new `axis` of size `depth`, values[0] elsewhere; other indices give none.

    Source: ONNX operators, OneHot-28.
    """
    size = scalar_of(depth, "depth")
    along = axis_of(axis, indices.ndim + 1)
    classes = np.arange(size).reshape((-1,) + (1,) * (indices.ndim - along))
    wanted = np.expand_dims(np.where(indices < 0, indices + size, indices), along)
    return np.where(wanted == classes, values[1], values[0]).astype(values.dtype, copy=False)


@kernel("Dropout", since=7)
def dropout_attribute(data: Array, *, ratio: float = 0.5) -> tuple[Array, Array]:
    """The input itself, and a mask of ones: inference drops nothing. Source: ONNX operators, Dropout-7."""
    return data, np.ones(data.shape, data.dtype)


@kernel("Dropout", since=10)
def dropout_with_boolean_mask(data: Array, *, ratio: float = 0.5) -> tuple[Array, Array]:
    """The input itself, and a mask of true: inference drops nothing. Source: ONNX operators, Dropout-10."""
    return data, np.ones(data.shape, np.bool_)


@kernel("Dropout", since=12)
def dropout(
    data: Array, ratio: Array | None = None, training_mode: Array | None = None, *, seed: int = 0
) -> tuple[Array, Array]:
    """The input and a mask of true; in training mode, elements dropped at random and the rest scaled up.

    Source: ONNX operators, Dropout-22.
    """
    rate = 0.5 if ratio is None else float(ratio)
    if training_mode is None or not training_mode or rate == 0:
        return data, np.ones(data.shape, np.bool_)
    kept = np.asarray(np.random.RandomState(seed).uniform(size=data.shape) >= rate)  # as the standard's own examples do
    return (kept * data * (1 / (1 - rate))).astype(data.dtype), kept
