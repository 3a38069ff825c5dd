"""Gives every tensor its type and evaluates what depends on constants alone, so that shape arithmetic disappears."""

import operator
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from partita.errors import ModelError
from partita.graph.dtypes import OPTIONAL, SEQUENCE, name_of_numpy, numpy_of_name
from partita.graph.fit import check_regions
from partita.graph.infer import infer_types
from partita.graph.ir import Array, Graph, Node, Value
from partita.graph.match import prune
from partita.kernels.executor import compute
from partita.kernels.registry import has_kernel
from partita.passes.regions import inlined_branch, typed_regions
from partita.passes.rewrite import RANDOM_OPS

FOLD_BYTES = 1 << 20
"""A folded constant above this size may not take more memory than the constants that it makes superfluous."""
VIEWING_OPS = frozenset(("Transpose",))
"""Operators whose kernel gives a view of its input, so that a folded one takes no memory."""
KEPT_OPS = RANDOM_OPS | {"DequantizeLinear"}
"""Operators that stay although their inputs are constants: a dequantised weight would forget that it was quantised."""


def specialise(graph: Graph) -> Graph:
    """The graph with a type for every tensor, all that constants determine evaluated, and constant Ifs inlined.

    Where a weight's data is missing, the result of folding is a missing constant of the right type, so that a model
    has the same operators with and without its weight file. An operator that makes an output of the graph stays.
    Raises ModelError, naming the node, if types do not fit.
    """
    return _specialised(graph, {}, {}, frozenset())


