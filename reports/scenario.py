"""What a scenario came to, as a document, as tables, and as a sentence; and two plans side by side under one load."""

from itertools import pairwise
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from partita.reports.summary import plain_table, row
from partita.reports.wording import percent_text, shortened, significant
from partita.simulator.outcome import Energy, Outcome, StreamOutcome
from partita.simulator.timeline import Counter
from partita.units import NS_PER_US, US_PER_MS, ns_as_ms, ns_as_s

PERCENTILES = (50, 90, 95, 99, 99.9)
MOST_COSTLY = 8
NAME_WIDTH = 18


def scenario_document(outcome: Outcome) -> dict[str, Any]:
    """`partita simulate --scenario --json`; described by templates/scenario_run.schema.json."""
    return {
        "format": "partita-scenario-run/1",
        "scenario": outcome.scenario.name,
        "soc": outcome.soc_name,
        "seed": outcome.scenario.seed,
        "end_s": ns_as_s(outcome.end_ns),
        "inferences": outcome.inferences,
        "streams": [_stream_document(outcome, index) for index in range(len(outcome.streams))],
        "busy_ms": {track: us / US_PER_MS for track, us in outcome.busy_us.items()},
        "utilisation": _utilisation(outcome),
        "energy": None if outcome.energy is None else _energy_document(outcome.energy),
        "energy_per_inference_mj": outcome.energy_per_inference_mj,
        "throttling": [
            {"node": t.node, "at_s": ns_as_s(t.time_ns), "temperature_c": t.temperature_c, "units": list(t.units)}
            for t in outcome.trips
        ],
        "curves": {
            c.name: {"unit": c.unit, "start_s": [ns_as_s(t) for t, _ in c.points], "value": [v for _, v in c.points]}
            for c in outcome.curves
        },
        "notes": list(outcome.notes),
    }


def _stream_document(outcome: Outcome, index: int) -> dict[str, Any]:
    stream, latency = outcome.streams[index], outcome.streams[index].latency
    return {
        "name": stream.name,
        "model": stream.plan.graph.name,
        "mode": stream.mode,
        "asked": stream.asked,
        "answered": stream.answered,
        "dropped": stream.dropped,
        "missed_deadlines": stream.missed,
        "deadline_ms": None if stream.deadline_us is None else stream.deadline_us / US_PER_MS,
        "inferences": stream.inferences,
        "throughput_per_s": throughput(outcome, stream),
        "latency_ms": {
            "mean": ns_as_ms(latency.mean_ns),
            "least": ns_as_ms(latency.least_ns or 0),
            "most": ns_as_ms(latency.most_ns),
            **{f"p{percent:g}": ns_as_ms(latency.percentile_ns(percent)) for percent in PERCENTILES},
        },
        "percentiles_are_exact": latency.is_exact,
        "mean_under_way": stream.mean_waiting,
        "critical_path_ms": {part: us / US_PER_MS for part, us in stream.parts_us.items()},
        "energy_mj": stream.energy_mj if outcome.energy is not None else None,
        "operators": [
            {"kind": o.kind, "name": o.name, "unit": o.unit, "count": o.count, "time_ms": o.time_us / US_PER_MS,
             "energy_mj": o.energy_mj}
            for o in stream.operators
        ],
    }  # fmt: skip


def _energy_document(energy: Energy) -> dict[str, Any]:
    return {
        "total_mj": energy.total_mj,
        "base_mj": energy.base_mj,
        "idle_mj": dict(energy.idle_mj),
        "dynamic_mj": dict(energy.dynamic_mj),
        "leakage_mj": dict(energy.leakage_mj),
        "host_mj": energy.host_mj,
        "dram_mj": energy.dram_mj,
        "together_mj": energy.together_mj,
        "background_mj": energy.background_mj,
        "unaccounted_quanta": energy.rest_quanta,
    }


def throughput(outcome: Outcome, stream: StreamOutcome) -> float:
    """Inferences per second."""
    return stream.inferences / ns_as_s(outcome.end_ns) if outcome.end_ns else 0.0


def _utilisation(outcome: Outcome) -> dict[str, float]:
    whole_us = outcome.end_ns / NS_PER_US
    return {track: us / whole_us if whole_us else 0.0 for track, us in outcome.busy_us.items()}


def scenario_summary(outcome: Outcome) -> RenderableType:
    """What `partita simulate --scenario` prints."""
    head = (
        f"{outcome.scenario.name} on {outcome.soc_name}: {outcome.inferences:,} inferences in "
        f"{significant(ns_as_s(outcome.end_ns))} s"
    )
    parts: list[RenderableType] = [Text(head, style="bold"), _streams_table(outcome), _path_table(outcome)]
    parts.append(_units_table(outcome))
    if outcome.energy is not None:
        parts += [_energy_table(outcome), _costly_table(outcome)]
    parts += [Text(sentence) for sentence in trip_sentences(outcome)]
    parts += [Text(note) for note in outcome.notes]
    return Group(*parts)


