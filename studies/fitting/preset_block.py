"""Fitted parameters as the text that stands in a preset file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from partita.devices.npu_terms import TERMS

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


def preset_block(p: Mapping[str, float], records: Mapping[str, Record]) -> str:
    """The table `[units.npu_law]`, and before it, as comments, the numbers that stand elsewhere in the file."""
    lines = [f"# {name} = {p[name]:.3g}" for name in OF_THE_UNIT]
    lines += [f"# peak_gmac_per_s.{dtype} = {p['matrix'] * _factor(p, 'matrix', dtype):.4g}" for dtype in records]
    lines += [
        "", "[units.npu_law]",
        'speed = { value = 1, kind = "derived", source = "FIT: on this chip" }',
        f"token_dispatch_us = {_number(p['token_dispatch_us'])}",
        f'working_bytes = {{ value = {p["working_bytes"]:.0f}, kind = "vendor", source = "on-chip memory" }}',
        f"overlap = {_number(p['overlap'])}",
        "", "[units.npu_law.rate_g_per_s]",
        *(f"{term} = {_number(p[term])}" for term in TERMS),
    ]  # fmt: skip
    for dtype, record in records.items():
        lines += ["", f"[units.npu_law.dtypes.{dtype}]"]
        lines += [f"{part} = {_number(_factor(p, part, dtype))}" for part in ("matrix", "vector", "dispatch")]
        lines += [f"spread = {_number(record.spread)}"]
        lines += ["", f"[units.npu_law.fit.{dtype}]", f'data = "{record.data}"']
        lines += [f"devices = {list(record.devices)}".replace("'", '"')]
        lines += [f"models = {list(record.models)}".replace("'", '"')]
        lines += [f"median_error = {record.median_error:.3f}"]
        lines += [f"cross_validated_error = {record.cross_validated_error:.3f}"]
    return "\n".join(lines) + "\n"


def _factor(p: Mapping[str, float], part: str, dtype: str) -> float:
    return p.get(f"{part}.{dtype}", 1.0)


def _number(value: float) -> str:
    return f'{{ value = {value:.4g}, kind = "derived", source = "FIT" }}'
