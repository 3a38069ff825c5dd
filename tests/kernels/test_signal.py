"""Fourier transforms, windows and the mel matrix against onnxruntime."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from partita.errors import KernelError
from partita.kernels.signal import dft, stft
from tests.kernels.single_node import run_kernel, run_onnxruntime

Array = np.ndarray[Any, Any]


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def check(node: Any, inputs: list[Array | None], opset: int) -> None:
    (y,), (expected,) = run_kernel(node, inputs, opset), run_onnxruntime(node, inputs, opset)
    assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-3)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    st.tuples(st.integers(1, 3), st.integers(2, 9), st.integers(2, 6)),
    st.sampled_from([1, 2]),
    st.sampled_from([None, 4, 8]),
    st.sampled_from([0, 1, 2, -2, -3]),
    st.integers(0, 1),
    st.booleans(),
)
def test_dft_is_what_onnxruntime_computes(
    shape: tuple[int, int, int], parts: int, length: int | None, axis: int, inverse: int, onesided: bool
) -> None:
    is_onesided = int(onesided and parts == 1 and not inverse)
    inputs: list[Array | None] = [noise(*shape, parts), None if length is None else np.array(length), np.array(axis)]
    names = ["x", "" if length is None else "n", "a"]
    check(helper.make_node("DFT", names, ["y"], inverse=inverse, onesided=is_onesided), inputs, 20)
    node = helper.make_node("DFT", names[:2], ["y"], inverse=inverse, onesided=is_onesided, axis=axis)
    check(node, inputs[:2], 17)


def test_a_real_signal_comes_back_from_half_its_spectrum() -> None:
    x = noise(2, 9, 1)
    half = dft(x, None, np.array(1), onesided=1)
    assert half.shape == (2, 5, 2)
    back = dft(half, np.array(9), np.array(1), inverse=1, onesided=1)
    np.testing.assert_allclose(back, x, atol=1e-6)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(8, 30), st.integers(1, 5), st.sampled_from([4, 5, 8]), st.booleans(), st.integers(0, 1))
def test_stft_is_what_onnxruntime_computes(
    length: int, step: int, frame: int, with_window: bool, onesided: int
) -> None:
    window = np.abs(noise(frame, seed=1)) if with_window else None
    inputs = [noise(2, length, 1), np.array(step), window, np.array(frame)]
    node = helper.make_node("STFT", ["x", "s", "w" if with_window else "", "n"], ["y"], onesided=onesided)
    check(node, inputs, 17)


@pytest.mark.parametrize("op", ["HannWindow", "HammingWindow", "BlackmanWindow"])
@pytest.mark.parametrize("periodic", [0, 1])
@pytest.mark.parametrize("output_datatype", [1, 11])
def test_windows_are_what_onnxruntime_computes(op: str, periodic: int, output_datatype: int) -> None:
    node = helper.make_node(op, ["n"], ["y"], periodic=periodic, output_datatype=output_datatype)
    check(node, [np.array(10)], 17)


@pytest.mark.parametrize(
    ("bands", "length", "rate", "low", "high"), [(8, 16, 8192, 0.0, 4096.0), (40, 512, 16000, 20.0, 7600.0)]
)
def test_the_mel_matrix_is_what_onnxruntime_computes(
    bands: int, length: int, rate: int, low: float, high: float
) -> None:
    inputs: list[Array | None] = [
        np.array(bands),
        np.array(length),
        np.array(rate),
        np.array(low, np.float32),
        np.array(high, np.float32),
    ]
    check(helper.make_node("MelWeightMatrix", list("bnrlh"), ["y"]), inputs, 17)


def test_signals_say_what_does_not_fit() -> None:
    with pytest.raises(KernelError, match="another axis than the last"):
        dft(noise(1, 4, 2), None, np.array(2))
    with pytest.raises(KernelError, match="frames of 9 every 2 do not fit a signal of length 8"):
        stft(noise(1, 8, 1), np.array(2), None, np.array(9))
    with pytest.raises(KernelError, match="cannot be one-sided"):
        stft(noise(1, 8, 2), np.array(2), None, np.array(4))
