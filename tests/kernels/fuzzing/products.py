"""Matrix products, normalisations, recurrent layers, attention and signals."""

from typing import Any

import numpy as np

from tests.kernels.fuzzing.draw import Case, Draw, draws, float32, int64


@draws("MatMul")
@draws("MatMul again")
def mat_mul(draw: Draw) -> Case:
    m, k, n = draw.integers(3, 1, draw.pick(4, 40))
    batch = draw.shape(0, 2, 3)
    a, b = (*batch, m, k), (*draw.broadcastable(batch), k, n)
    if draw.chance(0.15):
        a = (k,)
    elif draw.chance(0.15):
        b = (k,)
    dtype = draw.pick(np.float32, np.float32, np.float64, np.int32, np.int64)
    return Case("MatMul", (draw.tensor(a, dtype), draw.tensor(b, dtype)), {}, draw.pick(9, 13))


@draws("Gemm")
def gemm(draw: Draw) -> Case:
    m, k, n = draw.integers(3, 1, draw.pick(4, 40))
    trans_a, trans_b = draw.integer(0, 1), draw.integer(0, 1)
    a, b = (k, m) if trans_a else (m, k), (n, k) if trans_b else (k, n)
    attributes: dict[str, Any] = {"transA": trans_a, "transB": trans_b}
    attributes |= {name: draw.number(-2, 2) for name in ("alpha", "beta") if draw.chance()}
    opset = draw.pick(7, 9, 11, 13)
    c = (draw.tensor(draw.pick((m, n), (n,), (1, n), (m, 1), (), (1,))),) if opset < 11 or draw.chance(0.7) else ()
    return Case("Gemm", (draw.tensor(a), draw.tensor(b), *c), attributes, opset)


@draws("Einsum")
def einsum(draw: Draw) -> Case:
    letters = "abcde"
    size = {letter: draw.integer(1, 4) for letter in letters}
    terms = [
        "".join(draw.generator.permutation(list(letters))[: draw.integer(1, 3)]) for _ in range(draw.integer(1, 3))
    ]
    present = sorted(set("".join(terms)))
    equation = ",".join(terms)
    if draw.chance(0.8):
        kept = draw.generator.permutation(present)[: draw.integer(0, len(present))]
        equation += "->" + "".join(kept)
    if draw.chance(0.2):
        equation = equation.replace(",", " , ")
    tensors = tuple(draw.tensor([size[letter] for letter in term]) for term in terms)
    if draw.chance(0.2):
        equation, tensors = "...ij,...jk->...ik", (draw.tensor((2, 1, 3, 4)), draw.tensor((5, 4, 2)))
    return Case("Einsum", tensors, {"equation": equation}, 12)


@draws("BatchNormalization")
def batch_normalization(draw: Draw) -> Case:
    shape = list(draw.shape(2, 5, 5))
    per_channel = [draw.tensor((shape[1],)) for _ in range(3)]
    attributes = {"epsilon": draw.number(1e-5, 1e-1)} if draw.chance() else {}
    inputs = (draw.tensor(shape), *per_channel, draw.tensor((shape[1],), low=0.1, high=3))
    return Case("BatchNormalization", inputs, attributes, draw.pick(7, 9, 14, 15))


@draws("other normalisations")
@draws("other normalisations again")
def normalization(draw: Draw) -> Case:
    op = draw.pick(
        "InstanceNormalization", "LayerNormalization", "GroupNormalization", "LpNormalization",
        "MeanVarianceNormalization",
    )  # fmt: skip
    if op == "MeanVarianceNormalization":
        return Case(op, (draw.tensor(draw.integers(4, 2, 6)),), {}, 13, tolerance=1e-4)
    if op == "LpNormalization":
        shape = draw.shape(1, 4)
        return Case(op, (draw.tensor(shape),), {"axis": draw.axis(len(shape)), "p": draw.integer(1, 2)}, 7)
    attributes: dict[str, Any] = {"epsilon": draw.number(1e-5, 1e-1)} if draw.chance() else {}
    if op == "LayerNormalization":
        shape = draw.shape(1, 4)
        axis = draw.axis(len(shape))
        inner = shape[axis % len(shape) :]
        bias = (draw.tensor(inner),) if draw.chance(0.7) else ()
        inputs = (draw.tensor(shape), draw.tensor(inner), *bias)
        return Case(op, inputs, {**attributes, "axis": axis}, 17, draw.pick(1, 1, 3), tolerance=1e-4)
    shape = (draw.integer(1, 3), draw.integer(1, 6), *draw.integers(draw.integer(1, 3), 2, 6))
    if op == "InstanceNormalization":
        scales = [draw.tensor((shape[1],)) for _ in range(2)]
        return Case(op, (draw.tensor(shape), *scales), attributes, 7, tolerance=1e-4)
    opset, groups = draw.pick(18, 21), draw.integer(1, 3)
    shape = (shape[0], shape[1] * groups, *shape[2:])
    scales = [draw.tensor((groups if opset == 18 else shape[1],)) for _ in range(2)]
    attributes["num_groups"] = groups
    # Where a group hardly varies, onnxruntime loses digits: it takes the mean of squares less the square of the mean.
    return Case(op, (draw.tensor(shape), *scales), attributes, opset, tolerance=1e-3)


