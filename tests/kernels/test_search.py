"""ArgMax, TopK, Unique, NonZero and running sums against onnxruntime."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from partita.errors import KernelError
from tests.kernels.oracle import check, examples, full_shapes, ours, seeds, tensor

flags = st.integers(0, 1)


@examples
@given(
    op=st.sampled_from(["ArgMax", "ArgMin"]), shape=full_shapes, keepdims=flags, last=flags, seed=seeds, data=st.data()
)
def test_of_equals_the_first_or_the_last_is_found(
    op: str, shape: tuple[int, ...], keepdims: int, last: int, seed: int, data: st.DataObject
) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    node = helper.make_node(op, ["x"], ["y"], axis=axis, keepdims=keepdims, select_last_index=last)
    check(node, np.round(tensor(seed, shape)), opset=13)


@examples
@given(
    shape=full_shapes,
    exclusive=flags,
    reverse=flags,
    dtype=st.sampled_from([np.float32, np.float64, np.int32, np.int64]),
    seed=seeds,
    data=st.data(),
)
def test_sums_run_in_both_directions(
    shape: tuple[int, ...], exclusive: int, reverse: int, dtype: Any, seed: int, data: st.DataObject
) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    node = helper.make_node("CumSum", ["x", "axis"], ["y"], exclusive=exclusive, reverse=reverse)
    check(node, tensor(seed, shape, dtype), np.array(axis, np.int64), opset=14, atol=1e-5)


@pytest.mark.parametrize(
    ("exclusive", "reverse", "expected"),
    [(0, 0, [1, 2, 6]), (1, 0, [1, 1, 2]), (0, 1, [6, 6, 3]), (1, 1, [6, 3, 1])],
)
def test_products_run_in_both_directions(exclusive: int, reverse: int, expected: list[int]) -> None:
    node = helper.make_node("CumProd", ["x", "axis"], ["y"], exclusive=exclusive, reverse=reverse)
    (y,) = ours(node, np.array([1, 2, 3], np.float32), np.array(0), opset=26)
    assert y.tolist() == expected


@examples
@given(
    shape=full_shapes,
    largest=flags,
    dtype=st.sampled_from([np.float32, np.int64, np.int32]),
    seed=seeds,
    data=st.data(),
)
def test_the_best_come_first_and_of_equals_the_lower_index(
    shape: tuple[int, ...], largest: int, dtype: Any, seed: int, data: st.DataObject
) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    k = data.draw(st.integers(0, shape[axis]))
    node = helper.make_node("TopK", ["x", "k"], ["v", "i"], axis=axis, largest=largest)
    check(node, np.round(tensor(seed, shape, dtype)), np.array([k], np.int64), opset=11)


@examples
@given(largest=flags, k=st.integers(1, 6), dtype=st.sampled_from([np.float32, np.int32]), seed=seeds)
def test_few_of_many_are_found_by_partition(largest: int, k: int, dtype: Any, seed: int) -> None:
    node = helper.make_node("TopK", ["x", "k"], ["v", "i"], largest=largest)
    check(node, np.round(tensor(seed, (3, 80), dtype)), np.array([k], np.int64), opset=11)


def test_top_k_takes_k_as_attribute_at_first_and_not_more_than_there_is() -> None:
    check(helper.make_node("TopK", ["x"], ["v", "i"], k=2, axis=0), tensor(1, (5, 3)), opset=9)
    with pytest.raises(KernelError, match="k must be between 0 and the size of axis 0, 5, is 6"):
        ours(helper.make_node("TopK", ["x"], ["v", "i"], k=6, axis=0), tensor(1, (5, 3)), opset=9)


def test_nothing_is_found_in_an_empty_tensor() -> None:
    node = helper.make_node("TopK", ["x", "k"], ["values", "indices"])
    check(node, np.zeros((0, 3, 0), np.float32), np.array([0]), opset=11)


@examples
@given(shape=full_shapes, is_sorted=flags, flat=st.booleans(), seed=seeds, data=st.data())
def test_unique_finds_values_positions_and_counts(
    shape: tuple[int, ...], is_sorted: int, flat: bool, seed: int, data: st.DataObject
) -> None:
    axis: dict[str, Any] = {} if flat else {"axis": data.draw(st.integers(-len(shape), len(shape) - 1))}
    node = helper.make_node("Unique", ["x"], ["y", "first", "inverse", "counts"], sorted=is_sorted, **axis)
    check(node, np.round(tensor(seed, shape) / 4) + 0.0, opset=11)


@examples
@given(shape=full_shapes, dtype=st.sampled_from([np.float32, np.bool_, np.int64]), seed=seeds)
def test_non_zero_lists_indices_in_row_major_order(shape: tuple[int, ...], dtype: Any, seed: int) -> None:
    check(helper.make_node("NonZero", ["x"], ["y"]), np.round(tensor(seed, shape, dtype)), opset=13)


def test_a_scalar_has_an_index_too() -> None:
    check(helper.make_node("NonZero", ["x"], ["y"]), np.array(3.0, np.float32), opset=13)
    check(helper.make_node("NonZero", ["x"], ["y"]), np.array(0.0, np.float32), opset=13)