def _streams_table(outcome: Outcome) -> RenderableType:
    table = plain_table(
        "Latency, ms", "stream", "answers", "per s", "mean", "p50", "p90", "p99", "most", "missed", numbers=8
    )
    for stream in outcome.streams:
        latency = stream.latency
        shown = [latency.mean_ns, *(latency.percentile_ns(p) for p in (50, 90, 99)), latency.most_ns]
        missed = "" if stream.deadline_us is None else percent_text(stream.miss_share)
        dropped = f" (+{stream.dropped:,} dropped)" if stream.dropped else ""
        row(table, shortened(stream.name, NAME_WIDTH), f"{stream.answered:,}{dropped}",
            significant(throughput(outcome, stream)), *(f"{ns_as_ms(ns):.3f}" for ns in shown), missed)  # fmt: skip
    return table


def _path_table(outcome: Outcome) -> RenderableType:
    names = [shortened(stream.name, NAME_WIDTH) for stream in outcome.streams]
    table = plain_table("What the time of an inference is made of, ms", "part", *names, numbers=len(names))
    for part in outcome.streams[0].parts_us:
        if any(stream.parts_us[part] > 0 for stream in outcome.streams):
            row(table, part, *(f"{stream.parts_us[part] / US_PER_MS:.3f}" for stream in outcome.streams))
    return table


def _units_table(outcome: Outcome) -> RenderableType:
    table = plain_table("Units and links", "track", "busy", "clock MHz", "W", "hottest C", numbers=4)
    for track, share in _utilisation(outcome).items():
        clock, power, heat = (outcome.curve(f"{what} {track}") for what in ("clock", "power", "temperature"))
        row(
            table, track, percent_text(share),
            f"{min(v for _, v in clock.points):.0f} .. {max(v for _, v in clock.points):.0f}" if clock else "",
            f"{mean_between(power, 0, 1):.2f}" if power else "",
            f"{max(v for _, v in heat.points):.1f}" if heat else "",
        )  # fmt: skip
    return table


def _energy_table(outcome: Outcome) -> RenderableType:
    energy = outcome.energy
    assert energy is not None, "asked for only then"
    table = plain_table("Energy", "goes to", "mJ", "share", numbers=2)
    parts = {
        "the rest of the phone": energy.base_mj,
        **{f"{unit}, working": mj for unit, mj in energy.dynamic_mj.items()},
        **{f"{unit}, leakage": mj for unit, mj in energy.leakage_mj.items()},
        "units, idle": sum(energy.idle_mj.values()),
        "driving the units": energy.host_mj,
        "memory": energy.dram_mj,
        "units at work together": energy.together_mj,
        "background": energy.background_mj,
        "in all": energy.total_mj,
    }
    for name, mj in parts.items():
        if mj:
            row(table, name, significant(mj), percent_text(mj / energy.total_mj))
    each = outcome.energy_per_inference_mj
    row(table, "per inference", significant(each) if each is not None else "", "")
    return table


def _costly_table(outcome: Outcome) -> RenderableType:
    table = plain_table("Costs most energy, per run", "what", "stream", "on", "us", "uJ", numbers=2)
    found = [(o, s.name) for s in outcome.streams for o in s.operators if o.count]
    found.sort(key=lambda pair: (-pair[0].energy_mj, pair[0].name))
    for operator, stream in found[:MOST_COSTLY]:
        each_uj = operator.energy_mj / operator.count * US_PER_MS
        time_us = operator.time_us / operator.count
        row(table, f"{operator.kind} {shortened(operator.name, 32)}", shortened(stream, 24), operator.unit,
            significant(time_us), significant(each_uj))  # fmt: skip
    return table


def trip_sentences(outcome: Outcome) -> list[str]:
    """When what was too hot, and what was slowed for it."""
    return [
        f"After {significant(ns_as_s(trip.time_ns))} s {trip.node} reached {trip.temperature_c:.0f} C: "
        f"the clocks of {', '.join(trip.units)} go down."
        for trip in outcome.trips
    ]


def mean_between(curve: Counter, start: float, end: float) -> float:
    """Mean between two shares of a curve's length."""
    points = curve.points
    first_ns, last_ns = points[0][0], points[-1][0]
    a, b = first_ns + (last_ns - first_ns) * start, first_ns + (last_ns - first_ns) * end
    total = length = 0.0
    for (t0, value), (t1, _) in pairwise(points):
        overlap = min(b, t1) - max(a, t0)
        if overlap > 0:
            total += value * overlap
            length += overlap
    return total / length if length else points[-1][1]
