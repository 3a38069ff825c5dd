"""Attention and RotaryEmbedding."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from partita.errors import KernelError
from partita.kernels import attention_plan
from partita.kernels.arrays import BLOCK, Array
from partita.kernels.products import cuts, multiply
from partita.kernels.registry import kernel
from partita.kernels.softmax import NARROW, row_sums
from partita.kernels.threads import share

_DOUBLE = 11
"""The number of float64 in TensorProto.DataType."""


@kernel("Attention", since=23)
def attention(
    Q: Array,
    K: Array,
    V: Array,
    attn_mask: Array | None = None,
    past_key: Array | None = None,
    past_value: Array | None = None,
    nonpad_kv_seqlen: Array | None = None,
    *,
    is_causal: int = 0,
    kv_num_heads: int = 0,
    left_window_size: int = -1,
    q_num_heads: int = 0,
    qk_matmul_output_mode: int = 0,
    right_window_size: int = -1,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int = 0,
    n_outputs: int = 1,
) -> tuple[Any, ...]:
    """Scaled dot product attention: Y, present key, present value and, for a fourth output, the scores.

    Q is (batch, heads, queries, size), or (batch, queries, heads * size) with the numbers of heads as attributes; K and
    V likewise with their own, fewer heads. Source: ONNX operators, Attention-25.
    """
    if (past_key is None) != (past_value is None):
        raise KernelError("past_key and past_value must be given together")
    q, k, v = _split_heads(Q, q_num_heads), _split_heads(K, kv_num_heads), _split_heads(V, kv_num_heads)
    if past_key is not None and past_value is not None:
        k, v = np.concatenate((past_key, k), axis=2), np.concatenate((past_value, v), axis=2)
    if q.shape[1] % k.shape[1]:
        raise KernelError(f"{q.shape[1]} query heads are not a multiple of {k.shape[1]} key heads")
    windows = (0 if is_causal else right_window_size, left_window_size)
    past = 0 if past_key is None else past_key.shape[2]
    allowed = _allowed((*q.shape[:3], k.shape[2]), past, windows, nonpad_kv_seqlen)
    rule = _Rule(
        factor=q.dtype.type(1 / math.sqrt(q.shape[3]) if scale is None else scale),
        softcap=softcap,
        precise=np.dtype(np.float64) if softmax_precision == _DOUBLE else q.dtype,
        kept=qk_matmul_output_mode if n_outputs > 3 else None,
    )
    y = np.empty((q.shape[0], q.shape[2], q.shape[1], v.shape[3]), q.dtype).swapaxes(1, 2)
    if rule.kept is not None:
        y[...], kept = _attend(q, k, v, attn_mask, allowed, rule)
        return _join_heads(y) if Q.ndim == 3 else y, k, v, kept
    is_plain = allowed is None and not softcap and rule.precise == np.float32
    if is_plain and attention_plan.suits(q, k, v, attn_mask):
        attention_plan.attend(q, k, v, attn_mask, rule.factor, y)
        return _join_heads(y) if Q.ndim == 3 else y, k, v, None
    group = q.shape[1] // max(1, k.shape[1])

    def compute(part: slice) -> None:
        heads = slice(group * part.start, group * part.stop)
        mask, seen = _of_heads(attn_mask, heads), _of_heads(allowed, heads)
        _attend_into(y[:, heads], q[:, heads], k[:, part], v[:, part], mask, seen, rule)

    share(compute, _parts_of_heads(k.shape[1], y.size // max(1, v.shape[3]) * k.shape[2]))
    return _join_heads(y) if Q.ndim == 3 else y, k, v, None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """How scores become weights."""

    factor: Any
    softcap: float
    precise: np.dtype[Any]
    """In which the softmax is computed."""
    kept: int | None
    """The stage of the scores that is wanted, by its number in `qk_matmul_output_mode`."""


def _attend_into(
    y: Array, q: Array, k: Array, v: Array, mask: Array | None, allowed: Array | None, rule: _Rule
) -> None:
    """Write the weighted values: they are divided by the sum of the weights, which are more numbers than they."""
    scores = _capped(scores_of(q * rule.factor, k), rule.softcap)
    weights = _masked(scores, mask, allowed).astype(rule.precise, copy=False)
    total = _exponentiate(weights)
    np.divide(weighted_sum(weights.astype(q.dtype, copy=False), v), total, out=y)


def _attend(
    q: Array, k: Array, v: Array, mask: Array | None, allowed: Array | None, rule: _Rule
) -> tuple[Array, Array | None]:
    """The weighted values of all heads, and the stage of the scores that is kept."""
    scores = scores_of(q * rule.factor, k)
    stages = [scores]
    scores = _capped(scores, rule.softcap)
    stages.append(scores)
    is_kept = rule.kept is not None
    scores = _masked(scores.copy() if is_kept else scores, mask, allowed)
    stages.append(scores)
    stages.append(softmax_of_scores(scores.astype(rule.precise, copy=is_kept)).astype(q.dtype, copy=False))
    return weighted_sum(stages[-1], v), None if rule.kept is None else stages[rule.kept]


def _capped(scores: Array, softcap: float) -> Array:
    """Scores drawn in smoothly between -softcap and softcap; 0 leaves them."""
    return np.tanh(scores / scores.dtype.type(softcap)) * scores.dtype.type(softcap) if softcap else scores


def _parts_of_heads(heads: int, scores: int) -> list[slice]:
    """Heads of keys that are worked on together, an even number of parts: their scores stay in a cache."""
    count = round(scores / (4 * BLOCK))
    return cuts(heads, count + count % 2) if heads else []


def _of_heads(mask: Array | None, heads: slice) -> Array | None:
    """The part of a mask, which broadcasts to (batch, heads, queries, keys), for some heads."""
    if mask is None or mask.ndim < 3 or mask.shape[-3] == 1:
        return mask
    return mask[..., heads, :, :]


def _split_heads(x: Array, heads: int) -> Array:
    """(batch, length, heads * size) as (batch, heads, length, size); four axes stay."""
    if x.ndim == 4:
        return x
    if x.ndim != 3 or heads < 1 or x.shape[2] % heads:
        raise KernelError(f"an input of shape {x.shape} cannot be divided into {heads} heads")
    return x.reshape(x.shape[0], x.shape[1], heads, x.shape[2] // heads).swapaxes(1, 2)


def _join_heads(x: Array) -> Array:
    """(batch, heads, length, size) as (batch, length, heads * size)."""
    return x.swapaxes(1, 2).reshape(x.shape[0], x.shape[2], x.shape[1] * x.shape[3])


def scores_of(q: Array, k: Array) -> Array:
    """Q K^T (batch, query heads, queries, keys); query heads that share a key head are joined."""
    batch, heads, queries, size = q.shape
    joined = q.reshape(batch, k.shape[1], heads // k.shape[1] * queries, size)
    return multiply(joined, k.swapaxes(2, 3)).reshape(batch, heads, queries, k.shape[2])


def weighted_sum(weights: Array, v: Array) -> Array:
    """The values (batch, query heads, queries, size of a value) that the weights select."""
    batch, heads, queries, keys = weights.shape
    joined = weights.reshape(batch, v.shape[1], heads // v.shape[1] * queries, keys)
    return multiply(joined, v).reshape(batch, heads, queries, v.shape[3])


def _allowed(shape: tuple[int, ...], past: int, windows: tuple[int, int], lengths: Array | None) -> Array | None:
    """Which keys each query may see, by its distance and by the number of valid keys; None if all.

    `windows` are the keys to the right and to the left, -1 for all. The queries stand behind `past` keys, or are the
    last of the valid keys.
    """
    queries, keys = shape[2:]
    offset = past if lengths is None else lengths.reshape(-1) - queries
    right, left = windows
    allowed: Array | None = None
    if right >= 0 or left >= 0:
        at = np.arange(queries)[:, None] + np.reshape(offset, (-1, 1, 1, 1))
        distance = np.arange(keys) - at
        allowed = np.ones(distance.shape, bool)
        if right >= 0:
            allowed &= distance <= right
        if left >= 0:
            allowed &= distance >= -left
    if lengths is not None:
        valid = np.arange(keys) < lengths.reshape(-1, 1, 1, 1)
        allowed = valid if allowed is None else allowed & valid
    return allowed


def _masked(scores: Array, mask: Array | None, allowed: Array | None) -> Array:
    """The scores, changed in place: plus a mask of numbers, and minus infinity where a key is not allowed.

    A mask for fewer keys excludes the others.
    """
    if mask is not None:
        missing = scores.shape[-1] - mask.shape[-1]
        if missing > 0:
            fill = False if mask.dtype == np.bool_ else -np.inf
            mask = np.pad(mask, [(0, 0)] * (mask.ndim - 1) + [(0, missing)], constant_values=fill)
        if mask.dtype == np.bool_:
            np.copyto(scores, -np.inf, where=~mask)
        else:
            scores += mask
    if allowed is not None:
        np.copyto(scores, -np.inf, where=~allowed)
    return scores


def softmax_of_scores(scores: Array) -> Array:
    """Softmax over the keys, in place; a row without any allowed key becomes zeros."""
    if not scores.flags.c_contiguous:
        _softmax_in_place(scores)
    elif scores.size:
        rows = scores.reshape(-1, scores.shape[-1])
        share(lambda part: _softmax_in_place(rows[part]), cuts(len(rows), -(-scores.size // (2 * BLOCK))))
    return scores


def _softmax_in_place(scores: Array) -> None:
    scores /= _exponentiate(scores)


def _exponentiate(scores: Array) -> Array:
    """Exponentials in place, of the scores less what keeps them in range; the sums of rows by which to divide them."""
    if scores.size == 0:
        return np.ones((*scores.shape[:-1], 1), scores.dtype)
    highest = scores.max()
    if highest - scores.min() < NARROW:
        scores -= highest
        return row_sums(np.exp(scores, out=scores))
    largest = scores.max(axis=-1, keepdims=True)
    lowest = np.nextafter(scores.dtype.type(-np.inf), scores.dtype.type(0))
    np.maximum(largest, lowest, out=largest)  # a row of minus infinity only, whose exponentials must be 0
    scores -= largest
    total = row_sums(np.exp(scores, out=scores))
    return np.maximum(total, 1, out=total)  # it is less in such a row only


@kernel("RotaryEmbedding", since=23)
def rotary_embedding(
    X: Array,
    cos_cache: Array,
    sin_cache: Array,
    position_ids: Array | None = None,
    *,
    interleaved: int = 0,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
) -> Array:
    """Rotate pairs of features by angles that depend on the position.

    X is (batch, heads, length, size) or (batch, length, heads * size). A pair is (i, i + half), or neighbours if
    `interleaved`; features from `rotary_embedding_dim` on stay. Source: ONNX operators, RotaryEmbedding-23.
    """
    x = _split_heads(X, num_heads)
    turned = rotary_embedding_dim or x.shape[3]
    cos, sin = (cache if position_ids is None else cache[position_ids] for cache in (cos_cache, sin_cache))
    if cos.shape[-1] != turned // 2 or sin.shape[-1] != turned // 2:
        raise KernelError(
            f"the caches need {turned // 2} angles per position, have {cos.shape[-1]} and {sin.shape[-1]}"
        )
    cos, sin = cos[:, None], sin[:, None]
    y = np.empty_like(x)
    first = slice(0, turned, 2) if interleaved else slice(0, turned // 2)
    second = slice(1, turned, 2) if interleaved else slice(turned // 2, turned)
    a, b = x[..., first], x[..., second]
    y[..., first] = cos * a - sin * b
    y[..., second] = sin * a + cos * b
    y[..., turned:] = x[..., turned:]
    return y if X.ndim == 4 else y.swapaxes(1, 2).reshape(X.shape)