class Walk:
    """One pass over a graph or region in order; what is `outer` surrounds a region."""

    def __init__(
        self,
        graph: Graph,
        outer_values: Mapping[str, Value],
        outer_known: Mapping[str, Array],
        outer_missing: Set[str],
    ) -> None:
        self.graph = graph
        self.outer_values = outer_values
        self.values: dict[str, Value] = {**outer_values, **graph.values}
        self.known: dict[str, Array] = {**outer_known, **graph.constants}
        self.constants: dict[str, Array] = dict(graph.constants)
        self.missing: set[str] = set(graph.missing)
        self.outer_missing = outer_missing
        self.nodes: list[Node] = []
        self.declared = {name: graph.values[name] for name in graph.outputs if name in graph.values}

    def run(self) -> None:
        pending = list(reversed(self.graph.nodes))
        while pending:
            node = pending.pop()
            check_regions(node)
            branch = inlined_branch(node, self.known, self.values)
            if branch is None:
                self._visit(node)
                continue
            self.constants.update(branch.constants)
            self.known.update(branch.constants)
            self.missing |= branch.missing
            self.values.update({name: branch.values[name] for name in (*branch.constants, *branch.missing)})
            pending += reversed(branch.nodes)

    def result(self) -> Graph:
        """The graph as walked; the same object if the walk found nothing new."""
        captured = {name for node in self.nodes for name in self.graph.reads(node)} if self.outer_values else set()
        values = {n: v for n, v in self.values.items() if n not in self.outer_values or n in captured}
        same_nodes = len(self.nodes) == len(self.graph.nodes) and all(map(operator.is_, self.nodes, self.graph.nodes))
        if same_nodes and values == self.graph.values:
            return self.graph
        found = replace(
            self.graph,
            nodes=tuple(self.nodes),
            values=values,
            constants=self.constants,
            missing=frozenset(self.missing),
        )
        return prune(found)

    def _visit(self, node: Node) -> None:
        node, types = self._typed(node)
        for name in node.present_outputs:
            value = _merged(node, name, types.get(name), self.declared.get(name))
            if value is not None:
                self.values[name] = value
        results = self._evaluated(node)
        if results is not None:
            self.known.update(results)
        if not self._is_foldable(node) or any(name in self.graph.outputs for name in node.outputs):
            self.nodes.append(node)
        elif results is not None:
            self.constants.update(results)
        elif self._depends_on_missing(node):
            self.missing.update(node.present_outputs)
        else:
            self.nodes.append(node)

    def _typed(self, node: Node) -> tuple[Node, dict[str, Value]]:
        if node.regions and node.body is None:
            return typed_regions(node, self.values, self.known, self._region)
        if node.domain and node.body is None and not onnx.defs.has(node.op, node.domain):
            return node, self._types_by_kernel(node) or infer_types(node, self.values, self.known)
        return node, infer_types(node, self.values, self.known)

    def _region(self, region: Graph, values: Mapping[str, Value], known: Mapping[str, Array]) -> Graph:
        return _specialised(region, values, known, self.missing | self.outer_missing)

    def _is_missing(self, name: str) -> bool:
        return name in self.missing or name in self.outer_missing

    def _types_by_kernel(self, node: Node) -> dict[str, Value] | None:
        """The types of an operator that ONNX does not define, from its kernel's results on zeros; None without one."""
        types = [self.values.get(name) for name in node.inputs if name]
        if not has_kernel(node.op, node.domain, node.version) or not all(
            t is not None and t.is_concrete for t in types
        ):
            return None
        inputs = [self._known_or_zeros(name) if name else None for name in node.inputs]
        with np.errstate(all="ignore"):
            results = compute(node, inputs)
        named = zip(node.outputs, results, strict=False)
        return {name: Value(name_of_numpy(array.dtype), array.shape) for name, array in named if name}

    def _known_or_zeros(self, name: str) -> Array:
        value = self.values[name]
        return self.known[name] if name in self.known else np.zeros(value.dims, numpy_of_name(value.dtype))

    def _evaluated(self, node: Node) -> dict[str, Array] | None:
        """The outputs of an operator whose inputs are all known, or of a Shape of known dimensions; else None."""
        if node.op in ("Shape", "Size") and not node.domain:
            size = self._shape_or_size(node)
            return None if size is None else {node.outputs[0]: size}
        if not self._is_foldable(node) or not all(name in self.known for name in node.present_inputs):
            return None
        inputs: Sequence[Any] = [self.known[name] if name else None for name in node.inputs]
        outputs = compute(node, inputs)
        results = dict(zip(node.outputs, outputs, strict=False))
        results.pop("", None)
        for name, array in results.items():
            self.values[name] = Value(name_of_numpy(array.dtype), array.shape)
        return results

    def _shape_or_size(self, node: Node) -> Array | None:
        value = self.values.get(node.inputs[0])
        if value is None or value.shape is None:
            return None
        dims: Sequence[int | None] = value.shape
        if node.op == "Shape":
            dims = dims[node.attributes.get("start", 0) : node.attributes.get("end")]
        known = [d for d in dims if d is not None]
        if len(known) < len(dims):
            return None
        return np.array(known if node.op == "Shape" else np.prod(known, dtype=np.int64), np.int64)

    def _is_foldable(self, node: Node) -> bool:
        """Whether an operator may become a constant, if its inputs allow: a tensor, deterministic, not too large."""
        if node.op in ("Shape", "Size") and not node.domain:
            return True
        if node.op in KEPT_OPS or node.regions or not has_kernel(node.op, node.domain, node.version):
            return False
        if not all(name in self.known or self._is_missing(name) for name in node.present_inputs):
            return False
        if any(self._is_container(name) for name in node.present_outputs):
            return False
        if node.op in VIEWING_OPS and not node.domain:
            return True
        size = sum(self._bytes(name) for name in node.present_outputs)
        return size <= FOLD_BYTES or size <= self._freed_bytes(node)

    def _is_container(self, name: str) -> bool:
        return name in self.values and self.values[name].dtype in (SEQUENCE, OPTIONAL)

    def _bytes(self, name: str) -> int:
        value = self.values.get(name)
        return value.size_bytes if value is not None and value.is_concrete else 0

    def _freed_bytes(self, node: Node) -> int:
        """What the constants take that only this operator reads."""
        own = (name for name in set(node.present_inputs) if self.graph.consumers_of.get(name, (node,)) == (node,))
        return sum(map(self._bytes, own))

    def _depends_on_missing(self, node: Node) -> bool:
        read = node.present_inputs
        is_typed = all(name in self.values and self.values[name].is_concrete for name in node.present_outputs)
        return is_typed and bool(read) and any(self._is_missing(name) for name in read)


def _specialised(graph: Graph, values: Mapping[str, Value], known: Mapping[str, Array], missing: Set[str]) -> Graph:
    walk = Walk(graph, values, known, missing)
    walk.run()
    return walk.result()


def _merged(node: Node, name: str, inferred: Value | None, declared: Value | None) -> Value | None:
    """What inference found, its gaps filled by what the model's file declares for an output.

    A declared shape that is wrong is passed over, as onnxruntime does; a wrong element type is a ModelError.
    """
    if inferred is None or declared is None:
        return inferred or declared
    if inferred.dtype != declared.dtype:
        raise ModelError(
            f"node {node}: its output {name!r} is {inferred}, but the model declares it as {declared}; export it again"
        )
    if inferred.dtype in (SEQUENCE, OPTIONAL):
        return inferred if inferred.element is not None else declared
    if inferred.shape is None:
        return Value(inferred.dtype, declared.shape)
    if declared.shape is None or len(declared.shape) != len(inferred.shape):
        return inferred
    return Value(
        inferred.dtype,
        tuple(d if i is None else i for i, d in zip(inferred.shape, declared.shape, strict=True)),
    )
