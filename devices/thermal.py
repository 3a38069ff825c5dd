"""Heat: a network of thermal resistances and capacities, and the limits at which clocks are lowered.

    C_i dT_i/dt = P_i - sum_j (T_i - T_j) / R_ij

One node per die block, one for what spreads the heat, one for case and battery; the ambient is a node of constant
temperature. Source of the form: the compact models of Skadron et al., "Temperature-aware microarchitecture", ISCA 2003.
"""

from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from partita.devices.number import Number, Positive, Strict

AMBIENT = "ambient"
BASE = "base"
DRAM = "dram"
HOST = "host"
"""What can heat a node beside the units: the phone itself, its memory, and the core that drives the others."""


class ThermalNode(Strict):
    """Something that has one temperature."""

    heat_capacity_j_per_k: Positive
    heated_by: tuple[str, ...] = ()
    """Units whose power arrives here, and any of "base", "dram" and "host"."""


class ThermalPath(Strict):
    """A way for heat between two nodes, or from a node to the ambient."""

    source: str
    target: str
    resistance_k_per_w: Positive


class ThermalLimit(Strict):
    """A node that is too hot lowers the clocks of some units, one step per polling period, until it has cooled.

    Source of the rule: the step-wise governor of Linux (drivers/thermal/gov_step_wise.c).
    """

    node: str
    trip_c: Number
    """At this temperature and above, one step down if it still rises."""
    clear_c: Number
    """Below this temperature, one step up."""
    polling_ms: Positive | None = None
    """How often the node is looked at, if not every `polling_ms` of the network."""
    units: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.clear_c.value >= self.trip_c.value:
            raise ValueError(f"clear_c ({self.clear_c.value:g}) must be below trip_c ({self.trip_c.value:g})")
        return self


class Thermal(Strict):
    """How a phone warms up, and what it does about it."""

    ambient_c: Number
    step_ms: Positive
    """How often temperatures move on; limits are looked at every `polling_ms`."""
    polling_ms: Positive
    leakage_reference_c: Number
    """The temperature for which the leakage of a unit is given."""
    leakage_scale_k: Positive
    """Leakage grows e-fold over so many kelvin."""
    nodes: dict[str, ThermalNode] = Field(min_length=1)
    paths: tuple[ThermalPath, ...] = Field(min_length=1)
    limits: tuple[ThermalLimit, ...] = ()

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if AMBIENT in self.nodes:
            raise ValueError(f"nodes.{AMBIENT}: the name stands for the surroundings; name the node otherwise")
        for index, path in enumerate(self.paths):
            for end in (path.source, path.target):
                if end != AMBIENT and end not in self.nodes:
                    raise ValueError(f"paths[{index}] names {end!r}, which is no node; nodes: {', '.join(self.nodes)}")
            if path.source == path.target:
                raise ValueError(f"paths[{index}] joins {path.source!r} to itself")
        for index, limit in enumerate(self.limits):
            if limit.node not in self.nodes:
                raise ValueError(f"limits[{index}].node is {limit.node!r}; nodes: {', '.join(self.nodes)}")
        self._check_ways_out()
        if self.polling_ms.value < self.step_ms.value:
            raise ValueError("polling_ms must be at least step_ms")
        return self

    def _check_ways_out(self) -> None:
        """Every node must reach the ambient: heat that cannot leave makes it hotter for ever."""
        reached = {AMBIENT}
        for _ in self.nodes:
            for path in self.paths:
                ends = {path.source, path.target}
                reached |= ends if ends & reached else set()
        for name in self.nodes:
            if name not in reached:
                raise ValueError(f"nodes.{name}: its heat has no way to the {AMBIENT}; add to paths")

    def check_units(self, names: Sequence[str]) -> None:
        """ValueError if a unit is named that the Soc does not have, or one heats no node or several."""
        sources = (*names, BASE, DRAM, HOST)
        heated = [source for node in self.nodes.values() for source in node.heated_by]
        for source in heated:
            if source not in sources:
                raise ValueError(f"thermal.nodes: heated_by names {source!r}; it can be: {', '.join(sources)}")
            if heated.count(source) > 1:
                raise ValueError(f"thermal.nodes: {source!r} heats two nodes; its power goes to one")
        for source in sources:
            if source not in heated:
                raise ValueError(f"thermal.nodes: {source!r} heats no node; name it in the heated_by of one")
        for limit in self.limits:
            for unit in limit.units:
                if unit not in names:
                    raise ValueError(f"thermal.limits: {unit!r} is no unit; units: {', '.join(names)}")
