"""Losses of classification, which training graphs end in."""

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array, quiet
from partita.kernels.registry import kernel
from partita.kernels.softmax import log_softmax


@quiet
def _reduced(
    log_probabilities: Array, target: Array, weight: Array | None, ignore_index: int | None, how: str
) -> Array:
    """Minus the weighted log-probability of each target class (N, d...), or its sum or weighted mean."""
    if how not in ("none", "sum", "mean"):
        raise KernelError(f"reduction must be none, sum or mean, is {how!r}")
    counted = np.ones(target.shape, bool) if ignore_index is None else target != ignore_index
    classes = np.where(counted, target, 0)
    chosen = np.take_along_axis(log_probabilities, classes[:, None], axis=1)[:, 0]
    weights = counted * (weight[classes] if weight is not None else np.ones((), log_probabilities.dtype))
    loss = -chosen * weights.astype(log_probabilities.dtype)
    if how == "none":
        return np.asarray(loss)
    return np.asarray(loss.sum() if how == "sum" else loss.sum() / weights.sum(), log_probabilities.dtype)


@kernel("NegativeLogLikelihoodLoss", since=12)
def negative_log_likelihood_loss(
    input: Array,
    target: Array,
    weight: Array | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Array:
    """Loss of log-probabilities (N, C, d...) for the classes (N, d...), weighted by class.

    Source: ONNX operators, NegativeLogLikelihoodLoss-22.
    """
    return _reduced(input, target, weight, ignore_index, reduction)


@kernel("SoftmaxCrossEntropyLoss", since=12)
def softmax_cross_entropy_loss(
    scores: Array,
    labels: Array,
    weights: Array | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> tuple[Array, Array]:
    """Loss of scores (N, C, d...) for the classes (N, d...), weighted by class; also their log-probabilities.

    Source: ONNX operators, SoftmaxCrossEntropyLoss-13.
    """
    log_probabilities = log_softmax(scores, axis=1)
    return _reduced(log_probabilities, labels, weights, ignore_index, reduction), log_probabilities
