"""Operators and graphs made ready to run many times: kernels looked up, constants at hand, frees planned."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from partita.errors import KernelError, UnsupportedOperatorError
from partita.graph.dtypes import name_of_numpy
from partita.graph.ir import Array, Graph, Node
from partita.kernels.arena import keep_freed_memory
from partita.kernels.blas import on_one_thread
from partita.kernels.fused import compiled_form, fused_kernel
from partita.kernels.halves import to_float16, to_float32
from partita.kernels.head import Head, classifier_of
from partita.kernels.registry import kernel_for
from partita.kernels.stretch import Link, Stretch, link_of

Region = Callable[..., tuple[Any, ...]]
HALF_DTYPES = ("float16", "bfloat16")


class Call:
    """One operator with its kernel and attributes, ready to be called.

    float16 and bfloat16 tensors are computed in float32 and rounded once, unless the kernel asks for them as they are;
    a fused operator is rounded once at its end. It runs as a whole if there is a kernel for that, else its body runs.
    """

    __slots__ = ("attributes", "function", "needs_outer", "node", "regions", "widen")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.regions: dict[str, Graph] = {}
        self.widen = True
        self.attributes: dict[str, Any] = {}
        if node.body is not None:
            self.function = fused_kernel(node) or _body_runner(node.body)
        else:
            self._look_up(node)
        self.needs_outer = bool(self.regions)

    def _look_up(self, node: Node) -> None:
        try:
            kernel = kernel_for(node.op, node.domain, node.version)
        except UnsupportedOperatorError as error:
            raise UnsupportedOperatorError(f"node {node}: {error}") from None
        self.function, self.widen = compiled_form(node.op, kernel), kernel.widen
        self.regions = {name: value for name, value in node.attributes.items() if isinstance(value, Graph)}
        self.attributes = {name: value for name, value in node.attributes.items() if name not in self.regions}
        if kernel.takes_output_count:
            self.attributes["n_outputs"] = len(node.outputs)

    def __call__(self, inputs: Sequence[Any], outer: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        """The outputs on `inputs` (None for an absent one); `outer` is what the operator's regions may read.

        Raises KernelError that names the node.
        """
        attributes = self.attributes
        if self.regions:
            around = outer or {}
            attributes = attributes | {name: _callable(region, around) for name, region in self.regions.items()}
        half = _half_of(inputs) if self.widen else None
        try:
            result = self.function(*(inputs if half is None else _widened(inputs, half)), **attributes)
        except KernelError as error:
            raise KernelError(f"node {self.node}: {error}") from None
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, MemoryError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise KernelError(f"node {self.node}: inputs {describe(inputs)} do not fit: {reason}") from error
        results = result if isinstance(result, tuple) else (result,)
        return results if half is None else tuple(_rounded(y, half) for y in results)


def _body_runner(body: Graph) -> Region:
    return lambda *inputs: run_region(body, inputs, {})


def _callable(region: Graph, outer: Mapping[str, Any]) -> Region:
    return lambda *inputs: run_region(region, inputs, outer)


def run_region(region: Graph, inputs: Sequence[Any], outer: Mapping[str, Any]) -> tuple[Any, ...]:
    """The outputs of a region on its inputs; names that it does not define are looked up in `outer`."""
    program = program_of(region, region.outputs)
    return program.run({**outer, **dict(zip(region.inputs, inputs, strict=False))})


def _half_of(inputs: Sequence[Any]) -> np.dtype | None:
    for x in inputs:
        if isinstance(x, np.ndarray) and x.dtype.itemsize == 2 and x.dtype.name in HALF_DTYPES:
            return x.dtype
    return None


def _widened(inputs: Sequence[Any], half: np.dtype) -> Sequence[Any]:
    return [as_float32(x) if isinstance(x, np.ndarray) and x.dtype == half else x for x in inputs]


def _rounded(result: Any, half: np.dtype) -> Any:
    if not isinstance(result, np.ndarray | np.generic) or result.dtype != np.float32:
        return result
    return from_float32(np.asarray(result), half)


def as_float32(array: Array) -> Array:
    """A float16 or bfloat16 tensor in float32."""
    return to_float32(array) if array.dtype == np.float16 else array.astype(np.float32)


def from_float32(array: Array, dtype: np.dtype) -> Array:
    """A float32 tensor rounded once; what `dtype` cannot hold becomes infinite, as on the unit."""
    if dtype == np.float16:
        return to_float16(array)
    with np.errstate(over="ignore"):
        return array.astype(dtype)


def describe(inputs: Sequence[Any]) -> str:
    return ", ".join(
        f"{name_of_numpy(x.dtype)}{list(x.shape)}" if isinstance(x, np.ndarray) else type(x).__name__ for x in inputs
    )


@dataclass(frozen=True, slots=True)
class _Step:
    call: Call | Stretch | Head
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    freed: tuple[str, ...]
    """Tensors that nobody needs after this operator."""


class Program:
    """A graph ready to run: it holds no reference to the Graph, whose lifetime it shares (see `program_of`)."""

    def __init__(self, graph: Graph, wanted: Sequence[str]) -> None:
        keep_freed_memory()
        self._wanted = tuple(wanted)
        self._constants: dict[str, Any] = {name: read_only(array) for name, array in graph.constants.items()}
        freed = last_uses(graph, wanted)
        steps = [
            _Step(Call(node), node.inputs, node.outputs, tuple(freed.get(index, ())))
            for index, node in enumerate(graph.nodes)
        ]
        self._steps = _with_heads(_in_stretches(steps, self._constants), self._constants)

    def run(self, given: Mapping[str, Any]) -> tuple[Any, ...]:
        """The wanted tensors; `given` holds the graph's inputs, and what surrounds it if it is a region."""
        known: dict[str, Any] = {"": None, **self._constants, **given}
        with on_one_thread():
            _run(self._steps, known)
        return tuple(known[name] for name in self._wanted)


