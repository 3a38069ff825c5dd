"""Fitted parameters as the text that stands in a preset file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from partita.devices.calibration.soc_text import assignments, value_text
from partita.devices.npu_terms import TERMS
from partita.devices.soc import Unit

OF_THE_UNIT = (
    "call_us", "dispatch_us", "weights_gb_per_s", "bandwidth_gb_per_s", "copy_in_gb_per_s", "copy_out_gb_per_s",
    "cast_gb_per_s", "layout_gb_per_s",
)  # fmt: skip
"""Parameters that the preset has for any unit, and for the links to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How a dtype was fitted."""

    data: str
    devices: Sequence[str]
    models: Sequence[str]
    median_error: float
    cross_validated_error: float
    spread: float


def preset_block(p: Mapping[str, float], records: Mapping[str, Record], unit: Unit) -> str:
    """The table `[units.npu_law]`, and before it, as comments, the numbers that stand elsewhere in the file."""
    lines = [f"# {name} = {p[name]:.3g}" for name in OF_THE_UNIT]
    lines += [f"# peak_gmac_per_s.{dtype} = {p['matrix'] * _factor(p, 'matrix', dtype):.4g}" for dtype in records]
    return "\n".join(lines) + "\n\n" + law_tables(p, records, "FIT", unit)


def law_tables(p: Mapping[str, float], records: Mapping[str, Record], source: str, unit: Unit) -> str:
    """The table `[units.npu_law]` with all below it, rated at the unit's own numbers; `source` is the name of one.

    Types that were not fitted have the factors of the priors, and the unit's own spread.
    """

    def number(value: float) -> str:
        return f'{{ value = {value:.4g}, kind = "derived", source = "{source}" }}'

    dtypes = (*records, *(dtype for dtype in (*unit.dtypes, *unit.optional_dtypes) if dtype not in records))
    working = value_text({"value": round(p["working_bytes"]), "kind": "vendor", "source": "on-chip memory"})
    lines = [
        "[units.npu_law]",
        f"speed = {number(1)}",
        f"token_dispatch_us = {number(p['token_dispatch_us'])}",
        f"working_bytes = {working}",
        f"spilled_cast_gb_per_s = {number(p['spilled_cast_gb_per_s'])}",
        f"overlap = {number(p['overlap'])}",
        "", "[units.npu_law.at]",
        f"peak_gmac_per_s = {value_text({dtype: unit.peak_gmac_per_s[dtype].value for dtype in dtypes})}",
        f"peak_gop_per_s = {value_text({dtype: unit.peak_gop_per_s[dtype].value for dtype in dtypes})}",
        f"on_chip_gb_per_s = {value_text((unit.on_chip_gb_per_s or unit.bandwidth_gb_per_s).value)}",
        "", "[units.npu_law.rate_g_per_s]",
        *(f"{term} = {number(p[term])}" for term in TERMS),
    ]  # fmt: skip
    for dtype in dtypes:
        record = records.get(dtype)
        spread = number(record.spread if record is not None else unit.spread.value)
        lines += ["", f"[units.npu_law.dtypes.{dtype}]"]
        lines += [f"{part} = {number(_factor(p, part, dtype))}" for part in _parts(p, dtype)]
        lines += [f"spread = {spread if record is not None else spread.replace('derived', 'estimated')}"]
        if record is not None:
            lines += ["", f"[units.npu_law.fit.{dtype}]"]
            lines += assignments(_of(record)).rstrip().splitlines()
    return "\n".join(lines) + "\n"


def _parts(p: Mapping[str, float], dtype: str) -> tuple[str, ...]:
    return ("matrix", "vector", "dispatch", *(("overlap",) if f"overlap.{dtype}" in p else ()))


def _of(record: Record) -> dict[str, Any]:
    return {
        "data": record.data,
        "devices": list(record.devices),
        "models": list(record.models),
        "median_error": round(record.median_error, 3),
        "cross_validated_error": round(record.cross_validated_error, 3),
    }


def _factor(p: Mapping[str, float], part: str, dtype: str) -> float:
    return p.get(f"{part}.{dtype}", 1.0)
