"""If, Loop, Scan and SequenceMap with plain functions as their bodies."""

from typing import Any

import numpy as np
import pytest

from partita.errors import KernelError
from partita.kernels.control import if_, loop, scan, scan_8, sequence_map

Array = np.ndarray[Any, Any]


def add_up(total: Array, element: Array) -> tuple[Array, Array]:
    """The running sum, as the state and as an output."""
    return total + element, total + element


def test_if_runs_only_the_branch_that_is_taken() -> None:
    def forbidden() -> tuple[Array, ...]:
        raise AssertionError

    assert if_(np.array(True), then_branch=lambda: (np.array(1),), else_branch=forbidden) == (1,)
    assert if_(np.array([False]), then_branch=forbidden, else_branch=lambda: (np.array(2),)) == (2,)


def test_a_loop_stops_at_its_count_or_at_its_condition() -> None:
    def body(trip: Array, cond: Array, x: Array) -> tuple[Array, Array, Array]:
        return np.array(x.item() < 5), x + 1, x * 10 + trip

    final, collected = loop(np.array(3), np.array(True), np.array(0), body=body, n_outputs=2)
    assert final == 3
    np.testing.assert_array_equal(collected, [0, 11, 22])
    final, collected = loop(None, None, np.array(0), body=body, n_outputs=2)
    assert (final, len(collected)) == (7 - 1, 6)


def test_a_loop_that_never_runs_gives_its_start_and_empty_outputs() -> None:
    def body(*_: Array) -> tuple[Array, ...]:
        raise AssertionError

    final, collected = loop(np.array(0), None, np.array(4), body=body, n_outputs=2)
    assert (final, collected.shape) == (4, (0,))
    assert loop(np.array(9), np.array(False), np.array(4), body=body, n_outputs=1) == (4,)


def test_a_loop_carries_sequences() -> None:
    def body(trip: Array, cond: Array, seen: list[Array]) -> tuple[Array, list[Array]]:
        return cond, [*seen, trip]

    (seen,) = loop(np.array(3), None, [], body=body, n_outputs=1)
    assert [int(x) for x in seen] == [0, 1, 2]


def test_a_scan_reads_and_writes_in_both_directions() -> None:
    x = np.arange(1, 5)
    total, sums = scan(np.array(0), x, body=add_up, num_scan_inputs=1)
    assert total == 10
    np.testing.assert_array_equal(sums, [1, 3, 6, 10])
    _, sums = scan(np.array(0), x, body=add_up, num_scan_inputs=1, scan_input_directions=[1])
    np.testing.assert_array_equal(sums, [4, 7, 9, 10])
    _, sums = scan(np.array(0), x, body=add_up, num_scan_inputs=1, scan_output_directions=[1])
    np.testing.assert_array_equal(sums, [10, 6, 3, 1])


def test_a_scan_walks_along_any_axis() -> None:
    x = np.arange(6).reshape(2, 3)
    total, sums = scan(np.zeros(2), x, body=add_up, num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[-1])
    np.testing.assert_array_equal(total, [3, 12])
    np.testing.assert_array_equal(sums, np.cumsum(x, axis=1))


def test_a_scan_of_opset_8_has_a_batch_and_lengths() -> None:
    x = np.array([[1.0, 2, 3], [4, 5, 6]])
    total, sums = scan_8(np.array([3, 2]), np.zeros(2), x, body=add_up, num_scan_inputs=1)
    np.testing.assert_array_equal(total, [6, 9])
    np.testing.assert_array_equal(sums, [[1, 3, 6], [4, 9, 0]])


def test_a_scan_says_which_steps_differ() -> None:
    with pytest.raises(KernelError, match=r"scanned inputs have \[3, 2\] steps"):
        scan(np.zeros(3), np.zeros(2), body=add_up, num_scan_inputs=2)
    with pytest.raises(KernelError, match="num_scan_inputs is 3"):
        scan(np.zeros(3), body=add_up, num_scan_inputs=3)


def test_a_sequence_is_mapped_with_tensors_and_with_other_sequences() -> None:
    def body(x: Array, factor: Array, other: Array) -> tuple[Array, Array]:
        return x * factor, x + other

    xs, ys = [np.array(1), np.array(2)], [np.array(10), np.array(20)]
    products, sums = sequence_map(xs, np.array(3), ys, body=body, n_outputs=2)
    assert [int(x) for x in products] == [3, 6]
    assert [int(x) for x in sums] == [11, 22]
    assert sequence_map([], body=body, n_outputs=2) == ([], [])
