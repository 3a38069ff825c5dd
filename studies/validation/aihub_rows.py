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

    @property
    def name(self) -> str:
        words = (self.model, self.component, self.precision, self.device, self.runtime)
        return " ".join(word for word in words if word)

    @property
    def key(self) -> Key:
        return self.model, self.component, self.device

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
    )


_LAYERS = ("total", "npu", "gpu", "cpu")


def best_us(rows: Iterable[AihubRow]) -> dict[Key, float]:
    """The least time of each model on each device."""
    best: dict[Key, float] = {}
    for row in rows:
        if row.time_us > 0:
            best[row.key] = min(row.time_us, best.get(row.key, row.time_us))
    return best


def is_in_line(row: AihubRow, best: dict[Key, float]) -> bool:
    return row.time_us <= OUT_OF_LINE * best[row.key]
