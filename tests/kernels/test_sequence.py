"""Sequences and optional values."""

from typing import Any

import numpy as np
import pytest

from partita.errors import KernelError
from partita.kernels.registry import kernel_for
from partita.kernels.sequence import sequence_at, sequence_erase, sequence_insert, split_to_sequence

Array = np.ndarray[Any, Any]
A, B, C = np.array(1.0), np.array(2.0), np.array(3.0)


def run(op: str, *inputs: Any, **attributes: Any) -> Any:
    return kernel_for(op).function(*inputs, **attributes)


def test_a_sequence_is_built_read_and_measured() -> None:
    sequence = run("SequenceConstruct", A, B)
    assert sequence == [A, B]
    assert run("SequenceEmpty", dtype=7) == []
    assert run("SequenceLength", sequence) == 2
    assert run("SequenceLength", sequence).dtype == np.int64
    assert sequence_at(sequence, np.array(-2)) is A


def test_inserting_and_erasing_leave_the_given_sequence_alone() -> None:
    sequence = [A, B]
    assert sequence_insert(sequence, C) == [A, B, C]
    assert sequence_insert(sequence, C, np.array(0)) == [C, A, B]
    assert sequence_insert(sequence, C, np.array(-1)) == [A, C, B]
    assert sequence_erase(sequence) == [A]
    assert sequence_erase(sequence, np.array(0)) == [B]
    assert sequence == [A, B]


@pytest.mark.parametrize("position", [-3, 2])
def test_a_position_outside_is_refused(position: int) -> None:
    with pytest.raises(KernelError, match=f"position {position} is not in a sequence of 2 elements"):
        sequence_at([A, B], np.array(position))
    with pytest.raises(KernelError, match="is not in a sequence"):
        sequence_erase([A, B], np.array(position))


def test_splitting_takes_one_size_many_sizes_or_single_slices() -> None:
    x = np.arange(10).reshape(5, 2)
    assert [part.shape for part in split_to_sequence(x, np.array(2))] == [(2, 2), (2, 2), (1, 2)]
    assert [part.shape for part in split_to_sequence(x, np.array([1, 4]))] == [(1, 2), (4, 2)]
    assert [part.shape for part in split_to_sequence(x, axis=1)] == [(5, 1), (5, 1)]
    assert [part.shape for part in split_to_sequence(x, axis=1, keepdims=0)] == [(5,), (5,)]
    with pytest.raises(KernelError, match="does not add up to 5"):
        split_to_sequence(x, np.array([1, 2]))


def test_joining_undoes_splitting() -> None:
    x = np.arange(12).reshape(4, 3)
    for axis in (0, 1, -1):
        np.testing.assert_array_equal(run("ConcatFromSequence", split_to_sequence(x, axis=axis), axis=axis), x)
    parts = split_to_sequence(x, axis=1, keepdims=0)
    np.testing.assert_array_equal(run("ConcatFromSequence", parts, axis=1, new_axis=1), x)
    with pytest.raises(KernelError, match="empty sequence"):
        run("ConcatFromSequence", [], axis=0)


def test_an_optional_is_its_value_or_none() -> None:
    assert run("Optional", A) is A
    assert run("Optional", type=None) is None
    assert run("OptionalHasElement", [A]).item() is True
    assert run("OptionalHasElement", None).item() is False
    assert run("OptionalHasElement").item() is False
    assert run("OptionalGetElement", A) is A
    with pytest.raises(KernelError, match="has no element"):
        run("OptionalGetElement", None)
