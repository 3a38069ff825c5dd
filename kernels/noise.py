"""Which operators of a placed graph disturb the result most: each one's own rounding, apart from the others'."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from partita.graph.plan import Plan
from partita.graph.quantisation import Range
from partita.kernels.compare import difference
from partita.kernels.executor import checked_feeds, compute, last_uses
from partita.kernels.quantised import Quantised
from partita.kernels.storage import FloatStorage, storage_of


@dataclass(frozen=True, slots=True)
class OperatorNoise:
    """What one operator's arithmetic alone does to its first output."""

    node: str
    op: str
    dtype: str
    snr_db: float
    """Signal-to-noise ratio against the same operator in float32 on the same float32 inputs."""


def noise_of_operators(plan: Plan, feeds: Mapping[str, Any], ranges: Mapping[str, Range]) -> tuple[OperatorNoise, ...]:
    """Every operator that does not compute in float32, the noisiest first.

    Each runs on exact inputs, so errors made earlier do not count; how far an error travels is not told.
    """
    graph = plan.graph
    exact = FloatStorage("float32")
    known: dict[str, Any] = {n: exact.constant(x) for n, x in checked_feeds(graph, feeds).items()}
    constants = {name: exact.constant(array) for name, array in graph.constants.items()}
    freed = last_uses(graph, ())
    found: list[OperatorNoise] = []
    for index, node in enumerate(graph.nodes):
        around = {**constants, **known}
        inputs = [around[name] if name else None for name in node.inputs]
        results = compute(node, inputs, around)
        operator = plan.placed[node.name]
        if operator.dtype != "float32" and _is_float(results[0]):
            storage = storage_of(operator.dtype, ranges)
            lying = [
                storage.constant(around[n]) if graph.is_constant(n) else storage.stored(n, around[n]) if n else None
                for n in node.inputs
            ]
            rounded = storage.stored(node.outputs[0], storage.compute(node, lying, around)[0])
            plain = rounded.values() if isinstance(rounded, Quantised) else rounded
            snr_db = difference(node.name, results[0], plain).snr_db
            found.append(OperatorNoise(node.name, node.op, operator.dtype, snr_db))
        known.update((name, result) for name, result in zip(node.outputs, results, strict=False) if name)
        for name in freed.get(index, ()):
            known.pop(name, None)
    return tuple(sorted(found, key=lambda noise: (noise.snr_db, noise.node)))


def _is_float(tensor: Any) -> bool:
    return isinstance(tensor, np.ndarray) and tensor.dtype.kind == "f" and tensor.size > 0
