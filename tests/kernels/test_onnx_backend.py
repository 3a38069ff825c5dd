"""onnx's own backend tests on our kernels: its node cases, and its small models by hand and from PyTorch.

The expected outputs and tolerances are onnx's (rtol 1e-3, atol 1e-7; shapes and dtypes equal). `EXCLUDED` names what is
left out and why; `python -m benchmarks.backend_cases` prints the table of what passed.
"""

import unittest
import warnings

import numpy as np
import pytest
from onnx.backend.test import BackendTest

from partita.backend import Backend

pytestmark = pytest.mark.slow

EXCLUDED = (
    ("^test_bernoulli", "random: the expected draws are those of numpy's old generator"),
    ("^test_(adagrad|adam|momentum|nesterov|gradient_of)", "training: optimisers and gradients"),
    ("^test_ai_onnx_ml_", "domain ai.onnx.ml: trees and label encoders"),
    (
        "^test_resize_downsample_scales_(linear|cubic)_align_corners_cpu",
        "expects a fractional output length in the formula of align_corners; onnxruntime fails it too",
    ),
    ("^test_loop16_seq_none", "the runner takes the length of a scalar in a sequence, whoever computed it"),
    (
        "^test_attention_4d_causal_fp16_expanded",
        "expects an order of float16 rounding; 2 of 192 elements are one unit in the last place off",
    ),
    (
        "^test_PReLU_[123]d_multiparam",
        "opset 6: onnx's converter to opset 7 leaves a slope per channel in a shape that does not broadcast",
    ),
)
"""Patterns of case names (with the device at the end) and the reason why each is left out."""


def backend_tests() -> dict[str, type[unittest.TestCase]]:
    """The test classes by name, for the CPU; those of `light` models are left out, whose weights are all equal."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        runner = BackendTest(Backend, __name__)
        for pattern, _ in EXCLUDED:
            runner.exclude(pattern)
        classes: dict[str, type[unittest.TestCase]] = runner.test_cases
    for each in classes.values():
        for name in [name for name in vars(each) if name.endswith("_cuda")]:
            delattr(each, name)
    return {name: each for name, each in classes.items() if "Real" not in name}


globals().update(backend_tests())
