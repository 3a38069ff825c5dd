"""This machine's facts, and the Soc that they make: two units, each one core, with the same runtime."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from partita.devices.power import Sharing
from partita.devices.soc import DEFAULT, Cluster, Dram, Link, Number, Soc, Unit
from partita.host_overheads import Overheads, Rates

UNITS = ("cpu0", "cpu1")
DTYPE = "float32"
NUMPY, ONNXRUNTIME = "numpy", "onnxruntime"
SUPPORT = {NUMPY: "partita-numpy", ONNXRUNTIME: "onnxruntime-cpu"}
GUESS_CACHE_BYTES = 1 << 20
NO_OVERHEADS = Overheads(1, 0, 0, 1, 1, 1)
NO_RATES = Rates(10, 10, 20, 5)
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@dataclass(frozen=True, slots=True)
class Machine:
    """What the figures belong to."""

    cpu: str
    cores: int
    clock_mhz: float | None
    cache_bytes: int | None
    """Second-level cache of one core, if the system tells."""
    versions: str

    @property
    def description(self) -> str:
        return f"{self.cpu}, {self.cores} cores, {self.versions}"


def machine_facts(*, with_onnxruntime: bool) -> Machine:
    """Processor and versions, as far as the system tells them."""
    known = _cpuinfo()
    packages = ["numpy", "numba", *(["onnxruntime"] if with_onnxruntime else [])]
    found = [f"{name} {number}" for name in packages if (number := _version(name))]
    versions = ", ".join([platform.system(), f"Python {platform.python_version()}", *found])
    clock = known.get("cpu MHz", "")
    return Machine(
        cpu=known.get("model name") or platform.processor() or platform.machine() or "unknown processor",
        cores=len(cores()) if cores()[0] is not None else os.cpu_count() or 1,
        clock_mhz=float(clock) if clock.replace(".", "", 1).isdigit() else None,
        cache_bytes=_second_level_bytes(),
        versions=versions,
    )


def cores() -> tuple[int | None, ...]:
    """The cores that this process may run on; (None, None) where the system does not let it choose."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    return tuple(sorted(os.sched_getaffinity(0)))


def pair_of_cores() -> tuple[int | None, int | None]:
    """A core for each unit; the same one twice where there is only one."""
    found = cores()
    return found[0], found[1 % len(found)]


def _cpuinfo() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, _, value in reversed(list(pairs))}


def _second_level_bytes() -> int | None:
    try:
        text = (_CACHES / "index2" / "size").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return int(text[:-1]) << 10 if text.endswith("K") and text[:-1].isdigit() else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def draft_unit(name: str, runtime: str, machine: Machine, overheads: Overheads, rates: Rates) -> Unit:
    """A unit with what was measured apart from operators; peaks and utilisations wait for the fit."""
    cache_bytes = machine.cache_bytes or GUESS_CACHE_BYTES
    told = "vendor" if machine.cache_bytes else "estimated"
    how_told = "HOST: second-level cache, as the system tells" if machine.cache_bytes else "no source: a common size"
    rate = measured(rates.dram, "HOST: copy of 64 MiB")
    return Unit(
        name=name,
        kind="cpu",
        title=f"One core of {machine.cpu}, {runtime} {DTYPE}",
        dtypes=("float32",),
        layout="any",
        support=SUPPORT[runtime],
        fusions=SUPPORT[runtime],
        call_us=measured(overheads.call_us, "HOST: a chain of small operators back and forth between two units"),
        dispatch_us=measured(overheads.dispatch_us, "HOST: slope over a chain of small operators"),
        peak_gmac_per_s={DTYPE: measured(1.0, "HOST")},
        peak_gop_per_s={DTYPE: measured(1.0, "HOST")},
        utilisation={DEFAULT: measured(1.0, "HOST")},
        bandwidth_gb_per_s=rate,
        weights_gb_per_s=rate,
        on_chip_bytes=Number(
            value=float(cache_bytes), kind="vendor" if told == "vendor" else "estimated", source=how_told
        ),
        on_chip_gb_per_s=measured(max(rates.cache, rates.dram), "HOST: copy of 192 KiB"),
        layout_gb_per_s=rate,
        cast_gb_per_s=measured(rates.cast, "HOST: cast of 192 KiB to float16"),
        spread=measured(1.0, "HOST"),
        clusters=_clusters(machine),
    )


def _clusters(machine: Machine) -> tuple[Cluster, ...]:
    if machine.clock_mhz is None:
        return ()
    clock = Number(value=machine.clock_mhz, kind="vendor", source="HOST: as the system tells")
    one = Number(value=1, kind="vendor", source="HOST: the process is bound to one core")
    return (Cluster(name="core", core=machine.cpu, cores=one, clock_mhz=clock),)


def measured(value: float, source: str) -> Number:
    return Number(value=float(f"{value:.4g}"), kind="measured", source=source)


def assembled(  # noqa: PLR0913  (the parts of a Soc)
    name: str, runtime: str, machine: Machine, overheads: Overheads, rates: Rates, units: Sequence[Unit], source: str
) -> Soc:
    """The Soc of two units; its memory's peak is what both cores reach together, the real one is not known."""
    slowdown = measured(rates.slowdown, "HOST: kernels of networks on both units at once, over the same in turns")
    fastest = max(max(u.bandwidth_gb_per_s.value, (u.weights_gb_per_s or u.bandwidth_gb_per_s).value) for u in units)
    peak = float(f"{max(rates.dram_both, fastest) * 1.001:.5g}")
    share = min(1.0, fastest / peak * 1.0005)
    links = [
        Link(
            source=a,
            target=b,
            sync_us=measured(overheads.sync_us, "HOST: what a thread per unit adds to a boundary"),
            copy_gb_per_s=measured(overheads.copy_gb_per_s, "HOST: a tensor of 4 MiB back and forth between two units"),
        )
        for a, b in (UNITS, UNITS[::-1])
    ]
    return Soc(
        format="partita-soc/1",
        name=name,
        chip=machine.cpu,
        runtime=machine.versions if runtime == NUMPY else f"{ONNXRUNTIME}: {machine.versions}",
        description="This machine: two units, each one core, with the same runtime",
        host=UNITS[0],
        inference_us=measured(overheads.inference_us, "HOST: a plan of one small operator, less its dispatch"),
        units=tuple(units),
        links=tuple(links),
        dram=Dram(
            peak_gb_per_s=measured(peak, "HOST: copies by both cores at once, or the fastest of one"),
            share_of_one=Number(
                value=max(share, 1e-3), kind="derived", source="HOST: fastest of one core over the peak"
            ),
            share_of_several=Number(value=1.0, kind="derived", source="HOST: the peak is what both reached"),
        ),
        sharing=Sharing(law="side_by_side", slowdown=slowdown),
        sources={"HOST": source},
    )


def draft_soc(runtime: str) -> Soc:
    """A Soc to run plans with, of which nothing but the order of magnitude is known."""
    machine = machine_facts(with_onnxruntime=False)
    units = [draft_unit(name, runtime, machine, NO_OVERHEADS, NO_RATES) for name in UNITS]
    return assembled("draft", runtime, machine, NO_OVERHEADS, NO_RATES, units, "to run plans with")
