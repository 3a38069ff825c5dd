"""The random kernels: the same numbers each time, in the range and with the moments asked for."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.kernels.oracle import Array, ours


def drawn(op: str, *inputs: Array, **attributes: Any) -> Array:
    names = [f"x{i}" for i in range(len(inputs))]
    return ours(helper.make_node(op, names, ["y"], **attributes), *inputs, opset=15)[0]


@pytest.mark.parametrize("op", ["RandomNormal", "RandomUniform"])
def test_a_seed_fixes_the_numbers(op: str) -> None:
    first, again, other = (drawn(op, shape=[40], seed=seed) for seed in (1.5, 1.5, 2.0))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_moments_are_as_asked() -> None:
    normal = drawn("RandomNormal", shape=[20000], mean=3.0, scale=0.5, dtype=TensorProto.DOUBLE)
    assert normal.dtype == np.float64
    assert abs(normal.mean() - 3) < 0.02
    assert abs(normal.std() - 0.5) < 0.02
    uniform = drawn("RandomUniform", shape=[20000], low=-1.0, high=2.0)
    assert uniform.dtype == np.float32
    assert -1 <= uniform.min() < -0.99 < 1.99 < uniform.max() <= 2


def test_like_takes_shape_and_dtype_of_its_input() -> None:
    x = np.zeros((3, 4), np.float16)
    for op in ("RandomNormalLike", "RandomUniformLike"):
        assert drawn(op, x).dtype == np.float16
        assert drawn(op, x, dtype=TensorProto.FLOAT).shape == (3, 4)


def test_bernoulli_follows_its_probabilities() -> None:
    y = drawn("Bernoulli", np.repeat(np.array([0.0, 0.3, 1.0], np.float32), 5000), dtype=TensorProto.INT32)
    assert y.dtype == np.int32
    assert y[:5000].max() == 0
    assert 0.27 < y[5000:10000].mean() < 0.33
    assert y[10000:].min() == 1


def test_multinomial_follows_its_log_probabilities() -> None:
    x = np.log(np.array([[0.2, 0.8, 1e-30], [0.5, 0.25, 0.25]], np.float32))
    y = drawn("Multinomial", x, sample_size=8000, dtype=TensorProto.INT64)
    assert y.shape == (2, 8000)
    assert y.dtype == np.int64
    shares = np.stack([np.bincount(row, minlength=3) / 8000 for row in y])
    np.testing.assert_allclose(shares, [[0.2, 0.8, 0], [0.5, 0.25, 0.25]], atol=0.02)
