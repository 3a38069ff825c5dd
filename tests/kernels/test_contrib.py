"""Fused operators of the domain com.microsoft against onnxruntime's own kernels."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import NodeProto, helper

from partita.errors import KernelError
from partita.kernels import contrib  # noqa: F401  (registers its kernels)
from tests.kernels.oracle import check, examples, full_shapes, ours, seeds, tensor

flags = st.integers(0, 1)


def fused(op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs, outputs, domain="com.microsoft", **attributes)


@examples
@given(shape=full_shapes, seed=seeds)
def test_the_gelu_family_agrees(shape: tuple[int, ...], seed: int) -> None:
    x, bias = tensor(seed, shape), tensor(seed + 1, shape[-1:])
    check(fused("Gelu", ["x"], ["y"]), x, opset=1)
    check(fused("BiasGelu", ["x", "b"], ["y"]), x, bias, opset=1)
    check(fused("FastGelu", ["x", "b"], ["y"]), x, bias, opset=1, rtol=1e-4, atol=1e-5)
    check(fused("FastGelu", ["x"], ["y"]), x, opset=1, rtol=1e-4, atol=1e-5)
    check(fused("QuickGelu", ["x"], ["y"], alpha=1.702), x, opset=1)


def test_operators_without_onnxruntime_kernel_follow_their_formulas() -> None:
    x, bias, skip = tensor(1, (2, 3, 8)), tensor(2, (8,)), tensor(3, (2, 3, 8))
    (y,) = ours(fused("BiasAdd", ["x", "b", "s"], ["y"]), x, bias, skip, opset=1)
    np.testing.assert_array_equal(y, x + bias + skip)
    (z,) = ours(fused("BiasSplitGelu", ["x", "b"], ["y"]), x, bias, opset=1)
    (right,) = ours(helper.make_node("Gelu", ["x"], ["y"]), (x + bias)[..., 4:], opset=20)
    np.testing.assert_allclose(z, (x + bias)[..., :4] * right)


@examples
@given(trans_a=flags, trans_b=flags, alpha=st.sampled_from([1.0, 0.5]), seed=seeds)
def test_matrix_products_transpose_as_told(trans_a: int, trans_b: int, alpha: float, seed: int) -> None:
    a = tensor(seed, (2, 5, 3) if trans_a else (2, 3, 5))
    b = tensor(seed + 1, (2, 4, 5) if trans_b else (2, 5, 4))
    node = fused("FusedMatMul", ["a", "b"], ["y"], transA=trans_a, transB=trans_b, alpha=alpha)
    check(node, a, b, opset=1, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("trans_a", [0, 1])
def test_matrix_products_may_have_their_batch_axes_last(trans_a: int) -> None:
    node = fused("FusedMatMul", ["a", "b"], ["y"], transBatchA=1, transA=trans_a)
    shape = (5, 2, 6, 3) if trans_a else (3, 2, 6, 5)
    check(node, tensor(1, shape), tensor(2, (2, 6, 5, 4)), opset=1, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("activation", "parameters"),
    [("", []), ("Relu", []), ("Tanh", []), ("Sigmoid", []), ("LeakyRelu", [0.2]), ("Clip", [0.0, 6.0])],
)
def test_convolutions_fuse_a_sum_and_an_activation(activation: str, parameters: list[float]) -> None:
    attributes: dict[str, Any] = {"pads": [1] * 4}
    if activation:
        attributes["activation"] = activation
    if parameters:
        attributes["activation_params"] = parameters
    x, w, b = tensor(1, (1, 4, 6, 6)), tensor(2, (8, 4, 3, 3)), tensor(3, (8,))
    check(fused("FusedConv", ["x", "w", "b"], ["y"], **attributes), x, w, b, opset=1, rtol=1e-4, atol=1e-4)
    z = tensor(4, (1, 8, 6, 6))
    check(fused("FusedConv", ["x", "w", "b", "z"], ["y"], **attributes), x, w, b, z, opset=1, rtol=1e-4, atol=1e-4)


def test_gemm_fuses_an_activation() -> None:
    a, b, c = tensor(1, (3, 5)), tensor(2, (4, 5)), tensor(3, (4,))
    for attributes in ({"activation": "Relu"}, {"activation": "LeakyRelu", "activation_alpha": 0.3}):
        node = fused("FusedGemm", ["a", "b", "c"], ["y"], transB=1, **attributes)
        check(node, a, b, c, opset=1, rtol=1e-4, atol=1e-5)
    with pytest.raises(KernelError, match="is 'Sine'"):
        ours(fused("FusedGemm", ["a", "b", "c"], ["y"], transB=1, activation="Sine"), a, b, c, opset=1)


@examples
@given(bias=st.booleans(), beta=st.booleans(), rank=st.sampled_from([2, 3]), seed=seeds)
def test_a_skip_is_added_before_normalising(bias: bool, beta: bool, rank: int, seed: int) -> None:
    shape = (2, 3, 8)[3 - rank :]
    x, skip, gamma = tensor(seed, shape), tensor(seed + 1, shape), tensor(seed + 2, (8,))
    names = ["x", "s", "g", "b" if beta else "", "c" if bias else ""]
    inputs = [x, skip, gamma, tensor(seed + 3, (8,)) if beta else None, tensor(seed + 4, (8,)) if bias else None]
    node = fused("SkipLayerNormalization", names, ["y", "", "", "sum"], epsilon=1e-5)
    check(node, *inputs, opset=1, rtol=1e-4, atol=1e-5)
    simplified = fused("SkipSimplifiedLayerNormalization", [*names[:3], names[4]], ["y", "", "", "sum"], epsilon=1e-5)
    check(simplified, *inputs[:3], inputs[4], opset=1, rtol=1e-4, atol=1e-5)


def test_the_simplified_norm_stands_in_the_standard_domain() -> None:
    node = helper.make_node("SimplifiedLayerNormalization", ["x", "s"], ["y", "inv"], epsilon=1e-5)
    check(node, tensor(1, (2, 3, 8)), tensor(2, (8,)), opset=17, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("segments", [True, False])
def test_embeddings_are_summed_and_normalised(segments: bool) -> None:
    generator = np.random.default_rng(1)
    ids, kinds = (generator.integers(0, n, (2, 5)).astype(np.int32) for n in (20, 2))
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
    names = ["i", "k" if segments else "", "w", "p", "s" if segments else "", "g", "b", "m"]
    inputs = [ids, kinds if segments else None, tensor(1, (20, 8)), tensor(2, (9, 8))]
    inputs += [tensor(3, (2, 8)) if segments else None, tensor(4, (8,)), tensor(5, (8,)), mask]
    node = fused("EmbedLayerNormalization", names, ["y", "n"], epsilon=1e-5)
    check(node, *inputs, opset=1, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zero_points", [None, "packed"])
@pytest.mark.parametrize("depth", [32, 40])
def test_weights_of_few_bits_are_unpacked(bits: int, zero_points: str | None, depth: int) -> None:
    columns, block = 6, 16
    blocks = -(-depth // block)
    generator = np.random.default_rng(2)
    packed = generator.integers(0, 256, (columns, blocks, block * bits // 8)).astype(np.uint8)
    scales = np.abs(tensor(3, (columns, blocks))) / 10
    inputs = [tensor(1, (2, 3, depth)), packed, scales]
    if zero_points:
        inputs.append(generator.integers(0, 256, (columns, -(-blocks * bits // 8))).astype(np.uint8))
    node = fused(
        "MatMulNBits", ["a", "b", "s", "z"][: len(inputs)], ["y"], K=depth, N=columns, bits=bits, block_size=block
    )
    check(node, *inputs, opset=1, rtol=1e-3, atol=1e-2)
