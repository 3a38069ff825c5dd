"""Weights for a model whose weight file is missing: reproducible, and such that activations stay alive.

The spreads follow the usual rules, sqrt(2 / fan_in) for Conv (He et al. 2015, "Delving Deep into Rectifiers", eq. 10)
and sqrt(1 / fan_in) for matrix products (LeCun et al. 1998, "Efficient BackProp", section 4.6); with a framework's own
random initialisation the outputs of a deep network in evaluation mode are so close to 0 that any comparison passes.
"""

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from partita.graph.dtypes import bits_of, numpy_of_name
from partita.graph.ir import Array, Graph, Node, Value

SMALL_SPREAD = 0.1
"""Standard deviation of biases and of whatever has no rule, and of norm scales around 1."""
LEAST_POSITIVE = 0.25
"""Variances, divisors and quantisation scales stay above this share of their mean."""
QUANTISED_SPREAD = 0.25
"""Standard deviation of quantised weights, as a share of the largest value of their dtype."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A normal distribution, kept positive if asked for; `quantised` for whole numbers that are quantised weights."""

    mean: float = 0.0
    spread: float = SMALL_SPREAD
    positive: bool = False
    quantised: bool = False


def fill_missing(graph: Graph) -> Graph:
    """The graph with made-up data for its missing weights, each drawn from its own name; the same if none is missing.

    What a weight is for is told by the operator that reads it, if need be behind a Transpose, Cast or dequantisation.
    """
    if not graph.missing:
        return graph
    names = sorted(graph.missing)
    with ThreadPoolExecutor() as pool:  # generators let other threads run while they draw
        drawn = pool.map(lambda name: random_weight(name, graph.value(name), recipe_of(graph, name)), names)
        constants = {**graph.constants, **dict(zip(names, drawn, strict=True))}
    return replace(graph, constants=constants, missing=frozenset())


def random_weight(name: str, value: Value, recipe: Recipe) -> Array:
    """An array of the type of `value`, drawn as `recipe` says from a generator seeded by the CRC-32 of `name`."""
    dtype = numpy_of_name(value.dtype)
    rng = np.random.default_rng(crc32(name.encode()))
    if value.dtype == "string":
        return np.full(value.dims, "", object)
    is_float = dtype.kind == "f" or "float" in value.dtype
    if not is_float and not recipe.quantised:
        return np.zeros(value.dims, dtype)
    drawn = rng.standard_normal(value.dims, np.float32)
    if recipe.quantised and not is_float:
        return _quantised(drawn, value, dtype)
    drawn *= np.float32(recipe.spread)
    if recipe.mean:
        drawn += np.float32(recipe.mean)
    if recipe.positive:
        np.maximum(drawn, np.float32(recipe.mean * LEAST_POSITIVE), out=drawn)
    return drawn.astype(dtype, copy=False)


def _quantised(drawn: Array, value: Value, dtype: np.dtype) -> Array:
    """Whole numbers around 0, or around the middle of an unsigned type's range."""
    signed = value.dtype.startswith("int")
    bits = min(bits_of(value.dtype), 8)  # 32-bit biases of quantised operators are small too
    middle, largest = (0, 2 ** (bits - 1) - 1) if signed else (2 ** (bits - 1), 2 ** (bits - 1) - 1)
    np.rint(drawn * np.float32(largest * QUANTISED_SPREAD), out=drawn)
    return (np.clip(drawn, -largest, largest) + middle).astype(dtype)


def recipe_of(graph: Graph, name: str) -> Recipe:
    """How to draw the weight `name`: by the first of its readers that has a rule."""
    return _recipe(graph, name, graph.value(name).shape) or Recipe()


Dims = tuple[int | None, ...] | None


def _recipe(graph: Graph, name: str, dims: Dims) -> Recipe | None:
    for node in graph.consumers_of.get(name, ()):
        recipe = _recipe_for(graph, node, node.inputs.index(name) if name in node.inputs else -1, dims)
        if recipe is not None:
            return recipe
    return None


