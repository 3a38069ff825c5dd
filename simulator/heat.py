"""Temperatures over time: the thermal network moved on by its exact solution, for powers constant within a step."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from partita.devices.thermal import AMBIENT, BASE, DRAM, HOST, Thermal
from partita.units import ns_as_s

SQUARINGS = 14
"""exp(A) = exp(A / 2^14)^(2^14), the small one by four terms of its series."""


class HeatNetwork:
    """Node temperatures, started at the ambient or where it is told."""

    def __init__(self, thermal: Thermal, units: Sequence[str], ambient_c: float | None = None) -> None:
        self._thermal = thermal
        self.nodes = tuple(thermal.nodes)
        self.ambient_c = thermal.ambient_c.value if ambient_c is None else ambient_c
        self.temperatures_c = [self.ambient_c] * len(self.nodes)
        sources = (*units, BASE, DRAM, HOST)
        place = {source: i for i, node in enumerate(self.nodes) for source in thermal.nodes[node].heated_by}
        self.node_of_source = tuple(place[source] for source in sources)
        """Of the units, then the base, the memory, the host's core."""
        self._rates, self._capacities = _matrix(thermal)
        self._moves: dict[int, tuple[list[list[float]], list[list[float]]]] = {}

    def unit_temperatures_c(self, units: int) -> list[float]:
        return [self.temperatures_c[self.node_of_source[index]] for index in range(units)]

    def advance(self, step_ns: int, powers_w: Sequence[float]) -> None:
        """Move on by `step_ns` with these mean powers by source."""
        if step_ns not in self._moves:
            self._moves[step_ns] = _exact_step(self._rates, self._capacities, ns_as_s(step_ns))
        keep, heat = self._moves[step_ns]
        arriving = [0.0] * len(self.nodes)
        for node, power in zip(self.node_of_source, powers_w, strict=True):
            arriving[node] += power
        above = [t - self.ambient_c for t in self.temperatures_c]
        self.temperatures_c = [
            self.ambient_c
            + sum(k * a for k, a in zip(keep_row, above, strict=True))
            + sum(h * p for h, p in zip(heat_row, arriving, strict=True))
            for keep_row, heat_row in zip(keep, heat, strict=True)
        ]

    def steady_c(self, powers_w: Mapping[str, float]) -> dict[str, float]:
        """Where the temperatures end up with these powers by node."""
        arriving = np.array([powers_w.get(node, 0.0) for node in self.nodes])
        above = np.linalg.solve(-self._rates * self._capacities[:, None], arriving)
        return {node: self.ambient_c + float(t) for node, t in zip(self.nodes, above, strict=True)}


def _matrix(thermal: Thermal) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A of dT/dt = A T + P / C, for temperatures above the ambient; and the capacities."""
    index = {name: i for i, name in enumerate(thermal.nodes)}
    capacities = np.array([node.heat_capacity_j_per_k.value for node in thermal.nodes.values()])
    flows = np.zeros((len(index), len(index)))
    for path in thermal.paths:
        conductance = 1 / path.resistance_k_per_w.value
        ends = [index[end] for end in (path.source, path.target) if end != AMBIENT]
        for end in ends:
            flows[end, end] -= conductance
        if len(ends) == len((path.source, path.target)):
            flows[ends[0], ends[1]] += conductance
            flows[ends[1], ends[0]] += conductance
    return flows / capacities[:, None], capacities


def _exact_step(
    rates: NDArray[np.float64], capacities: NDArray[np.float64], step_s: float
) -> tuple[list[list[float]], list[list[float]]]:
    """exp(A t), and the integral of exp(A s) over the step divided by the capacities, by one exponential of a block."""
    size = len(rates)
    block = np.zeros((2 * size, 2 * size))
    block[:size, :size] = rates * step_s
    block[:size, size:] = np.eye(size) * step_s
    small = block / 2**SQUARINGS
    result = np.eye(2 * size)
    term = np.eye(2 * size)
    for order in (1, 2, 3, 4):
        term = term @ small / order
        result = result + term
    for _ in range(SQUARINGS):
        result = result @ result
    return result[:size, :size].tolist(), (result[:size, size:] / capacities[None, :]).tolist()
