"""The workloads of the paper "Efficient Algorithms for Device Placement of DNN Graph Operators" (NeurIPS 2020).

Format: github.com/msr-fiddle/dnn-partitioning, README. An output moves between an accelerator and the host's memory
in `cost`; an accelerator pays for sending once and for each tensor that it receives; processor cores pay nothing.
"""

from math import inf
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from partita.errors import ProblemError
from partita.partitioner.instance import Instance, Operator, Tensor, Unit

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10_000)]
SAME_COST = 1e-6
"""Costs of one node's edges may differ by so much, as in the paper's programs."""


class _Node(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: int
    supportedOnFpga: bool = True  # noqa: N815  (the format's name)
    cpuLatency: Amount  # noqa: N815
    fpgaLatency: Amount  # noqa: N815
    isBackwardNode: bool = False  # noqa: N815
    colorClass: int | None = None  # noqa: N815
    size: Amount = 0.0


class _Edge(BaseModel):
    model_config = ConfigDict(extra="ignore")
    sourceId: int  # noqa: N815
    destId: int  # noqa: N815
    cost: Amount


class Workload(BaseModel):
    """One file."""

    model_config = ConfigDict(extra="ignore")
    maxSizePerFPGA: Amount  # noqa: N815
    maxFPGAs: Count  # noqa: N815
    maxCPUs: Count  # noqa: N815
    nodes: list[_Node]
    edges: list[_Edge]


def instance_of(workload: Workload, name: str) -> Instance:
    """The same problem in our terms; node ids become the operators' names."""
    cpus, accelerators = workload.maxCPUs, workload.maxFPGAs
    if not cpus + accelerators:
        raise ProblemError(f"{name}: maxCPUs and maxFPGAs are both 0, so there is nothing to run on")
    units = (
        *(Unit(f"cpu{i}") for i in range(cpus)),
        *(Unit(f"accelerator{i}", memory=workload.maxSizePerFPGA, subgraphs=1) for i in range(accelerators)),
    )
    operators = tuple(
        Operator(
            name=str(node.id),
            times=(node.cpuLatency,) * cpus + (node.fpgaLatency if node.supportedOnFpga else inf,) * accelerators,
            memory=node.size,
            group=None if node.colorClass is None else str(node.colorClass),
        )
        for node in workload.nodes
    )
    number_of = {node.id: number for number, node in enumerate(workload.nodes)}
    return Instance(name, "ms", units, operators, _tensors(workload, name, number_of))


def _tensors(workload: Workload, name: str, number_of: dict[int, int]) -> tuple[Tensor, ...]:
    consumers: dict[int, set[int]] = {}
    cost: dict[int, float] = {}
    for number, edge in enumerate(workload.edges):
        for node in (edge.sourceId, edge.destId):
            if node not in number_of:
                raise ProblemError(f"{name}: edges[{number}]: there is no node {node}")
        if abs(cost.setdefault(edge.sourceId, edge.cost) - edge.cost) > SAME_COST:
            raise ProblemError(
                f"{name}: edges[{number}]: cost is {edge.cost:g}, but an earlier edge out of node {edge.sourceId} "
                f"costs {cost[edge.sourceId]:g}; one output has one cost"
            )
        consumers.setdefault(number_of[edge.sourceId], set()).add(number_of[edge.destId])
    found = []
    for node, source in number_of.items():
        if source in consumers:
            sides = (0.0,) * workload.maxCPUs + (cost[node],) * workload.maxFPGAs
            found.append(Tensor(source, tuple(sorted(consumers[source])), send=sides, receive=sides))
    return tuple(found)
