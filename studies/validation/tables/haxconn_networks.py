"""The networks of HaX-CoNN's experiments: times of their groups of layers on both units, and what a hand-over costs."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

from partita.devices import load_soc
from partita.studies.validation.table import Records, number, read_records, where
from partita.studies.validation.tables.resnet_layers import LayerWork, layers_of
from partita.units import compute_us, transfer_us

GROUPS, TRANSITIONS = "haxconn_layer_groups.csv", "haxconn_transitions.csv"
WHOLE_RUN = -1
"""In place of a layer: the network as a whole."""
SOC = "xavier-agx-tensorrt"
UNITS = ("gpu", "dla")

Transitions = dict[tuple[str, str, int], tuple[float, float]]
"""(model, unit, layer) -> (latency of the run, cost of the hand-over after that layer), in ms."""


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """Layers `first` up to but not including `end`."""

    first: int
    end: int
    ms_on: dict[str, float]


@dataclass(frozen=True, slots=True)
class Network:
    """A network as groups in their order."""

    name: str
    groups: tuple[LayerGroup, ...]

    def ms_of(self, unit: str, first: int, end: int) -> float:
        """Time of layers `first` to `end` (not included); a group that is cut counts by its layers."""
        return sum(g.ms_on[unit] * _overlap(g, first, end) / (g.end - g.first) for g in self.groups)

    @property
    def end(self) -> int:
        return self.groups[-1].end


def _overlap(group: LayerGroup, first: int, end: int) -> int:
    return max(0, min(group.end, end) - max(group.first, first))


@dataclass(frozen=True, slots=True)
class Inputs:
    """What schedules are simulated from."""

    networks: dict[str, Network]
    """By name in small letters."""
    transitions: Transitions
    gb_per_s: dict[str, float]
    """Memory traffic on a unit."""

    def hand_over_ms(self, network: str, unit: str, layer: int) -> float:
        """Cost of leaving `unit` after `layer`: that of the nearest layer measured, else the median of all networks."""
        found = {at: cost for (model, u, at), (_, cost) in self.transitions.items() if u == unit and at != WHOLE_RUN
                 and model.lower() == network}  # fmt: skip
        if found:
            return found[min(found, key=lambda at: abs(at - layer))]
        others = [cost for (_, u, at), (_, cost) in self.transitions.items() if u == unit and at != WHOLE_RUN]
        return median(others) if others else 0.0


def inputs_beside(folder: Path) -> Inputs:
    """From the sister tables in `folder`, if they are there, and the facts shipped with this module."""
    facts = tomllib.loads(Path(__file__).with_name("haxconn.toml").read_text(encoding="utf-8"))
    traffic = {unit: facts["traffic"][unit]["value"] for unit in UNITS}
    networks = {name.lower(): _known(name, found, traffic) for name, found in facts["networks"].items()}
    transitions = _transitions(folder / TRANSITIONS)
    if (folder / GROUPS).is_file():
        for network in _grouped(read_records(folder / GROUPS), transitions):
            networks[network.name.lower()] = network
    return Inputs(networks, transitions, traffic)


def _known(name: str, found: dict[str, dict[str, float]], traffic: Mapping[str, float]) -> Network:
    whole = {key: number["value"] for key, number in found.items()}
    return whole_network(name, int(whole["layers"]), whole["gpu_ms"], whole["dla_ms"], traffic)


def whole_network(name: str, layers: int, gpu_ms: float, dla_ms: float, gb_per_s: Mapping[str, float]) -> Network:
    """A network of which only whole times are known: spread by the work of its layers, or evenly if that is not known.

    The GPU computes and moves weights and tensors. The DLA moves weights only: its tensors stay in the 4 MiB of SRAM
    that the Xavier's engines share (NVIDIA TensorRT documentation, DLA memory pools).
    """
    works = layers_of(name.lower())
    if works is None:
        return Network(name, (LayerGroup(0, layers, {"gpu": gpu_ms, "dla": dla_ms}),))
    gpu = _spread(gpu_ms, works, "gpu", gb_per_s["gpu"], [w.weight_bytes + w.tensor_bytes for w in works])
    dla = _spread(dla_ms, works, "dla", gb_per_s["dla"], [w.weight_bytes for w in works])
    return Network(name, tuple(LayerGroup(index, index + 1, {"gpu": a, "dla": b})
                               for index, (a, b) in enumerate(zip(gpu, dla, strict=True))))  # fmt: skip


def _spread(
    total_ms: float, works: Sequence[LayerWork], unit: str, gb_per_s: float, moved_bytes: Sequence[int]
) -> list[float]:
    """A whole time over layers, by multiply-accumulates at the unit's peak and bytes at its traffic."""
    peak = _peak_gmac_per_s(unit)
    parts = [compute_us(work.macs, peak) + transfer_us(size, gb_per_s)
             for work, size in zip(works, moved_bytes, strict=True)]  # fmt: skip
    return [total_ms * part / sum(parts) for part in parts]


@cache
def _peak_gmac_per_s(unit: str) -> float:
    (found,) = (u for u in load_soc(SOC).units if u.name == unit)
    return found.peak_gmac_per_s["float16"].value


def _transitions(path: Path) -> Transitions:
    if not path.is_file():
        return {}
    records = read_records(path)
    found: Transitions = {}
    for line, record in records:
        at = where(records, line)
        key = record["model"], record["unit"].lower(), int(number(record, "layer", at))
        found[key] = number(record, "mean_ms", at), number(record, "transition_cost_ms", at)
    return found


def _grouped(records: Records, transitions: Transitions) -> Iterator[Network]:
    """Networks whose groups add up to the measured whole, where one was measured."""
    rows: dict[str, list[tuple[int, dict[str, float]]]] = {}
    for line, record in records:
        at = where(records, line)
        gpu = "gpu_ms_measured" if record["gpu_ms_measured"].strip() else "gpu_ms_solver_input"
        first = re.search(r"layer (\d+)\)|^(\d+)-", record["layer_group"])
        if first is not None:
            times = {"gpu": number(record, gpu, at), "dla": number(record, "dla_ms_solver_input", at)}
            rows.setdefault(record["model"], []).append((int(first[1] or first[2]), times))
    for name, found in rows.items():
        found.sort(key=lambda row: row[0])
        ends = [first for first, _ in found[1:]] + [found[-1][0] + _typical_length(found)]
        scale = {unit: _scale(name, unit, sum(times[unit] for _, times in found), transitions) for unit in UNITS}
        yield Network(name, tuple(
            LayerGroup(first, end, {unit: times[unit] * scale[unit] for unit in UNITS})
            for (first, times), end in zip(found, ends, strict=True)
        ))  # fmt: skip


def _typical_length(rows: list[tuple[int, dict[str, float]]]) -> int:
    """Of the last group, whose end the table need not tell."""
    return round(rows[-1][0] / max(1, len(rows) - 1)) or 1


def _scale(name: str, unit: str, total_ms: float, transitions: Transitions) -> float:
    whole = transitions.get((name, unit, WHOLE_RUN))
    return whole[0] / total_ms if whole is not None and total_ms > 0 else 1.0
