"""The sample graphs of Moirai (arXiv 2312.04025), as JSON: one time per node and device, one matrix per output.

`transfer[a][b]` is the time to move a node's output from device a to b; a node without a matrix moves for nothing.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from partita.errors import ProblemError
from partita.partitioner.instance import Instance, Operator, Tensor, Unit

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Node(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: int
    time: list[Amount]
    memory_bytes: Amount = 0.0
    transfer: list[list[Amount | None]] | None = None


class Sample(BaseModel):
    """One file."""

    model_config = ConfigDict(extra="ignore")
    unit_time: str = "ms"
    devices: Annotated[int, Field(ge=1, le=1000)]
    device_memory_bytes: list[Amount] | None = None
    nodes: list[_Node]
    edges: list[tuple[int, int]]


def instance_of(sample: Sample, name: str) -> Instance:
    """The same problem in our terms; node ids become the operators' names."""
    memory = sample.device_memory_bytes
    if memory is not None and len(memory) != sample.devices:
        raise ProblemError(f"{name}: device_memory_bytes has {len(memory)} entries for {sample.devices} devices")
    for number, node in enumerate(sample.nodes):
        if len(node.time) != sample.devices:
            raise ProblemError(
                f"{name}: nodes[{number}].time has {len(node.time)} entries for {sample.devices} devices"
            )
        rows = node.transfer if node.transfer is not None else []
        if node.transfer is not None and [len(row) for row in rows] != [sample.devices] * sample.devices:
            raise ProblemError(f"{name}: nodes[{number}].transfer is not {sample.devices} x {sample.devices}")
    units = tuple(
        Unit(f"device{i}") if memory is None else Unit(f"device{i}", memory=memory[i]) for i in range(sample.devices)
    )
    operators = tuple(Operator(str(node.id), tuple(node.time), node.memory_bytes) for node in sample.nodes)
    return Instance(name, sample.unit_time, units, operators, _tensors(sample, name))


def _tensors(sample: Sample, name: str) -> tuple[Tensor, ...]:
    number_of = {node.id: number for number, node in enumerate(sample.nodes)}
    consumers: dict[int, set[int]] = {}
    for number, (source, target) in enumerate(sample.edges):
        for node in (source, target):
            if node not in number_of:
                raise ProblemError(f"{name}: edges[{number}]: there is no node {node}")
        consumers.setdefault(number_of[source], set()).add(number_of[target])
    found = []
    for producer in sorted(consumers):
        matrix = sample.nodes[producer].transfer or []
        move = tuple(tuple(value or 0.0 for value in row) for row in matrix)
        found.append(Tensor(producer, tuple(sorted(consumers[producer])), move=move))
    return tuple(found)
