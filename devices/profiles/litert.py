"""LiteRT's JSON results: of `litert-benchmark`, and of benchmark_model's profile message printed as JSON.

The first gives the time of the whole model only; the second is the message `BenchmarkProfilingData`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from partita.devices.profiles.profile import Profile, Row, number, profile_format
from partita.devices.profiles.read import parse_json, record, records
from partita.errors import SocError
from partita.units import US_PER_MS


def _recognises(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    is_result = '"latency"' in text and '"accelerators"' in text
    return is_result or '"runtime_profile"' in text or '"runtimeProfile"' in text


@profile_format("litert", "LiteRT benchmark result or profile (JSON)", _recognises)
def read(text: str, where: str) -> Profile:
    """The operators of a profile message; of a benchmark's result only the time of a whole inference."""
    content = record(parse_json(text, where), where, "the profile")
    runtime = _field(content, "runtime_profile")
    if runtime is not None:
        rows = tuple(_rows(record(runtime, where, "runtime_profile"), where))
        return Profile(format="litert", rows=rows)
    latency = record(content.get("latency"), where, "latency")
    median_ms = number(latency, "median_ms", where)
    whole_ms = number(latency, "avg_ms", where) if median_ms is None else median_ms
    if whole_ms is None:
        raise SocError(f"{where}: latency has neither median_ms nor avg_ms")
    return Profile(
        format="litert",
        rows=(),
        total_us=whole_ms * US_PER_MS,
        runs=int(number(latency, "num_runs", where) or 1),
        notes=("the file gives the time of a whole inference, not of operators",),
    )


def _field(holder: Mapping[str, Any], name: str) -> Any:
    """A field of a message, by the name in the schema or in the camel case of its JSON form."""
    first, *rest = name.split("_")
    return holder.get(name, holder.get(first + "".join(part.capitalize() for part in rest)))


def _rows(runtime: Mapping[str, Any], where: str) -> Iterator[Row]:
    delegates = records(_field(runtime, "delegate_profiles") or [], where, "delegate_profiles")
    subgraphs = records(_field(runtime, "subgraph_profiles") or [], where, "subgraph_profiles")
    messages = [
        (op, bool(delegates) and holder in subgraphs)
        for holder in (*delegates, *subgraphs)
        for op in records(_field(holder, "per_op_profiles") or [], where, "per_op_profiles")
    ]
    for order, (op, beside_delegates) in enumerate(messages):
        row = _row(op, order, where)
        if not (beside_delegates and "elegate" in row.op):
            yield row


def _row(op: Mapping[str, Any], order: int, where: str) -> Row:
    spot = f"{where}: operator {order}"
    times = record(_field(op, "inference_microseconds") or {}, spot, "inference_microseconds")
    return Row(
        name=str(op.get("name", "")).partition(":")[0].strip("[]"),
        op=str(_field(op, "node_type") or ""),
        order=order,
        duration_us=number(times, "avg", spot),
        low_us=number(times, "min", spot),
        high_us=number(times, "max", spot),
        calls=max(1, int(number(op, "times_called", spot) or 1)),
    )
