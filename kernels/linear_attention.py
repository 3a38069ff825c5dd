"""LinearAttention and CausalConvWithState: layers that carry a state from token to token."""

import math

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array
from partita.kernels.registry import kernel


@kernel("LinearAttention", since=27, widen=False)
def linear_attention(
    query: Array,
    key: Array,
    value: Array,
    past_state: Array | None = None,
    decay: Array | None = None,
    beta: Array | None = None,
    *,
    chunk_size: int = 64,
    kv_num_heads: int,
    q_num_heads: int,
    scale: float = 0.0,
    update_rule: str = "gated_delta",
) -> tuple[Array, Array]:
    """Attention by a state (batch, key heads, key size, value size) that each token decays and adds to.

    The inputs are (batch, tokens, heads * size); so is the output. `chunk_size` is a hint that has no effect here.
    Source: ONNX operators, LinearAttention-27.
    """
    if update_rule not in ("linear", "gated", "delta", "gated_delta"):
        raise KernelError(f"update_rule must be linear, gated, delta or gated_delta, is {update_rule!r}")
    is_gated, is_delta = update_rule.startswith("gated"), update_rule.endswith("delta")
    if (is_gated and decay is None) or (is_delta and beta is None):
        raise KernelError(f"update_rule {update_rule!r} needs {'decay' if is_gated and decay is None else 'beta'}")
    if q_num_heads % kv_num_heads:
        raise KernelError(f"q_num_heads {q_num_heads} must be a multiple of kv_num_heads {kv_num_heads}")
    wide = np.float64 if query.dtype == np.float64 else np.float32
    batch, tokens = query.shape[:2]

    def heads(x: Array, count: int) -> Array:
        return x.astype(wide, copy=False).reshape(batch, tokens, count, x.shape[2] // count)

    q = heads(query, q_num_heads)
    q = q.reshape(batch, tokens, kv_num_heads, q_num_heads // kv_num_heads, q.shape[3])
    q = q * wide(scale or 1 / math.sqrt(q.shape[-1]))
    k, v = heads(key, kv_num_heads), heads(value, kv_num_heads)
    if past_state is None:
        state = np.zeros((batch, kv_num_heads, k.shape[3], v.shape[3]), wide)
    else:
        state = past_state.astype(wide)
    gates = np.exp(heads(decay, kv_num_heads)) if is_gated and decay is not None else None
    rates = beta.astype(wide, copy=False)[..., None] if is_delta and beta is not None else None
    y = np.empty((batch, tokens, *q.shape[2:4], v.shape[3]), wide)
    for t in range(tokens):
        if gates is not None:
            state *= gates[:, t, :, :, None]
        update = v[:, t]
        if rates is not None:
            update = rates[:, t] * (update - np.matmul(k[:, t, :, None], state)[:, :, 0])
        state += k[:, t, :, :, None] * update[:, :, None]
        y[:, t] = np.matmul(q[:, t], state)
    state_dtype = query.dtype if past_state is None else past_state.dtype
    return y.reshape(batch, tokens, q_num_heads * v.shape[3]).astype(query.dtype, copy=False), state.astype(
        state_dtype, copy=False
    )


@kernel("CausalConvWithState", since=27)
def causal_conv_with_state(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    past_state: Array | None = None,
    *,
    activation: str = "none",
) -> tuple[Array, Array]:
    """One filter per channel over the present and past of (batch, channels, length), and the last k - 1 elements.

    Source: ONNX operators, CausalConvWithState-27.
    """
    if activation not in ("none", "silu", "swish"):
        raise KernelError(f"activation must be none, silu or swish, is {activation!r}")
    size, length = weight.shape[2], input.shape[2]
    past = np.zeros((*input.shape[:2], size - 1), input.dtype) if past_state is None else past_state
    joined = np.concatenate((past, input), axis=2)
    y = joined[:, :, :length] * weight[:, :, 0]
    for tap in range(1, size):
        y += joined[:, :, tap : tap + length] * weight[:, :, tap]
    if bias is not None:
        y += bias[:, None]
    if activation != "none":
        # x * sigmoid(x), with the sigmoid by tanh, which cannot overflow.
        y *= (1 + np.tanh(y * y.dtype.type(0.5))) * y.dtype.type(0.5)
    return y, joined[:, :, joined.shape[2] - (size - 1) :].copy()
