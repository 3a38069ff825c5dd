"""Two networks on the GPU and the DLA of a Jetson, under the schedules of five policies (ismetdagli/HaX-CoNN).

Every schedule runs through the event engine, made of groups of layers with their measured times, hand-overs and
memory traffic. HaX-CoNN's own schedules run in step, one inference of each network at a time; so do experiments that
tell a sum of two runs. Where the table tells the larger of two means, each network runs over and over as fast as it
can. A GPU that both want divides its time between them; the DLA, once it has begun a network's layers, ends them first.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from partita.devices import load_soc
from partita.simulator.memory import Machine, machine_of
from partita.simulator.sharing import Law, law_of
from partita.simulator.steps import Chain, Step, in_a_row, joined, run_chains, sliced
from partita.studies.validation.prediction import Prediction, Row, Unpredicted
from partita.studies.validation.table import Progress, Record, Records, Table, number, where
from partita.studies.validation.tables.haxconn_networks import SOC, Inputs, inputs_beside, whole_network
from partita.units import US_PER_MS, ms

COLUMNS = frozenset(("device", "experiment", "workload", "method", "schedule", "latency_ms", "notes"))
SLICE_US = 50.0
"""How long a network keeps the GPU if the other wants it too: about a kernel (of GoogleNet 33 us, of ResNet101 58)."""
REPETITIONS = 4
ERROR = 0.2
"""Half the width of the interval told, as a share."""
DLA_OVER_GPU = 2.0
"""Of a network that is known from its GPU time only; 1.5 to 2.5 were measured."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A network on `first` up to and including layer `cut`, then on the other unit; all of it if there is no cut."""

    network: str
    first: str
    cut: int | None = None


def read(records: Records, models: Path | None, progress: Progress) -> Iterator[Row]:
    """The rows in their order."""
    known = inputs_beside(records.path.parent)
    for line, record in records:
        progress(f"{record['experiment']}: {record['method']}")
        yield _row(record, records, known, where(records, line))


def _row(record: Record, records: Records, known: Inputs, at: str) -> Row:
    name = ", ".join((f"experiment {record['experiment']}", record["workload"], record["method"]))
    if "Xavier" not in record["device"]:
        return Unpredicted(name, "no times of groups of layers on this device")
    networks = [part.strip().lower() for part in record["workload"].split("+")]
    placements = _placements(record, networks, known)
    if placements is None:
        return Unpredicted(name, "its schedule is not told")
    inputs, learnt = _with_guesses(known, networks, record["experiment"], records)
    unknown = [network for network in networks if network not in inputs.networks]
    if unknown:
        return Unpredicted(name, f"neither groups nor a whole time of {unknown[0]} are known")
    latency_ms = ms(_latency_us(record, placements, inputs))
    return Prediction(
        level="schedule",
        unit="GPU+DLA",
        runtime=f"experiment {record['experiment']}",
        device=record["device"].partition(" (")[0],
        precision="fp16",
        op_class=record["method"].partition(" (")[0],
        name=name,
        measured=number(record, "latency_ms", at),
        predicted=latency_ms,
        low=latency_ms * (1 - ERROR),
        high=latency_ms * (1 + ERROR),
        in_sample=_is_fitted(record) or (learnt and "GPU only" in record["method"]),
        evidence="fitted",
    )


def _is_fitted(record: Record) -> bool:
    """ResNet101's times and the traffic of both units come from these rows."""
    whole = record["method"] in ("GPU only", "GPU & DLA whole-network")
    return record["experiment"] in ("co-run", "single") or (record["experiment"] == "1" and whole)


def _placements(record: Record, networks: list[str], known: Inputs) -> tuple[Placement, ...] | None:
    """From the schedule, or from the method where that says which network runs where."""
    text = f"{record['schedule']}; {record['method']}".lower()
    if "both gpu" in text or "gpu only" in text:
        return tuple(Placement(network, "gpu") for network in networks)
    if "one each" in text:
        slow = max(networks, key=lambda n: known.networks[n].ms_of("gpu", 0, 10**6) if n in known.networks else 0.0)
        return tuple(Placement(network, "gpu" if network == slow else "dla") for network in networks)
    if record["experiment"] == "single" or "alone" in text:
        return (Placement(networks[0], "dla" if "dla-only" in text else "gpu"),)
    if "while" in text:  # its own unit comes first
        own = "dla" if "on dla while" in text else "gpu"
        return Placement(networks[0], own), Placement(networks[-1], _other(own))
    found = [_placement(network, text) for network in networks]
    return None if None in found else tuple(placement for placement in found if placement is not None)


