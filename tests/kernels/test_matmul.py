"""MatMul, Gemm, Einsum and Det against onnxruntime and numpy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from partita.errors import KernelError
from partita.kernels.matmul import einsum, gemm, matmul
from tests.kernels.single_node import run_kernel, run_onnxruntime

Array = np.ndarray[Any, Any]


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    st.lists(st.integers(1, 3), max_size=2),
    st.lists(st.integers(1, 3), max_size=2),
    st.tuples(*[st.integers(1, 5)] * 3),
)
def test_matmul_is_what_onnxruntime_computes(left: list[int], right: list[int], sizes: tuple[int, int, int]) -> None:
    for i in range(1, min(len(left), len(right)) + 1):
        right[-i] = left[-i] if right[-i] > 1 and left[-i] > 1 else right[-i]
    m, k, n = sizes
    a, b = noise(*left, m, k), noise(*right, k, n, seed=1)
    node = helper.make_node("MatMul", ["a", "b"], ["y"])
    (y,), (expected,) = run_kernel(node, [a, b], 13), run_onnxruntime(node, [a, b], 13)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("a", "b"), [((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((4, 2, 3), (3,)), ((3,), (4, 3, 2))]
)
def test_matmul_of_vectors_drops_their_axis(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    np.testing.assert_allclose(matmul(noise(*a), noise(*b)), np.matmul(noise(*a), noise(*b)), rtol=1e-5)


def test_matmul_of_integers_stays_exact() -> None:
    a = np.array([[2**40, 1]], np.int64)
    assert matmul(a, a.T)[0, 0] == (2**80 + 1) % 2**64


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    st.tuples(*[st.integers(1, 5)] * 3),
    st.integers(0, 1),
    st.integers(0, 1),
    st.sampled_from([(1.0, 1.0), (0.5, 2.0), (1.0, 0.0)]),
    st.sampled_from(["none", "scalar", "row", "column", "full"]),
)
def test_gemm_is_what_onnxruntime_computes(
    sizes: tuple[int, int, int], trans_a: int, trans_b: int, factors: tuple[float, float], style: str
) -> None:
    m, k, n = sizes
    a, b = noise(*((k, m) if trans_a else (m, k))), noise(*((n, k) if trans_b else (k, n)), seed=1)
    shapes: dict[str, list[tuple[int, ...]]] = {
        "none": [],
        "scalar": [()],
        "row": [(n,)],
        "column": [(m, 1)],
        "full": [(m, n)],
    }
    inputs = [a, b, *(np.asarray(noise(*shape, seed=2), np.float32) for shape in shapes[style])]
    names = ["a", "b", "c"][: len(inputs)]
    node = helper.make_node("Gemm", names, ["y"], alpha=factors[0], beta=factors[1], transA=trans_a, transB=trans_b)
    kept = [x.copy() for x in inputs]
    (y,), (expected,) = run_kernel(node, inputs, 13), run_onnxruntime(node, inputs, 13)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    for x, before in zip(inputs, kept, strict=True):
        np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    "equation",
    [
        "bhqd,bhkd->bhqk",
        "bhqk,bhkd->bqhd",
        "ij,jk",
        "ij,kj->ki",
        "b i j , b j k -> b i k",
        "abc,cd->abd",
        "ij,kl->ijkl",
        "ijm,jkm->ik",
        "i,i->",
        "...ij,...jk->...ik",
        "...i,i...",
        "ij->ji",
        "ii->i",
        "ijk->k",
        "ii,i->i",
        "ab,bc,cd->ad",
        "abc,adc,de->be",
    ],
)
def test_einsum_is_what_onnxruntime_computes(equation: str) -> None:
    size_of = dict(zip("abcdehijklmq", [2, 3, 4, 5, 2, 3, 4, 4, 3, 2, 5, 6], strict=True))
    inputs = []
    for i, term in enumerate(equation.replace(" ", "").split("->")[0].split(",")):
        letters = term.replace("...", "ab" if "..." in term else "")
        inputs.append(noise(*(size_of[c] for c in letters), seed=i))
    node = helper.make_node("Einsum", [f"x{i}" for i in range(len(inputs))], ["y"], equation=equation)
    (y,), (expected,) = run_kernel(node, inputs, 12), run_onnxruntime(node, inputs, 12)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_einsum_lets_a_size_of_one_broadcast() -> None:
    a, b = noise(1, 3), noise(4, 3, seed=1)
    np.testing.assert_allclose(einsum(a, b, equation="ij,ij->ij"), a * b)


def test_a_product_of_empty_rows_is_zero() -> None:
    np.testing.assert_array_equal(matmul(noise(2, 3, 0), noise(0, 4)), np.zeros((2, 3, 4), np.float32))


def test_det_is_what_numpy_computes_for_each_matrix() -> None:
    x = noise(2, 3, 4, 4)
    (y,) = run_kernel(helper.make_node("Det", ["x"], ["y"]), [x], 22)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, np.linalg.det(x.astype(np.float64)), rtol=1e-3, atol=1e-5)


def test_products_say_which_shapes_do_not_fit() -> None:
    with pytest.raises(KernelError, match=r"\(2, 3\) and \(2, 3\) cannot be multiplied"):
        matmul(noise(2, 3), noise(2, 3))
    with pytest.raises(KernelError, match=r"after transA, transB"):
        gemm(noise(2, 3), noise(3, 2), transA=1)
    with pytest.raises(KernelError, match="names 2 operands, 1 are given"):
        einsum(noise(2), equation="i,i->")
    with pytest.raises(KernelError, match="do not have the ranks"):
        einsum(noise(2), equation="ij->i")
