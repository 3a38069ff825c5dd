"""Attention operators of onnxruntime's domain com.microsoft, by way of the standard's Attention.

Source of all: onnxruntime, docs/ContribOperators.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array, quiet
from partita.kernels.attention import attention
from partita.kernels.attention import rotary_embedding as standard_rotary_embedding
from partita.kernels.contrib import MICROSOFT
from partita.kernels.contrib_quantized import matmul_integer_to_float
from partita.kernels.normalization import rms_normalization
from partita.kernels.registry import kernel

LOWEST = float(np.finfo(np.float32).min)


@kernel("RotaryEmbedding", domain=MICROSOFT)
def rotary_embedding(
    input: Array,
    position_ids: Array,
    cos_cache: Array,
    sin_cache: Array,
    *,
    interleaved: int = 0,
    is_packed_batching: int = 0,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
    scale: float = 1.0,
) -> Array:
    """Turn (batch, sequence, hidden) or (batch, heads, sequence, size) by angles; one position is that of the first."""
    length = input.shape[2] if input.ndim == 4 else input.shape[1]
    if position_ids.size == 1:
        position_ids = np.broadcast_to(position_ids.reshape(()) + np.arange(length), (input.shape[0], length))
    heads = num_heads or (input.shape[-1] // (2 * cos_cache.shape[1]) if input.ndim == 3 else 0)
    return np.asarray(
        standard_rotary_embedding(
            input,
            cos_cache,
            sin_cache,
            position_ids,
            interleaved=interleaved,
            num_heads=heads,
            rotary_embedding_dim=rotary_embedding_dim,
        )
    )


def _heads_first(x: Array, heads: int) -> Array:
    """(batch, length, heads * size) as (batch, heads, length, size); four axes stay."""
    return x if x.ndim == 4 else x.reshape(x.shape[0], x.shape[1], heads, -1).swapaxes(1, 2)


def _sum(*terms: Array | None) -> Array | None:
    """The sum of the terms that are there."""
    present = [term for term in terms if term is not None]
    return sum(present[1:], present[0]) if present else None


def _padding(mask: Array | None, shape: tuple[int, int, int], filler: float) -> Array | None:
    """What to add to the scores (batch, heads, queries, keys) for a mask in any of the forms allowed.

    `shape` is (batch, queries, keys). A mask of integers is 0 where a key is hidden. With one axis, it holds the
    numbers of keys, and then perhaps the first ones that count.
    """
    if mask is None:
        return None
    batch, queries, keys = shape
    if mask.ndim == 1:
        places = np.arange(keys)
        seen = places < mask[:batch, None]
        if len(mask) == 2 * batch:
            seen &= places >= mask[batch:, None]
        seen = seen[:, None, None, :]
    elif mask.ndim == 2:
        seen = (mask != 0)[:, None, None, :]
    elif mask.ndim == 3:
        seen = (mask != 0)[:, None]
    else:
        seen = (mask != 0)[:, :, keys - queries : keys, :keys]
    return np.where(seen, np.float32(0), np.float32(filler))


def _causal(queries: int, keys: int) -> Array:
    """What to add so that no query sees the keys behind it; the queries are the last of the keys."""
    distance = np.arange(keys) - np.arange(keys - queries, keys)[:, None]
    return np.where(distance > 0, np.float32(LOWEST), np.float32(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    mask: Array | None
    bias: Array | None
    filler: float
    scale: float | None
    unidirectional: bool


@quiet
def _attend(q: Array, k: Array, v: Array, options: _Options) -> tuple[Array, Array]:
    """Output (batch, queries, heads * size) and weights of attention over heads-first tensors."""
    queries, keys = q.shape[2], k.shape[2]
    added = _sum(
        _padding(options.mask, (q.shape[0], queries, keys), options.filler),
        options.bias,
        _causal(queries, keys) if options.unidirectional else None,
    )
    y, _, _, weights = attention(q, k, v, added, scale=options.scale or None, qk_matmul_output_mode=3, n_outputs=4)
    return y.swapaxes(1, 2).reshape(y.shape[0], queries, -1), weights


def _unpacked(
    query: Array, key: Array | None, value: Array | None, heads: int, bias: Array | None
) -> tuple[Array, Array, Array]:
    """Query, key and value, heads first, from separate tensors or from one packed (..., heads, 2 or 3, size)."""
    if query.ndim == 5:
        q, k, v = (np.moveaxis(query[:, :, :, i], 1, 2) for i in range(3))
    elif key is None or (value is None and key.ndim != 5):
        raise KernelError("a query of three axes needs a key and a value, or both in a key of five axes")
    elif key.ndim == 5:
        q, k, v = (_heads_first(query, heads), *(np.moveaxis(key[:, :, :, i], 1, 2) for i in range(2)))
    else:
        assert value is not None
        q, k, v = (_heads_first(x, heads) for x in (query, key, value))
    if bias is None:
        return q, k, v
    width = heads * q.shape[3]
    pieces = (bias[:width], bias[width : 2 * width], bias[2 * width :])
    q, k, v = (x + piece.reshape(1, heads, 1, -1) for x, piece in zip((q, k, v), pieces, strict=True))
    return q, k, v


@kernel("MultiHeadAttention", domain=MICROSOFT)
def multi_head_attention(
    query: Array,
    key: Array | None = None,
    value: Array | None = None,
    bias: Array | None = None,
    key_padding_mask: Array | None = None,
    attention_bias: Array | None = None,
    past_key: Array | None = None,
    past_value: Array | None = None,
    past_sequence_length: Array | None = None,
    cache_indirection: Array | None = None,
    *,
    mask_filter_value: float = -10000.0,
    num_heads: int,
    scale: float = 0.0,
    unidirectional: int = 0,
) -> tuple[Array, Array, Array, Array]:
    """Attention of projected tensors (batch, length, hidden): output, present key and value, weights."""
    if past_sequence_length is not None or cache_indirection is not None:
        raise KernelError("past_sequence_length and cache_indirection belong to one decoder's shared buffers")
    q, k, v = _unpacked(query, key, value, num_heads, bias)
    if past_key is not None and past_value is not None:
        k, v = np.concatenate([past_key, k], axis=2), np.concatenate([past_value, v], axis=2)
    options = _Options(
        mask=key_padding_mask,
        bias=attention_bias,
        filler=mask_filter_value,
        scale=scale,
        unidirectional=bool(unidirectional),
    )
    y, weights = _attend(q, k, v, options)
    return y, k, v, weights


def _self_attention(
    projected: Array, past: Array | None, sizes: Sequence[int], heads: int, options: _Options
) -> tuple[Array, Array]:
    """Attention of q, k and v that stand side by side in the last axis: output and present (2, batch, heads, ...)."""
    width = projected.shape[-1]
    sizes = sizes or (width // 3,) * 3
    parts = np.split(projected, np.cumsum(sizes)[:2].tolist(), axis=-1)
    q, k, v = (_heads_first(part, heads) for part in parts)
    if past is not None:
        k, v = np.concatenate([past[0], k], axis=2), np.concatenate([past[1], v], axis=2)
    y, _ = _attend(q, k, v, options)
    return y, np.stack([k, v]) if k.shape == v.shape else k


def _refuse_shared_buffers(do_rotary: int, past_present_share_buffer: int) -> None:
    if do_rotary or past_present_share_buffer:
        raise KernelError("do_rotary and past_present_share_buffer are not supported")


@kernel("Attention", domain=MICROSOFT)
def packed_attention(
    input: Array,
    weights: Array,
    bias: Array | None = None,
    mask_index: Array | None = None,
    past: Array | None = None,
    attention_bias: Array | None = None,
    past_sequence_length: Array | None = None,
    *,
    do_rotary: int = 0,
    mask_filter_value: float = -10000.0,
    num_heads: int,
    past_present_share_buffer: int = 0,
    qkv_hidden_sizes: Sequence[int] = (),
    rotary_embedding_dim: int = 0,
    scale: float = 0.0,
    unidirectional: int = 0,
) -> tuple[Array, Array]:
    """Projection by `weights` (input, q + k + v), then self-attention: (batch, length, v), present key and value."""
    _refuse_shared_buffers(do_rotary, past_present_share_buffer)
    projected = np.matmul(input.reshape(-1, input.shape[-1]), weights).reshape(*input.shape[:-1], -1)
    if bias is not None:
        projected += bias
    options = _Options(
        mask=mask_index,
        bias=attention_bias,
        filler=mask_filter_value,
        scale=scale,
        unidirectional=bool(unidirectional),
    )
    return _self_attention(projected, past, qkv_hidden_sizes, num_heads, options)


@kernel("QAttention", domain=MICROSOFT)
def quantized_attention(
    input: Array,
    weight: Array,
    bias: Array,
    input_scale: Array,
    weight_scale: Array,
    mask_index: Array | None = None,
    input_zero_point: Array | None = None,
    weight_zero_point: Array | None = None,
    past: Array | None = None,
    *,
    do_rotary: int = 0,
    mask_filter_value: float = -10000.0,
    num_heads: int,
    past_present_share_buffer: int = 0,
    scale: float = 0.0,
    unidirectional: int = 0,
) -> tuple[Array, Array]:
    """Attention whose projection is an exact product of quantised matrices."""
    _refuse_shared_buffers(do_rotary, past_present_share_buffer)
    projected = matmul_integer_to_float(
        input, weight, input_scale, weight_scale, input_zero_point, weight_zero_point, bias
    )
    options = _Options(
        mask=mask_index, bias=None, filler=mask_filter_value, scale=scale, unidirectional=bool(unidirectional)
    )
    return _self_attention(projected, past, (), num_heads, options)


def _cached(past: Array | None, new: Array, counts: Array, size: int) -> Array:
    """A cache (batch, heads, size, width) with the first `counts[b]` entries of the past, then the new ones."""
    batch, heads, length, width = new.shape
    present = np.zeros((batch, heads, size, width), new.dtype)
    for b, count in enumerate(counts.tolist()):
        if past is not None:
            present[b, :, :count] = past[b, :, :count]
        present[b, :, count : count + length] = new[b]
    return present


def _visible(counts: Array, shape: tuple[int, int], window: int, causal: bool) -> Array:
    """What to add to scores (batch, 1, queries, keys) so that only earlier keys, at most `window` back, are seen.

    Source for the window: it counts the query's own key too, as in onnxruntime's CPU kernel.
    """
    queries, keys = shape
    at = counts[:, None, None, None] + np.arange(queries)[:, None]
    places = np.arange(keys)
    seen = places <= at if causal else places < counts[:, None, None, None] + queries
    if window > 0:
        seen = seen & (places > at - window)
    return np.where(seen, np.float32(0), np.float32(LOWEST))


@kernel("GroupQueryAttention", domain=MICROSOFT)
@quiet
def group_query_attention(
    query: Array,
    key: Array | None,
    value: Array | None,
    past_key: Array | None,
    past_value: Array | None,
    seqlens_k: Array,
    total_sequence_length: Array,
    cos_cache: Array | None = None,
    sin_cache: Array | None = None,
    position_ids: Array | None = None,
    attention_bias: Array | None = None,
    head_sink: Array | None = None,
    k_scale: Array | None = None,
    v_scale: Array | None = None,
    q_norm_weight: Array | None = None,
    k_norm_weight: Array | None = None,
    *,
    causal: int = 1,
    do_rotary: int = 0,
    kv_num_heads: int,
    local_window_size: int = -1,
    num_heads: int,
    qk_norm_epsilon: float = 1e-6,
    rotary_interleaved: int = 0,
    scale: float = 0.0,
    smooth_softmax: int = 0,
    softcap: float = 0.0,
) -> tuple[Array, Array, Array]:
    """Attention with fewer key heads than query heads and a cache: output, present key, present value.

    Entry b of the batch has seqlens_k[b] + 1 keys, of which the last ones are new.
    """
    if k_scale is not None or v_scale is not None:
        raise KernelError("quantised caches (k_scale, v_scale) are not supported")
    q, k, v = _split_groups(query, key, value, num_heads, kv_num_heads)
    if q_norm_weight is not None and k_norm_weight is not None:
        q = rms_normalization(q, q_norm_weight, epsilon=qk_norm_epsilon)
        k = rms_normalization(k, k_norm_weight, epsilon=qk_norm_epsilon)
    length, total = q.shape[2], int(total_sequence_length.reshape(-1)[0])
    prompt = length == total and length > 1
    counts = np.zeros(len(q), np.int64) if prompt else seqlens_k.reshape(-1).astype(np.int64) + 1 - length
    if do_rotary:
        if cos_cache is None or sin_cache is None:
            raise KernelError("do_rotary needs cos_cache and sin_cache")
        places = counts[:, None] + np.arange(length)
        half = cos_cache.shape[1] * 2
        q, k = (
            standard_rotary_embedding(
                x, cos_cache, sin_cache, places, interleaved=rotary_interleaved, rotary_embedding_dim=half % x.shape[3]
            )
            for x in (q, k)
        )
    size = max(total, 0 if past_key is None else past_key.shape[2])
    k, v = _cached(past_key, k, counts, size), _cached(past_value, v, counts, size)
    seen = _visible(counts, (length, total), local_window_size, bool(causal))
    added = seen if attention_bias is None else seen + attention_bias[..., :total]
    keys, values = k[:, :, :total], v[:, :, :total]
    if head_sink is not None or smooth_softmax:
        keys, values, added = _with_sink(keys, values, added, head_sink, num_heads)
    y, *_ = attention(q, keys, values, added, scale=scale or None, softcap=softcap)
    return y.swapaxes(1, 2).reshape(len(q), length, -1), k, v


def _split_groups(
    query: Array, key: Array | None, value: Array | None, heads: int, kv_heads: int
) -> tuple[Array, Array, Array]:
    """Query, key and value, heads first, from three tensors or from one with all three side by side."""
    if key is None or value is None:
        size = query.shape[-1] // (heads + 2 * kv_heads)
        query, key, value = np.split(query, [heads * size, (heads + kv_heads) * size], axis=-1)
    return _heads_first(query, heads), _heads_first(key, kv_heads), _heads_first(value, kv_heads)


def _with_sink(k: Array, v: Array, added: Array, sink: Array | None, heads: int) -> tuple[Array, Array, Array]:
    """One more key of zeros, whose score is the head's sink, by default 0, and whose value is 0."""
    k, v = (np.concatenate([x, np.zeros_like(x[:, :, :1])], axis=2) for x in (k, v))
    score = np.zeros(heads, np.float32) if sink is None else sink.astype(np.float32)
    shape = (added.shape[0], heads, added.shape[2])
    column = np.broadcast_to(score[:, None, None], (*shape, 1))
    return k, v, np.concatenate([np.broadcast_to(added, (*shape, added.shape[3])), column], axis=3)
