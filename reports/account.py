"""Where the time of a plan goes: per unit, per kind of cost, per kind of evidence; it adds up to the plan's latency.

The sums follow the model of one inference in which units take turns: the runtime's fixed cost, then every segment's
transfers, call and operators.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from partita.graph.ir import Node
from partita.graph.plan import PlacedOperator, Plan
from partita.graph.work import uncounted
from partita.reports.chip import Chip, UnitLabel, chip_of


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTotal:
    """What one unit does in one inference. Times in microseconds."""

    unit: UnitLabel
    operators: int
    """Operators of the model, those inside fused kernels counted one by one."""
    kernels: int
    segments: int
    operators_us: float
    calls_us: float
    conversions_us: float
    dram_bytes: int

    @property
    def latency_us(self) -> float:
        return self.operators_us + self.calls_us + self.conversions_us


@dataclass(frozen=True, eq=False)
class Account:
    """The sums behind every report of a plan."""

    plan: Plan

    @cached_property
    def chip(self) -> Chip:
        """The Soc inside the plan; PlanError if the plan uses a unit that it does not have."""
        chip = chip_of(self.plan)
        for name in dict.fromkeys((self.plan.host.unit, *(operator.unit for operator in self.plan.operators))):
            chip.unit(name)
        return chip

    @cached_property
    def units(self) -> tuple[UnitTotal, ...]:
        """In the order of the Soc, idle units too."""
        return tuple(self._total(unit) for unit in self.chip.units)

    def _total(self, unit: UnitLabel) -> UnitTotal:
        placed = [operator for operator in self.plan.operators if operator.unit == unit.name]
        segments = [segment for segment in self.plan.segments if segment.unit == unit.name]
        inside = [t for t in self.plan.transfers if not t.crosses_units and t.target.unit == unit.name]
        return UnitTotal(
            unit=unit,
            operators=sum(len(operator.covers) for operator in placed),
            kernels=len(placed),
            segments=len(segments),
            operators_us=sum(operator.cost.latency_us for operator in placed),
            calls_us=sum(segment.call_us for segment in segments),
            conversions_us=sum(transfer.latency_us for transfer in inside),
            dram_bytes=sum(operator.cost.dram_bytes for operator in placed),
        )

    @cached_property
    def operators(self) -> int:
        """Operators of the model."""
        return sum(total.operators for total in self.units)

    @cached_property
    def uncounted(self) -> dict[str, str]:
        """Of each operator with control flow whose whole work is not known, what its time leaves out."""
        graph = self.plan.graph
        found = {node.name: uncounted(graph, node) for node in graph.nodes}
        return {name: why for name, why in found.items() if why is not None}

    @cached_property
    def transfers_us(self) -> float:
        """Time of all transfers between units."""
        return sum(transfer.latency_us for transfer in self.plan.transfers if transfer.crosses_units)

    @cached_property
    def crossings(self) -> int:
        """Number of transfers between units."""
        return sum(transfer.crosses_units for transfer in self.plan.transfers)

    @cached_property
    def latency_us(self) -> float:
        """One inference while units take turns; equal to the plan's figure if its objective is "latency"."""
        return self.plan.inference_us + self.transfers_us + sum(total.latency_us for total in self.units)

    @cached_property
    def low_us(self) -> float:
        """The latency if every operator runs as fast as its prediction allows; fixed costs stay as they are."""
        return self.latency_us - sum(o.cost.latency_us - o.cost.low_us for o in self.plan.operators)

    @cached_property
    def high_us(self) -> float:
        return self.latency_us + sum(o.cost.high_us - o.cost.latency_us for o in self.plan.operators)

    @cached_property
    def us_by_evidence(self) -> dict[str, float]:
        """Operators' time by what its prediction rests on, largest first."""
        return self._us_by(lambda operator: operator.cost.evidence)

    @cached_property
    def us_by_bound(self) -> dict[str, float]:
        """Operators' time by what limits them, largest first."""
        return self._us_by(lambda operator: operator.cost.bound)

    def _us_by(self, key: Callable[[PlacedOperator], str]) -> dict[str, float]:
        totals: dict[str, float] = {}
        for operator in self.plan.operators:
            if operator.cost.latency_us > 0:
                totals[key(operator)] = totals.get(key(operator), 0.0) + operator.cost.latency_us
        return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))

    @cached_property
    def call_of(self) -> dict[str, PlacedOperator]:
        """The kernel call that runs each operator of the model, in the order in which the calls run."""
        return {name: operator for operator in self.plan.operators for name in operator.covers}

    @cached_property
    def node_of(self) -> dict[str, Node]:
        """Operators of the model by name, those inside fused kernels too."""
        nodes: dict[str, Node] = {}
        for node in self.plan.graph.nodes:
            nodes[node.name] = node
            if node.body is not None:
                nodes.update({inner.name: inner for inner in node.body.nodes})
        return nodes

    def op_of(self, name: str) -> str:
        """The ONNX operator type of a model operator; "?" for one that the placed graph no longer shows."""
        node = self.node_of.get(name)
        return node.op if node is not None else "?"

    @cached_property
    def busiest(self) -> UnitLabel | None:
        """The unit that runs most operators; None for an empty plan."""
        used = [total for total in self.units if total.operators]
        return max(used, key=lambda total: (total.operators, total.latency_us)).unit if used else None
