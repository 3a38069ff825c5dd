"""Whether a case comes out as in onnxruntime."""

from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnxruntime.capi import onnxruntime_pybind11_state as refusals

import partita.kernels  # noqa: F401  (registers every kernel)
from partita.errors import PartitaError
from partita.graph.ir import Array, Node
from partita.kernels.executor import compute
from tests.kernels.fuzzing import elementwise, fused, movement, products, quantized, vision, windows  # noqa: F401  (register)
from tests.kernels.fuzzing.draw import Case
from tests.kernels.single_node import attributes_of, run_onnxruntime

REFUSALS = (
    refusals.Fail,
    refusals.InvalidArgument,
    refusals.InvalidGraph,
    refusals.NotImplemented,
    refusals.RuntimeException,
)


def node_of(case: Case, name: str) -> tuple[Node, list[Array | None]]:
    """The operator as kernels see it, and copies of its inputs."""
    proto = proto_of(case)
    attributes = attributes_of(proto)
    inputs = [None if x is None else in_some_layout(x) for x in case.inputs]
    return Node(name, case.op, tuple(proto.input), tuple(proto.output), attributes, case.domain, case.opset), inputs


def in_some_layout(x: Array) -> Array:
    """A copy of the same tensor that lies in order, channels last, transposed, or as a view of a larger one."""
    layout = (x.size + sum(x.shape)) % 4
    if layout == 1 and x.ndim > 2:
        return np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1)
    if layout == 2:
        return x.T.copy().T
    if layout == 3 and x.ndim:
        return np.repeat(x, 2, axis=-1)[..., ::2]
    return x.copy()


def proto_of(case: Case) -> onnx.NodeProto:
    names = [f"x{i}" if x is not None else "" for i, x in enumerate(case.inputs)]
    outputs = [f"y{i}" for i in range(case.outputs)]
    return helper.make_node(case.op, names, outputs, domain=case.domain, **case.attributes)


def differs(case: Case) -> str:
    """What differs, "" if nothing, or "refused" if onnxruntime does not compute it."""
    node, inputs = node_of(case, "fuzzed")
    try:
        with np.errstate(all="ignore"):
            results = tuple(compute(node, inputs))
    except PartitaError as error:
        results, refusal = (), f"we refuse it: {error}"
    else:
        refusal = ""
    try:
        expected = run_onnxruntime(proto_of(case), case.inputs, case.opset)
    except REFUSALS:
        return "refused"
    if refusal:
        return refusal
    if len(results) < len(expected):
        return f"{len(results)} outputs instead of {len(expected)}"
    return next(
        (
            difference
            for y, wanted in zip(results, expected, strict=False)
            if (difference := _compared(case, y, wanted))
        ),
        "",
    )


def _compared(case: Case, y: Any, wanted: Any) -> str:
    if not isinstance(y, np.ndarray | np.generic):
        return f"the output is a {type(y).__name__}"
    if y.shape != wanted.shape or y.dtype != wanted.dtype:
        return f"{y.dtype}{list(y.shape)} instead of {wanted.dtype}{list(wanted.shape)}"
    if y.size == 0:
        return ""
    a, b = _plain(np.asarray(y)), _plain(wanted)
    limit = float(case.steps)
    if y.dtype.kind not in "biu" and y.dtype.name not in ("int4", "uint4"):
        finite = np.abs(b[np.isfinite(b)])
        limit = case.tolerance * max(1.0, float(finite.max(initial=0)))
    with np.errstate(invalid="ignore"):
        off = ~((a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= limit))
    if not off.any():
        return ""
    worst = np.argmax(off)
    return f"{int(off.sum())} of {off.size} differ, such as {a.flat[worst]} instead of {b.flat[worst]}"


def _plain(x: Array) -> Array:
    """As float64, or int64 where that holds it exactly."""
    return x.astype(np.int64) if x.dtype.kind in "iu" else x.astype(np.float64)
