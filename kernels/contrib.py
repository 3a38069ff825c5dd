"""Fused floating-point operators of onnxruntime's domain com.microsoft, built from the standard kernels.

Source of all: onnxruntime, docs/ContribOperators.md.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from partita.errors import KernelError
from partita.kernels.activation import gelu, hard_sigmoid, leaky_relu, relu, sigmoid, swish
from partita.kernels.arrays import Array, quiet
from partita.kernels.convolution import conv
from partita.kernels.elementwise import clip_attributes
from partita.kernels.matmul import gemm, matmul
from partita.kernels.normalization import layer_normalization, rms_normalization
from partita.kernels.registry import kernel

MICROSOFT = "com.microsoft"


@kernel("Gelu", domain=MICROSOFT)
def gelu_erf(X: Array) -> Array:
    """Gelu by erf."""
    return gelu(X)


@kernel("FastGelu", domain=MICROSOFT)
def fast_gelu(X: Array, bias: Array | None = None) -> Array:
    """Gelu of X + bias by its tanh approximation; `bias` has the size of the last axis."""
    return gelu(X if bias is None else X + bias, approximate="tanh")


@kernel("BiasGelu", domain=MICROSOFT)
def bias_gelu(A: Array, B: Array) -> Array:
    """Gelu of A + B by erf; `B` has the size of the last axis."""
    return gelu(A + B)


@kernel("QuickGelu", domain=MICROSOFT)
def quick_gelu(X: Array, *, alpha: float = 1.702) -> Array:
    """x sigmoid(alpha x)."""
    return swish(X, alpha=alpha)


@kernel("BiasSplitGelu", domain=MICROSOFT)
def bias_split_gelu(X: Array, bias: Array) -> Array:
    """The left half of X + bias (N, S, D) times the Gelu of the right half: (N, S, D / 2)."""
    left, right = np.split(X + bias, 2, axis=-1)
    return np.asarray(left * gelu(right))


@kernel("BiasAdd", domain=MICROSOFT)
def bias_add(X: Array, bias: Array, skip: Array) -> Array:
    """X + bias + skip."""
    return np.asarray(X + bias + skip)


@quiet
def _activated(y: Array, activation: str, parameters: Sequence[float]) -> Array:
    """The activation that a fused operator names, with its parameters in onnxruntime's order."""
    if not activation:
        return y
    functions: dict[str, Any] = {
        "Relu": relu,
        "Tanh": np.tanh,
        "Sigmoid": sigmoid,
        "LeakyRelu": lambda x, alpha=0.01: leaky_relu(x, alpha=alpha),
        "Clip": lambda x, low, high: clip_attributes(x, min=low, max=high),
        "HardSigmoid": lambda x, alpha=0.2, beta=0.5: hard_sigmoid(x, alpha=alpha, beta=beta),
    }
    if activation not in functions:
        raise KernelError(f"activation must be one of {', '.join(functions)}, is {activation!r}")
    return np.asarray(functions[activation](y, *parameters))


