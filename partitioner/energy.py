"""Energy of the parts of an inference while units take turns: what works, and what the phone draws meanwhile anyway."""

from partita.devices import Soc, TransferCost
from partita.devices.power import host_energy_mj, idle_power_mw, kernel_energy_mj
from partita.graph.plan import Cost, Location, Shared
from partita.units import MW_US_PER_MJ


def of_kernel_mj(soc: Soc, unit: str, cost: Cost) -> float:
    """Of one kernel; 0 if nothing is known of the Soc's power, as below."""
    work_mj = kernel_energy_mj(soc, unit, cost.latency_us, cost.dram_bytes, cost.compute_us)
    return _with_idle_mj(soc, work_mj, cost.latency_us)


def of_shared_mj(soc: Soc, unit: str, shared: Shared, cost: Cost) -> float:
    """Of one kernel that two units share: both work, a core of the host hands over."""
    parts = ((unit, shared.first), (shared.unit, shared.second))
    works = [kernel_energy_mj(soc, name, part.latency_us, part.dram_bytes, part.compute_us) for name, part in parts]
    moved_bytes = cost.dram_bytes - shared.first.dram_bytes - shared.second.dram_bytes
    works.append(host_energy_mj(soc, shared.sharing_us, moved_bytes))
    known = [work for work in works if work is not None]
    return _with_idle_mj(soc, sum(known) if len(known) == len(works) else None, cost.latency_us)


def of_transfer_mj(soc: Soc, cost: TransferCost, source: Location, target: Location) -> float:
    """Of one transfer: the unit casts inside itself, a core of the host hands over between units."""
    if source.unit == target.unit:
        work_mj = kernel_energy_mj(soc, source.unit, cost.latency_us, cost.dram_bytes, 0.0)
    else:
        work_mj = host_energy_mj(soc, cost.latency_us, cost.dram_bytes)
    return _with_idle_mj(soc, work_mj, cost.latency_us)


def of_waiting_mj(soc: Soc, time_us: float) -> float:
    """Of a call, or of the runtime's fixed cost: a core of the host works."""
    return _with_idle_mj(soc, host_energy_mj(soc, time_us), time_us)


def _with_idle_mj(soc: Soc, work_mj: float | None, time_us: float) -> float:
    idle_mw = idle_power_mw(soc)
    return 0.0 if work_mj is None or idle_mw is None else work_mj + idle_mw * time_us / MW_US_PER_MJ
