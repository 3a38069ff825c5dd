"""How those that use the memory at the same time divide it: laws with one interface, chosen in the Soc file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from partita.devices.power import ThreeRegions
from partita.devices.soc import Soc
from partita.simulator.memory import MemoryLimits, fair_shares, machine_of

Demand = tuple[str, float]
"""An engine (a unit, "transfers" or "background") and the GB/s at which it is not slowed."""

MOST_LOSS = 0.99
"""However much others ask for, a unit goes on."""


class Law(Protocol):
    """Divides the memory."""

    def divide(self, demands: Sequence[Demand]) -> list[float]:
        """GB/s for each, at most what it asks for; its speed is that over its demand."""
        ...

    def leaves_alone(self, demands: Sequence[Demand]) -> bool:
        """Whether nobody is slowed, now or if anybody asks for less than this."""
        ...


@dataclass(frozen=True, slots=True)
class FairShare:
    """Weighted max-min fair shares of what the memory gives to several; one alone is never slowed."""

    limits: MemoryLimits

    def divide(self, demands: Sequence[Demand]) -> list[float]:
        capacity = self.limits.several_gb_per_s if len(demands) > 1 else math.inf
        weight_of = self.limits.weight_of
        return fair_shares([(demand, weight_of.get(engine, 1.0)) for engine, demand in demands], capacity)

    def leaves_alone(self, demands: Sequence[Demand]) -> bool:
        return len(demands) < 2 or sum(demand for _, demand in demands) <= self.limits.several_gb_per_s


@dataclass(frozen=True, slots=True)
class RegionLaw:
    """Each unit slows by what the others ask for, in three regions of what it asks for itself; see `ThreeRegions`."""

    regions: Mapping[str, ThreeRegions] = field(hash=False)

    def divide(self, demands: Sequence[Demand]) -> list[float]:
        total = sum(demand for _, demand in demands)
        return [demand * (1 - self._loss(engine, demand, total - demand)) for engine, demand in demands]

    def leaves_alone(self, demands: Sequence[Demand]) -> bool:
        return len(demands) < 2 or not any(engine in self.regions for engine, _ in demands)

    def _loss(self, engine: str, own_gb_per_s: float, others_gb_per_s: float) -> float:
        region = self.regions.get(engine)
        if region is None:
            return 0.0
        felt = min(others_gb_per_s, region.flat_gb_per_s.value)
        if own_gb_per_s <= region.normal_gb_per_s.value:
            loss = region.most_minor_loss.value * felt / region.flat_gb_per_s.value
        elif own_gb_per_s < region.intensive_gb_per_s.value:
            free = max(0.0, region.free_gb_per_s.value - own_gb_per_s)
            loss = region.loss_per_gb_per_s.value * max(0.0, felt - free)
        else:
            loss = region.intensive_loss_per_gb_per_s.value * felt
        return min(loss, MOST_LOSS)


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Fair shares, and all that work beside others take `slowdown` times as long, whatever they ask for."""

    fair: FairShare
    slowdown: float

    def divide(self, demands: Sequence[Demand]) -> list[float]:
        shares = self.fair.divide(demands)
        if len(demands) < 2:
            return shares
        return [min(share, demand / self.slowdown) for share, (_, demand) in zip(shares, demands, strict=True)]

    def leaves_alone(self, demands: Sequence[Demand]) -> bool:
        return len(demands) < 2


def law_of(soc: Soc) -> Law:
    """The law that the Soc file chooses."""
    if soc.sharing is not None and soc.sharing.law == "three_regions":
        return RegionLaw(soc.sharing.regions)
    fair = FairShare(machine_of(soc).memory)
    if soc.sharing is not None and soc.sharing.slowdown is not None:
        return SideBySide(fair, soc.sharing.slowdown.value)
    return fair