@kernel("FusedConv", domain=MICROSOFT)
def fused_conv(
    X: Array,
    W: Array,
    B: Array | None = None,
    Z: Array | None = None,
    *,
    activation: str = "",
    activation_params: Sequence[float] = (),
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] = (),
    group: int = 1,
    kernel_shape: Sequence[int] = (),
    pads: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Array:
    """Conv, plus the tensor `Z`, then an activation."""
    y = conv(
        X,
        W,
        B,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    return _activated(y if Z is None else y + Z, activation, activation_params)


@kernel("FusedGemm", domain=MICROSOFT)
def fused_gemm(
    A: Array,
    B: Array,
    C: Array | None = None,
    *,
    activation: str = "",
    activation_alpha: float | None = None,
    activation_beta: float | None = None,
    activation_gamma: float | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Array:
    """Gemm, then an activation."""
    y = gemm(A, B, C, alpha=alpha, beta=beta, transA=transA, transB=transB)
    given = [p for p in (activation_alpha, activation_beta, activation_gamma) if p is not None]
    return _activated(y, activation, given)


def _transposed(x: Array, batch: int, last: int) -> Array:
    """`x` with its first axis moved before the last one if `batch`, then the last two swapped if `last`."""
    if x.ndim < 2:
        return x
    if batch:
        x = np.moveaxis(x, 0, -2)
    return np.swapaxes(x, -1, -2) if last else x


@kernel("FusedMatMul", domain=MICROSOFT)
@kernel("TransposeMatMul", domain=MICROSOFT)
def fused_matmul(
    A: Array,
    B: Array,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    transBatchA: int = 0,
    transBatchB: int = 0,
) -> Array:
    """alpha times the matrix product of A and B, each transposed first as asked for."""
    y = matmul(_transposed(A, transBatchA, transA), _transposed(B, transBatchB, transB))
    return y if alpha == 1 else np.asarray(y * y.dtype.type(alpha))


@kernel("SkipLayerNormalization", domain=MICROSOFT)
def skip_layer_normalization(
    input: Array,
    skip: Array,
    gamma: Array,
    beta: Array | None = None,
    bias: Array | None = None,
    *,
    epsilon: float = 1e-12,
) -> tuple[Array, Array, Array, Array]:
    """LayerNormalization of input + skip + bias over the last axis; also mean, inverse deviation and that sum."""
    total = input + skip if bias is None else input + skip + bias
    y, mean, inverse = layer_normalization(total, gamma, beta, epsilon=epsilon)
    return y, mean, inverse, total


@kernel("SimplifiedLayerNormalization")
def simplified_layer_normalization(
    X: Array, scale: Array, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> tuple[Array, Array]:
    """RMSNormalization, which onnxruntime writes in the standard domain; also the inverse root of the mean square."""
    axes = tuple(range(axis % X.ndim, X.ndim))
    inverse = 1 / np.sqrt(np.square(X).mean(axis=axes, keepdims=True) + X.dtype.type(epsilon))
    return rms_normalization(X, scale, axis=axis, epsilon=epsilon), np.asarray(inverse)


@kernel("SkipSimplifiedLayerNormalization", domain=MICROSOFT)
def skip_simplified_layer_normalization(
    input: Array, skip: Array, gamma: Array, bias: Array | None = None, *, epsilon: float = 1e-12
) -> tuple[Array, None, Array, Array]:
    """RMSNormalization of input + skip + bias over the last axis; also the inverse deviation and that sum."""
    total = input + skip if bias is None else input + skip + bias
    y, inverse = simplified_layer_normalization(total, gamma, epsilon=epsilon)
    return y, None, inverse, total


@kernel("EmbedLayerNormalization", domain=MICROSOFT)
def embed_layer_normalization(
    input_ids: Array,
    segment_ids: Array | None,
    word_embedding: Array,
    position_embedding: Array,
    segment_embedding: Array | None,
    gamma: Array,
    beta: Array,
    mask: Array | None = None,
    position_ids: Array | None = None,
    *,
    epsilon: float = 1e-12,
    mask_index_type: int = 1,
) -> tuple[Array, Array, Array]:
    """BERT's embedding (batch, sequence) to (batch, sequence, hidden), the words per mask row, the embeddings' sum."""
    batch, length = input_ids.shape
    places = np.arange(length) if position_ids is None else position_ids
    total = word_embedding[input_ids] + position_embedding[places]
    if segment_embedding is not None and segment_ids is not None:
        total = total + segment_embedding[segment_ids]
    y, _, _ = layer_normalization(total, gamma, beta, epsilon=epsilon)
    words = np.zeros(batch, np.int32) if mask is None else (mask == 1).sum(axis=1).astype(np.int32)
    return y, np.asarray(words), total


def _unpacked(packed: Array, bits: int, count: int) -> Array:
    """`count` unsigned numbers of `bits` bits from each row of bytes, the low bits first."""
    if bits == 8:
        return packed[..., :count]
    single = np.unpackbits(packed, axis=-1, bitorder="little")
    fields = single[..., : single.shape[-1] // bits * bits].reshape(*packed.shape[:-1], -1, bits)[..., :count, :]
    return np.asarray((fields << np.arange(bits, dtype=np.uint8)).sum(axis=-1, dtype=np.uint8))


@kernel("MatMulNBits", domain=MICROSOFT)
def matmul_n_bits(
    A: Array,
    B: Array,
    scales: Array,
    zero_points: Array | None = None,
    g_idx: Array | None = None,
    bias: Array | None = None,
    *,
    K: int,
    N: int,
    accuracy_level: int = 0,
    bits: int = 4,
    block_size: int,
    weight_prepacked: int = 0,
) -> Array:
    """A (..., K) times weights (N, K) stored in `bits` bits per number, with one scale per block along K; plus bias."""
    if g_idx is not None or weight_prepacked:
        raise KernelError("g_idx and prepacked weights belong to one GPU's kernel and cannot be read here")
    blocks = -(-K // block_size)
    weights = _unpacked(B.reshape(N, blocks, -1), bits, block_size).astype(np.float32)
    if zero_points is None:
        weights -= 1 << (bits - 1)
    else:
        zeros = zero_points.reshape(N, -1)
        weights -= (_unpacked(zeros, bits, blocks) if zeros.dtype == np.uint8 else zeros)[..., None].astype(np.float32)
    weights *= scales.reshape(N, blocks, 1)
    y = np.matmul(A.reshape(-1, K), weights.reshape(N, -1)[:, :K].T).reshape(*A.shape[:-1], N)
    return np.asarray(y if bias is None else y + bias)
