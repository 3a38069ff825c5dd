"""Losses of classification against onnxruntime."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from partita.errors import KernelError
from tests.kernels.oracle import check, examples, ours, seeds, tensor


@examples
@given(
    reduction=st.sampled_from(["none", "sum", "mean"]),
    weighted=st.booleans(),
    ignored=st.sampled_from([None, 0, 2]),
    pixels=st.sampled_from([(), (4,), (2, 3)]),
    seed=seeds,
)
def test_losses_agree_with_onnxruntime(
    reduction: str, weighted: bool, ignored: int | None, pixels: tuple[int, ...], seed: int
) -> None:
    attributes: dict[str, Any] = {"reduction": reduction} | ({} if ignored is None else {"ignore_index": ignored})
    scores, labels = tensor(seed, (5, 3, *pixels)), np.random.default_rng(seed).integers(0, 3, (5, *pixels))
    labels.reshape(-1)[0] = 1  # one label is always counted
    extra = [np.array([0.5, 1, 2], np.float32)] if weighted else []
    names = ["x", "t", "w"][: 2 + len(extra)]
    check(helper.make_node("NegativeLogLikelihoodLoss", names, ["y"], **attributes), scores, labels, *extra, opset=13)
    node = helper.make_node("SoftmaxCrossEntropyLoss", names, ["y", "p"], **attributes)
    check(node, scores, labels, *extra, opset=13)


def test_an_unknown_reduction_is_named() -> None:
    node = helper.make_node("NegativeLogLikelihoodLoss", ["x", "t"], ["y"], reduction="max")
    with pytest.raises(KernelError, match="is 'max'"):
        ours(node, tensor(1, (2, 3)), np.array([0, 1]), opset=13)
