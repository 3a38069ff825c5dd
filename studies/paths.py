"""The numbers of a Soc by path: which there are, which a path means, and the Soc with other values at them."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from partita.devices import Soc
from partita.errors import StudyError

DRAM_BANDWIDTH = "dram.bandwidth_gb_per_s"
"""Stands for the memory as a whole: its peak, and in the same proportion what each unit reaches of it alone."""
MOST_SHOWN = 6
ROUNDING = 1e-12
Fields = dict[str, Any]


def number_paths(soc: Soc) -> tuple[str, ...]:
    """Paths of all numbers, such as "units.npu.call_us" and "links.cpu->npu.sync_us", in the order of the fields."""
    return (DRAM_BANDWIDTH, *(path for path, _ in _numbers(soc.model_dump(), ())))


def paths_like(soc_name: str, known: tuple[str, ...], text: str) -> tuple[str, ...]:
    """The numbers that a path means: its own, those below `units`, or of every unit; `*` stands for anything.

    Several paths can be joined by "+". StudyError, with those that are near, if there is none.
    """
    return tuple(path for part in text.split("+") for path in _one_like(soc_name, known, part))


def _one_like(soc_name: str, known: tuple[str, ...], text: str) -> tuple[str, ...]:
    plain = text.replace("[", ".").replace("]", "").replace(" ", "")
    for pattern in (plain, f"units.{plain}", f"units.*.{plain}"):
        found = tuple(path for path in known if fnmatchcase(path, pattern))
        if found:
            return found
    near = _near(plain, known)
    raise StudyError(
        f"{soc_name!r} has no number {text!r}; near: {', '.join(near)} (`partita soc show {soc_name}` lists all)"
    )


def _near(text: str, known: tuple[str, ...]) -> list[str]:
    short = {path.removeprefix("units."): path for path in known}
    close = get_close_matches(text.removeprefix("units."), short, n=MOST_SHOWN, cutoff=0.5)
    last = text.rpartition(".")[2]
    alike = get_close_matches(last, {path.rpartition(".")[2] for path in known}, n=1, cutoff=0.5)
    same_end = [path for path in known if alike and path.rpartition(".")[2] == alike[0]]
    return list(dict.fromkeys([*(short[name] for name in close), *same_end, *known]))[:MOST_SHOWN]


def set_numbers(fields: Fields, values: Mapping[str, float], factors: Mapping[str, float]) -> None:
    """Writes values, then applies factors, to a dumped Soc; a scaled number keeps its range in proportion."""
    numbers = dict(_numbers(fields, ()))
    for path, value in values.items():
        if path == DRAM_BANDWIDTH:
            _scale_memory(fields, value / numbers["dram.peak_gb_per_s"]["value"])
            continue
        numbers[path].update(value=float(value), low=None, high=None, source=f"study: set to {value:g}")
    for path, factor in factors.items():
        if path == DRAM_BANDWIDTH:
            _scale_memory(fields, factor)
        else:
            scale_number(numbers[path], factor)


def fit_to_memory(fields: Fields) -> None:
    """No unit moves more than the memory gives one engine, and no cache is slower than the memory behind it."""
    dram = fields["dram"]
    most = dram["peak_gb_per_s"]["value"] * dram["share_of_one"]["value"]
    for unit in fields["units"]:
        for name in ("bandwidth_gb_per_s", "weights_gb_per_s"):
            if unit[name] is not None and unit[name]["value"] > most > 0:
                scale_number(unit[name], most / unit[name]["value"] * (1 - ROUNDING))
        cache, memory = unit["on_chip_gb_per_s"], unit["bandwidth_gb_per_s"]
        if cache is not None and 0 < cache["value"] < memory["value"]:
            scale_number(cache, memory["value"] / cache["value"] * (1 + ROUNDING))


def _scale_memory(fields: Fields, factor: float) -> None:
    """More or less of the same memory."""
    scale_number(fields["dram"]["peak_gb_per_s"], factor)
    for unit in fields["units"]:
        for name in ("bandwidth_gb_per_s", "weights_gb_per_s"):
            if unit[name] is not None:
                scale_number(unit[name], factor)


def scale_number(number: Fields, factor: float) -> None:
    for key in ("low", "value", "high"):
        if number[key] is not None:
            number[key] *= factor
    number["source"] = f"study: {factor:g} times {number['source']}"


def _numbers(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Fields]]:
    """Every number of a dumped Soc that a study can change, with its path as `devices.facts` writes it.

    Latency tables are left out: they have one number for each measured operator.
    """
    if isinstance(value, dict):
        if {"value", "low", "high", "kind", "source"} == value.keys():
            yield ".".join(path), value
            return
        for key, inner in value.items():
            if key != "latencies":
                yield from _numbers(inner, (*path, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _numbers(inner, (*path, _name_of(inner, index)))


def _name_of(record: Any, index: int) -> str:
    if not isinstance(record, dict):
        return str(index)
    if isinstance(record.get("name"), str):
        return record["name"]
    ends = record.get("source"), record.get("target")
    return f"{ends[0]}->{ends[1]}" if all(isinstance(end, str) for end in ends) else str(index)
