"""Every number of a Soc with its evidence, one row each, for printing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from partita.devices.core_record import KernelTime
from partita.devices.power import Steps
from partita.devices.soc import Number, Soc, Strict

UNIT_OF_SUFFIX = {
    "_gmac_per_s": "GMAC/s",
    "_gop_per_s": "Gop/s",
    "_gb_per_s": "GB/s",
    "_pj_per_byte": "pJ/byte",
    "_j_per_k": "J/K",
    "_k_per_w": "K/W",
    "_mw": "mW",
    "_ms": "ms",
    "_us": "us",
    "_bytes": "bytes",
    "_mhz": "MHz",
    "_c": "C",
    "_k": "K",
    "_v": "V",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One number: where it stands in the Soc, what it is and who says so."""

    path: str
    """Such as "units.npu.peak_gmac_per_s.float16"."""
    value: float
    unit: str
    """Unit of measure; empty for a plain ratio or count."""
    low: float | None
    high: float | None
    kind: str
    source: str


def facts(soc: Soc) -> Iterator[Fact]:
    """The numbers of a Soc in the order of its fields."""
    yield from _facts(soc, ())


def _facts(record: Strict, path: tuple[str, ...]) -> Iterator[Fact]:
    for field in type(record).model_fields:
        yield from _inside(getattr(record, field), (*path, field))


def _inside(value: Any, path: tuple[str, ...]) -> Iterator[Fact]:
    if isinstance(value, Number):
        unit = unit_of_measure(path)
        yield Fact(".".join(path), value.value, unit, value.low, value.high, value.kind, value.source)
    elif isinstance(value, KernelTime):
        for term, us in value.us.items():
            low, high = us * value.low, us * value.high
            yield Fact(".".join((*path, "us", term)), us, "us", low, high, value.kind, value.source)
    elif isinstance(value, Steps):
        yield from _steps(value, path)
    elif isinstance(value, Strict):
        yield from _facts(value, path)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _inside(inner, (*path, key))
    elif isinstance(value, tuple):
        for index, inner in enumerate(value):
            yield from _inside(inner, (*path, _name_of(inner, index)))


def _steps(steps: Steps, path: tuple[str, ...]) -> Iterator[Fact]:
    for column in ("clock_mhz", "voltage_v", "active_share"):
        unit = unit_of_measure((column,))
        for index, value in enumerate(getattr(steps, column) or ()):
            yield Fact(".".join((*path, column, str(index))), value, unit, None, None, steps.kind, steps.source)


def _name_of(record: Any, index: int) -> str:
    name = getattr(record, "name", None)
    if isinstance(name, str):
        return name
    ends = getattr(record, "source", None), getattr(record, "target", None)
    return f"{ends[0]}->{ends[1]}" if all(isinstance(end, str) for end in ends) else str(index)


def unit_of_measure(path: tuple[str, ...]) -> str:
    """The unit of measure that a field's name ends with; a table of numbers carries it in the table's name."""
    for name in reversed(path):
        for suffix, unit in UNIT_OF_SUFFIX.items():
            if name.endswith(suffix):
                return unit
    return ""