_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_ACTIVATIONS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}


@draws("recurrent")
@draws("recurrent again")
@draws("recurrent once more")
def recurrent(draw: Draw) -> Case:
    op = draw.pick(*_GATES)
    steps, batch, features, hidden = draw.integer(1, 6), draw.integer(1, 4), draw.integer(1, 5), draw.integer(1, 5)
    direction = draw.pick("forward", "reverse", "bidirectional")
    ways, gates = (2 if direction == "bidirectional" else 1), _GATES[op]
    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
    if draw.chance(0.3):
        chosen = [draw.pick("Sigmoid", "Tanh", "Relu", "HardSigmoid") for _ in _ACTIVATIONS[op] * ways]
        attributes["activations"] = chosen
    if draw.chance(0.2):
        attributes["clip"] = draw.number(0.3, 2)
    if op == "GRU":
        attributes["linear_before_reset"] = draw.integer(0, 1)
    if op == "LSTM" and draw.chance(0.2):
        attributes["input_forget"] = 1
    x = draw.tensor((steps, batch, features), low=-1, high=1)
    w = draw.tensor((ways, gates * hidden, features), low=-1, high=1)
    r = draw.tensor((ways, gates * hidden, hidden), low=-1, high=1)
    bias = draw.tensor((ways, 2 * gates * hidden), low=-1, high=1) if draw.chance(0.7) else None
    lengths = np.array(draw.integers(batch, 1, steps), np.int32) if draw.chance(0.4) else None
    state = draw.tensor((ways, batch, hidden), low=-1, high=1) if draw.chance() else None
    inputs: list[Any] = [x, w, r, bias, lengths, state]
    if op == "LSTM":
        inputs.append(draw.tensor((ways, batch, hidden), low=-1, high=1) if draw.chance() else None)
        inputs.append(draw.tensor((ways, 3 * hidden), low=-1, high=1) if draw.chance(0.3) else None)
    return Case(op, tuple(inputs), attributes, draw.pick(7, 14), 3 if op == "LSTM" else 2)


@draws("signals")
def signal(draw: Draw) -> Case:
    op = draw.pick("HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix", "DFT", "STFT")
    if op.endswith("Window"):
        return Case(op, (int64(draw.integer(2, 40)),), {"periodic": draw.integer(0, 1)}, 17)
    if op == "MelWeightMatrix":
        bins, length = draw.integer(2, 12), 2 * draw.integer(8, 64)
        numbers = [int64(bins), int64(length), int64(draw.pick(8000, 16000)), float32(0), float32(3500)]
        return Case(op, tuple(numbers), {}, 17)
    if op == "DFT":
        inverse = draw.integer(0, 1)
        parts = 2 if inverse else draw.integer(1, 2)
        x = draw.tensor((draw.integer(1, 3), draw.integer(1, 20), draw.integer(1, 3), parts))
        attributes = {"axis": draw.pick(1, 2), "inverse": inverse}
        if parts == 1:
            attributes["onesided"] = draw.integer(0, 1)
        sizes = (int64(draw.integer(1, 20)),) if draw.chance(0.3) else ()
        return Case(op, (x, *sizes), attributes, 17, tolerance=1e-4)
    frame, step = draw.integer(4, 16), draw.integer(1, 8)
    x = draw.tensor((draw.integer(1, 2), draw.integer(16, 60), 1))
    inputs = (x, int64(step), draw.tensor((frame,)), int64(frame))
    return Case(op, inputs, {"onesided": draw.integer(0, 1)}, 17, tolerance=1e-4)


@draws("Det")
def determinant(draw: Draw) -> Case:
    size = draw.integer(1, 4)
    return Case("Det", (draw.tensor((*draw.shape(0, 2, 3), size, size)),), {}, 11, tolerance=1e-4)


@draws("Attention")
def attention(draw: Draw) -> Case:
    batch, kv_heads, queries, keys, size = draw.integers(5, 1, 5)
    heads = kv_heads * draw.integer(1, 3)
    attributes: dict[str, Any] = {}
    if draw.chance(0.4):
        attributes["is_causal"] = 1
    if draw.chance(0.4):
        attributes["scale"] = draw.number(0.1, 1)
    if draw.chance(0.3):
        attributes["softcap"] = draw.number(1, 4)
    q, k = draw.tensor((batch, heads, queries, size)), draw.tensor((batch, kv_heads, keys, size))
    v = draw.tensor((batch, kv_heads, keys, size))
    mask = (draw.tensor((queries, keys)),) if draw.chance() and not attributes.get("is_causal") else ()
    return Case("Attention", (q, k, v, *mask), attributes, 23, tolerance=1e-4)


@draws("RotaryEmbedding")
def rotary(draw: Draw) -> Case:
    batch, heads, length, half = draw.integers(4, 1, 4)
    caches = [draw.tensor((9, half), low=-1, high=1) for _ in range(2)]
    places = draw.generator.integers(0, 9, (batch, length))
    x = draw.tensor((batch, heads, length, 2 * half))
    return Case("RotaryEmbedding", (x, *caches, places), {"interleaved": draw.integer(0, 1)}, 23)
