"""Runs a placed graph segment by segment: tensors lie where and as the Plan says, and really move at boundaries."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from partita.graph.dtypes import is_floating
from partita.graph.ir import Array
from partita.graph.plan import Location, PlacedOperator, Plan, Transfer
from partita.graph.quantisation import SCHEMES, Range
from partita.kernels.calibration import calibrate
from partita.kernels.executor import checked_feeds, last_uses
from partita.kernels.quantised import Quantised
from partita.kernels.storage import FloatStorage, Storage, storage_of

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


def is_quantised(plan: Plan) -> bool:
    """Whether some operator computes in integers, so that ranges are needed to run the plan."""
    return any(operator.dtype in SCHEMES for operator in plan.operators)


def execute(plan: Plan, feeds: Mapping[str, Any], ranges: Mapping[str, Range] | None = None) -> Execution:
    """Runs the plan on `feeds`; float tensors take the dtype of the location at which they lie.

    Quantised locations need the `ranges` of their tensors (see `calibrate`); if none are given, they are those that
    the tensors take on these very feeds. Raises ModelError if weights are missing or the feeds do not fit.
    """
    given = checked_feeds(plan.graph, feeds)
    if ranges is None:
        ranges = calibrate(plan.graph, [feeds]) if is_quantised(plan) else {}
    run = _Run(plan, given, ranges)
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

    def __init__(self, plan: Plan, given: Mapping[str, Any], ranges: Mapping[str, Range]) -> None:
        self.plan = plan
        dtypes = {plan.host.dtype, *(operator.dtype for operator in plan.operators)}
        self.storages: dict[str, Storage] = {dtype: storage_of(dtype, ranges) for dtype in sorted(dtypes)}
        at_host = self.storages[plan.host.dtype]
        self.held: Held = {(name, plan.host): at_host.stored(name, tensor) for name, tensor in given.items()}
        self.operators: list[OperatorRun] = []
        self.transfers = 0
        self.transferred_bytes = 0
        self.position = {node.name: i for i, node in enumerate(plan.graph.nodes)}
        self.dead_after = last_uses(plan.graph, plan.graph.outputs)
        self.weights: dict[tuple[str, str], Array] = {}

    def move(self, transfer: Transfer) -> None:
        """A copy into the target's dtype and layout."""
        tensor = self.held[transfer.tensor, transfer.source]
        moved = self.storages[transfer.target.dtype].stored(transfer.tensor, tensor)
        if isinstance(moved, np.ndarray):
            moved = _laid_out(moved, transfer.layout)
            moved = moved.copy(order="K") if moved is tensor else moved
        self.transferred_bytes += moved.nbytes if isinstance(moved, np.ndarray | Quantised) else 0
        self.transfers += 1
        self.held[transfer.tensor, transfer.target] = moved

    def call(self, operator: PlacedOperator) -> None:
        node = self.plan.graph.node_named[operator.node]
        began = time.perf_counter()
        inputs = [self._input(name, operator.location) if name else None for name in node.inputs]
        outer = None
        if node.regions and node.body is None:
            outer = {name: self._input(name, operator.location) for name in self.plan.graph.reads(node)}
        storage = self.storages[operator.dtype]
        for name, result in zip(node.outputs, storage.compute(node, inputs, outer), strict=False):
            if name:
                self.held[name, operator.location] = storage.stored(name, result)
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
            self.weights[key] = self.storages[location.dtype].constant(self.plan.graph.constants[name])
        return self.weights[key]

    def outputs(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in self.plan.graph.outputs:
            if self.plan.graph.is_constant(name):
                found[name] = self.plan.graph.constants[name]
                continue
            tensor = self.held[name, self.plan.host]
            value = self.plan.graph.values.get(name)
            is_float = value is not None and is_floating(value.dtype)
            found[name] = FloatStorage(value.dtype).constant(tensor) if value is not None and is_float else tensor
        return found


def _laid_out(array: Array, layout: str) -> Array:
    """The same tensor, its memory in the given order of axes; "any" leaves it as it is."""
    if array.ndim != 4:
        return array
    if layout == "any":
        return array
    if layout == "NHWC":
        return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(array)
