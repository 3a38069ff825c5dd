"""Which clock step each unit runs at: what a governor wants, and what heat allows."""

from collections.abc import Mapping, Sequence

from partita.devices.power import Governor, Power
from partita.devices.thermal import Thermal
from partita.units import US_PER_MS, ns

HEADROOM = 1.25
"""The schedutil governor of Linux asks for 1.25 times the clock that the load would fill (kernel/sched/cpufreq)."""


class Clocks:
    """The steps of all units. Heat lowers a unit's highest step by one at each poll, and raises it again."""

    def __init__(
        self,
        power: Power,
        thermal: Thermal | None,
        units: Sequence[str],
        governor: Governor,
        clocks_mhz: Mapping[str, float],
    ) -> None:
        self.governor = governor
        self._tables = [power.units[name].steps.clock_mhz for name in units]
        self._limits = thermal.limits if thermal is not None and governor != "fixed" else ()
        self._limited = [[units.index(name) for name in limit.units] for limit in self._limits]
        self._caps = [[len(table) - 1 for table in self._tables] for _ in self._limits]
        """By limit, the highest step that it allows each unit."""
        usual = thermal.polling_ms.value if thermal is not None else 0.0
        self._every_ns = [_whole_ns(limit.polling_ms.value if limit.polling_ms else usual) for limit in self._limits]
        self._looked_ns = [0] * len(self._limits)
        self._last_c = [float("-inf")] * len(self._limits)
        self.trips: dict[str, tuple[int, float, tuple[str, ...]]] = {}
        """By node: when it first lowered a clock, at which temperature, and of which units."""
        self.steps = [len(table) - 1 for table in self._tables]
        for index, name in enumerate(units):
            if governor == "fixed" and name in clocks_mhz:
                self.steps[index] = _nearest(self._tables[index], clocks_mhz[name])

    def clocks_mhz(self) -> list[float]:
        return [table[step] for table, step in zip(self._tables, self.steps, strict=True)]

    def shares(self) -> tuple[float, ...]:
        """Each clock over the unit's top clock."""
        return tuple(table[step] / table[-1] for table, step in zip(self._tables, self.steps, strict=True))

    def poll(self, now_ns: int, temperatures_c: Mapping[str, float], busy_shares: Sequence[float]) -> bool:
        """Decide anew from the temperatures by node and the busy share of each unit since the last poll.

        Whether any step changed.
        """
        if self.governor == "fixed":
            return False
        for index, limit in enumerate(self._limits):
            if now_ns - self._looked_ns[index] >= self._every_ns[index]:
                self._look(index, temperatures_c[limit.node], now_ns)
                self._looked_ns[index] = now_ns
        before = self.steps
        self.steps = [min(self._wanted(u, busy_shares[u]), *(c[u] for c in self._caps), len(t) - 1)
                      for u, t in enumerate(self._tables)]  # fmt: skip
        return self.steps != before

    def _look(self, index: int, temperature_c: float, now_ns: int) -> None:
        """One step down while it is too hot and still warming, one up when it has cooled."""
        limit, caps = self._limits[index], self._caps[index]
        rises = temperature_c > self._last_c[index]
        self._last_c[index] = temperature_c
        move = 1 if temperature_c < limit.clear_c.value else 0
        if temperature_c >= limit.trip_c.value and rises:
            move = -1
            self.trips.setdefault(limit.node, (now_ns, temperature_c, limit.units))
        for unit in self._limited[index]:
            caps[unit] = max(0, min(len(self._tables[unit]) - 1, caps[unit] + move))

    def _wanted(self, unit: int, busy_share: float) -> int:
        table = self._tables[unit]
        if self.governor == "performance":
            return len(table) - 1
        wanted_mhz = HEADROOM * busy_share * table[self.steps[unit]]
        return next((step for step, clock in enumerate(table) if clock >= wanted_mhz), len(table) - 1)


def _whole_ns(time_ms: float) -> int:
    return ns(time_ms * US_PER_MS)


def _nearest(table: Sequence[float], clock_mhz: float) -> int:
    return min(range(len(table)), key=lambda step: (abs(table[step] - clock_mhz), step))
