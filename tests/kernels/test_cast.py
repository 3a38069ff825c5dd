"""Casts between numbers, small floats and text."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from partita.errors import KernelError
from tests.kernels.oracle import Array, check, examples, ours, seeds, shapes, tensor

NUMBERS = [np.float32, np.float64, np.int8, np.int32, np.int64, np.uint8, np.uint16, np.bool_]


def cast(x: Array, to: int, **attributes: Any) -> Array:
    return ours(helper.make_node("Cast", ["x"], ["y"], to=to, **attributes), x, opset=25)[0]


@examples
@given(source=st.sampled_from(NUMBERS), target=st.sampled_from(NUMBERS), shape=shapes, seed=seeds)
def test_numbers_convert_as_in_onnxruntime(source: Any, target: Any, shape: tuple[int, ...], seed: int) -> None:
    x = tensor(seed, shape, source)
    if np.dtype(target).kind == "u" and np.dtype(source).kind == "f":
        x = np.abs(x)  # elsewhere the standard leaves the result open
    check(helper.make_node("Cast", ["x"], ["y"], to=helper.np_dtype_to_tensor_dtype(np.dtype(target))), x, opset=13)


def test_numbers_become_the_text_that_onnxruntime_writes() -> None:
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)
    check(node, np.array([1.5, -0.25, 3, np.inf, -np.inf, np.nan], np.float32), opset=13)
    check(node, np.array([[-3], [12]], np.int64), opset=13)
    check(node, np.array([True, False]), opset=13)


def test_text_becomes_numbers() -> None:
    text = np.array(["3.14", "1e-5", "1E8", "-7", "NaN", "-INF", "+INF"], object)
    check(helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT), text, opset=13)
    check(helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT64), text[3:4], opset=13)
    with pytest.raises(KernelError, match="Hello"):
        cast(np.array(["Hello"], object), TensorProto.FLOAT)


LARGE = np.array([0.1, 448, 460, 470, 1e6, -1e6, np.inf, -np.inf, np.nan, -0.0], np.float32)


@pytest.mark.parametrize("to", [TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E5M2])
@pytest.mark.parametrize("saturate", [0, 1])
def test_float8_saturates_unless_told_not_to(to: int, saturate: int) -> None:
    back = helper.make_node("Cast", ["y"], ["z"], to=TensorProto.FLOAT)
    y = cast(LARGE, to, saturate=saturate)
    z = ours(back, y, opset=19)[0]
    largest = 448.0 if to == TensorProto.FLOAT8E4M3FN else 57344.0
    if saturate:
        assert z[4:8].tolist() == [largest, -largest, largest, -largest]
    else:
        assert not np.isfinite(z[4:8]).any()
    assert np.isnan(z[8])
    assert np.signbit(z[9])


def test_integers_of_four_bits_truncate_and_wrap() -> None:
    assert cast(np.array([-1.9, 6.9, 3.5], np.float32), TensorProto.INT4).astype(int).tolist() == [-1, 6, 3]
    assert cast(np.array([-9, 17], np.int32), TensorProto.UINT4).astype(int).tolist() == [7, 1]


@pytest.mark.parametrize(("mode", "expected"), [("up", [4, 4, 8]), ("down", [4, 2, 4]), ("nearest", [4, 4, 4])])
def test_powers_of_two_round_as_told(mode: str, expected: list[float]) -> None:
    y = cast(np.array([4, 3, 5], np.float32), TensorProto.FLOAT8E8M0, round_mode=mode)
    assert y.astype(np.float32).tolist() == expected


def test_cast_like_takes_the_dtype_of_the_other_tensor() -> None:
    node = helper.make_node("CastLike", ["x", "t"], ["y"])
    (y,) = ours(node, np.array([1.5], np.float32), np.zeros(3, ml_dtypes.bfloat16), opset=19)
    assert y.dtype == ml_dtypes.bfloat16


def test_bit_cast_keeps_the_bits_and_refuses_another_width() -> None:
    node = helper.make_node("BitCast", ["x"], ["y"], to=TensorProto.INT32)
    (y,) = ours(node, np.array([[1.0]], np.float32), opset=26)
    assert y.tolist() == [[0x3F800000]]
    with pytest.raises(KernelError, match="widths differ"):
        ours(node, np.array([1.0]), opset=26)
