"""Qualcomm AI Hub's profile: the JSON that `ProfileJob.download_profile` gives (client qai-hub 0.56)."""

from collections.abc import Mapping, Sequence
from typing import Any

from partita.devices.profiles.profile import Profile, Row, number, profile_format
from partita.devices.profiles.read import parse_json, record, records
from partita.errors import SocError


def _recognises(text: str) -> bool:
    return text.lstrip().startswith("{") and ('"execution_summary"' in text or '"execution_detail"' in text)


@profile_format("aihub", "Qualcomm AI Hub profile (JSON)", _recognises)
def read(text: str, where: str) -> Profile:
    """The operators' shares, finer by their cycles where there are some, and the latency to which they belong.

    An operator without a time has None: the device gave none. One with 0 was merged into another. Times are whole
    microseconds, so cycles tell more of short operators.
    """
    content = record(parse_json(text, where), where, "the profile")
    if "execution_detail" not in content:
        raise SocError(f"{where}: has no execution_detail: the profile tells no operators")
    summary = record(content.get("execution_summary") or {}, where, "execution_summary")
    details = records(content["execution_detail"], where, "execution_detail")
    total_us = number(summary, "estimated_inference_time", where)
    us_per_cycle = _us_per_cycle(details, total_us, where)
    rows = tuple(_row(detail, order, us_per_cycle, where) for order, detail in enumerate(details))
    runs = summary.get("all_inference_times")
    return Profile(
        format="aihub",
        rows=rows,
        total_us=total_us,
        runs=len(runs) if isinstance(runs, list) and runs else 1,
        is_relative=True,
    )


def _us_per_cycle(details: Sequence[Mapping[str, Any]], total_us: float | None, where: str) -> float | None:
    """From the rows that have both; if none has, from what the other rows leave of the whole time."""
    spots = [f"{where}: execution_detail[{order}]" for order in range(len(details))]
    cells = [
        (number(detail, "execution_time", spot), number(detail, "execution_cycles", spot))
        for detail, spot in zip(details, spots, strict=True)
    ]
    both = [(us, cycles) for us, cycles in cells if us is not None and cycles]
    if sum(us for us, _ in both) > 0:
        return sum(us for us, _ in both) / sum(cycles for _, cycles in both)
    cycles_only = sum(cycles for us, cycles in cells if us is None and cycles)
    if total_us is None or not cycles_only:
        return None
    timed_us = sum(us for us, cycles in cells if us is not None and not cycles)
    return max(0.0, total_us - timed_us) / cycles_only


def _row(detail: Mapping[str, Any], order: int, us_per_cycle: float | None, where: str) -> Row:
    spot = f"{where}: execution_detail[{order}]"
    duration_us, cycles = number(detail, "execution_time", spot), number(detail, "execution_cycles", spot)
    if cycles is not None and us_per_cycle is not None:
        duration_us = cycles * us_per_cycle
    unit = str(detail.get("compute_unit", "")).lower()
    return Row(
        name=str(detail.get("name", "")),
        op=str(detail.get("type", "")),
        order=order,
        unit=unit if unit in ("cpu", "gpu", "npu") else None,
        duration_us=duration_us,
        cycles=cycles,
    )
