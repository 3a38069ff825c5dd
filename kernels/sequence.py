"""Sequences, which are Python lists, and optional values, which are the value itself or None."""

from typing import Any

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array
from partita.kernels.registry import kernel

Sequence = list[Array]


@kernel("SequenceConstruct", since=11, widen=False)
def sequence_construct(*inputs: Array) -> Sequence:
    """A sequence of the inputs."""
    return list(inputs)


@kernel("SequenceEmpty", since=11, widen=False)
def sequence_empty(*, dtype: int = 1) -> Sequence:
    """A sequence without elements; an empty list has no dtype."""
    return []


@kernel("SequenceLength", since=11, widen=False)
def sequence_length(input_sequence: Sequence) -> Array:
    """The number of elements, a scalar int64."""
    return np.array(len(input_sequence), np.int64)


@kernel("SequenceAt", since=11, widen=False)
def sequence_at(input_sequence: Sequence, position: Array) -> Array:
    """The element at `position`; negative counts from the back."""
    return input_sequence[_position(position, len(input_sequence), len(input_sequence) - 1)]


@kernel("SequenceInsert", since=11, widen=False)
def sequence_insert(input_sequence: Sequence, tensor: Array, position: Array | None = None) -> Sequence:
    """A sequence with `tensor` before `position`, or behind the last element."""
    count = len(input_sequence)
    at = count if position is None else _position(position, count, count)
    return [*input_sequence[:at], tensor, *input_sequence[at:]]


@kernel("SequenceErase", since=11, widen=False)
def sequence_erase(input_sequence: Sequence, position: Array | None = None) -> Sequence:
    """A sequence without the element at `position`, or without the last one."""
    count = len(input_sequence)
    at = _position(np.array(-1) if position is None else position, count, count - 1)
    return [*input_sequence[:at], *input_sequence[at + 1 :]]


def _position(position: Array, count: int, last: int) -> int:
    """A position in 0..last, counted from the front."""
    at = int(position.item())
    if not -count <= at <= last:
        raise KernelError(f"position {at} is not in a sequence of {count} elements")
    return at % count if at < 0 else at


@kernel("SplitToSequence", since=11, widen=False)
def split_to_sequence(input: Array, split: Array | None = None, *, axis: int = 0, keepdims: int = 1) -> Sequence:
    """Parts of `input` along `axis`: of the sizes `split`, of that size each but for the last one, or slices of size 1.

    Source: ONNX operators, SplitToSequence-24.
    """
    size = input.shape[axis]
    if split is None:
        parts = np.split(input, size, axis) if size else []
        return parts if keepdims else [part.squeeze(axis) for part in parts]
    if split.ndim == 0:
        step = int(split)
        if step < 1:
            raise KernelError(f"split must be at least 1, is {step}")
        return np.split(input, range(step, size, step), axis)
    if int(split.sum()) != size:
        raise KernelError(f"split {split.tolist()} does not add up to {size}, the size of axis {axis}")
    return np.split(input, np.cumsum(split)[:-1], axis)


@kernel("ConcatFromSequence", since=11, widen=False)
def concat_from_sequence(input_sequence: Sequence, *, axis: int, new_axis: int = 0) -> Array:
    """The elements joined along `axis`, or stacked along a new one."""
    if not input_sequence:
        raise KernelError("an empty sequence cannot be joined")
    return np.stack(input_sequence, axis) if new_axis else np.concatenate(input_sequence, axis)


@kernel("Optional", since=15, widen=False)
def optional(input: Array | Sequence | None = None, *, type: Any = None) -> Array | Sequence | None:
    """The input, or None for an optional of `type` without a value."""
    return input


@kernel("OptionalHasElement", since=15, widen=False)
def optional_has_element(input: Array | Sequence | None = None) -> Array:
    """Whether there is a value, a scalar bool."""
    return np.array(input is not None)


@kernel("OptionalGetElement", since=15, widen=False)
def optional_get_element(input: Array | Sequence | None) -> Array | Sequence:
    """The value; an error if there is none."""
    if input is None:
        raise KernelError("an empty optional has no element")
    return input
