"""Runs a placed graph segment by segment: tensors lie where and as the Plan says, and really move at boundaries."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from partita.graph.dtypes import is_floating, name_of_numpy, numpy_of_name
from partita.graph.ir import Array
from partita.graph.plan import Location, PlacedOperator, Plan, Transfer
from partita.kernels.executor import as_float32, checked_feeds, compute, from_float32, last_uses

Held = dict[tuple[str, Location], Any]
"""Tensors by name and the location at which they lie."""


@dataclass(frozen=True, slots=True)
class OperatorRun:
    """What one kernel call took on this machine."""

    node: str
    unit: str
    segment: int
    wall_us: float


@dataclass(frozen=True, eq=False, slots=True)
class Execution:
    """Outputs in the model's own dtypes, and what was done to get them."""

    outputs: Mapping[str, Any]
    operators: tuple[OperatorRun, ...]
    transfers: int
    transferred_bytes: int


def execute(plan: Plan, feeds: Mapping[str, Any]) -> Execution:
    """Runs the plan on `feeds`; float tensors take the dtype of the location at which they lie.

    Raises ModelError if weights are missing or the feeds do not fit.
    """
    given = checked_feeds(plan.graph, feeds)
    run = _Run(plan, {(name, plan.host): as_stored(array, plan.host.dtype) for name, array in given.items()})
    for segment in plan.segments:
        first = {t for name in segment.operators for t in plan.transfers_before.get(name, ()) if t.crosses_units}
        for transfer in plan.transfers:
            if transfer in first:
                run.move(transfer)
        for name in segment.operators:
            for transfer in plan.transfers_before.get(name, ()):
                if not transfer.crosses_units:
                    run.move(transfer)
            run.call(plan.placed[name])
    for transfer in plan.transfers_before.get("", ()):
        run.move(transfer)
    return Execution(run.outputs(), tuple(run.operators), run.transfers, run.transferred_bytes)


class _Run:
    """The tensors of one execution and the account of what was done."""

    def __init__(self, plan: Plan, held: Held) -> None:
        self.plan, self.held = plan, held
        self.operators: list[OperatorRun] = []
        self.transfers = 0
        self.transferred_bytes = 0
        self.position = {node.name: i for i, node in enumerate(plan.graph.nodes)}
        self.dead_after = last_uses(plan.graph, plan.graph.outputs)
        self.weights: dict[tuple[str, str], Array] = {}

    def move(self, transfer: Transfer) -> None:
        """A copy into the target's dtype and layout."""
        array = self.held[transfer.tensor, transfer.source]
        if isinstance(array, np.ndarray):
            moved = as_stored(array, transfer.target.dtype)
            moved = _laid_out(moved, transfer.layout)
            array = moved.copy(order="K") if moved is array else moved
            self.transferred_bytes += array.nbytes
        self.transfers += 1
        self.held[transfer.tensor, transfer.target] = array

    def call(self, operator: PlacedOperator) -> None:
        node = self.plan.graph.node_named[operator.node]
        began = time.perf_counter()
        inputs = [self._input(name, operator.location) if name else None for name in node.inputs]
        outer = None
        if node.regions and node.body is None:
            outer = {name: self._input(name, operator.location) for name in self.plan.graph.reads(node)}
        results = compute(node, inputs, outer)
        for name, result in zip(node.outputs, results, strict=False):
            if name:
                self.held[name, operator.location] = as_stored(result, operator.dtype)
        self.operators.append(
            OperatorRun(node.name, operator.unit, operator.segment, (time.perf_counter() - began) * 1e6)
        )
        for name in self.dead_after.get(self.position[node.name], ()):
            for key in [key for key in self.held if key[0] == name]:
                del self.held[key]

    def _input(self, name: str, location: Location) -> Any:
        if not self.plan.graph.is_constant(name):
            return self.held[name, location]
        key = (name, location.dtype)
        if key not in self.weights:
            self.weights[key] = as_stored(self.plan.graph.constants[name], location.dtype)
        return self.weights[key]

    def outputs(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in self.plan.graph.outputs:
            if self.plan.graph.is_constant(name):
                found[name] = self.plan.graph.constants[name]
                continue
            array = self.held[name, self.plan.host]
            value = self.plan.graph.values.get(name)
            found[name] = as_stored(array, value.dtype) if value is not None and is_floating(value.dtype) else array
        return found


def as_stored(array: Any, dtype: str) -> Any:
    """A floating-point tensor in `dtype`; anything else, and what has that dtype already, as it is."""
    if not isinstance(array, np.ndarray) or not is_floating(name_of_numpy(array.dtype)):
        return array
    wanted = numpy_of_name(dtype)
    if array.dtype == wanted:
        return array
    return from_float32(array if array.dtype == np.float32 else as_float32(array), wanted)


def _laid_out(array: Array, layout: str) -> Array:
    """The same tensor, its memory in the given order of axes; "any" leaves it as it is."""
    if array.ndim != 4:
        return array
    if layout == "any":
        return array
    if layout == "NHWC":
        return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(array)
