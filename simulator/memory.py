"""What the simulator needs to know of a Soc: its units, its links, and how its memory is shared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from partita.devices.soc import Soc, Unit

TRANSFERS = "transfers"
"""The engine that stands for all traffic of transfers between units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLimits:
    """What the shared memory gives, in GB/s (1 GB = 1e9 bytes, so a GB/s is a byte per ns)."""

    one_gb_per_s: float
    """To one engine, if `alone_gb_per_s` has no number of its own for it."""
    several_gb_per_s: float
    """To two or more engines together."""
    alone_gb_per_s: Mapping[str, float] = field(default_factory=dict, hash=False)
    """The most that a unit streams while nothing else runs, by the unit's name."""
    weight_of: Mapping[str, float] = field(default_factory=dict, hash=False)
    """How large a share a unit gets beside others; 1 unless it says otherwise."""

    def most_gb_per_s(self, engine: str) -> float:
        return self.alone_gb_per_s.get(engine, self.one_gb_per_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A Soc as the simulator sees it."""

    name: str
    units: tuple[str, ...]
    links: tuple[str, ...]
    """As tracks: "cpu->npu"."""
    memory: MemoryLimits


def link_name(source: str, target: str) -> str:
    """
    >>> link_name("cpu", "npu")
    'cpu->npu'
    """
    return f"{source}->{target}"


def machine_of(soc: Soc) -> Machine:
    peak = soc.dram.peak_gb_per_s.value
    return Machine(
        name=soc.name,
        units=tuple(unit.name for unit in soc.units),
        links=tuple(link_name(link.source, link.target) for link in soc.links),
        memory=MemoryLimits(
            one_gb_per_s=peak * soc.dram.share_of_one.value,
            several_gb_per_s=peak * soc.dram.share_of_several.value,
            alone_gb_per_s={unit.name: _alone_gb_per_s(unit) for unit in soc.units},
            weight_of={unit: w.value for unit, w in soc.sharing.weights.items()} if soc.sharing is not None else {},
        ),
    )


def _alone_gb_per_s(unit: Unit) -> float:
    rates = (unit.bandwidth_gb_per_s, unit.weights_gb_per_s)
    return max(rate.value for rate in rates if rate is not None)


def fair_shares(demands: Sequence[tuple[float, float]], capacity: float) -> list[float]:
    """Weighted max-min fair shares of `capacity` for (demand, weight) pairs, by filling the smallest demands first.

    Nobody gets more than it asks for, what one leaves is divided among the others by weight, and if the capacity
    suffices everyone gets exactly its demand. Source: D. Bertsekas and R. Gallager, Data Networks, section 6.5.2
    (max-min flow control), on one link.

    >>> fair_shares([(10.0, 1.0), (50.0, 1.0), (50.0, 1.0)], 70.0)
    [10.0, 30.0, 30.0]
    """
    shares = [demand for demand, _ in demands]
    if sum(shares) <= capacity:
        return shares
    if len(demands) == 2:
        return _two_fair_shares(demands[0], demands[1], max(capacity, 0.0))
    weight_left = sum(weight for _, weight in demands)
    for index in sorted(range(len(demands)), key=lambda i: (demands[i][0] / demands[i][1], i)):
        demand, weight = demands[index]
        shares[index] = min(demand, max(capacity, 0.0) * weight / weight_left)
        capacity -= shares[index]
        weight_left -= weight
    return shares


def _two_fair_shares(first: tuple[float, float], second: tuple[float, float], capacity: float) -> list[float]:
    """The same for two whose demands exceed the capacity: the smaller demand by weight, then what it leaves."""
    (a, weight_a), (b, weight_b) = first, second
    both = weight_a + weight_b
    if b / weight_b < a / weight_a:
        share_b = min(b, capacity * weight_b / both)
        return [min(a, (capacity - share_b) * weight_a / (both - weight_b)), share_b]
    share_a = min(a, capacity * weight_a / both)
    return [share_a, min(b, (capacity - share_a) * weight_b / (both - weight_a))]
