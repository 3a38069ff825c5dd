"""A plan's quantised locations written as pairs of QuantizeLinear and DequantizeLinear, with the ranges they need."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from partita.errors import PlanError
from partita.graph.dtypes import is_floating
from partita.graph.ir import Array, Graph, Node, Value
from partita.graph.match import prune
from partita.graph.pieces import primitives
from partita.graph.plan import PlacedOperator, Plan
from partita.graph.quantisation import SCHEMES, Grid, Range, Scheme, grid_of
from partita.kernels.quantised import CODE_DTYPES, LINEAR_OPS, channel_axis, weight_codes

MICROSOFT = "com.microsoft"
"""The domain whose pairs take 16 bits whatever the opset; ONNX's own do so from opset 21 on."""
BITS_OF_ONNX = 8
LEAST_OPSET = 13
"""From which on DequantizeLinear has an axis."""


def quantised_form(plan: Plan, ranges: Mapping[str, Range]) -> Graph:
    """The plan's graph in primitives, every tensor at a quantised location on the grid that its range gives.

    Weights of products become whole numbers behind a DequantizeLinear. Inside of a fused operator nothing is rounded,
    as where it runs. An operator with regions is left as it is.
    """
    writer = _Writer(primitives(plan.graph), ranges)
    for operator in plan.operators:
        node = plan.graph.node_named[operator.node]
        inner = primitives(node.body).nodes if node.body is not None else (node,)
        writer.write(operator, node, inner)
    nodes = tuple(writer.nodes)
    return prune(replace(writer.graph, nodes=nodes, values=writer.values, constants=writer.constants, source=None))


@dataclass(eq=False)
class _Writer:
    """The nodes of the new graph so far."""

    graph: Graph
    ranges: Mapping[str, Range]
    nodes: list[Node] = field(default_factory=list)
    values: dict[str, Value] = field(init=False)
    constants: dict[str, Array] = field(init=False)
    on_grid: dict[tuple[str, str], str] = field(default_factory=dict)
    """By tensor and dtype of a location, the tensor that lies on its grid."""

    def __post_init__(self) -> None:
        self.values, self.constants = dict(self.graph.values), dict(self.graph.constants)

    @cached_property
    def opset(self) -> int:
        """Of ONNX's own operators in the model; PlanError if it is too old."""
        found = max((node.version for node in self.graph.nodes if not node.domain), default=LEAST_OPSET)
        if found < LEAST_OPSET:
            raise PlanError(
                f"the quantised form of {self.graph.name!r} needs opset {LEAST_OPSET}, its operators are of opset "
                f"{found}; convert the model with onnx.version_converter and place it again"
            )
        return found

    def write(self, operator: PlacedOperator, node: Node, inner: tuple[Node, ...]) -> None:
        scheme = SCHEMES.get(operator.dtype)
        if scheme is None or any(part.regions for part in inner):
            self.nodes += inner
            return
        named = {
            name: self._stored(name, operator.dtype) for name in self.graph.reads(node) if self._is_activation(name)
        }
        made = [name for name in node.present_outputs if self._is_activation(name)]
        named |= {name: f"{name}.unrounded" for name in made}
        for part in inner:
            inputs = [named.get(name, name) for name in part.inputs]
            if part.op in LINEAR_OPS and not part.domain and part.inputs[1] in self.constants:
                inputs[1] = self._weight(part, scheme)
            outputs = tuple(named.get(name, name) for name in part.outputs)
            self.nodes.append(replace(part, inputs=tuple(inputs), outputs=outputs))
        for name in made:
            self.values[named[name]] = self.values[name]
            self._round(named[name], name, name, scheme)
            self.on_grid[name, operator.dtype] = name

    def _is_activation(self, name: str) -> bool:
        value = self.values.get(name)
        return value is not None and is_floating(value.dtype) and name not in self.constants and name in self.ranges

    def _stored(self, name: str, dtype: str) -> str:
        if (name, dtype) not in self.on_grid:
            rounded = f"{name}.{dtype}"
            self.values[rounded] = self.values[name]
            self._round(name, rounded, name, SCHEMES[dtype])
            self.on_grid[name, dtype] = rounded
        return self.on_grid[name, dtype]

    def _round(self, source: str, target: str, ranged: str, scheme: Scheme) -> None:
        """`target` is `source` on the grid of the tensor `ranged`."""
        grid = grid_of(self.ranges[ranged], scheme)
        codes = CODE_DTYPES[grid.bits, grid.is_signed]
        scale, zero = self._constant(target, "scale", np.float32(grid.scale)), self._zero(target, grid)
        self.values[f"{target}.codes"] = Value(np.dtype(codes).name, self.values[source].shape)
        self._pair("QuantizeLinear", (source, scale, zero), f"{target}.codes", grid.bits)
        self._pair("DequantizeLinear", (f"{target}.codes", scale, zero), target, grid.bits)

    def _zero(self, target: str, grid: Grid) -> str:
        return self._constant(target, "zero", np.array(grid.zero_point, CODE_DTYPES[grid.bits, grid.is_signed]))

    def _constant(self, target: str, what: str, value: np.generic | Array) -> str:
        name = f"{target}.{what}"
        self.constants[name] = np.asarray(value)
        self.values[name] = Value(self.constants[name].dtype.name, self.constants[name].shape)
        return name

    def _pair(self, op: str, inputs: tuple[str, ...], output: str, bits: int, **attributes: int) -> None:
        domain, version = ("", self.opset) if bits <= BITS_OF_ONNX else (MICROSOFT, 1)
        self.nodes.append(Node(f"{op}.{output}", op, inputs, (output,), attributes, domain, version))

    def _weight(self, node: Node, scheme: Scheme) -> str:
        """The weight of a product as whole numbers, and what they stand for."""
        name = node.inputs[1]
        axis = channel_axis(node, self.constants[name])
        codes, scales = weight_codes(self.constants[name], axis, scheme)
        target = f"{name}.{scheme.weight_bits}.{axis}"
        if target not in self.values:
            whole = self._constant(target, "codes", codes.astype(np.int8))
            scale = self._constant(target, "scale", scales.astype(np.float32))
            zero = self._constant(target, "zero", np.zeros(scales.shape, np.int8))
            self.values[target] = self.values[name]
            attributes = {"axis": axis} if scales.ndim and axis is not None else {}
            self._pair("DequantizeLinear", (whole, scale, zero), target, BITS_OF_ONNX, **attributes)
        return target
