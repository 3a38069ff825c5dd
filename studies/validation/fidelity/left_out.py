"""Errors on models that were left out of a fit, as the fitted laws and presets record them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from partita.devices import load_soc, preset_names
from partita.devices.laws.law import law_file, names_of_laws
from partita.studies.validation.report import percent


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What one fit says of itself; errors are fractions, and None where they were not recorded."""

    law: str
    what: str
    """Precision of a CPU or an NPU; "kernels" or "whole_models" of a GPU."""
    rows: int
    mape: float | None
    median: float | None
    within_10pct: float | None
    coverage: float | None
    in_sample: float


@cache
def records() -> tuple[LeftOut, ...]:
    """Of every fitted law that the project ships."""
    return (*_of_law_files(), *_of_npus())


def _of_law_files() -> Iterator[LeftOut]:
    for name in names_of_laws():
        content = law_file(name)
        if content["law"] == "thread_pool":
            parts = {dtype: part["fit"] for dtype, part in content["dtypes"].items()}
        else:
            parts = {what: content["fit"][what] for what in ("kernels", "whole_models") if what in content["fit"]}
        for what, fit in parts.items():
            yield LeftOut(
                law=name,
                what=what,
                rows=fit["rows"],
                mape=fit["cross_validated_mape"],
                median=fit["cross_validated_median"],
                within_10pct=fit["cross_validated_within_10pct"],
                coverage=fit.get("cross_validated_coverage"),
                in_sample=fit["mape"],
            )


def _of_npus() -> Iterator[LeftOut]:
    for name in preset_names():
        for unit in load_soc(name).units:
            for dtype, fit in unit.npu_law.fit.items() if unit.npu_law is not None else ():
                yield LeftOut(
                    law=f"{name} {unit.name}", what=dtype, rows=len(fit.models), mape=None,
                    median=fit.cross_validated_error, within_10pct=None, coverage=None, in_sample=fit.median_error,
                )  # fmt: skip


def table() -> Iterator[str]:
    """Markdown lines."""
    yield "| law | of | rows | MAPE | median | within 10 % | in the 90 % interval | in sample |"
    yield "|---|---|---|---|---|---|---|---|"
    for record in records():
        shares = (record.mape, record.median, record.within_10pct, record.coverage, record.in_sample)
        yield f"| {record.law} | {record.what} | {record.rows} | " + " | ".join(map(percent, shares)) + " |"
    yield ""
