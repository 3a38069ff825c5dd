"""FlexAttention without subgraphs is Attention; the backend cases of onnx test it with its subgraphs."""

import numpy as np
import pytest

from partita.errors import KernelError
from partita.kernels.attention import attention
from partita.kernels.flex_attention import flex_attention
from tests.kernels.oracle import Array, tensor


def heads(seed: int, *shape: int) -> Array:
    return tensor(seed, shape)


def test_without_subgraphs_it_is_attention() -> None:
    q, k, v = heads(0, 2, 4, 3, 5), heads(1, 2, 2, 6, 5), heads(2, 2, 2, 6, 7)
    np.testing.assert_allclose(flex_attention(q, k, v), attention(q, k, v)[0], rtol=1e-5, atol=1e-6)


def test_a_score_subgraph_can_mask_keys() -> None:
    q, k, v = heads(0, 1, 1, 3, 4), heads(1, 1, 1, 5, 4), heads(2, 1, 1, 5, 4)
    masked = flex_attention(q, k, v, score_mod=lambda s: (np.where(np.arange(5) < 2, s, -np.inf).astype(s.dtype),))
    np.testing.assert_allclose(masked, flex_attention(q, k[:, :, :2], v[:, :, :2]), rtol=1e-5, atol=1e-6)


def test_a_weight_subgraph_changes_the_weights() -> None:
    q = heads(0, 1, 2, 3, 4)
    twice = flex_attention(q, q, q, prob_mod=lambda weights: (2 * weights,))
    np.testing.assert_allclose(twice, 2 * flex_attention(q, q, q), rtol=1e-5)


def test_the_subgraphs_see_the_precision_asked_for() -> None:
    q, seen = heads(0, 1, 2, 3, 4), []

    def look(scores: Array) -> tuple[Array]:
        seen.append(scores.dtype)
        return (scores,)

    assert flex_attention(q, q, q, score_mod=look, softmax_precision=11).dtype == np.float32
    assert seen == [np.float64]


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(KernelError, match="3 query heads are not a multiple of 2 key heads"):
        flex_attention(heads(0, 1, 3, 2, 4), heads(1, 1, 2, 2, 4), heads(2, 1, 2, 2, 4))
