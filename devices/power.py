"""Power: what each unit draws at each clock, what memory traffic costs, and the energy of one kernel.

    P = idle + (while it works) active * [(1 - leak) * d(f) + leak * V/V0 * exp((T - T0) / T_l)] * [s + (1 - s) * c]

`d` is the dynamic power at clock f beside that at the top clock (measured, or f V^2, or f^k), `leak` the share of
leakage, `s` the share that is drawn while the unit waits for memory, `c` the share of the time in which it computes.
Memory traffic costs `dram_pj_per_byte`, calls and hand-overs keep one core of the host busy, and the rest of the phone
draws `base_mw` all the time, without which the slowest plan would seem the most frugal. Source of the form: the power
models of Carroll and Heiser, "An Analysis of Power Consumption in a Smartphone", USENIX ATC 2010.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from partita.devices.number import Number, Positive, Strict
from partita.units import MW_US_PER_MJ, PJ_PER_MJ

if TYPE_CHECKING:
    from partita.devices.soc import Soc

Governor = Literal["performance", "schedutil", "fixed"]


class Steps(Strict):
    """The clocks at which a unit can run, the slowest first; the last is the one that its peaks are given for."""

    clock_mhz: tuple[float, ...] = Field(min_length=1)
    voltage_v: tuple[float, ...] | None = None
    active_share: tuple[float, ...] | None = None
    """Measured power at each step, as a share of that at the last."""
    kind: Literal["vendor", "measured", "derived", "estimated"]
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _is_a_table(self) -> Self:
        for name, column in (("voltage_v", self.voltage_v), ("active_share", self.active_share)):
            if column is not None and len(column) != len(self.clock_mhz):
                raise ValueError(f"{name} has {len(column)} entries, clock_mhz has {len(self.clock_mhz)}")
            if column is not None and (min(column) <= 0 or list(column) != sorted(column)):
                raise ValueError(f"{name} must be above 0 and not fall from step to step")
        if self.clock_mhz[0] <= 0 or any(a >= b for a, b in zip(self.clock_mhz, self.clock_mhz[1:], strict=False)):
            raise ValueError("clock_mhz must be above 0 and rise from step to step")
        return self


class Wake(Strict):
    """What it costs to start again after doing nothing for so long."""

    after_idle_us: Number
    wake_us: Number


class UnitPower(Strict):
    """What one unit draws."""

    active_mw: Positive
    """Above idle, at the top clock, computing all the time; without its memory traffic."""
    stalled_share: Number
    """Share of it that is drawn while the unit only waits for memory."""
    leakage_share: Number
    """Share of it that is leakage, at the reference temperature."""
    idle_mw: Number
    exponent: Number | None = None
    """Dynamic power grows with this power of the clock, where the steps have neither voltage nor measured power."""
    steps: Steps
    wake: tuple[Wake, ...] = ()
    """By rising idle time; the last that applies counts."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for name, share in (("stalled_share", self.stalled_share), ("leakage_share", self.leakage_share)):
            if share.most > 1:
                raise ValueError(f"{name} must be at most 1, is {share.most:g}")
        if self.exponent is None and self.steps.voltage_v is None and self.steps.active_share is None:
            raise ValueError("exponent is missing: the steps have neither voltage_v nor active_share")
        idle = [wake.after_idle_us.value for wake in self.wake]
        if idle != sorted(set(idle)):
            raise ValueError("wake: after_idle_us must rise from entry to entry")
        return self

    def clock_share(self, step: int) -> float:
        """Clock of a step over the top clock."""
        return self.steps.clock_mhz[step] / self.steps.clock_mhz[-1]

    def voltage_share(self, step: int) -> float:
        """Voltage of a step over that of the top step; from P ~ f V^2 ~ f^k where only k is known."""
        if self.steps.voltage_v is not None:
            return self.steps.voltage_v[step] / self.steps.voltage_v[-1]
        return (self.dynamic_share(step) / self.clock_share(step)) ** 0.5

    def dynamic_share(self, step: int) -> float:
        """Dynamic power of a step over that of the top step."""
        if self.steps.active_share is not None:
            return self.steps.active_share[step]
        if self.steps.voltage_v is not None:
            return self.clock_share(step) * (self.steps.voltage_v[step] / self.steps.voltage_v[-1]) ** 2
        assert self.exponent is not None, "checked when the record was made"
        return float(self.clock_share(step) ** self.exponent.value)

    def active_at_mw(self, step: int, leakage_factor: float = 1.0) -> float:
        """Power above idle at a step, computing all the time; `leakage_factor` is 1 at the reference temperature."""
        leak = self.leakage_share.value
        dynamic = (1 - leak) * self.dynamic_share(step)
        return self.active_mw.value * (dynamic + leak * self.voltage_share(step) * leakage_factor)

    def working_share(self, compute_share: float) -> float:
        """Share of the active power for work that computes in `compute_share` of its time."""
        stalled = self.stalled_share.value
        return stalled + (1 - stalled) * compute_share

    def wake_us(self, idle_us: float) -> float:
        """What it takes to start after `idle_us` without work."""
        return max((w.wake_us.value for w in self.wake if w.after_idle_us.value <= idle_us), default=0.0)


