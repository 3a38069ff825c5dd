"""The energy meter: whole numbers, so that what operators, units and transfers draw adds up to the last digit.

The unit of account is 1e-21 J: a power in whole uW, times a weight in ppm, times whole ns.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from partita.devices.power import Power, UnitPower
from partita.devices.thermal import Thermal
from partita.simulator.program import PPM
from partita.simulator.tables import Reading
from partita.units import ns_as_ms

UW_PER_MW = 1_000
MILLI = 1_000
QUANTA_PER_MJ = 10**18
QUANTA_PER_MILLI_PJ = 10**6
"""1e-21 J in a thousandth of a pJ."""


def mean_w(quanta: int, time_ns: int) -> float:
    """The mean power in watts, which are mJ per ms."""
    return quanta / QUANTA_PER_MJ / ns_as_ms(time_ns)


@dataclass(slots=True, kw_only=True)
class Ledger:
    """Energy since the start, in quanta of 1e-21 J."""

    base: int = 0
    host: int = 0
    dram: int = 0
    together: int = 0
    """What several units at work together draw more or, below 0, less than each alone."""
    background: int = 0
    idle: list[int] = field(default_factory=list)
    """By unit, as the next two."""
    dynamic: list[int] = field(default_factory=list)
    leakage: list[int] = field(default_factory=list)

    @property
    def total(self) -> int:
        units = sum(self.idle) + sum(self.dynamic) + sum(self.leakage)
        return self.base + self.host + self.dram + self.together + self.background + units


class Meter:
    """Turns what the engine reports (weights, host time, bytes) into energy at the clocks and temperatures of now."""

    def __init__(self, power: Power | None, thermal: Thermal | None, units: Sequence[str]) -> None:
        """Without `power` it counts bytes and busy times only."""
        self._thermal = thermal
        self._units = [power.units[name] for name in units] if power is not None else []
        self._dynamic_uw = [_by_step(unit, _dynamic_uw) for unit in self._units]
        self._reference_uw = [_by_step(unit, _leakage_uw) for unit in self._units]
        """Leakage at the reference temperature, by unit and step."""
        count = len(units)
        self.ledger = Ledger(idle=[0] * count, dynamic=[0] * count, leakage=[0] * count)
        self.dynamic_uw = [0] * count
        self._leakage_uw = [0] * count
        self._weights = [0] * count
        self._overlapped = [0] * count
        self._load_ppm = [0] * count
        self._host_ns = 0
        self._bytes = 0
        self._background_bytes_per_us = 0
        self._closed_ns = 0
        self.all_bytes = 0
        """Of the plans, since the start."""
        self.quanta_per_byte, self.host_uw, self._base_uw, self._several_ppm = 0, 0, 0, 0
        self._idle_uw = [round(unit.idle_mw.value * UW_PER_MW) for unit in self._units] or [0] * count
        if power is not None:
            self.quanta_per_byte = round(power.dram_pj_per_byte.value * MILLI) * QUANTA_PER_MILLI_PJ
            self.host_uw = round(power.host_core_mw.value * UW_PER_MW)
            self._base_uw = round(power.base_mw.value * UW_PER_MW)
            self._several_ppm = round(power.several_share.value * PPM) - PPM

    @property
    def counts_overlap(self) -> bool:
        """Whether units at work together draw something else than the sum of each alone."""
        return self._several_ppm != 0

    def set_state(self, steps: Sequence[int], temperatures_c: Sequence[float] | None) -> None:
        """From now on these clocks and temperatures (of each unit; none: the reference)."""
        for index in range(len(self._units)):
            self.dynamic_uw[index] = self._dynamic_uw[index][steps[index]]
            hotter = 1.0
            if self._thermal is not None and temperatures_c is not None:
                above_k = temperatures_c[index] - self._thermal.leakage_reference_c.value
                hotter = math.exp(above_k / self._thermal.leakage_scale_k.value)
            self._leakage_uw[index] = round(self._reference_uw[index][steps[index]] * hotter)

    def dynamic_at_uw(self, unit: int, step: int) -> int:
        """Dynamic power of a unit that computes all the time."""
        return self._dynamic_uw[unit][step] if self._units else 0

    def set_background(self, loads: Sequence[float], gb_per_s: float) -> None:
        self._load_ppm = [round(load * PPM) for load in loads]
        self._background_bytes_per_us = round(gb_per_s * MILLI)

    def add(self, now: Reading, before: Reading, *, overlaps: bool = False) -> None:
        """What was drawn between two readings of one run."""
        units = len(self._weights)
        for index in range(units):
            if now[index] != before[index]:
                self.add_weight(index, now[index] - before[index], overlaps=overlaps)
        self._host_ns += now[units] - before[units]
        self._bytes += now[units + 1] - before[units + 1]

    def add_slice(self, weights: Sequence[tuple[int, int]], host_ns: int, size: int) -> None:
        """What a whole slice has drawn."""
        for unit, weight in weights:
            self._weights[unit] += weight
        self._host_ns += host_ns
        self._bytes += size

    def add_weight(self, unit: int, weight: int, *, overlaps: bool = False) -> None:
        self._weights[unit] += weight
        if overlaps:
            self._overlapped[unit] += weight

    def add_host(self, time_ns: int) -> None:
        self._host_ns += time_ns

    def add_bytes(self, size: int) -> None:
        self._bytes += size

    def close(self, now_ns: int) -> list[int]:
        """Books everything up to now; the quanta since the last time, by source: the units, then base, dram, host."""
        ledger, elapsed_ns = self.ledger, now_ns - self._closed_ns
        found = []
        for index, weight in enumerate(self._weights):
            active_uw = self.dynamic_uw[index] + self._leakage_uw[index]
            idle = self._idle_uw[index] * elapsed_ns * PPM
            background = active_uw * self._load_ppm[index] * elapsed_ns
            together = active_uw * self._overlapped[index] * self._several_ppm // PPM
            ledger.idle[index] += idle
            ledger.dynamic[index] += self.dynamic_uw[index] * weight
            ledger.leakage[index] += self._leakage_uw[index] * weight
            ledger.background += background
            ledger.together += together
            found.append(idle + background + together + active_uw * weight)
        background_dram = self._background_bytes_per_us * elapsed_ns // MILLI * self.quanta_per_byte
        base, host = self._base_uw * elapsed_ns * PPM, self.host_uw * self._host_ns * PPM
        dram = self._bytes * self.quanta_per_byte
        ledger.base += base
        ledger.host += host
        ledger.dram += dram
        ledger.background += background_dram
        self._weights = [0] * len(self._weights)
        self._overlapped = [0] * len(self._weights)
        self._host_ns = 0
        self.all_bytes += self._bytes
        self._bytes = 0
        self._closed_ns = now_ns
        return [*found, base, dram + background_dram, host]


def _by_step(unit: UnitPower, power_uw: Callable[[UnitPower, int], int]) -> list[int]:
    return [power_uw(unit, step) for step in range(len(unit.steps.clock_mhz))]


def _dynamic_uw(unit: UnitPower, step: int) -> int:
    return round(unit.active_mw.value * UW_PER_MW * (1 - unit.leakage_share.value) * unit.dynamic_share(step))


def _leakage_uw(unit: UnitPower, step: int) -> int:
    return round(unit.active_mw.value * UW_PER_MW * unit.leakage_share.value * unit.voltage_share(step))
