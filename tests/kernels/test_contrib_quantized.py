"""Quantised operators of the domain com.microsoft against onnxruntime's own kernels: within one code, mostly equal."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import NodeProto, helper

from partita.errors import KernelError
from partita.kernels import contrib_quantized  # noqa: F401  (registers its kernels)
from tests.kernels.oracle import Array, check, examples, ours, seeds, tensor
from tests.kernels.single_node import run_onnxruntime

dtypes = st.sampled_from([np.int8, np.uint8])


def fused(op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs, outputs, domain="com.microsoft", **attributes)


def codes(seed: int, shape: tuple[int, ...], dtype: Any) -> Array:
    limits = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(limits.min, limits.max + 1, shape).astype(dtype)


def scale(value: float) -> Array:
    return np.array(value, np.float32)


def check_codes(node: NodeProto, *inputs: Array | None, off_by_one: float = 0.0) -> None:
    """Codes may differ by one, from another order of float32 operations, in the share given."""
    (result,) = ours(node, *inputs, opset=1)
    (expected,) = run_onnxruntime(node, [None if x is None else np.asarray(x) for x in inputs], 1)
    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    difference = np.abs(result.astype(int) - expected.astype(int))
    assert difference.max(initial=0) <= (1 if off_by_one else 0)
    assert (difference > 0).mean() <= off_by_one


@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
@pytest.mark.parametrize("shape", [(6, 50), (1,), ()])
def test_halves_go_where_onnxruntime_takes_them(op: str, shape: tuple[int, ...]) -> None:
    a, b, half, one = codes(0, (6, 50), np.uint8), codes(1, shape, np.uint8), scale(0.5), scale(1)
    zeros = [np.array(zero, np.uint8) for zero in (100, 121, 33)]
    node = fused(op, ["a", "sa", "za", "b", "sb", "zb", "sc", "zc"], ["c"])
    check_codes(node, a, half, zeros[0], b, half, zeros[1], one, zeros[2])
    check_codes(node, b, half, zeros[1], a, half, zeros[0], one, zeros[2])


def test_sums_are_of_codes_of_8_bits() -> None:
    node = fused("QLinearAdd", ["a", "s", "z", "a", "s", "z", "s", "z"], ["c"])
    a, s, z = np.zeros(3, np.int16), scale(1), np.zeros((), np.int16)
    with pytest.raises(KernelError, match="must be uint8 or int8 both, are int16 and int16"):
        ours(node, a, s, z, a, s, z, s, z, opset=1)


@examples
@given(op=st.sampled_from(["QLinearAdd", "QLinearMul"]), dtype=dtypes, seed=seeds, narrow=st.booleans())
def test_sums_and_products_broadcast(op: str, dtype: Any, seed: int, narrow: bool) -> None:
    a, b = codes(seed, (3, 40), dtype), codes(seed + 1, (1, 40) if narrow else (3, 40), dtype)
    zeros = codes(seed, (3,), dtype) // 4
    names = ["a", "as", "az", "b", "bs", "bz", "cs", "cz"]
    inputs = (a, scale(0.0437), zeros[0].reshape(()), b, scale(0.0291), zeros[1].reshape(()))
    out = scale(0.0613 if op == "QLinearAdd" else 0.2117)
    check_codes(fused(op, names, ["c"]), *inputs, out, zeros[2].reshape(()), off_by_one=0.02)


@examples
@given(op=st.sampled_from(["QLinearSigmoid", "QLinearLeakyRelu"]), dtype=dtypes, seed=seeds)
def test_functions_go_through_a_table(op: str, dtype: Any, seed: int) -> None:
    inputs = (codes(seed, (2, 300), dtype), scale(0.03), np.array(4, dtype), scale(0.01), np.array(0, dtype))
    check_codes(fused(op, ["x", "xs", "xz", "ys", "yz"], ["y"]), *inputs, off_by_one=0.02)


@pytest.mark.parametrize("opset", [12, 13])
@pytest.mark.parametrize("axis", [1, 2])
def test_softmax_follows_the_opset_named(opset: int, axis: int) -> None:
    x = codes(3, (2, 3, 20), np.uint8)
    node = fused("QLinearSoftmax", ["x", "xs", "xz", "ys", "yz"], ["y"], axis=axis, opset=opset)
    inputs = (x, scale(0.02), np.array(9, np.uint8), scale(1 / 256), np.array(0, np.uint8))
    check_codes(node, *inputs, off_by_one=0.05)


@pytest.mark.parametrize("channels_last", [0, 1])
def test_averages_over_all_pixels(channels_last: int) -> None:
    x = codes(1, (2, 9, 9, 5) if channels_last else (2, 5, 9, 9), np.uint8)
    node = fused("QLinearGlobalAveragePool", ["x", "xs", "xz", "ys", "yz"], ["y"], channels_last=channels_last)
    check_codes(node, x, scale(0.02), np.array(9, np.uint8), scale(0.01), np.array(3, np.uint8), off_by_one=0.02)


def test_averages_over_windows_and_axes() -> None:
    x = codes(1, (1, 3, 9, 9), np.uint8)
    parameters = (scale(0.02), np.array(9, np.uint8), scale(0.021), np.array(3, np.uint8))
    names = ["x", "xs", "xz", "ys", "yz"]
    node = fused("QLinearAveragePool", names, ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    check_codes(node, x, *parameters, off_by_one=0.02)
    (y,) = ours(fused("QLinearReduceMean", names, ["y"], axes=[1, -1], keepdims=0), x, *parameters, opset=1)
    expected = np.rint((x.astype(float) - 9).mean(axis=(1, 3)) * 0.02 / 0.021) + 3
    assert np.abs(y - expected).max() <= 1


def test_joining_requantises_what_differs() -> None:
    names = ["ys", "yz", "a", "as", "az", "b", "bs", "bz"]
    a, b = codes(1, (2, 5), np.uint8), codes(2, (2, 3), np.uint8)
    inputs = (
        scale(0.1),
        np.array(7, np.uint8),
        a,
        scale(0.1),
        np.array(7, np.uint8),
        b,
        scale(0.13),
        np.array(1, np.uint8),
    )
    check_codes(fused("QLinearConcat", names, ["y"], axis=1), *inputs)


def test_the_condition_chooses_between_quantised_tensors() -> None:
    names = ["c", "x", "xs", "xz", "y", "ys", "yz", "zs", "zz"]
    condition = np.array([[True], [False]])
    x, y = codes(1, (2, 5), np.uint8), codes(2, (5,), np.uint8)
    zero = np.array(7, np.uint8)
    inputs = (condition, x, scale(0.1), zero, y, scale(0.13), zero, scale(0.12), zero)
    check_codes(fused("QLinearWhere", names, ["z"]), *inputs)


@examples
@given(per=st.booleans(), trans_b=st.integers(0, 1), bias=st.booleans(), real=st.booleans(), seed=seeds)
def test_gemm_requantises_or_stays_real(per: bool, trans_b: int, bias: bool, real: bool, seed: int) -> None:
    a, b = codes(seed, (3, 20), np.uint8), codes(seed + 1, (6, 20) if trans_b else (20, 6), np.int8)
    b_scale = np.linspace(0.01, 0.03, 6).astype(np.float32) if per else scale(0.02)
    b_zero = np.zeros(6, np.int8) if per else np.array(0, np.int8)
    c = np.random.default_rng(seed).integers(-999, 999, (6,)).astype(np.int32) if bias else None
    names = ["a", "as", "az", "b", "bs", "bz", "c" if bias else ""]
    inputs = [a, scale(0.05), np.array(100, np.uint8), b, b_scale, b_zero, c]
    node = fused("QGemm", names if real else [*names, "ys", "yz"], ["y"], transB=trans_b)
    if real:
        check(node, *inputs, opset=1)
    else:
        check_codes(node, *inputs, scale(0.2), np.array(120, np.uint8), off_by_one=0.02)


@examples
@given(per=st.booleans(), zero=st.booleans(), bias=st.booleans(), seed=seeds)
def test_products_with_dynamic_quantisation_agree(per: bool, zero: bool, bias: bool, seed: int) -> None:
    b = codes(seed, (20, 6), np.int8)
    b_scale = np.linspace(0.01, 0.03, 6).astype(np.float32) if per else scale(0.02)
    b_zero = (codes(seed, (6,), np.int8) if per else np.array(3, np.int8)) if zero else None
    extra = tensor(seed, (6,)) if bias else None
    names = ["a", "b", "bs", "bz" if zero else "", "bias" if bias else ""]
    node = fused("DynamicQuantizeMatMul", names, ["y"])
    check(node, tensor(seed, (2, 3, 20)), b, b_scale, b_zero, extra, opset=1, rtol=1e-4, atol=1e-4)
    names = ["a", "b", "as", "bs", "az", "bz" if zero else "", "bias" if bias else ""]
    inputs = (codes(seed, (3, 20), np.uint8), b, scale(0.04), b_scale, np.array(7, np.uint8), b_zero, extra)
    check(fused("MatMulIntegerToFloat", names, ["y"]), *inputs, opset=1, rtol=1e-4, atol=1e-4)


def test_integer_products_broadcast() -> None:
    node = fused("MulInteger", ["a", "az", "b", "bz"], ["y"])
    (y,) = ours(
        node, np.array([[1], [255]], np.uint8), np.array(1, np.uint8), np.array([3, 200], np.uint8), None, opset=1
    )
    assert y.tolist() == [[0, 0], [762, 50800]]
    assert y.dtype == np.int32
