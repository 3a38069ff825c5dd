"""Two units that stream at the same time, on several chips: what each keeps of its speed alone."""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from partita.devices import Soc, load_soc
from partita.devices.load import contention_soc
from partita.simulator.memory import machine_of
from partita.simulator.sharing import law_of
from partita.simulator.steps import Step, run_chains
from partita.studies.validation.prediction import SHARE, Prediction, Row, Unpredicted
from partita.studies.validation.table import Progress, Record, Records, Table, number, where
from partita.units import BYTES_PER_GB, BYTES_PER_MB, US_PER_S

COLUMNS = frozenset(("platform", "workload", "config", "unit", "solo", "corun", "unit_of_measure", "corun_over_solo"))
GIB = 2**30
ERROR = 0.1
"""Half the width of the interval told."""
RK3588_NPU_GB_PER_S = 20.0
"""What three NPU cores ask for when they read weights: between the 18 and 22 GB/s with which equal shares explain the
two measured slowdowns beside a CPU that streams (oRKLLM/ork-driver wiki, Exp-2026-09-05)."""
STREAM_US = 1_000.0
"""Length of streams that are repeated; any length gives the same shares."""


def read(records: Records, models: Path | None, progress: Progress) -> Iterator[Row]:
    """The rows in their order; streams of one configuration run against each other in the simulator."""
    alone: dict[tuple[str, str, str], float] = {}
    for line, record in records:
        if record["unit_of_measure"] == "GiB/s":
            rate = number(record, "solo", where(records, line)) * GIB / BYTES_PER_GB
            alone[record["platform"], _pair(record), record["unit"]] = rate
    for line, record in records:
        yield _row(record, alone, where(records, line))


def _pair(record: Record) -> str:
    return f"{record['workload']}, {record['config']}"


def _row(record: Record, alone: dict[tuple[str, str, str], float], at: str) -> Row:
    platform, workload = record["platform"], record["workload"]
    name = f"{platform.partition(' (')[0]}: {_pair(record)}, {record['unit']}"
    measured = number(record, "corun_over_solo", at) if record["corun_over_solo"].strip() else None
    if "SM8850" in platform:
        rates = {unit: rate for (chip, pair, unit), rate in alone.items() if (chip, pair) == (platform, _pair(record))}
        share = _streams(record, rates) if measured is not None else None
        reason = "its partner in the same configuration is missing"
    elif "RK3588" in platform:
        share, measured = _rk3588(record, measured, at)
        reason = "a fixed cost of the host, which no law of the memory slows"
    else:
        return Unpredicted(name, _why_not(platform.partition(" (")[0]))
    if share is None or measured is None:
        return Unpredicted(name, reason)
    return Prediction(
        level="contention",
        unit=record["unit"],
        runtime="max-min fair share, weighted" if "SM8850" in platform else "max-min fair share",
        device=platform.partition(" (")[0],
        precision="",
        op_class=workload,
        name=name,
        measured=measured,
        predicted=share,
        low=max(0.0, share - ERROR),
        high=share + ERROR,
        measure=SHARE,
        in_sample=True,
        evidence="fitted",
    )


def _why_not(chip: str) -> str:
    if chip == "Jetson AGX Xavier":
        return "networks, not streams: they stand in haxconn_schedules too, and are predicted there"
    return f"no Soc file says how the units of {chip} share the memory"


def _streams(record: Record, rates: dict[str, float]) -> float | None:
    """What a stream keeps of its rate, of two over the bytes of one buffer that GPU and NPU divide.

    With separate buffers each engine streams its part once, and the one that is left goes on alone; with one shared
    buffer both rates are told over the same time, whatever the parts.
    """
    divided = re.match(r"(\d+) MB, GPU share (0?\.\d+)", record["config"])
    if set(rates) != {"GPU", "NPU"} or divided is None:
        return None
    size, gpu = float(divided[1]) * BYTES_PER_MB, float(divided[2])
    soc = _sm8850(record["workload"].rpartition(", ")[2])
    if "separate" in record["workload"]:
        sizes = {"GPU": size * gpu, "NPU": size * (1 - gpu)}
        work_us = {unit: sizes[unit] / (rate * BYTES_PER_GB) * US_PER_S for unit, rate in rates.items()}
        return _side_by_side(soc, rates, work_us, record["unit"])
    return _side_by_side(soc, rates, dict.fromkeys(rates, STREAM_US), record["unit"], endless=True)


@cache
def _sm8850(buffers: str) -> Soc:
    """The SM8850, with the memory that streams in such buffers find; as its Soc file says if they are not known."""
    soc = contention_soc("sm8850-qnn")
    facts = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")).get(buffers)
    if facts is None or soc.sharing is None:
        return soc
    several = soc.dram.share_of_several.model_copy(update=facts["share_of_several"])
    npu = soc.sharing.weights["npu"].model_copy(update=facts["npu_weight"])
    return soc.model_copy(
        update={
            "dram": soc.dram.model_copy(update={"share_of_several": several}),
            "sharing": soc.sharing.model_copy(update={"weights": {**soc.sharing.weights, "npu": npu}}),
        }
    )


def _side_by_side(
    soc: Soc, rates: dict[str, float], work_us: dict[str, float], unit: str, *, endless: bool = False
) -> float:
    """Time alone over time beside the other, by the law that the Soc file chooses.

    `endless`: the other streams again and again.
    """
    chains = [
        (Step(unit=u.lower(), name=f"stream on {u}", work_us=work_us[u], gb_per_s=rate),) for u, rate in rates.items()
    ]
    runs = run_chains(chains, machine_of(soc), law_of(soc), repetitions=1 if endless else None)
    start_us, end_us = runs[list(rates).index(unit)].times_us[0]
    return work_us[unit] / (end_us - start_us)


def _rk3588(record: Record, measured: float | None, at: str) -> tuple[float | None, float | None]:
    """(predicted, measured) share; of an aggregate the share of the memory's peak."""
    soc = load_soc("rk3588-rknn")
    peak = soc.dram.peak_gb_per_s.value
    if record["unit"] == "CPU+NPU" and record["unit_of_measure"] == "GB/s":
        return soc.dram.share_of_several.value, number(record, "corun", at) / peak
    if "fixed cost" in record["workload"]:
        return None, measured
    if "compute-bound" in record["workload"]:
        return 1.0, measured  # nothing is asked of the memory, so every law leaves both alone
    if measured is None or record["unit"] != "NPU":
        return None, measured
    is_time = record["unit_of_measure"].startswith("us")
    moved = re.search(r"moving ([\d.]+) GB/s", record["config"])
    rates = {"CPU": float(moved[1]) if moved else peak, "NPU": RK3588_NPU_GB_PER_S}
    share = _side_by_side(soc, rates, dict.fromkeys(rates, STREAM_US), "NPU", endless=True)
    return share, 1 / measured if is_time else measured


TABLE = Table("contention_pairs", COLUMNS, read, "units that stream side by side, on several chips")
