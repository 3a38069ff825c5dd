"""Attention and RotaryEmbedding against onnxruntime, and what onnxruntime lacks against plain formulas."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from partita.errors import KernelError
from partita.kernels.attention import attention, rotary_embedding
from partita.kernels.linear_attention import causal_conv_with_state, linear_attention
from tests.kernels.single_node import run_kernel, run_onnxruntime

Array = np.ndarray[Any, Any]


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def plain_attention(q: Array, k: Array, v: Array, bias: Array | float = 0.0) -> Array:
    """Softmax of the scaled scores plus a bias, with one key head per query head."""
    scores = q @ k.swapaxes(2, 3) / np.sqrt(q.shape[3]) + bias
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ v


@pytest.mark.parametrize("spread", [1.0, 30.0, 300.0])
@pytest.mark.parametrize("hidden", [0.0, -10_000.0])
def test_scores_may_lie_close_together_or_far_apart(spread: float, hidden: float) -> None:
    q, k, v = (noise(1, 4, 40, 16, seed=seed) for seed in range(3))
    mask = np.where(noise(40, 40, seed=3) > 0, 0, hidden).astype(np.float32)
    mask[3] = hidden  # all keys of one query, which then count as before
    y = attention(q * np.float32(spread), k, v, mask)[0]
    np.testing.assert_allclose(y, plain_attention(q * np.float32(spread), k, v, mask), rtol=2e-4, atol=2e-4)


@st.composite
def attentions(draw: st.DrawFn) -> tuple[list[Array | None], dict[str, Any]]:
    batch, kv_heads, groups, size, value_size = (draw(st.integers(1, 3)) for _ in range(5))
    queries, keys, past = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.sampled_from([0, 0, 2]))
    heads = kv_heads * groups
    attributes: dict[str, Any] = {"softcap": draw(st.sampled_from([0.0, 2.0]))}
    if draw(st.booleans()):
        q, k, v = (
            noise(batch, heads, queries, size),
            noise(batch, kv_heads, keys, size, seed=1),
            noise(batch, kv_heads, keys, value_size, seed=2),
        )
    else:
        q, k, v = (
            noise(batch, queries, heads * size),
            noise(batch, keys, kv_heads * size, seed=1),
            noise(batch, keys, kv_heads * value_size, seed=2),
        )
        attributes |= {"q_num_heads": heads, "kv_num_heads": kv_heads}
    mask: Array | None = None
    style = draw(st.sampled_from(["none", "float", "bool"]))
    shape = draw(
        st.sampled_from(
            [(queries, past + keys), (batch, 1, queries, past + keys), (batch, heads, queries, past + keys)]
        )
    )
    if style == "float":
        mask = noise(*shape, seed=3)
    elif style == "bool":
        mask = noise(*shape, seed=3) > 0
        mask[..., 0] = True
    if draw(st.booleans()):
        attributes["scale"] = 0.3
    cache = (
        [noise(batch, kv_heads, past, size, seed=4), noise(batch, kv_heads, past, value_size, seed=5)] if past else []
    )
    return [q, k, v, mask, *cache], attributes


@settings(deadline=None, derandomize=True, max_examples=100)
@given(attentions(), st.integers(0, 3))
def test_attention_is_what_onnxruntime_computes(case: tuple[list[Array | None], dict[str, Any]], mode: int) -> None:
    inputs, attributes = case
    if mode == 0 and attributes["softcap"]:
        mode = 1  # the standard's raw scores, which onnxruntime gives after the cap
    names = [name if x is not None else "" for name, x in zip(["q", "k", "v", "m", "pk", "pv"], inputs, strict=False)]
    outputs = ["y", "nk", "nv", "s"] if len(inputs) > 4 else ["y", "", "", "s"]
    node = helper.make_node("Attention", names, outputs, qk_matmul_output_mode=mode, **attributes)
    ours = [y for y, name in zip(run_kernel(node, inputs, 23), outputs, strict=True) if name]
    for y, expected in zip(ours, run_onnxruntime(node, inputs, 23), strict=True):
        assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
        # onnxruntime masks with the lowest float, the standard with minus infinity.
        np.testing.assert_allclose(y, np.where(expected < -3e38, -np.inf, expected), rtol=1e-4, atol=1e-5)


def test_a_causal_query_sees_the_past_and_itself() -> None:
    q, k, v = noise(1, 2, 3, 4), noise(1, 2, 3, 4, seed=1), noise(1, 2, 3, 4, seed=2)
    past_key, past_value = noise(1, 2, 5, 4, seed=3), noise(1, 2, 5, 4, seed=4)
    y, new_key, new_value, _ = attention(q, k, v, None, past_key, past_value, is_causal=1)
    bias = np.where(np.arange(8) <= np.arange(3)[:, None] + 5, 0, -np.inf)
    np.testing.assert_array_equal(new_key, np.concatenate((past_key, k), axis=2))
    np.testing.assert_allclose(y, plain_attention(q, new_key, new_value, bias), rtol=1e-4, atol=1e-6)


def test_padded_keys_are_not_seen_and_queries_stand_at_the_end_of_the_others() -> None:
    q, k, v = noise(2, 1, 2, 4), noise(2, 1, 6, 4, seed=1), noise(2, 1, 6, 4, seed=2)
    lengths = np.array([4, 6])
    y = attention(q, k, v, None, None, None, lengths, is_causal=1)[0]
    for i, length in enumerate(lengths):
        bias = np.where(np.arange(length) <= np.arange(2)[:, None] + length - 2, 0, -np.inf)
        expected = plain_attention(q[i : i + 1], k[i : i + 1, :, :length], v[i : i + 1, :, :length], bias)
        np.testing.assert_allclose(y[i : i + 1], expected, rtol=1e-4, atol=1e-6)


def test_a_window_limits_the_keys_on_both_sides() -> None:
    q, k, v = noise(1, 1, 5, 4), noise(1, 1, 5, 4, seed=1), noise(1, 1, 5, 4, seed=2)
    distance = np.arange(5) - np.arange(5)[:, None]
    bias = np.where((distance >= -2) & (distance <= 1), 0, -np.inf)
    y = attention(q, k, v, left_window_size=2, right_window_size=1)[0]
    np.testing.assert_allclose(y, plain_attention(q, k, v, bias), rtol=1e-4, atol=1e-6)


def test_a_query_without_any_key_gives_zeros() -> None:
    mask = np.array([[True, False], [False, False]])
    y, *_, weights = attention(
        noise(1, 1, 2, 3), noise(1, 1, 2, 3), noise(1, 1, 2, 3), mask, qk_matmul_output_mode=3, n_outputs=4
    )
    np.testing.assert_array_equal(y[0, 0, 1], 0)
    np.testing.assert_array_equal(weights[0, 0], [[1, 0], [0, 0]])


def test_attention_over_no_keys_or_no_queries_has_the_right_shape() -> None:
    assert attention(noise(1, 2, 3, 4), noise(1, 2, 0, 4), noise(1, 2, 0, 5))[0].shape == (1, 2, 3, 5)
    assert attention(noise(1, 2, 0, 4), noise(1, 2, 3, 4), noise(1, 2, 3, 5))[0].shape == (1, 2, 0, 5)


def test_attention_does_not_change_its_inputs() -> None:
    inputs = [noise(1, 2, 3, 4, seed=i) for i in range(3)]
    kept = [x.copy() for x in inputs]
    attention(inputs[0], inputs[1], inputs[2], noise(3, 3), is_causal=1)
    for x, before in zip(inputs, kept, strict=True):
        np.testing.assert_array_equal(x, before)


def test_attention_says_what_does_not_fit() -> None:
    x = noise(1, 3, 2, 4)
    with pytest.raises(KernelError, match="3 query heads are not a multiple of 2"):
        attention(x, noise(1, 2, 2, 4), noise(1, 2, 2, 4))
    with pytest.raises(KernelError, match="must be given together"):
        attention(x, x, x, None, x)
    with pytest.raises(KernelError, match="cannot be divided into 5 heads"):
        attention(*[noise(1, 2, 12)] * 3, q_num_heads=5, kv_num_heads=5)


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("dim", [0, 4])
@pytest.mark.parametrize("with_positions", [False, True])
def test_rotary_embedding_is_what_onnxruntime_computes(interleaved: int, dim: int, with_positions: bool) -> None:
    x = noise(2, 5, 3 * 8)
    half = (dim or 8) // 2
    cache_shape = (7, half) if with_positions else (2, 5, half)
    inputs = [x, noise(*cache_shape, seed=1), noise(*cache_shape, seed=2)]
    inputs += [np.random.default_rng(3).integers(0, 7, (2, 5))] if with_positions else []
    attributes: dict[str, Any] = {"interleaved": interleaved, "rotary_embedding_dim": dim, "num_heads": 3}
    node = helper.make_node("RotaryEmbedding", list("xcsp")[: len(inputs)], ["y"], **attributes)
    (y,), (expected,) = run_kernel(node, inputs, 23), run_onnxruntime(node, inputs, 23)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    split = x.reshape(2, 5, 3, 8).swapaxes(1, 2)
    four = rotary_embedding(split, *inputs[1:], interleaved=interleaved, rotary_embedding_dim=dim)
    np.testing.assert_array_equal(four.swapaxes(1, 2).reshape(x.shape), y)


@pytest.mark.parametrize("rule", ["linear", "gated", "delta", "gated_delta"])
def test_linear_attention_follows_its_recurrence(rule: str) -> None:
    batch, tokens, heads, key_heads, size, value_size = 2, 5, 4, 2, 3, 6
    q, k = noise(batch, tokens, heads * size), noise(batch, tokens, key_heads * size, seed=1)
    v, state = noise(batch, tokens, key_heads * value_size, seed=2), noise(batch, key_heads, size, value_size, seed=3)
    decay, beta = -np.abs(noise(batch, tokens, key_heads, seed=4)), np.abs(noise(batch, tokens, key_heads, seed=5))
    y, last = linear_attention(q, k, v, state, decay, beta, kv_num_heads=key_heads, q_num_heads=heads, update_rule=rule)
    s = state.astype(np.float64)
    for b, h in np.ndindex(batch, key_heads):
        for t in range(tokens):
            key = k[b, t].reshape(key_heads, size)[h]
            value = v[b, t].reshape(key_heads, value_size)[h]
            if rule.startswith("gated"):
                s[b, h] *= np.exp(decay[b, t, h])
            if rule.endswith("delta"):
                value = beta[b, t, h] * (value - key @ s[b, h])
            s[b, h] += np.outer(key, value)
            for i in (0, 1):
                query = q[b, t].reshape(heads, size)[2 * h + i]
                row = y[b, t].reshape(heads, value_size)[2 * h + i]
                np.testing.assert_allclose(row, query @ s[b, h] / np.sqrt(size), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(last, s, rtol=1e-3, atol=1e-4)


def test_linear_attention_in_two_parts_is_the_same_as_in_one() -> None:
    q, k, v = noise(1, 6, 4), noise(1, 6, 4, seed=1), noise(1, 6, 4, seed=2)

    def run(part: slice, state: Array | None) -> tuple[Array, Array]:
        return linear_attention(
            q[:, part], k[:, part], v[:, part], state, kv_num_heads=2, q_num_heads=2, update_rule="linear"
        )

    whole, last = run(slice(None), None)
    first, state = run(slice(0, 2), None)
    second, final = run(slice(2, None), state)
    np.testing.assert_allclose(np.concatenate((first, second), axis=1), whole, rtol=1e-5)
    np.testing.assert_allclose(final, last, rtol=1e-5)


def test_linear_attention_says_what_is_missing() -> None:
    x = noise(1, 2, 4)
    with pytest.raises(KernelError, match="'gated' needs decay"):
        linear_attention(x, x, x, kv_num_heads=1, q_num_heads=1, update_rule="gated")
    with pytest.raises(KernelError, match="update_rule must be"):
        linear_attention(x, x, x, kv_num_heads=1, q_num_heads=1, update_rule="none")


def test_a_causal_conv_in_two_parts_is_the_same_as_in_one() -> None:
    x, w, b = noise(2, 3, 7), noise(3, 1, 4, seed=1), noise(3, seed=2)
    whole, last = causal_conv_with_state(x, w, b, activation="silu")
    first, state = causal_conv_with_state(x[:, :, :2], w, b, activation="silu")
    second, final = causal_conv_with_state(x[:, :, 2:], w, b, state, activation="silu")
    np.testing.assert_allclose(np.concatenate((first, second), axis=2), whole, rtol=1e-5)
    np.testing.assert_array_equal(final, last)
