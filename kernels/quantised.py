"""Computes operators at a quantised location: tensors as integer codes, exact sums, results rounded once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from partita.graph.dtypes import is_floating, name_of_numpy
from partita.graph.ir import Array, Graph, Node
from partita.graph.quantisation import Grid, Scheme
from partita.kernels.executor import compute
from partita.kernels.packing import packed
from partita.kernels.registry import kernel_for

LINEAR_OPS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
"""Operators whose products of codes are summed exactly before anything is rounded."""
CODE_DTYPES = {(8, True): np.int8, (8, False): np.uint8, (16, True): np.int16, (16, False): np.uint16}


@dataclass(frozen=True, slots=True, eq=False)
class Quantised:
    """A tensor as it lies at a quantised location."""

    codes: Array
    grid: Grid

    @property
    def nbytes(self) -> int:
        return self.codes.nbytes

    @property
    def shape(self) -> tuple[int, ...]:
        return self.codes.shape

    def centred(self) -> Array:
        """codes - zero point, whole numbers as float64."""
        return self.codes.astype(np.float64) - self.grid.zero_point

    def values(self) -> Array:
        """What the codes stand for, as float32."""
        return (self.centred() * self.grid.scale).astype(np.float32)


def quantise(array: Array, grid: Grid) -> Quantised:
    """The nearest codes, ties to even, beyond the range saturated; NaN becomes zero."""
    codes = np.rint(array.astype(np.float64) / grid.scale) + grid.zero_point
    codes = np.nan_to_num(codes, nan=grid.zero_point, posinf=grid.greatest_code, neginf=grid.least_code)
    clipped = np.clip(codes, grid.least_code, grid.greatest_code)
    return Quantised(clipped.astype(CODE_DTYPES[grid.bits, grid.is_signed]), grid)


def compute_quantised(node: Node, inputs: Sequence[Any], scheme: Scheme) -> tuple[Any, ...]:
    """The outputs of one operator as float32, not yet rounded to their grids.

    `inputs` are Quantised, arrays that are no floats, float arrays for constants, or None. A fused operator rounds
    nothing inside. Weights of products take the scheme's grid; other constants stay as they are.
    """
    if node.body is not None:
        return _run_body(node.body, inputs, scheme)
    if node.op in LINEAR_OPS and not node.domain and isinstance(inputs[0], Quantised):
        result = _linear(node, inputs, scheme)
        if result is not None:
            return (result,)
    return compute(node, [_plain(x) for x in inputs])


def _run_body(body: Graph, inputs: Sequence[Any], scheme: Scheme) -> tuple[Any, ...]:
    known: dict[str, Any] = {**body.constants, **dict(zip(body.inputs, inputs, strict=True))}
    for node in body.nodes:
        results = compute_quantised(node, [known[name] if name else None for name in node.inputs], scheme)
        known.update((name, result) for name, result in zip(node.outputs, results, strict=False) if name)
    return tuple(_plain(known[name]) for name in body.outputs)


def _plain(value: Any) -> Any:
    return value.values() if isinstance(value, Quantised) else value


def _linear(node: Node, inputs: Sequence[Any], scheme: Scheme) -> Array | None:
    """Exact sums of products of codes, scaled; None if the other factor is neither a weight nor quantised."""
    x, other = inputs[0], inputs[1]
    attributes = dict(node.attributes)
    bias = inputs[2] if len(inputs) > 2 else None
    bias_factor = attributes.pop("beta", 1.0) if node.op == "Gemm" else 1.0
    if isinstance(other, Quantised):
        codes, scales = other.centred(), np.array(other.grid.scale)
    elif isinstance(other, np.ndarray) and is_floating(name_of_numpy(other.dtype)):
        codes, scales = weight_codes(other, channel_axis(node, other), scheme)
    else:
        return None
    kernel = kernel_for(node.op, node.domain, node.version)
    sums = np.rint(
        kernel.function(x.centred(), codes, **({**attributes, "alpha": 1.0} if node.op == "Gemm" else attributes))
    )
    factors = x.grid.scale * _along_output(node, scales, sums.ndim)
    if node.op == "Gemm":
        factors = factors * attributes.get("alpha", 1.0)
    if bias is None:
        return np.asarray(sums * factors, np.float32)
    floats = np.asarray(_plain(bias), np.float64) * bias_factor
    if node.op != "Gemm":
        floats = floats.reshape(1, -1, *(1,) * (sums.ndim - 2))
    return np.asarray((sums + np.rint(floats / factors)) * factors, np.float32)


def channel_axis(node: Node, weight: Array) -> int | None:
    """The axis of the weight along which its scales may differ; None if the sums would mix them."""
    if node.op == "Conv":
        return 0
    if node.op == "ConvTranspose":
        return 1 if node.attributes.get("group", 1) == 1 else None
    if weight.ndim != 2:
        return None
    return 0 if node.op == "Gemm" and node.attributes.get("transB", 0) else 1


def _along_output(node: Node, scales: Array, rank: int) -> Array:
    """The scales in the shape in which they multiply the output: channels come second in a convolution, else last."""
    if scales.size == 1:
        return scales.reshape(())
    if node.op in ("Conv", "ConvTranspose"):
        return scales.reshape(1, -1, *(1,) * (rank - 2))
    return scales


def weight_codes(weight: Array, axis: int | None, scheme: Scheme) -> tuple[Array, Array]:
    """Symmetric signed codes of a weight, as float64, and their scales: one, or one along `axis`."""
    axis = axis if scheme.is_per_channel else None
    most = (1 << (scheme.weight_bits - 1)) - 1

    def scales_of(values: Array) -> Array:
        others = tuple(i for i in range(values.ndim) if i != axis)
        greatest = np.abs(values.astype(np.float64)).max(axis=others if axis is not None else None, initial=0)
        return np.where(greatest > 0, greatest / most, 1.0)

    def codes_of(values: Array) -> Array:
        shape = [1] * values.ndim
        if axis is not None:
            shape[axis] = -1
        codes = np.rint(values.astype(np.float64) / scales.reshape(shape))
        codes.flags.writeable = False
        return codes

    scales = packed(weight, f"scales {axis} {scheme.weight_bits}", scales_of)
    return packed(weight, f"codes {axis} {scheme.weight_bits}", codes_of), scales
