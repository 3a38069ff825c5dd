"""A network on hardware that no preset describes, predicted from the other networks that were measured there.

The law of another chip says what takes how long relative to what; a few factors, fitted to the other networks, make it
this unit's (`studies.fitting.transfer`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from partita.devices import load_soc
from partita.devices.kernel_shape import KernelShape, kernel_shape
from partita.devices.laws.law import kernel_times_us
from partita.devices.laws.trees import Floats
from partita.errors import ModelError
from partita.graph.work import work_of
from partita.studies.fitting.transfer import PARTS, Offered, parts_us, predicted_us, transferred
from partita.studies.validation.models import FLOP_PER_MAC, kernels_of
from partita.studies.validation.prediction import Prediction, Row, Unpredicted
from partita.studies.validation.table import Progress
from partita.studies.validation.tables.cpu_parts import CPU_PARTS, cpu_parts_us
from partita.studies.validation.tables.qed_models import on_cores
from partita.units import US_PER_MS

FEWEST_OTHERS = 4
"""So many other networks must have been measured in the same setting."""
LEAST_SPREAD = 1.5
CPU = "CPU"
LAWS = {
    CPU: (("sd855-tflite", "1large"), ("sd855-tflite", "1small"), ("helio-p35-tflite", "1large"),
            ("a12-tflite", "1large"), ("exynos9820-tflite", "2large")),
    "GPU": (("sd855-tflite", ""), ("exynos9820-tflite", ""), ("helio-p35-tflite", ""), ("a12-tflite", "")),
}  # fmt: skip
"""Unit -> presets whose law is offered, with the set of cores."""
FEWEST_FOR_CPU_PARTS = 8
"""So many other networks tell the factors of CPU_PARTS; fewer tell those of PARTS better."""
INT8 = "int8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A row to be predicted from its neighbours."""

    name: str
    model: str
    path: Path
    side: int
    """Of the input image, in pixels."""
    device: str
    unit: str
    threads: str
    precision: str
    runtime: str
    latency_ms: float

    @property
    def setting(self) -> tuple[str, ...]:
        return self.device, self.unit, self.threads, self.precision, self.runtime


def from_neighbours(rows: Sequence[Asked], progress: Progress) -> Iterator[Row]:
    """Setting by setting; several rows of one network in a setting are left out together."""
    settings: dict[tuple[str, ...], list[Asked]] = {}
    for row in rows:
        settings.setdefault(row.setting, []).append(row)
    for setting, members in settings.items():
        progress(f"{' '.join(setting)}: {len(members)} networks")
        yield from _of_setting(members)


def _of_setting(rows: Sequence[Asked]) -> Iterator[Row]:
    if rows[0].unit not in LAWS:
        yield from (Unpredicted(row.name, f"no law of {row.runtime} on {row.unit}") for row in rows)
        return
    is_fine = rows[0].unit == CPU and len({row.model for row in rows}) > FEWEST_FOR_CPU_PARTS
    known: list[tuple[Asked, list[tuple[str, Floats]], float]] = []
    for row in rows:
        try:
            known.append((row, *_parts(row.path, row.side, row.unit, _dtype(row), is_fine=is_fine)))
        except ModelError as error:
            yield Unpredicted(row.name, f"its model cannot be placed: {error}")
    latency_us = np.array([row.latency_ms * US_PER_MS for row, _, _ in known])
    laws = [
        Offered(name, np.array([parts[index][1] for _, parts, _ in known]), CPU_PARTS if is_fine else PARTS)
        for index, (name, _) in enumerate(known[0][1] if known else [])
    ]
    for index, (row, _, flops) in enumerate(known):
        others = [i for i, (other, _, _) in enumerate(known) if other.model != row.model]
        if len({known[i][0].model for i in others}) < FEWEST_OTHERS:
            yield Unpredicted(row.name, f"fewer than {FEWEST_OTHERS} other networks were measured in its setting")
            continue
        found = transferred(laws, others, latency_us[others])
        law = next(law for law in laws if law.name == found.law)
        time_ms = float(predicted_us(found, law)[index]) / US_PER_MS
        yield _prediction(row, time_ms, max(found.spread, LEAST_SPREAD), flops)


def _prediction(row: Asked, time_ms: float, spread: float, flops: float) -> Prediction:
    return Prediction(
        level="model", unit=row.unit, runtime=row.runtime,
        device=" on ".join(word for word in (row.device, row.threads) if word), precision=row.precision, op_class="",
        name=row.name, measured=row.latency_ms, predicted=time_ms, low=time_ms / spread, high=time_ms * spread,
        work=flops, evidence="fitted",
    )  # fmt: skip


def _dtype(row: Asked) -> str:
    if row.unit == "GPU":
        return "float16"
    return INT8 if INT8 in row.precision.lower() else "float32"


@lru_cache(maxsize=512)
def _parts(path: Path, side: int, unit: str, dtype: str, *, is_fine: bool) -> tuple[list[tuple[str, Floats]], float]:
    """What each law says of a network's parts, and the network's floating-point operations."""
    found = []
    flops = 0.0
    for preset, cores in LAWS[unit]:
        kernels = kernels_of(path, None, preset, unit.lower(), side)
        flops = FLOP_PER_MAC * sum(work_of(kernels.graph, node).macs for node in kernels.graph.nodes)
        shapes = [kernel_shape(kernels.graph, node) for node in kernels.nodes]
        inside: list[KernelShape] = [shape for shape in shapes if shape is not None]
        on = on_cores(load_soc(preset).unit_named(unit.lower()), cores)
        if is_fine:
            found.append((f"{preset} {cores}", cpu_parts_us(on, dtype, inside)))
        else:
            found.append((f"{preset} {cores}", parts_us(inside, kernel_times_us(on, dtype, inside), on.call_us.value)))
    return found, flops
