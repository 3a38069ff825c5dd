"""What the project set out to reach, and what it reached on models and chips that no fit has seen."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from partita.studies.validation.fidelity.left_out import records
from partita.studies.validation.prediction import Prediction
from partita.studies.validation.report import percent
from partita.studies.validation.validate import Validation

NEVER_FITTED = {
    "8 Gen 2": ("Samsung Galaxy S23", "QCS8550 (Proxy)"),
    "8 Elite": ("Samsung Galaxy S25",),
    "8 Elite on the reference device": ("Snapdragon 8 Elite QRD",),
}
"""Chip -> devices in AI Hub's table whose NPU follows from the 8 Gen 3's by public specifications."""
CPU_NETWORKS = "networks on a phone's CPU, every set of cores"
PLAIN_RUNTIME = "qnn_dlc"
"""The one that adds least of its own to what the NPU takes."""


@dataclass(frozen=True, slots=True)
class Reached:
    """One figure beside its goal; both are fractions."""

    what: str
    of: str
    figure: str
    reached: float
    goal: float
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        return self.reached >= self.goal if self.at_least else self.reached <= self.goal


def reached(done: Iterable[Validation], ten_models: Mapping[tuple[str, str], float]) -> Iterator[Reached]:
    """Every goal with a figure: from the records of the fits, from the tables, from ten measured models."""
    yield from _of_fits()
    for (chip, dtype), mape in ten_models.items():
        yield Reached("a phone with ten measured models", f"{chip} {dtype}", "MAPE", mape, 0.08)
    for validation in done:
        if validation.table.name == "aihub_perf":
            yield from _of_aihub(validation.predictions)


def _of_fits() -> Iterator[Reached]:
    for record in records():
        name, what = record.law, record.what
        if what == "kernels":
            yield Reached("kernels on a phone's GPU", name, "median", record.median or 0.0, 0.03)
            yield Reached("kernels on a phone's GPU", name, "within 10 %", record.within_10pct or 0.0, 0.85, True)
        elif what == "whole_models":
            yield Reached("networks on a phone's GPU", name, "MAPE", record.mape or 0.0, 0.03)
            yield Reached("networks on a phone's GPU", name, "within 10 %", record.within_10pct or 0.0, 0.95, True)
        elif name.endswith("-nnmeter"):
            yield Reached("blocks on a phone's CPU", name, "MAPE", record.mape or 0.0, 0.05)
        elif name.startswith("cpu-"):
            of, goal = f"{name} {what}", 0.05 if what == "int8" else 0.04
            yield Reached(CPU_NETWORKS, of, "MAPE", record.mape or 0.0, goal)
            yield Reached(CPU_NETWORKS, of, "within 10 %", record.within_10pct or 0.0, 0.93, True)
        else:
            goal = {"rk3588-rknn npu": 0.15}.get(name, 0.08 if what == "float16" else 0.12)
            yield Reached("networks on an NPU", f"{name} {what}", "median", record.median or 0.0, goal)


def _of_aihub(rows: Sequence[Prediction]) -> Iterator[Reached]:
    for chip, devices in NEVER_FITTED.items():
        of_chip = [r for r in rows if r.device in devices and r.unit == "NPU" and r.runtime == PLAIN_RUNTIME]
        for precision in dict.fromkeys(row.precision for row in of_chip):
            errors = [row.error for row in of_chip if row.precision == precision]
            yield Reached(
                "networks on an NPU never fitted", f"{chip} {precision}, {len(errors)} rows", "median", median(errors),
                0.12,
            )  # fmt: skip
    ratios = mixed_over_pure(rows)
    if ratios:
        off = abs(median(predicted / measured for measured, predicted in ratios) - 1)
        yield Reached(
            "runs in part on the CPU over pure ones", f"{len(ratios)} pairs", "median ratio off by", off, 0.25
        )


def mixed_over_pure(rows: Sequence[Prediction]) -> list[tuple[float, float]]:
    """How many times longer a run in part on the CPU took than the same model wholly on the NPU: measured, predicted.

    Pairs are of one model in one precision on one device; the pure run is the quickest of its runtimes.
    """
    pure: dict[str, Prediction] = {}
    for row in rows:
        key = _without_runtime(row)
        if row.unit == "NPU" and (key not in pure or row.measured < pure[key].measured):
            pure[key] = row
    pairs = [(row, pure.get(_without_runtime(row))) for row in rows if row.unit == "NPU+CPU"]
    return [(row.measured / of.measured, row.predicted / of.predicted) for row, of in pairs if of is not None]


def _without_runtime(row: Prediction) -> str:
    return row.name.removesuffix(row.runtime)


def table(found: Sequence[Reached]) -> Iterator[str]:
    """Markdown lines."""
    yield "| what | of | figure | reached | goal | |"
    yield "|---|---|---|---|---|---|"
    for each in found:
        sign = "≥" if each.at_least else "≤"
        met = "met" if each.is_met else "**missed**"
        goal = f"{sign} {percent(each.goal, 0)}"
        yield f"| {each.what} | {each.of} | {each.figure} | {percent(each.reached)} | {goal} | {met} |"
    yield ""