def _recipe_for(graph: Graph, node: Node, position: int, dims: Dims) -> Recipe | None:
    if node.body is not None:
        return _recipe(node.body, node.body.inputs[position], dims)
    role = _ROLES.get(node.op, {}).get(position)
    if role == "passed":
        return _recipe(graph, node.outputs[0], _dims_after(graph, node, dims))
    if role == "dequantised":
        return Recipe(quantised=True)
    if role == "step":
        return _step(graph, node)
    if role is not None:
        return _FIXED.get(role) or Recipe(spread=_spread(node, role, dims))
    if node.op in ("Mul", "Div", "Sqrt", "Log", "Pow") and not node.domain:
        return _FIXED["positive" if node.op != "Mul" else "scale"]
    return None


_CONV = {1: "conv", 2: "bias"}
_NORM = {1: "scale", 2: "bias"}
_RECURRENT = {1: "rows", 2: "rows", 3: "bias"}
_PASSED = {0: "passed"}
_ROLES: Mapping[str, Mapping[int, str]] = {
    "Conv": _CONV, "FusedConv": _CONV, "ConvTranspose": {1: "conv_transpose", 2: "bias"},
    "MatMul": {0: "columns", 1: "matrix"}, "FusedMatMul": {1: "matrix"}, "Gemm": {0: "columns", 1: "gemm", 2: "bias"},
    "Gather": {0: "columns"}, "LSTM": _RECURRENT, "GRU": _RECURRENT, "RNN": _RECURRENT,
    "LayerNormalization": _NORM, "RMSNormalization": _NORM, "InstanceNormalization": _NORM, "GroupNormalization": _NORM,
    "SimplifiedLayerNormalization": _NORM, "SkipLayerNormalization": {2: "scale", 3: "bias", 4: "bias"},
    "BatchNormalization": {1: "scale", 2: "bias", 3: "bias", 4: "positive"},
    "Transpose": _PASSED, "Reshape": _PASSED, "Squeeze": _PASSED, "Unsqueeze": _PASSED, "Cast": _PASSED,
    "Identity": _PASSED, "Expand": _PASSED, "Flatten": _PASSED, "QuantizeLinear": {0: "passed", 1: "step"},
    "DequantizeLinear": {0: "dequantised", 1: "step"},
    "ConvInteger": {1: "dequantised"}, "MatMulInteger": {1: "dequantised"},
    "QLinearConv": {1: "step", 3: "dequantised", 4: "step", 6: "step", 8: "dequantised"},
    "QLinearMatMul": {1: "step", 3: "dequantised", 4: "step", 6: "step"},
}  # fmt: skip
"""What each input of an operator is for, by its position."""
_FIXED = {"bias": Recipe(), "scale": Recipe(mean=1.0), "positive": Recipe(mean=1.0, positive=True)}


def _dims_after(graph: Graph, node: Node, dims: Dims) -> Dims:
    value = graph.values.get(node.outputs[0])
    if value is not None and value.shape is not None:
        return value.shape
    if node.op == "Transpose" and dims is not None:
        return tuple(dims[axis] for axis in node.attributes.get("perm", reversed(range(len(dims)))))
    return dims


def _spread(node: Node, role: str, dims: Dims) -> float:
    """The standard deviation of a weight: sqrt(gain / fan_in), the gain 2 for a convolution and 1 for a product."""
    if not dims or None in dims:
        return SMALL_SPREAD
    sizes = tuple(d for d in dims if d is not None)
    window = math.prod(sizes[2:])
    fan_in = {
        "conv": math.prod(sizes[1:]),
        "conv_transpose": sizes[0] * window // max(int(node.attributes.get("group", 1)), 1),
        "matrix": sizes[-2] if len(sizes) > 1 else sizes[-1],
        "gemm": sizes[-1] if node.attributes.get("transB", 0) else sizes[0],
    }.get(role, sizes[-1])
    gain = 2.0 if role in ("conv", "conv_transpose") else 1.0
    return math.sqrt(gain / max(fan_in, 1))


def _step(graph: Graph, node: Node) -> Recipe:
    """A quantisation step: such that quantised weights, once dequantised, spread as float weights would."""
    wanted = SMALL_SPREAD
    if node.op == "DequantizeLinear":
        dims = graph.values[node.inputs[0]].shape if node.inputs[0] in graph.values else None
        recipe = _recipe(graph, node.outputs[0], dims)
        wanted = recipe.spread if recipe is not None and not recipe.quantised else wanted
    step = wanted / (_LARGEST_INT8 * QUANTISED_SPREAD)
    return Recipe(mean=step, spread=step * SMALL_SPREAD, positive=True)


_LARGEST_INT8 = 127
