"""A network on hardware that no preset describes, predicted from the other networks that were measured there.

The law of another chip says what takes how long relative to what; a few factors, fitted to the other networks, make it
this unit's (`studies.fitting.transfer`). Its interval comes from the errors of the other networks, each predicted in
the same way without itself.
"""

from collections.abc import Iterator, Mapping, Sequence
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
from partita.studies.fitting.intervals import spread
from partita.studies.fitting.transfer import PARTS, Offered, parts_us, predicted_us, transferred
from partita.studies.validation.models import FLOP_PER_MAC, kernels_of
from partita.studies.validation.prediction import Prediction, Row, Unpredicted
from partita.studies.validation.table import Progress
from partita.studies.validation.tables.cpu_parts import CPU_PARTS, cpu_parts_us
from partita.studies.validation.tables.qed_models import on_cores
from partita.units import US_PER_MS

FEWEST_OTHERS = 4
"""So many other networks must have been measured in the same setting."""
TAIL, POOLED = 3.9, 5.0
"""Over all settings nine of ten errors are within so many times their setting's median error; that counts as much as so
many networks of the setting itself."""
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


Known = tuple[Asked, list[tuple[str, Floats]], float]
"""A row, what each law says of its network's kernels, and the network's floating-point operations."""


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
    known: list[Known] = []
    for row in rows:
        try:
            known.append((row, *_parts(row.path, row.side, row.unit, _dtype(row), is_fine=is_fine)))
        except ModelError as error:
            yield Unpredicted(row.name, f"its model cannot be placed: {error}")
    if len({row.model for row, _, _ in known}) <= FEWEST_OTHERS:
        reason = f"fewer than {FEWEST_OTHERS} other networks were measured in its setting"
        yield from (Unpredicted(row.name, reason) for row, _, _ in known)
        return
    times_us = _left_out_us(known, CPU_PARTS if is_fine else PARTS)
    errors = np.abs(np.log(times_us / [row.latency_ms * US_PER_MS for row, _, _ in known]))
    for (row, _, flops), time_us in zip(known, times_us, strict=True):
        others = np.array([other.model != row.model for other, _, _ in known])
        yield _prediction(row, float(time_us) / US_PER_MS, spread(errors[others], TAIL, POOLED), flops)


def _left_out_us(known: Sequence[Known], parts: Mapping[str, float]) -> Floats:
    """What the other networks say of each row; `parts` are those that each network has."""
    latency_us = np.array([row.latency_ms * US_PER_MS for row, _, _ in known])
    laws = {
        name: Offered(name, np.array([each[index][1] for _, each, _ in known]), parts)
        for index, (name, _) in enumerate(known[0][1])
    }
    times_us = np.zeros(len(known))
    for index, (row, _, _) in enumerate(known):
        others = [i for i, (other, _, _) in enumerate(known) if other.model != row.model]
        found = transferred(list(laws.values()), others, latency_us[others])
        times_us[index] = predicted_us(found, laws[found.law])[index]
    return times_us


def _prediction(row: Asked, time_ms: float, factor: float, flops: float) -> Prediction:
    return Prediction(
        level="model", unit=row.unit, runtime=row.runtime,
        device=" on ".join(word for word in (row.device, row.threads) if word), precision=row.precision, op_class="",
        name=row.name, measured=row.latency_ms, predicted=time_ms, low=time_ms / factor, high=time_ms * factor,
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
