"""Fused operators of com.microsoft, and what ai.onnx has of odds and ends."""

from typing import Any

import numpy as np
from onnx import helper

from tests.kernels.fuzzing.draw import Case, Draw, draws, int64
from tests.kernels.fuzzing.quantized import MICROSOFT
from tests.kernels.fuzzing.windows import window


@draws("fused activations")
def activation(draw: Draw) -> Case:
    op = draw.pick("Gelu", "FastGelu", "BiasGelu", "QuickGelu")
    shape = draw.shape(1, 4, 9)
    attributes = {"alpha": draw.number(0.5, 2)} if op == "QuickGelu" else {}
    biased = op == "BiasGelu" or (op == "FastGelu" and draw.chance())
    bias = (draw.tensor(shape[-1:]),) if biased else ()
    return Case(op, (draw.tensor(shape), *bias), attributes, 1, domain=MICROSOFT)


@draws("fused normalisations")
def skip_normalization(draw: Draw) -> Case:
    op = draw.pick("SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
    shape = (*draw.integers(2, 1, 4), draw.integer(2, 9))
    extras = [draw.tensor(shape[-1:]) for _ in range(draw.integer(1, 3 if op == "SkipLayerNormalization" else 2))]
    inputs = (draw.tensor(shape), draw.tensor(shape), *extras)
    return Case(op, inputs, {"epsilon": draw.number(1e-5, 1e-2)}, 1, domain=MICROSOFT, tolerance=1e-4)


@draws("FusedMatMul")
def fused_mat_mul(draw: Draw) -> Case:
    m, k, n = draw.integers(3, 1, 9)
    batch = draw.integers(draw.integer(0, 2), 1, 3)
    trans_a, trans_b = draw.integer(0, 1), draw.integer(0, 1)
    a = (*batch, k, m) if trans_a else (*batch, m, k)
    b = (*batch, n, k) if trans_b else (*batch, k, n)
    attributes = {"transA": trans_a, "transB": trans_b, "alpha": draw.number(-2, 2)}
    return Case("FusedMatMul", (draw.tensor(a), draw.tensor(b)), attributes, 1, domain=MICROSOFT)


@draws("FusedConv")
def fused_conv(draw: Draw) -> Case:
    kernel, attributes = window(draw, 2)
    channels, filters = draw.integers(2, 1, 6)
    x, w = draw.tensor((1, channels, 12, 11)), draw.tensor((filters, channels, *kernel))
    attributes["activation"] = draw.pick("Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "Clip")
    parameters = {"LeakyRelu": [0.1], "HardSigmoid": [0.2, 0.5], "Clip": [-1.0, 2.0]}.get(attributes["activation"])
    if parameters:
        attributes["activation_params"] = parameters
    return Case("FusedConv", (x, w, draw.tensor((filters,))), attributes, 1, domain=MICROSOFT)


@draws("MultiHeadAttention")
def multi_head_attention(draw: Draw) -> Case:
    batch, heads, queries, keys, size = draw.integers(5, 1, 5)
    width = heads * size
    q, k, v = draw.tensor((batch, queries, width)), *(draw.tensor((batch, keys, width)) for _ in range(2))
    bias = draw.tensor((3 * width,)) if draw.chance() else None
    attributes: dict[str, Any] = {"num_heads": heads}
    if draw.chance(0.3):
        attributes["scale"] = draw.number(0.1, 1)
    return Case("MultiHeadAttention", (q, k, v, bias), attributes, 1, domain=MICROSOFT, tolerance=1e-4)


@draws("Attention of com.microsoft")
def packed_attention(draw: Draw) -> Case:
    batch, heads, length, size = draw.integers(4, 1, 4)
    features = draw.integer(1, 6)
    width = heads * size
    x = draw.tensor((batch, length, features))
    w, b = draw.tensor((features, 3 * width)), draw.tensor((3 * width,))
    mask = (draw.tensor((batch, length), np.int32, 0, 1),) if draw.chance() else ()
    if mask:
        mask[0][:, 0] = 1
    attributes = {"num_heads": heads, "unidirectional": draw.integer(0, 1)}
    return Case("Attention", (x, w, b, *mask), attributes, 1, domain=MICROSOFT, tolerance=1e-4)


@draws("Dropout, Identity, CastLike, ConstantOfShape")
def trivial(draw: Draw) -> Case:
    x = draw.tensor(draw.shape())
    op = draw.pick("Dropout", "Identity", "CastLike", "ConstantOfShape")
    if op == "CastLike":
        return Case(op, (x, draw.tensor((1,), draw.pick(np.float16, np.int32, np.float64))), {}, 15)
    if op == "ConstantOfShape":
        dtype = draw.pick(np.float32, np.int64, np.uint8, np.bool_)
        value = helper.make_tensor("value", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [1], [draw.integer(0, 1)])
        return Case(op, (int64(x.shape),), {"value": value}, 9)
    if op == "Dropout":
        opset = draw.pick(7, 10, 12, 13)  # before 12, the mask of inference is not defined
        return Case(op, (x,), {}, opset, 1 if opset < 12 else draw.integer(1, 2))
    return Case(op, (x,), {}, draw.pick(1, 13, 14))


@draws("half precision")
def half_precision(draw: Draw) -> Case:
    """Operators of which onnxruntime has float16 kernels on the CPU."""
    op = draw.pick("Conv", "MaxPool", "GlobalAveragePool", "Gemm", "MatMul", "Add", "Softmax", "LayerNormalization")
    if op in ("Conv", "MaxPool", "GlobalAveragePool"):
        x = draw.tensor((1, draw.integer(1, 4), *draw.integers(2, 5, 9)), np.float16)
        if op != "Conv":
            attributes = {"kernel_shape": draw.integers(2, 1, 3)} if op == "MaxPool" else {}
            return Case(op, (x,), attributes, 22, tolerance=3e-3)
        w = draw.tensor((draw.integer(1, 4), x.shape[1], *draw.integers(2, 1, 3)), np.float16)
        return Case(op, (x, w), {}, 11, tolerance=3e-3)
    m, k, n = draw.integers(3, 1, 9)
    a, b = draw.tensor((m, k), np.float16), draw.tensor((k, n), np.float16)
    if op == "LayerNormalization":
        return Case(op, (a, draw.tensor((k,), np.float16)), {"epsilon": 0.01}, 17, tolerance=1e-2)
    if op == "Softmax":
        return Case(op, (a,), {}, 13, tolerance=3e-3)
    return Case(op, (a, a) if op == "Add" else (a, b), {}, 14, tolerance=3e-3)
