"""Runs graphs with the registered kernels: one operator, a whole graph, a placed graph."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from partita.errors import KernelError, ModelError, UnsupportedOperatorError
from partita.graph.dtypes import name_of_numpy
from partita.graph.ir import Array, Graph, Node
from partita.kernels.halves import to_float16, to_float32
from partita.kernels.registry import Kernel, kernel_for

Region = Callable[..., tuple[Any, ...]]
HALF_DTYPES = ("float16", "bfloat16")


def compute(node: Node, inputs: Sequence[Any], outer: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
    """The outputs of one operator on its inputs (None for an absent one); `outer` is what its regions may read.

    float16 and bfloat16 tensors are computed in float32 and rounded once, unless the kernel asks for them as they are;
    a fused operator is rounded once at its end.
    Raises KernelError that names the node.
    """
    if node.body is not None:
        half = _half_of(inputs)
        results = run_region(node.body, _widened(inputs, half), {})
        return tuple(_rounded(y, half) for y in results)
    try:
        kernel = kernel_for(node.op, node.domain, node.version)
    except UnsupportedOperatorError as error:
        raise UnsupportedOperatorError(f"node {node}: {error}") from None
    attributes = {k: _callable(v, outer or {}) if isinstance(v, Graph) else v for k, v in node.attributes.items()}
    if kernel.takes_output_count:
        attributes["n_outputs"] = len(node.outputs)
    try:
        result = _call(kernel, inputs, attributes)
    except KernelError as error:
        raise KernelError(f"node {node}: {error}") from None
    except (ValueError, TypeError, IndexError, ZeroDivisionError, OverflowError, AttributeError) as error:
        raise KernelError(
            f"node {node}: inputs {_describe(inputs)} do not fit: {str(error).splitlines()[0]}"
        ) from error
    return result if isinstance(result, tuple) else (result,)


def _call(kernel: Kernel, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    half = _half_of(inputs) if kernel.widen else None
    result = kernel.function(*_widened(inputs, half), **attributes)
    if isinstance(result, tuple):
        return tuple(_rounded(y, half) for y in result)
    return _rounded(result, half)


def _half_of(inputs: Sequence[Any]) -> np.dtype | None:
    return next((x.dtype for x in inputs if isinstance(x, np.ndarray) and x.dtype.name in HALF_DTYPES), None)


def _widened(inputs: Sequence[Any], half: np.dtype | None) -> Sequence[Any]:
    if half is None:
        return inputs
    return [as_float32(x) if isinstance(x, np.ndarray) and x.dtype == half else x for x in inputs]


def _rounded(result: Any, half: np.dtype | None) -> Any:
    if half is None or not isinstance(result, np.ndarray | np.generic) or result.dtype != np.float32:
        return result
    return from_float32(result, half)


def as_float32(array: Array) -> Array:
    """A float16 or bfloat16 tensor in float32."""
    return to_float32(array) if array.dtype == np.float16 else array.astype(np.float32)


def from_float32(array: Array, dtype: np.dtype) -> Array:
    """A float32 tensor rounded once; what `dtype` cannot hold becomes infinite, as on the unit."""
    if dtype == np.float16:
        return to_float16(array)
    with np.errstate(over="ignore"):
        return array.astype(dtype)


def _describe(inputs: Sequence[Any]) -> str:
    return ", ".join(
        f"{name_of_numpy(x.dtype)}{list(x.shape)}" if isinstance(x, np.ndarray) else type(x).__name__ for x in inputs
    )


def _callable(region: Graph, outer: Mapping[str, Any]) -> Region:
    return lambda *inputs: run_region(region, inputs, outer)


def run_region(region: Graph, inputs: Sequence[Any], outer: Mapping[str, Any]) -> tuple[Any, ...]:
    """The outputs of a region on its inputs; names that it does not define are looked up in `outer`."""
    known = {**outer, **dict(zip(region.inputs, inputs, strict=False))}
    return _evaluate(region, known, region.outputs)


def run(graph: Graph, feeds: Mapping[str, Any], wanted: Iterable[str] | None = None) -> dict[str, Any]:
    """The model's outputs, or the `wanted` tensors, computed in the model's own dtypes on one unit.

    Tensors are dropped after their last use. Raises ModelError if weights are missing or `feeds` does not fit.
    """
    names = tuple(graph.outputs if wanted is None else wanted)
    results = _evaluate(graph, checked_feeds(graph, feeds), names)
    return dict(zip(names, results, strict=True))


def checked_feeds(graph: Graph, feeds: Mapping[str, Any]) -> dict[str, Any]:
    """The feeds as a dict; ModelError if one is missing, unknown, or of another shape or dtype than the graph says."""
    if graph.missing:
        raise ModelError(
            f"graph {graph.name!r} has no data for {len(graph.missing)} weights (such as {min(graph.missing)!r}): "
            "put the weight file beside the model, or use --random-weights"
        )
    for name in feeds:
        if name not in graph.inputs:
            raise ModelError(f"{name!r} is no input of {graph.name!r}; it has: {', '.join(graph.inputs)}")
    for name in graph.inputs:
        if name not in feeds:
            raise ModelError(f"no data for input {name!r} ({graph.values.get(name, 'unknown type')})")
        value, given = graph.values.get(name), feeds[name]
        if value is None or value.shape is None or not isinstance(given, np.ndarray):
            continue
        same_rank = len(given.shape) == len(value.shape)
        fits = same_rank and all(d in (None, g) for d, g in zip(value.shape, given.shape, strict=True))
        if not fits or name_of_numpy(given.dtype) != value.dtype:
            raise ModelError(f"input {name!r} must be {value}, but the data is {_describe([given])}")
    return dict(feeds)


def _evaluate(graph: Graph, known: dict[str, Any], wanted: Sequence[str]) -> tuple[Any, ...]:
    last_use = last_uses(graph, wanted)
    for index, node in enumerate(graph.nodes):
        inputs = [_look_up(graph, known, name) if name else None for name in node.inputs]
        outer = {**graph.constants, **known} if node.regions and node.body is None else None
        for name, result in zip(node.outputs, compute(node, inputs, outer), strict=False):
            if name:
                known[name] = result
        for name in last_use.get(index, ()):
            known.pop(name, None)
    return tuple(_look_up(graph, known, name) for name in wanted)


def _look_up(graph: Graph, known: Mapping[str, Any], name: str) -> Any:
    return known[name] if name in known else graph.constants[name]


def last_uses(graph: Graph, wanted: Sequence[str]) -> dict[int, list[str]]:
    """Tensors by the index of the operator after which nobody needs them."""
    last: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        for name in (*graph.reads(node), *node.present_outputs):
            last[name] = index
    kept = set(wanted)
    freed: dict[int, list[str]] = {}
    for name, index in last.items():
        if name not in kept and not graph.is_constant(name):
            freed.setdefault(index, []).append(name)
    return freed
