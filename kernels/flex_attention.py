"""FlexAttention: attention whose scores and weights a subgraph may change."""

import math
from collections.abc import Callable
from typing import Any

from partita.errors import KernelError
from partita.kernels.arrays import Array, dtype_of, quiet
from partita.kernels.attention import scores_of, softmax_of_scores, weighted_sum
from partita.kernels.registry import kernel

PREVIEW = "ai.onnx.preview"


@kernel("FlexAttention", domain=PREVIEW, since=1)
@quiet
def flex_attention(
    Q: Array,
    K: Array,
    V: Array,
    *,
    prob_mod: Callable[..., tuple[Any, ...]] | None = None,
    scale: float | None = None,
    score_mod: Callable[..., tuple[Any, ...]] | None = None,
    softmax_precision: int = 0,
) -> Array:
    """Y (batch, query heads, queries, size of a value) from Q, K and V with four axes each.

    The subgraphs see the scores and the weights, (batch, query heads, queries, keys), in the precision of the softmax.
    Source: ONNX operators, ai.onnx.preview.FlexAttention-1.
    """
    if not Q.ndim == K.ndim == V.ndim == 4:
        raise KernelError(f"Q, K and V must have 4 axes, have {Q.ndim}, {K.ndim} and {V.ndim}")
    if not K.shape[1] or Q.shape[1] % K.shape[1]:
        raise KernelError(f"{Q.shape[1]} query heads are not a multiple of {K.shape[1]} key heads")
    factor = 1 / math.sqrt(Q.shape[3]) if scale is None else scale
    scores = scores_of(Q * Q.dtype.type(factor), K)
    if softmax_precision:
        scores = scores.astype(dtype_of(softmax_precision), copy=False)
    if score_mod is not None:
        scores = score_mod(scores)[0].copy()
    weights = softmax_of_scores(scores)
    if prob_mod is not None:
        weights = prob_mod(weights)[0]
    return weighted_sum(weights.astype(V.dtype, copy=False), V)
