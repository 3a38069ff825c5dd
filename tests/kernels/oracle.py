"""What the kernel tests share: agreement with onnxruntime, and strategies for shapes and tensors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from hypothesis import settings
from hypothesis import strategies as st

from tests.kernels.single_node import run_kernel, run_onnxruntime

Array = np.ndarray[Any, Any]

examples = settings(deadline=None, derandomize=True, max_examples=25)
"""Every property is checked on the same 25 examples in each run."""

shapes = st.lists(st.integers(1, 5), min_size=0, max_size=4).map(tuple)
full_shapes = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)
seeds = st.integers(0, 2**32 - 1)


def tensor(seed: int, shape: Sequence[int], dtype: Any = np.float32) -> Array:
    """Normal numbers of deviation 3 as `dtype`; integers are spread over -9 to 9, or over 0 to 18 if unsigned."""
    generator = np.random.default_rng(seed)
    kind = np.dtype(dtype).kind
    if kind == "b":
        return generator.integers(0, 2, shape).astype(dtype)
    if kind in "iu":
        return generator.integers(-9 if kind == "i" else 0, 10 if kind == "i" else 19, shape).astype(dtype)
    return np.asarray(generator.normal(0, 3, shape)).astype(dtype)


def ours(node: onnx.NodeProto, *inputs: Array | None, opset: int) -> tuple[Array, ...]:
    return run_kernel(node, inputs, opset)


def check(
    node: onnx.NodeProto, *inputs: Array | None, opset: int, rtol: float = 1e-5, atol: float = 1e-6
) -> tuple[Array, ...]:
    """Fail unless our outputs have the dtypes, shapes and (within the tolerance) values of onnxruntime's."""
    given = [None if x is None else np.asarray(x) for x in inputs]
    results = run_kernel(node, given, opset)
    present = iter(run_onnxruntime(node, given, opset))
    expected = [next(present) if name else None for name in node.output]
    for result, wanted in zip(results, expected, strict=True):
        if wanted is None:
            continue
        assert isinstance(result, np.ndarray)
        assert result.dtype == wanted.dtype
        assert result.shape == wanted.shape
        if result.dtype.kind == "O":
            assert result.tolist() == wanted.tolist()
        else:
            np.testing.assert_allclose(result, wanted, rtol=rtol, atol=atol)
    return results
