"""The head of an image classifier: the mean over all positions, flattened, times a matrix, as one call.

To compiled code the mean is a depthwise convolution with a window over the whole input, and the product is one of 1x1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from partita.graph.ir import Array, Node
from partita.kernels import threads
from partita.kernels.conv_layout import Convolution
from partita.kernels.conv_plan import Plan, can_plan
from partita.kernels.stretch import MOST_PLANS, Call
from partita.kernels.windows import make_windows

SPATIAL_AXES = {(2, 3), (-2, -1), (2, -1), (-2, 3)}
PLAIN_GEMM = {"alpha": 1.0, "beta": 1.0, "transA": 0}


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """What the nodes of a head say."""

    x: str
    output: str
    w: Array
    """(classes, channels, 1, 1)"""
    bias: Array | None
    batch: int
    """The batch that it is for, below 1 for any."""


def classifier_of(nodes: Sequence[Node], constants: Mapping[str, Any]) -> Classifier | None:
    """The nodes as a head if they are one: a mean over both spatial axes, a Reshape or Flatten to matrices, a Gemm."""
    mean, flatten, gemm = nodes
    if not _is_mean(mean, constants) or flatten.inputs[:1] != mean.outputs or gemm.inputs[:1] != flatten.outputs:
        return None
    if gemm.op != "Gemm" or any(gemm.attributes.get(name, value) != value for name, value in PLAIN_GEMM.items()):
        return None
    b, bias = (constants.get(name) for name in (*gemm.inputs[1:], "")[:2])
    if not isinstance(b, np.ndarray) or b.dtype != np.float32 or b.flags.writeable or b.ndim != 2:
        return None
    w = b if gemm.attributes.get("transB") else b.T
    batch = _batch_of(flatten, constants, w.shape[1])
    if batch is None:
        return None
    if len(gemm.inputs) > 2 and (
        bias is None or bias.dtype != np.float32 or bias.shape not in ((len(w),), (1, len(w)))
    ):
        return None
    vector = None if bias is None else bias.reshape(-1)
    return Classifier(mean.inputs[0], gemm.outputs[0], w[:, :, None, None], vector, batch)


def _is_mean(node: Node, constants: Mapping[str, Any]) -> bool:
    if node.domain or node.op != "ReduceMean":
        return node.op == "GlobalAveragePool" and not node.domain
    axes = constants.get(node.inputs[1]) if len(node.inputs) > 1 else node.attributes.get("axes")
    return (
        axes is not None and tuple(sorted(map(int, axes))) in SPATIAL_AXES and node.attributes.get("keepdims", 1) == 1
    )


def _batch_of(node: Node, constants: Mapping[str, Any], channels: int) -> int | None:
    """The N of (N, channels) that the node makes of (N, channels, 1, 1), below 1 for any; None if it does not."""
    if node.op == "Flatten":
        return -1 if node.attributes.get("axis", 1) == 1 else None
    shape = constants.get(node.inputs[1]) if node.op == "Reshape" and len(node.inputs) > 1 else None
    if shape is None or len(shape) != 2 or shape[1] not in (-1, channels) or shape[0] == shape[1]:
        return None
    return None if shape[0] == 0 and node.attributes.get("allowzero", 0) else int(shape[0])


class Head:
    """A classifier's head, planned once per shape of its input."""

    needs_outer = False

    def __init__(self, classifier: Classifier, one_by_one: Call) -> None:
        self.inputs, self.outputs = (classifier.x,), (classifier.output,)
        self._classifier, self._one_by_one = classifier, one_by_one
        self._plan_of = lru_cache(MOST_PLANS)(self._plan)

    def __call__(self, inputs: Sequence[Any], outer: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        """The output; node by node where the input is not what compiled code takes."""
        (x,) = inputs
        if not isinstance(x, np.ndarray) or x.dtype != np.float32:
            return self._one_by_one(inputs, outer)
        plan = self._plan_of(x.shape, threads.threads())
        if plan is None:
            return self._one_by_one(inputs, outer)
        y = plan.run({"x": x})["y"]
        return (y.reshape(y.shape[:2]),)

    def _plan(self, shape: tuple[int, ...], _: int) -> Plan | None:
        """For so many threads."""
        w, batch = self._classifier.w, self._classifier.batch
        if batch > 0 and batch != shape[0]:
            return None
        if len(shape) != 4 or 0 in shape or shape[1] != w.shape[1] or shape[1] == 1 or not can_plan(w, 1):
            return None
        sizes = shape[2:]
        mean = np.full((shape[1], 1, *sizes), 1 / math.prod(sizes), np.float32)
        mean.flags.writeable = False
        parts = [
            Convolution(x="x", w=mean, output="mean", windows=make_windows(sizes, sizes), group=shape[1]),
            Convolution(x="mean", w=w, output="y", windows=make_windows((1, 1), (1, 1)), bias=self._classifier.bias),
        ]
        return Plan(parts, {"x": shape}, {"y": (shape[0], len(w), 1, 1)})
