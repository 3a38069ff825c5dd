"""The sliders: which numbers of a Soc they move, between which ends, and how they are called."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from partita.devices import Fact, Soc, Unit, facts
from partita.devices.facts import unit_of_measure
from partita.reports.wording import printable
from partita.studies.paths import DRAM_BANDWIDTH, number_paths

REACH = 8.0
"""A slider goes from an eighth of a number to eight times it, further if the number's range does."""
MEMORY, RUNTIME = "Memory", "Runtime"
MAIN = (
    ("call_us", "Call of a segment"),
    ("dispatch_us", "Launch of a kernel"),
    ("peak_gmac_per_s", "MAC rate"),
    ("peak_gop_per_s", "Element rate"),
    ("bandwidth_gb_per_s", "Bandwidth alone"),
    ("on_chip_bytes", "On-chip memory"),
    ("on_chip_gb_per_s", "On-chip bandwidth"),
)
"""Fields of a unit that have a slider from the start; all others can be asked for."""
OF_LINK = (("sync_us", "hand-over"), ("copy_gb_per_s", "copy rate"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """One number that can be moved."""

    path: str
    label: str
    group: str
    """The unit it belongs to by name, MEMORY, RUNTIME or "" for those that have no slider from the start."""
    value: float
    least: float
    """The slider's lower end."""
    most: float
    low: float | None
    """The range in which the number may lie."""
    high: float | None
    is_log: bool
    allowed_by: str
    """The type, such as "npu:int8", without which the number plays no part; empty if it always does."""
    measure: str
    """Unit of measure; empty for a plain ratio or count."""
    source: str
    """Kind of evidence and who says so."""

    def document(self) -> dict[str, Any]:
        return asdict(self)


def knobs_of(soc: Soc) -> tuple[Knob, ...]:
    """One for every number that a study can change: those with a slider from the start first, by group."""
    by_path = {fact.path: fact for fact in facts(soc)}
    main = dict(_main(soc))
    paths = [path for path in (*main, *number_paths(soc)) if path in by_path or path == DRAM_BANDWIDTH]
    found = []
    for path in dict.fromkeys(paths):
        group, label = main.get(path, ("", printable(path.removeprefix("units."))))
        knob = _knob(by_path.get(path) or _memory(by_path), path, group, label)
        found.append(replace(knob, allowed_by=_type_of(soc, path)))
    return tuple(found)


def _type_of(soc: Soc, path: str) -> str:
    """The type that a user must allow before a number counts."""
    optional = (f"{unit.name}:{dtype}" for unit in soc.units for dtype in unit.optional_dtypes)
    return next((text for text in optional if _is_of(path, *text.split(":"))), "")


def _is_of(path: str, unit: str, dtype: str) -> bool:
    return path.startswith(f"units.{unit}.") and dtype in path.split(".")


def _main(soc: Soc) -> Iterator[tuple[str, tuple[str, str]]]:
    """(path, (group, label)) of the sliders that are there from the start."""
    yield DRAM_BANDWIDTH, (MEMORY, "DRAM bandwidth, all units")
    for unit in soc.units:
        yield from _of_unit(unit)
        for link in soc.links:
            if {link.source, link.target} == {soc.host, unit.name}:
                for field, label in OF_LINK:
                    ends = f"{_short(soc, link.source)} → {_short(soc, link.target)}"
                    yield f"links.{link.source}->{link.target}.{field}", (unit.name, f"{ends} {label}")
    yield "inference_us", (RUNTIME, "Fixed cost of an inference")


def _short(soc: Soc, name: str) -> str:
    """ "NPU" if it is the only one of its kind, as reports call it; else its name."""
    kind = soc.unit_named(name).kind
    return kind.upper() if sum(unit.kind == kind for unit in soc.units) == 1 else printable(name)


def _of_unit(unit: Unit) -> Iterator[tuple[str, tuple[str, str]]]:
    for field, label in MAIN:
        value = getattr(unit, field)
        if isinstance(value, dict):
            for dtype in (unit.dtypes[0], *unit.optional_dtypes):
                yield f"units.{unit.name}.{field}.{dtype}", (unit.name, f"{label}, {dtype}")
        elif value is not None:
            yield f"units.{unit.name}.{field}", (unit.name, label)


def _memory(by_path: dict[str, Fact]) -> Fact:
    """The whole memory stands for its peak."""
    return by_path["dram.peak_gb_per_s"]


def _knob(fact: Fact, path: str, group: str, label: str) -> Knob:
    low, high = fact.low, fact.high
    is_log = fact.value > 0
    if is_log:
        least, most = fact.value / REACH, max(fact.value * REACH, high or 0.0)
        least = min(least, low) if low is not None and low > 0 else least
    else:
        least, most = 0.0, 2 * high if high else 1000.0
    return Knob(
        path=path,
        label=label,
        group=group,
        value=fact.value,
        least=least,
        most=most,
        low=low,
        high=high,
        is_log=is_log,
        allowed_by="",
        measure=unit_of_measure(tuple(path.split("."))),
        source=printable(f"{fact.kind}: {fact.source}"),
    )