def _placement(network: str, text: str) -> Placement | None:
    found = re.search(rf"{re.escape(network)} (gpu|dla)(?:\s*->\s*(?:gpu|dla) @\s*(\d+))?", text)
    if found is None:
        return None
    return Placement(network, found[1], int(found[2]) if found[2] else None)


def _other(unit: str) -> str:
    return "dla" if unit == "gpu" else "gpu"


def _with_guesses(known: Inputs, networks: list[str], experiment: str, records: Records) -> tuple[Inputs, bool]:
    """With one unknown network's times, from the experiment's own run of both on the GPU; whether there is one."""
    unknown = [network for network in networks if network not in known.networks]
    both = [r for _, r in records if r["experiment"] == experiment and r["method"].startswith("GPU only")]
    if len(unknown) != 1 or len(set(networks)) != 2 or not both:
        return known, False
    total_ms = number(both[0], "latency_ms", f"experiment {experiment}")
    other_ms = sum(known.networks[network].ms_of("gpu", 0, 10**6) for network in networks if network != unknown[0])
    gpu_ms = total_ms / 2 if _runs_freely(both[0]) else total_ms - other_ms
    if gpu_ms <= 0:
        return known, False
    cuts = [int(cut) for _, r in records if r["experiment"] == experiment
            for cut in re.findall(rf"{re.escape(unknown[0])} \S+ @(\d+)", r["schedule"].lower())]  # fmt: skip
    layers = max([100, *(round(cut / 0.9) for cut in cuts)])
    guessed = whole_network(unknown[0], layers, gpu_ms, gpu_ms * DLA_OVER_GPU, known.gb_per_s)
    return Inputs({**known.networks, unknown[0]: guessed}, known.transitions, known.gb_per_s), True


def _runs_freely(record: Record) -> bool:
    """Whether each network runs over and over, unsynchronised."""
    if "HaX-CoNN" in record["method"] or "synchronised" in record["method"]:
        return False
    return "max of the two" in record["notes"] or record["experiment"] == "starter guide" or "while" in record["method"]


def _latency_us(record: Record, placements: tuple[Placement, ...], inputs: Inputs) -> float:
    machine, law = _xavier()
    chains: list[Chain] = [in_a_row(tuple(_as_submitted(_steps(placement, inputs)))) for placement in placements]
    repetitions = REPETITIONS if _runs_freely(record) else None
    runs = run_chains(chains, machine, law, repetitions=repetitions, in_turn=True)
    if "while" in record["method"]:
        return runs[0].mean_latency_us
    return max(run.mean_latency_us for run in runs)


def _as_submitted(steps: Iterator[Step]) -> Iterator[Step]:
    """The DLA takes all layers in a row as one task; the GPU takes kernels, in turn with the other network's."""
    for step in joined(steps):
        if step.unit == "gpu":
            yield from sliced((step,), SLICE_US)
        else:
            yield step


@cache
def _xavier() -> tuple[Machine, Law]:
    soc = load_soc(SOC)
    return machine_of(soc), law_of(soc)


def _steps(placement: Placement, inputs: Inputs) -> Iterator[Step]:
    """Groups on the first unit, the hand-over, groups on the other."""
    network = inputs.networks[placement.network]
    cut = network.end if placement.cut is None else min(placement.cut + 1, network.end)
    for unit, first, end in ((placement.first, 0, cut), (_other(placement.first), cut, network.end)):
        if first == end:
            continue
        fixed_ms = inputs.hand_over_ms(placement.network, placement.first, cut) if first else 0.0
        for group in network.groups:
            work_ms = network.ms_of(unit, max(first, group.first), min(end, group.end))
            if work_ms > 0:
                yield Step(unit=unit, name=f"{network.name} {group.first}", work_us=work_ms * US_PER_MS,
                           fixed_us=fixed_ms * US_PER_MS, gb_per_s=inputs.gb_per_s[unit])  # fmt: skip
                fixed_ms = 0.0


TABLE = Table("haxconn_schedules", COLUMNS, read, "two networks on GPU and DLA, five policies of placing them")
