"""The rows of AI Hub's published latencies: what ran whole on the NPU, what in part, and what stands out of line."""

from collections.abc import Iterable
from dataclasses import dataclass

from partita.studies.validation.table import Record, Records, number, where

COLUMNS = frozenset(
    ("model", "component", "precision", "device", "chipset", "runtime", "inference_time_us", "primary_unit",
     "layers_total", "layers_npu", "layers_gpu", "layers_cpu", "tag")
)  # fmt: skip
OUT_OF_LINE = 5.0
"""Times slower than the best row of the same model on the same device, whatever its runtime and precision.

A run that much slower is a kernel that broke: a network of 4 ms in 8 bits that takes 84 ms in float, or 256 s.
Source: research on the table's history, where 4 % of the NPU's rows are such.
"""
BEYOND_A_CPU = 100.0
"""Times slower than the model's quickest run wholly on a CPU, on whatever device: where all runs of a model broke."""

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AihubRow:
    """One published latency."""

    at: str
    """How to call it in a message."""
    model: str
    component: str
    precision: str
    device: str
    runtime: str
    time_us: float
    layers: int
    npu_layers: int
    gpu_layers: int
    cpu_layers: int
    release: str = ""
    """Of AI Hub's models, such as "v0.46.1"; empty if it is not told."""

    @property
    def name(self) -> str:
        words = (self.model, self.component, self.precision, self.device, self.runtime)
        return " ".join(word for word in words if word)

    @property
    def key(self) -> Key:
        return self.model, self.component, self.device

    @property
    def way(self) -> tuple[str, str, str]:
        return self.model, self.precision, self.runtime

    @property
    def units(self) -> str:
        """Those with a layer: "NPU", "CPU" or such as "NPU+CPU"."""
        parts = (("NPU", self.npu_layers), ("GPU", self.gpu_layers), ("CPU", self.cpu_layers))
        return "+".join(unit for unit, layers in parts if layers)


def aihub_rows(records: Records) -> tuple[AihubRow, ...]:
    """All rows, in the table's order; StudyError names a row that is malformed."""
    return tuple(_row(record, where(records, line)) for line, record in records)


def _row(record: Record, at: str) -> AihubRow:
    layers = [int(number(record, f"layers_{of}", at)) if record[f"layers_{of}"] else 0 for of in _LAYERS]
    return AihubRow(
        at=at,
        model=record["model"],
        component=record["component"],
        precision=record["precision"],
        device=record["device"],
        runtime=record["runtime"],
        time_us=number(record, "inference_time_us", at),
        layers=layers[0],
        npu_layers=layers[1],
        gpu_layers=layers[2],
        cpu_layers=layers[3],
        release=record["tag"],
    )


_LAYERS = ("total", "npu", "gpu", "cpu")


@dataclass(frozen=True, slots=True)
class Lines:
    """What a row is held against to be called out of line."""

    best_us: dict[Key, float]
    """The least time of each model on each device."""
    cpu_us: dict[str, float]
    """The least time of each model wholly on a CPU."""
    broken: frozenset[tuple[str, str, str]]
    """Models, precisions and runtimes whose runs wholly on an NPU are out of line on most devices."""


def lines(rows: Iterable[AihubRow]) -> Lines:
    rows = tuple(row for row in rows if row.time_us > 0)
    best: dict[Key, float] = {}
    cpu_us: dict[str, float] = {}
    for row in rows:
        best[row.key] = min(row.time_us, best.get(row.key, row.time_us))
        if row.units == "CPU":
            cpu_us[row.model] = min(row.time_us, cpu_us.get(row.model, row.time_us))
    is_slow: dict[tuple[str, str, str], list[bool]] = {}
    for row in rows:
        if row.units == "NPU":
            is_slow.setdefault(row.way, []).append(row.time_us > OUT_OF_LINE * best[row.key])
    return Lines(best, cpu_us, frozenset(way for way, slow in is_slow.items() if 2 * sum(slow) > len(slow)))


def why_out_of_line(row: AihubRow, known: Lines) -> str:
    """Why a row on the NPU, or in part on it, tells of a broken kernel and not of the hardware; empty if it does not.

    A run in part on the CPU may be many times slower than one on the NPU alone, so it is held against the same
    runtime's other runs.
    """
    if "NPU" not in row.units:
        return ""
    if row.time_us > BEYOND_A_CPU * known.cpu_us.get(row.model, row.time_us):
        return f"out of line: more than {BEYOND_A_CPU:.0f} times a run of the model on a CPU alone"
    if row.units == "NPU" and row.time_us > OUT_OF_LINE * known.best_us[row.key]:
        return f"out of line: more than {OUT_OF_LINE:.0f} times the best run of the model on the device"
    if row.units != "NPU" and row.way in known.broken:
        return "out of line: this runtime is so with the model wholly on an NPU too"
    return ""
