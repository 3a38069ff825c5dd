"""Quantising and dequantising per tensor, axis and block, and exact integer products, against onnxruntime."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from partita.errors import KernelError
from tests.kernels.oracle import Array, check, examples, full_shapes, ours, seeds, tensor

EIGHT_BITS = [np.int8, np.uint8]


def codes(seed: int, shape: tuple[int, ...], dtype: Any) -> Array:
    limits = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(limits.min, limits.max + 1, shape).astype(dtype)


def scale_of(value: float) -> Array:
    return np.array(value, np.float32)


@examples
@given(shape=full_shapes, dtype=st.sampled_from([*EIGHT_BITS, np.int16, np.uint16]), seed=seeds)
def test_tensors_quantise_with_one_scale(shape: tuple[int, ...], dtype: Any, seed: int) -> None:
    zero = np.array(codes(seed, (1,), dtype)[0] // 4, dtype)
    x = tensor(seed, shape) * np.float32(2)
    check(helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"]), x, scale_of(0.05), zero, opset=21)
    node = helper.make_node("DequantizeLinear", ["x", "s", "z"], ["y"])
    check(node, codes(seed, shape, dtype), scale_of(0.05), zero, opset=21)


@examples
@given(shape=full_shapes, dtype=st.sampled_from(EIGHT_BITS), seed=seeds, data=st.data())
def test_each_slice_of_an_axis_may_have_its_scale(
    shape: tuple[int, ...], dtype: Any, seed: int, data: st.DataObject
) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    scales = np.abs(tensor(seed, (shape[axis],))) / 50 + np.float32(0.01)
    zeros = codes(seed, (shape[axis],), dtype) // 4
    x = tensor(seed, shape)
    check(helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], axis=axis), x, scales, zeros, opset=13)
    node = helper.make_node("DequantizeLinear", ["x", "s", "z"], ["y"], axis=axis)
    check(node, codes(seed, shape, dtype), scales, zeros, opset=13)


@pytest.mark.parametrize("size", [4, 5])
def test_each_block_may_have_its_scale(size: int) -> None:
    x, scales = tensor(1, (3, size, 2)), np.abs(tensor(2, (3, -(-size // 2), 2))) / 20 + np.float32(0.1)
    zeros = codes(3, scales.shape, np.int8) // 8
    quantise = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], axis=1, block_size=2)
    check(quantise, x, scales, zeros, opset=21)
    back = helper.make_node("DequantizeLinear", ["x", "s", "z"], ["y"], axis=1, block_size=2)
    check(back, codes(4, x.shape, np.int8), scales, zeros, opset=21)
    bad = helper.make_node("DequantizeLinear", ["x", "s"], ["y"], axis=1, block_size=7)
    with pytest.raises(KernelError, match="fits no blocks of 7"):
        ours(bad, codes(4, x.shape, np.int8), scales, opset=21)


def test_halves_give_onnxruntimes_codes() -> None:
    x = (tensor(1, (8, 500)) * np.float32(20)).astype(np.float16)
    zero = np.array(128, np.uint8)
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])
    check(node, x, np.array(0.37, np.float16), zero, opset=21)
    back = helper.make_node("DequantizeLinear", ["x", "s", "z"], ["y"])
    check(back, codes(1, (40,), np.uint8), np.array(0.37, np.float16), zero, opset=21)


def test_int32_dequantises_exactly() -> None:
    x = np.array([2**24 + 1, -(2**31), 7], np.int32)
    check(helper.make_node("DequantizeLinear", ["x", "s"], ["y"]), x, scale_of(0.5), opset=13)


@pytest.mark.parametrize(
    ("code", "dtype", "expected"),
    [
        (TensorProto.INT4, ml_dtypes.int4, [-8, 0, 2, 7]),
        (TensorProto.UINT4, ml_dtypes.uint4, [0, 0, 2, 15]),
        (TensorProto.FLOAT8E4M3FN, ml_dtypes.float8_e4m3fn, [-448, 0.5, 2.5, 448]),
    ],
)
def test_small_types_saturate(code: int, dtype: Any, expected: list[float]) -> None:
    node = helper.make_node("QuantizeLinear", ["x", "s"], ["y"], output_dtype=code)
    (y,) = ours(node, np.array([-1000, 0.5, 2.5, 1000], np.float32), scale_of(1), opset=21)
    assert y.dtype == dtype
    assert y.astype(np.float32).tolist() == expected


@examples
@given(shape=full_shapes, seed=seeds, shift=st.sampled_from([-30.0, 0.0, 30.0]))
def test_dynamic_quantisation_finds_the_range(shape: tuple[int, ...], seed: int, shift: float) -> None:
    node = helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"])
    check(node, tensor(seed, shape) + np.float32(shift), opset=11)


def test_dynamic_quantisation_of_zeros_is_zero() -> None:
    check(helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"]), np.zeros((2, 3), np.float32), opset=11)


@pytest.mark.parametrize("depth", [3, 700, 5000])
@pytest.mark.parametrize("right", EIGHT_BITS)
def test_integer_products_are_exact_at_any_depth(depth: int, right: Any) -> None:
    node = helper.make_node("MatMulInteger", ["a", "b", "az", "bz"], ["y"])
    a, b = np.full((2, depth), 255, np.uint8), codes(1, (depth, 3), right)
    check(node, a, b, np.array(3, np.uint8), np.array(2, right), opset=10, rtol=0, atol=0)
    check(node, a[None], b, np.array(3, np.uint8), codes(2, (3,), right), opset=10, rtol=0, atol=0)


@examples
@given(rows=st.integers(1, 6), depth=st.integers(1, 40), columns=st.integers(1, 6), per=st.booleans(), seed=seeds)
def test_quantised_products_are_quantised_again(rows: int, depth: int, columns: int, per: bool, seed: int) -> None:
    a, b = codes(seed, (rows, depth), np.uint8), codes(seed + 1, (depth, columns), np.int8)
    b_scale = np.linspace(0.01, 0.03, columns).astype(np.float32) if per else scale_of(0.02)
    b_zero = codes(seed, (columns,), np.int8) if per else np.array(5, np.int8)
    names = ["a", "as", "az", "b", "bs", "bz", "ys", "yz"]
    inputs = (a, scale_of(0.05), np.array(100, np.uint8), b, b_scale, b_zero, scale_of(0.4), np.array(120, np.uint8))
    check(helper.make_node("QLinearMatMul", names, ["y"]), *inputs, opset=10, atol=0)


@examples
@given(group=st.sampled_from([1, 2]), padding=st.integers(0, 2), stride=st.integers(1, 2), seed=seeds)
def test_integer_convolutions_are_exact(group: int, padding: int, stride: int, seed: int) -> None:
    x, w = codes(seed, (2, 4, 7, 6), np.uint8), codes(seed + 1, (6, 4 // group, 3, 3), np.uint8)
    attributes: dict[str, Any] = {"group": group, "pads": [padding] * 4, "strides": [stride] * 2}
    zeros = (np.array(9, np.uint8), np.array(7, np.uint8))
    check(helper.make_node("ConvInteger", ["x", "w", "xz", "wz"], ["y"], **attributes), x, w, *zeros, opset=10, atol=0)


@examples
@given(per=st.booleans(), bias=st.booleans(), group=st.sampled_from([1, 4]), seed=seeds)
def test_quantised_convolutions_are_quantised_again(per: bool, bias: bool, group: int, seed: int) -> None:
    x, w = codes(seed, (1, 4, 8, 8), np.uint8), codes(seed + 1, (8, 4 // group, 3, 3), np.int8)
    w_scale = np.linspace(0.001, 0.004, 8).astype(np.float32) if per else scale_of(0.002)
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"] + (["b"] if bias else [])
    w_zero = np.zeros(8, np.int8) if per else np.array(0, np.int8)
    inputs = [x, scale_of(0.1), np.array(110, np.uint8), w, w_scale, w_zero, scale_of(0.3), np.array(128, np.uint8)]
    if bias:
        inputs.append(np.random.default_rng(seed).integers(-9999, 9999, 8).astype(np.int32))
    node = helper.make_node("QLinearConv", names, ["y"], group=group, pads=[1, 1, 1, 1])
    check(node, *inputs, opset=10, atol=0)


def test_constant_weights_are_never_transformed_to_where_they_round() -> None:
    x, w = codes(1, (1, 64, 14, 14), np.uint8), codes(2, (64, 64, 3, 3), np.int8)
    w.flags.writeable = False
    node = helper.make_node("ConvInteger", ["x", "w", "xz"], ["y"], pads=[1, 1, 1, 1])
    for _ in range(2):
        check(node, x, w, np.array(128, np.uint8), opset=10, atol=0, rtol=0)


def test_sums_beyond_float32_stay_exact_in_a_convolution() -> None:
    x, w = np.full((1, 600, 3, 3), 255, np.uint8), np.full((1, 600, 3, 3), 255, np.uint8)
    w[0, 0, 0, 0] = 254
    (y,) = ours(helper.make_node("ConvInteger", ["x", "w"], ["y"]), x, w, opset=10)
    assert y.tolist() == [[[[255 * 255 * 5400 - 255]]]]