class Power(Strict):
    """What a phone draws."""

    base_mw: Number
    """Display, radios, regulators, everything that is on whatever the units do."""
    dram_pj_per_byte: Positive
    host_core_mw: Positive
    """The core that drives the others, while it does: calls, hand-overs, copies, the runtime's own time."""
    several_share: Positive
    """Active power of several units at work together, as a share of the sum of what each draws alone."""
    governor: Governor = "performance"
    units: dict[str, UnitPower]

    def check_units(self, names: Sequence[str]) -> None:
        """ValueError if a unit has no power or a power no unit."""
        for name in names:
            if name not in self.units:
                raise ValueError(f"power.units.{name} is missing")
        for name in self.units:
            if name not in names:
                raise ValueError(f"power.units.{name} is no unit; units: {', '.join(names)}")


class ThreeRegions(Strict):
    """How a unit slows when others stream beside it, in three regions of what it asks for itself.

    Up to `normal_gb_per_s` it hardly notices; up to `intensive_gb_per_s` it slows once both together ask for more than
    `free_gb_per_s`; above that it slows from the start; what others ask beyond `flat_gb_per_s` changes nothing more.
    Source of the form: Xu et al., "PCCS: Processor-Centric Contention-aware Slowdown Model", MICRO 2021.
    """

    normal_gb_per_s: Positive
    intensive_gb_per_s: Positive
    most_minor_loss: Number
    """Share of its speed that it loses at most in the first region."""
    free_gb_per_s: Positive
    flat_gb_per_s: Positive
    loss_per_gb_per_s: Number
    """Share of the speed lost in the second region for each GB/s that the others ask for."""
    intensive_loss_per_gb_per_s: Number


class Sharing(Strict):
    """How units that stream at the same time divide the memory."""

    law: Literal["fair_share", "three_regions", "side_by_side"]
    weights: dict[str, Positive] = Field(default_factory=dict)
    """Of the fair share, by unit; 1 for those that are not listed."""
    regions: dict[str, ThreeRegions] = Field(default_factory=dict)
    """By unit; those that are not listed are not slowed."""
    slowdown: Positive | None = None
    """Of the law side_by_side: how many times as long a kernel takes while another unit works, whatever either asks of
    the memory. For units that share more than that: caches, and an interpreter that only one of them can hold."""

    def check_units(self, names: Sequence[str]) -> None:
        """ValueError if a unit is named that the Soc does not have."""
        for field, keys in (("weights", self.weights), ("regions", self.regions)):
            for name in keys:
                if name not in names:
                    raise ValueError(f"sharing.{field}.{name} is no unit; units: {', '.join(names)}")
        if self.law == "three_regions" and not self.regions:
            raise ValueError("sharing.regions is missing: the law three_regions needs it")
        if (self.law == "side_by_side") != (self.slowdown is not None):
            raise ValueError("sharing.slowdown and the law side_by_side must be given together")
        if self.slowdown is not None and self.slowdown.least < 1:
            raise ValueError(f"sharing.slowdown must be at least 1, is {self.slowdown.least:g}")


def kernel_energy_mj(
    soc: "Soc", unit: str, time_us: float, dram_bytes: float, compute_us: float | None = None
) -> float | None:
    """Energy above idle of a kernel that keeps `unit` busy for `time_us` at its top clock and moves `dram_bytes`.

    `compute_us` is how much of the time it computes; all of it if not given. The phone's base and idle power is not in
    it: that is `idle_power_mw` times how long the whole inference takes. None if nothing is known of the Soc's power.
    """
    if soc.power is None:
        return None
    power = soc.power.units[unit]
    share = 1.0 if compute_us is None or time_us <= 0 else min(1.0, compute_us / time_us)
    active_mw = power.active_mw.value * power.working_share(share)
    return active_mw * time_us / MW_US_PER_MJ + dram_energy_mj(soc.power, dram_bytes)


def host_energy_mj(soc: "Soc", time_us: float, dram_bytes: float = 0.0) -> float | None:
    """Energy above idle of a call or a transfer: a core of the host for `time_us`, and the traffic."""
    if soc.power is None:
        return None
    return soc.power.host_core_mw.value * time_us / MW_US_PER_MJ + dram_energy_mj(soc.power, dram_bytes)


def idle_power_mw(soc: "Soc") -> float | None:
    """What the phone draws with nothing to do: its base and every unit idle."""
    if soc.power is None:
        return None
    return soc.power.base_mw.value + sum(unit.idle_mw.value for unit in soc.power.units.values())


def dram_energy_mj(power: Power, dram_bytes: float) -> float:
    return power.dram_pj_per_byte.value * dram_bytes / PJ_PER_MJ
