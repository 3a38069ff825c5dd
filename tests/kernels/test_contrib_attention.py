"""Attention and quantised LSTM of the domain com.microsoft against onnxruntime's own kernels."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import NodeProto, helper

from partita.errors import KernelError
from partita.kernels import contrib_attention, contrib_recurrent  # noqa: F401  (register their kernels)
from tests.kernels.oracle import Array, check, examples, ours, seeds, tensor

flags = st.integers(0, 1)


def fused(op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs, outputs, domain="com.microsoft", **attributes)


def small(seed: int, *shape: int) -> Array:
    return tensor(seed, shape) / np.float32(3)


def caches(size: int, length: int = 16) -> tuple[Array, Array]:
    angles = np.outer(np.arange(length), 1 / 10.0 ** np.arange(size // 2)).astype(np.float32)
    return np.cos(angles), np.sin(angles)


@examples
@given(
    bias=st.booleans(),
    mask=st.sampled_from(["", "lengths", "keys"]),
    extra=st.booleans(),
    past=st.booleans(),
    seed=seeds,
)
def test_multi_head_attention_agrees(bias: bool, mask: str, extra: bool, past: bool, seed: int) -> None:
    batch, length, heads, size, before = 2, 4, 3, 8, 2 if past else 0
    keys = length + before
    masks = {
        "": None,
        "lengths": np.array([3, 4], np.int32),
        "keys": np.random.default_rng(seed).integers(0, 2, (batch, keys)).astype(np.int32)
        | np.eye(batch, keys, dtype=np.int32),
    }
    inputs = {
        "q": small(seed, batch, length, heads * size),
        "k": small(seed + 1, batch, length, heads * size),
        "v": small(seed + 2, batch, length, heads * size),
        "b": small(seed + 3, 3 * heads * size) if bias else None,
        "m": None if mask == "lengths" and past else masks[mask],
        "a": small(seed + 4, 1, heads, length, keys) if extra else None,
        "pk": small(seed + 5, batch, heads, before, size) if past else None,
        "pv": small(seed + 6, batch, heads, before, size) if past else None,
    }
    names = [name if value is not None else "" for name, value in inputs.items()]
    node = fused("MultiHeadAttention", names, ["y", "k2", "v2"], num_heads=heads)
    check(node, *inputs.values(), opset=1, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("packed", ["qkv", "kv"])
def test_multi_head_attention_unpacks(packed: str) -> None:
    if packed == "qkv":
        node, inputs = fused("MultiHeadAttention", ["q"], ["y"], num_heads=3), [small(1, 2, 4, 3, 3, 8)]
    else:
        node = fused("MultiHeadAttention", ["q", "k"], ["y"], num_heads=3)
        inputs = [small(1, 2, 4, 24), small(2, 2, 5, 3, 2, 8)]
    (y,) = ours(node, *inputs, opset=1)
    q, k, v = (
        [inputs[0][:, :, :, i].reshape(2, 4, 24) for i in range(3)]
        if packed == "qkv"
        else [inputs[0], *(inputs[1][:, :, :, i].reshape(2, 5, 24) for i in range(2))]
    )
    check(fused("MultiHeadAttention", ["q", "k", "v"], ["y"], num_heads=3), q, k, v, opset=1, rtol=1e-4, atol=1e-5)
    (separate,) = ours(fused("MultiHeadAttention", ["q", "k", "v"], ["y"], num_heads=3), q, k, v, opset=1)
    np.testing.assert_allclose(y, separate, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mask", ["", "ends", "ends and starts", "keys", "pairs"])
@pytest.mark.parametrize("unidirectional", [0, 1])
@pytest.mark.parametrize("past", [False, True])
def test_packed_attention_agrees(mask: str, unidirectional: int, past: bool) -> None:
    batch, length, heads, size, before = 2, 4, 2, 8, 3 if past else 0
    keys = length + before
    pairs = np.tril(np.ones((batch, length, keys), np.int32), before)
    masks = {
        "": None,
        "ends": np.array([keys - 1, keys], np.int32),
        "ends and starts": np.array([keys, keys - 1, 1, 0], np.int32),
        "keys": np.array([[1] * (keys - 1) + [0], [1] * keys], np.int32),
        "pairs": pairs,
    }
    inputs = {
        "x": small(1, batch, length, 12),
        "w": small(2, 12, 3 * heads * size),
        "b": small(3, 3 * heads * size),
        "m": masks[mask],
        "p": small(4, 2, batch, heads, before, size) if past else None,
    }
    names = [name if value is not None else "" for name, value in inputs.items()]
    outputs = ["y", "present"] if past else ["y"]
    node = fused("Attention", names, outputs, num_heads=heads, unidirectional=unidirectional)
    check(node, *inputs.values(), opset=1, rtol=1e-4, atol=1e-5)


def test_quantised_attention_agrees() -> None:
    generator = np.random.default_rng(1)
    x = generator.integers(0, 256, (2, 4, 12)).astype(np.uint8)
    w = generator.integers(-128, 128, (12, 48)).astype(np.int8)
    node = fused("QAttention", ["x", "w", "b", "xs", "ws", "m", "xz", "wz"], ["y"], num_heads=2)
    scales = np.array(0.01, np.float32), np.array(0.02, np.float32)
    mask, zeros = np.array([3, 4], np.int32), (np.array(120, np.uint8), np.array(3, np.int8))
    check(node, x, w, small(2, 48), *scales, mask, *zeros, opset=1, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("positions", ["first", "each"])
def test_positions_turn_pairs_of_numbers(interleaved: int, positions: str) -> None:
    cos, sin = caches(8)
    place = np.array([3], np.int64) if positions == "first" else np.array([[0, 2, 1, 5], [1, 1, 3, 0]], np.int64)
    node = fused("RotaryEmbedding", ["x", "p", "c", "s"], ["y"], interleaved=interleaved)
    check(node, small(1, 2, 4, 24), place, cos, sin, opset=1)
    check(node, small(1, 2, 3, 4, 8), place, cos, sin, opset=1)


@examples
@given(
    rotary=flags,
    packed=st.booleans(),
    window=st.sampled_from([-1, 2]),
    sink=st.booleans(),
    softcap=st.booleans(),
    seed=seeds,
)
def test_grouped_attention_agrees_on_a_prompt_and_on_the_next_token(
    rotary: int, packed: bool, window: int, sink: bool, softcap: bool, seed: int
) -> None:
    batch, length, heads, groups, size = 2, 5, 4, 2, 16
    attributes: dict[str, Any] = {
        "num_heads": heads,
        "kv_num_heads": groups,
        "do_rotary": rotary,
        "local_window_size": window,
    }
    attributes |= {"softcap": 2.0} if softcap else {}
    past = [np.zeros((batch, groups, 0, size), np.float32)] * 2
    for step, new in enumerate((length, 1)):
        total = length + step
        q, k, v = (small(seed + i + step, batch, new, h * size) for i, h in enumerate((heads, groups, groups)))
        qkv = [np.concatenate([q, k, v], axis=-1), None, None] if packed else [q, k, v]
        inputs = [*qkv, *past, np.full(batch, total - 1, np.int32), np.array(total, np.int32)]
        inputs += [*caches(size)] if rotary else [None, None]
        inputs += [None, None, small(seed + 9, heads) if sink else None]
        names = [f"i{i}" if x is not None else "" for i, x in enumerate(inputs)]
        node = fused("GroupQueryAttention", names, ["y", "k", "v"], **attributes)
        _, *past = check(node, *inputs, opset=1, rtol=1e-4, atol=1e-5)


def quantised_lstm(seed: int, directions: int, per_gate: bool) -> list[Array | None]:
    hidden, width = 6, 5
    generator = np.random.default_rng(seed)
    shape = (directions, 4 * hidden) if per_gate else (directions,)
    w, r = (generator.integers(-128, 128, (directions, n, 4 * hidden)).astype(np.int8) for n in (width, hidden))
    scales = [generator.uniform(0.002, 0.006, shape).astype(np.float32) for _ in range(2)]
    zeros = [np.zeros(shape, np.int8)] * 2
    b, p = small(seed, directions, 8 * hidden), small(seed + 1, directions, 3 * hidden)
    return [small(seed + 2, 7, 1, width), w, r, b, None, None, None, p, scales[0], zeros[0], scales[1], zeros[1]]


@examples
@given(
    direction=st.sampled_from(["forward", "reverse", "bidirectional"]),
    per_gate=st.booleans(),
    peep=st.booleans(),
    seed=seeds,
)
def test_the_quantised_lstm_agrees(direction: str, per_gate: bool, peep: bool, seed: int) -> None:
    inputs = quantised_lstm(seed, 2 if direction == "bidirectional" else 1, per_gate)
    if not peep:
        inputs[7] = None
    names = [f"i{i}" if x is not None else "" for i, x in enumerate(inputs)]
    node = fused("DynamicQuantizeLSTM", names, ["y", "h", "c"], hidden_size=6, direction=direction)
    check(node, *inputs, opset=1, rtol=1e-3, atol=2e-3)


def test_a_sequence_that_has_ended_keeps_its_state() -> None:
    inputs = quantised_lstm(1, 1, per_gate=False)
    inputs[0], inputs[4] = small(3, 7, 2, 5), np.array([7, 4], np.int32)
    names = [f"i{i}" if x is not None else "" for i, x in enumerate(inputs)]
    node = fused("DynamicQuantizeLSTM", names, ["y", "h", "c"], hidden_size=6)
    y, h, _ = ours(node, *inputs, opset=1)
    np.testing.assert_array_equal(h[0, 1], y[3, 0, 1])
    assert not y[4:, 0, 1].any()
    bad = fused("DynamicQuantizeLSTM", names, ["y"], hidden_size=6, activations=["Relu", "Tanh", "Tanh"])
    with pytest.raises(KernelError, match="must be Sigmoid, Tanh, Tanh, are Relu"):
        ours(bad, *inputs, opset=1)