def _run(steps: Sequence[_Step], known: dict[str, Any]) -> None:
    """Run the steps on the tensors that are known, add their results, and drop what nobody needs any more."""
    for step in steps:
        inputs = [known[name] for name in step.inputs]
        results = step.call(inputs, known if step.call.needs_outer else None)
        for name, result in zip(step.outputs, results, strict=False):
            if name:
                known[name] = result
        for name in step.freed:
            known.pop(name, None)


def _in_stretches(steps: Sequence[_Step], constants: Mapping[str, Any]) -> list[_Step]:
    """The steps with each run of convolutions that compiled code computes at once in the place of one."""
    links = [link_of(step.call.node, constants) if isinstance(step.call, Call) else None for step in steps]
    merged: list[_Step] = []
    start = 0
    for is_link, group in groupby(links, key=lambda link: link is not None):
        count = len(list(group))
        part = steps[start : start + count]
        merged += [_stretch(part, links[start : start + count], constants)] if is_link else part
        start += count
    return merged


def _stretch(steps: Sequence[_Step], links: Sequence[Link | None], constants: Mapping[str, Any]) -> _Step:
    inner = {name for step in steps for name in step.outputs}
    freed = [name for step in steps for name in step.freed]
    outputs = tuple(name for step in steps for name in step.outputs if name not in freed)

    def one_by_one(inputs: Sequence[Any], outer: Mapping[str, Any] | None) -> tuple[Any, ...]:
        known = {"": None, **constants, **dict(zip(stretch.inputs, inputs, strict=True))}
        _run(alone, known)
        return tuple(known[name] for name in outputs)

    alone = [replace(step, freed=()) for step in steps]
    stretch = Stretch([link for link in links if link is not None], outputs, one_by_one)
    return _Step(stretch, stretch.inputs, outputs, tuple(name for name in freed if name not in inner))


def _with_heads(steps: Sequence[_Step], constants: Mapping[str, Any]) -> list[_Step]:
    """The steps with a classifier's head in the place of its three operators."""
    merged: list[_Step] = []
    i = 0
    while i < len(steps):
        head = _head(steps[i : i + 3], constants)
        merged.append(head or steps[i])
        i += 3 if head else 1
    return merged


def _head(steps: Sequence[_Step], constants: Mapping[str, Any]) -> _Step | None:
    nodes = [step.call.node for step in steps if isinstance(step.call, Call) and step.call.node.body is None]
    classifier = classifier_of(nodes, constants) if len(nodes) == 3 else None
    inner = {name for step in steps[:-1] for name in step.outputs}
    freed = [name for step in steps for name in step.freed]
    if classifier is None or not inner.issubset(freed):
        return None

    def one_by_one(inputs: Sequence[Any], outer: Mapping[str, Any] | None) -> tuple[Any, ...]:
        known = {"": None, **constants, classifier.x: inputs[0]}
        _run(alone, known)
        return (known[classifier.output],)

    alone = [replace(step, freed=()) for step in steps]
    head = Head(classifier, one_by_one)
    return _Step(head, head.inputs, head.outputs, tuple(name for name in freed if name not in inner))


_PROGRAMS: WeakKeyDictionary[Graph, dict[tuple[str, ...], Program]] = WeakKeyDictionary()


def program_of(graph: Graph, wanted: Sequence[str]) -> Program:
    """The program that computes the tensors `wanted`, made once for as long as the graph lives."""
    programs = _PROGRAMS.setdefault(graph, {})
    names = tuple(wanted)
    if names not in programs:
        programs[names] = Program(graph, names)
    return programs[names]


def read_only(array: Any) -> Any:
    """The same data, which kernels can then keep in another layout: nobody will write to it."""
    if not isinstance(array, np.ndarray) or not array.flags.writeable:
        return array
    view = array.view()
    view.flags.writeable = False
    return view


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
