"""Arithmetic, comparison, logic and bits against onnxruntime."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from partita.errors import KernelError
from tests.kernels.oracle import Array, check, examples, ours, seeds, shapes, tensor


def broadcast_pair(seed: int, shape: tuple[int, ...], dtype: Any) -> tuple[Array, Array]:
    """Two tensors that broadcast to `shape`: some axes of each have size 1 or are missing."""
    generator = np.random.default_rng(seed)
    partial = [tuple(size if generator.random() < 0.6 else 1 for size in shape) for _ in range(2)]
    return tensor(seed, partial[0], dtype), tensor(seed + 1, partial[1][int(generator.integers(0, 2)) :], dtype)


@examples
@given(
    op=st.sampled_from(["Add", "Sub", "Mul", "Max", "Min", "Sum", "Mean"]),
    shape=shapes,
    seed=seeds,
)
def test_float_arithmetic_broadcasts_as_in_onnxruntime(op: str, shape: tuple[int, ...], seed: int) -> None:
    check(helper.make_node(op, ["a", "b"], ["y"]), *broadcast_pair(seed, shape, np.float32), opset=13)


@examples
@given(
    op=st.sampled_from(
        ["Add", "Sub", "Mul", "Max", "Min", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"]
    ),
    dtype=st.sampled_from([np.int32, np.int64, np.float64]),
    shape=shapes,
    seed=seeds,
)
def test_other_dtypes_are_kept(op: str, dtype: Any, shape: tuple[int, ...], seed: int) -> None:
    check(helper.make_node(op, ["a", "b"], ["y"]), *broadcast_pair(seed, shape, dtype), opset=16)


@examples
@given(dtype=st.sampled_from([np.int32, np.int64, np.uint8, np.float32]), shape=shapes, seed=seeds)
def test_division_truncates_integers_toward_zero(dtype: Any, shape: tuple[int, ...], seed: int) -> None:
    a, b = broadcast_pair(seed, shape, dtype)
    b = np.where(b == 0, np.ones((), dtype), b)
    check(helper.make_node("Div", ["a", "b"], ["y"]), a, b, opset=14)


@examples
@given(
    dtypes=st.sampled_from(
        [
            (np.float32, np.float32),
            (np.float32, np.int64),
            (np.float32, np.float64),
            (np.int64, np.int64),
            (np.int32, np.float32),
            (np.float64, np.int32),
        ]
    ),
    shape=shapes,
    seed=seeds,
)
def test_a_power_has_the_dtype_of_its_base(dtypes: tuple[Any, Any], shape: tuple[int, ...], seed: int) -> None:
    base, _ = broadcast_pair(seed, shape, dtypes[0])
    _, exponent = broadcast_pair(seed, shape, dtypes[1])
    exponent = np.abs(exponent) % 4
    check(helper.make_node("Pow", ["x", "y"], ["z"]), np.abs(base), exponent.astype(dtypes[1]), opset=15, rtol=1e-4)


@pytest.mark.parametrize("exponent", [2.0, 0.5, 3.0, -1.0])
def test_a_power_with_one_exponent_takes_its_shape_along(exponent: float) -> None:
    node = helper.make_node("Pow", ["x", "y"], ["z"])
    check(node, np.array([0.0, 2, 9], np.float32), np.full((1, 1), exponent, np.float32), opset=15)


@examples
@given(
    fmod=st.booleans(),
    dtype=st.sampled_from([np.int8, np.int64, np.uint16, np.float32]),
    shape=shapes,
    seed=seeds,
)
def test_mod_takes_the_sign_that_fmod_says(fmod: bool, dtype: Any, shape: tuple[int, ...], seed: int) -> None:
    a, b = broadcast_pair(seed, shape, dtype)
    fmod = fmod or dtype == np.float32  # before opset 28, floats need it
    check(helper.make_node("Mod", ["a", "b"], ["y"], fmod=int(fmod)), a, np.where(b == 0, b + 1, b), opset=13)


def test_mod_of_floats_follows_the_divisor_from_opset_28_on() -> None:
    a = np.array([5.5, -5.5, -0.0, 3, -3, np.inf, 1], np.float32)
    b = np.array([3, 3, 2, np.inf, np.inf, 2, 0], np.float32)
    (y,) = ours(helper.make_node("Mod", ["a", "b"], ["y"]), a, b, opset=28)
    np.testing.assert_array_equal(y, np.array([2.5, 0.5, 0, 3, np.inf, np.nan, np.nan], np.float32))


@examples
@given(op=st.sampled_from(["And", "Or", "Xor"]), shape=shapes, seed=seeds)
def test_logic_broadcasts(op: str, shape: tuple[int, ...], seed: int) -> None:
    check(helper.make_node(op, ["a", "b"], ["y"]), *broadcast_pair(seed, shape, np.bool_), opset=13)


@examples
@given(
    op=st.sampled_from(["BitwiseAnd", "BitwiseOr", "BitwiseXor"]),
    dtype=st.sampled_from([np.int8, np.uint8, np.int32, np.int64]),
    shape=shapes,
    seed=seeds,
)
def test_bits_broadcast(op: str, dtype: Any, shape: tuple[int, ...], seed: int) -> None:
    check(helper.make_node(op, ["a", "b"], ["y"]), *broadcast_pair(seed, shape, dtype), opset=18)


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
def test_unsigned_bits_shift(direction: str) -> None:
    node = helper.make_node("BitShift", ["x", "y"], ["z"], direction=direction)
    check(node, np.arange(16, dtype=np.uint32).reshape(4, 4), np.array([0, 1, 5, 31], np.uint32), opset=11)


def test_shifts_beyond_the_width_leave_only_the_sign() -> None:
    node = helper.make_node("BitShift", ["x", "y"], ["z"], direction="RIGHT")
    (z,) = ours(node, np.array([-8, 8, -8, 8], np.int8), np.array([1, 1, 8, -1], np.int8), opset=28)
    assert z.tolist() == [-4, 4, -1, 0]


@examples
@given(
    shape=shapes, low=st.none() | st.floats(-3, 3, width=32), high=st.none() | st.floats(-3, 3, width=32), seed=seeds
)
def test_clip_limits_on_the_sides_given(
    shape: tuple[int, ...], low: float | None, high: float | None, seed: int
) -> None:
    limits = [None if limit is None else np.array(limit, np.float32) for limit in (low, high)]
    names = ["x", "" if low is None else "lo", "" if high is None else "hi"]
    check(helper.make_node("Clip", names, ["y"]), tensor(seed, shape), *limits, opset=13)


def test_clip_before_opset_11_takes_attributes() -> None:
    check(helper.make_node("Clip", ["x"], ["y"], min=0.0, max=6.0), tensor(1, (4, 5)), opset=10)
    check(helper.make_node("Clip", ["x"], ["y"], max=1.0), tensor(1, (4, 5)), opset=7)


@examples
@given(shape=shapes, seed=seeds, dtype=st.sampled_from([np.float32, np.int64, np.float16]))
def test_where_broadcasts_all_three(shape: tuple[int, ...], seed: int, dtype: Any) -> None:
    a, b = broadcast_pair(seed, shape, dtype)
    condition, _ = broadcast_pair(seed + 7, shape, np.bool_)
    if dtype == np.float16:
        (result,) = ours(helper.make_node("Where", ["c", "a", "b"], ["y"]), condition, a, b, opset=16)
        assert result.dtype == np.float16
    else:
        check(helper.make_node("Where", ["c", "a", "b"], ["y"]), condition, a, b, opset=16)


def test_extremes_pass_nan_on() -> None:
    x = np.array([1, np.nan, 3], np.float32)
    for op in ("Max", "Min"):
        (y,) = check(helper.make_node(op, ["a", "b"], ["y"]), x, np.full(3, 2, np.float32), opset=13)
        assert np.isnan(y[1])


def test_texts_compare() -> None:
    check(helper.make_node("Equal", ["a", "b"], ["y"]), np.array(["a", "b"], object), np.array(["a"], object), opset=19)


def test_shapes_that_do_not_broadcast_are_named() -> None:
    node = helper.make_node("Add", ["a", "b"], ["y"])
    with pytest.raises(KernelError, match=r"\(2,\), \(3,\) do not broadcast"):
        ours(node, np.zeros(2, np.float32), np.zeros(3, np.float32), opset=14)
