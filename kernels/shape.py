"""Operators that look at or change only the shape: results are views of the input wherever numpy can."""

from collections.abc import Iterable
from math import prod

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array, axes_of, axis_of, broadcast_shape
from partita.kernels.registry import kernel


@kernel("Reshape", since=5, widen=False)
def reshape(data: Array, shape: Array, *, allowzero: int = 0) -> Array:
    """Give `data` a new shape: -1 is what remains, 0 is the input's own size unless `allowzero`.

    Source: ONNX operators, Reshape-14.

    >>> reshape(np.zeros((2, 3, 4)), np.array([0, -1])).shape
    (2, 12)
    """
    wanted = [int(size) for size in shape]
    if not allowzero:
        for i, size in enumerate(wanted):
            if size == 0 and i >= data.ndim:
                raise KernelError(f"shape {wanted} copies dimension {i}, but data has only {data.ndim} dimensions")
            wanted[i] = data.shape[i] if size == 0 else size
    if -1 in wanted:
        known = prod(size for size in wanted if size != -1)
        wanted[wanted.index(-1)] = data.size // known if known else 0
    if prod(wanted) != data.size or min(wanted, default=0) < 0:
        raise KernelError(f"data of shape {data.shape} does not fit the shape {[int(size) for size in shape]}")
    return data.reshape(wanted)


@kernel("Flatten", widen=False)
def flatten(input: Array, *, axis: int = 1) -> Array:
    """Make a matrix: dimensions before `axis` are rows, the rest columns. Source: ONNX operators, Flatten-13."""
    axis = axis if axis == input.ndim else axis_of(axis, input.ndim)
    return input.reshape(prod(input.shape[:axis]), prod(input.shape[axis:]))


@kernel("Transpose", widen=False)
def transpose(data: Array, *, perm: tuple[int, ...] | None = None) -> Array:
    """Reorder the dimensions, by default reversing them; the result is a view. Source: ONNX operators, Transpose-13."""
    if perm is not None and sorted(axes_of(perm, data.ndim)) != list(range(data.ndim)):
        raise KernelError(f"perm {perm} is no permutation of the {data.ndim} dimensions")
    return data.transpose(perm)


@kernel("Squeeze", widen=False)
def squeeze_attribute(data: Array, *, axes: tuple[int, ...] | None = None) -> Array:
    """Drop the dimensions `axes`, each of size 1, by default all such. Source: ONNX operators, Squeeze-11."""
    if axes is None:
        return data.squeeze()
    dropped = axes_of(axes, data.ndim)
    if any(data.shape[axis] != 1 for axis in dropped):
        raise KernelError(f"axes {axes} of the shape {data.shape} are not all of size 1")
    return data.squeeze(dropped)


@kernel("Squeeze", since=13, widen=False)
def squeeze(data: Array, axes: Array | None = None) -> Array:
    """Drop the dimensions `axes`, each of size 1, by default all such. Source: ONNX operators, Squeeze-13."""
    return squeeze_attribute(data, axes=None if axes is None else tuple(axes.tolist()))


@kernel("Unsqueeze", widen=False)
def unsqueeze_attribute(data: Array, *, axes: tuple[int, ...]) -> Array:
    """Insert dimensions of size 1 so that they stand at `axes` of the result. Source: ONNX operators, Unsqueeze-11."""
    return np.expand_dims(data, axes_of(axes, data.ndim + len(axes)))


@kernel("Unsqueeze", since=13, widen=False)
def unsqueeze(data: Array, axes: Array) -> Array:
    """Insert dimensions of size 1 so that they stand at `axes` of the result. Source: ONNX operators, Unsqueeze-13."""
    return unsqueeze_attribute(data, axes=tuple(axes.reshape(-1).tolist()))


@kernel("Identity", widen=False)
def identity(input: Array) -> Array:
    """The input itself, of any type. Source: ONNX operators, Identity-16."""
    return input


@kernel("Shape", widen=False)
def shape(data: Array, *, start: int = 0, end: int | None = None) -> Array:
    """The sizes of the dimensions `start` to `end`, which clamp to the rank. Source: ONNX operators, Shape-15."""
    return np.array(data.shape[start:end], np.int64)


@kernel("Size", widen=False)
def size(data: Array) -> Array:
    """The number of elements. Source: ONNX operators, Size-13."""
    return np.array(data.size, np.int64)


@kernel("Expand", since=8, widen=False)
def expand(input: Array, shape: Array) -> Array:
    """Broadcast `input` and `shape` together, as a read-only view. Source: ONNX operators, Expand-13."""
    return np.broadcast_to(input, broadcast_shape(input.shape, tuple(shape.tolist())))


def _blocks_to_space(input: Array, sizes: Iterable[int], order: tuple[int, ...], result: tuple[int, ...]) -> Array:
    return input.reshape(tuple(sizes)).transpose(order).reshape(result)


def _check_mode(mode: str) -> None:
    if mode not in ("DCR", "CRD"):
        raise KernelError(f"mode must be DCR or CRD, is {mode!r}")


@kernel("DepthToSpace", widen=False)
def depth_to_space(input: Array, *, blocksize: int, mode: str = "DCR") -> Array:
    """(N, C, H, W) to (N, C / b^2, H b, W b) with b = `blocksize`. Source: ONNX operators, DepthToSpace-13."""
    _check_mode(mode)
    n, c, h, w = input.shape
    if c % blocksize**2:
        raise KernelError(f"{c} channels do not divide by blocksize squared, {blocksize**2}")
    depth = c // blocksize**2
    if mode == "DCR":
        sizes, order = (n, blocksize, blocksize, depth, h, w), (0, 3, 4, 1, 5, 2)
    else:
        sizes, order = (n, depth, blocksize, blocksize, h, w), (0, 1, 4, 2, 5, 3)
    return _blocks_to_space(input, sizes, order, (n, depth, h * blocksize, w * blocksize))


@kernel("SpaceToDepth", widen=False)
def space_to_depth(input: Array, *, blocksize: int, mode: str = "DCR") -> Array:
    """(N, C, H, W) to (N, C b^2, H / b, W / b) with b = `blocksize`. Source: ONNX operators, SpaceToDepth-28."""
    _check_mode(mode)
    n, c, h, w = input.shape
    if h % blocksize or w % blocksize:
        raise KernelError(f"height {h} and width {w} do not divide by blocksize {blocksize}")
    sizes = (n, c, h // blocksize, blocksize, w // blocksize, blocksize)
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return _blocks_to_space(input, sizes, order, (n, c * blocksize**2, h // blocksize, w // blocksize))
