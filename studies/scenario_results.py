"""What a study writes down about one scenario."""

from collections.abc import Mapping

from partita.devices import Soc
from partita.reports.scenario import mean_between, throughput
from partita.simulator.outcome import Outcome, StreamOutcome
from partita.simulator.scenario import Scenario
from partita.studies.scenario_paths import stream_titles
from partita.units import MS_PER_S, NS_PER_US, ns_as_ms, ns_as_s

OF_STREAM: Mapping[str, str] = {
    "response_mean_ms": "mean time from the arrival of a query to its answer",
    "response_p50_ms": "median time from the arrival of a query to its answer",
    "response_p90_ms": "90th percentile of that time",
    "response_p99_ms": "99th percentile of that time",
    "response_max_ms": "the longest such time",
    "response_warm_ms": "mean of that time over the second half of the run, when the phone has warmed up",
    "missed_share": "queries dropped or answered after their deadline, of all that arrived",
    "dropped_share": "queries dropped because too many waited, of all that arrived",
    "throughput_per_s": "inferences a second",
}
"""Of the stream where it is worst; throughput of all together. Several streams have them one by one too."""
OF_PHONE: Mapping[str, str] = {
    "energy_per_inference_mj": "all energy of the phone over all inferences; empty if the Soc says nothing of power",
    "power_w": "mean power of the phone",
    "hottest_c": "highest temperature of any node; empty if the Soc says nothing of heat, as the next two",
    "throttled_after_s": "when heat first lowered a clock; the end of the scenario if it never did",
    "lowest_clock_share": "lowest clock of any unit over its top clock",
    "cpu_busy_share": "share of the time that the busiest unit of this kind works for the streams",
    "gpu_busy_share": "likewise of GPUs",
    "npu_busy_share": "likewise of NPUs and DSPs",
    "memory_gb_per_s": "mean memory traffic, background included",
}
SCENARIO_RESULTS: Mapping[str, str] = {**OF_STREAM, **OF_PHONE}
"""The columns of numbers of a study with a scenario, beside RESULTS, and what they mean."""
KINDS = {"cpu": ("cpu",), "gpu": ("gpu",), "npu": ("npu", "dsp")}


def scenario_columns(scenario: Scenario) -> tuple[str, ...]:
    """SCENARIO_RESULTS, then with several streams those of each: "response_p99_ms:frames"."""
    titles = stream_titles(scenario)
    each = [f"{name}:{title}" for title in titles for name in OF_STREAM] if len(titles) > 1 else []
    return (*SCENARIO_RESULTS, *each)


def scenario_results_of(outcome: Outcome, soc: Soc) -> dict[str, float | None]:
    """The value of each of the scenario's columns."""
    titles = stream_titles(outcome.scenario)
    streams = {title: _of_stream(outcome, index) for index, title in enumerate(titles)}
    found: dict[str, float | None] = {}
    for name in OF_STREAM:
        values = [value for stream in streams.values() if (value := stream[name]) is not None]
        found[name] = (sum if name == "throughput_per_s" else max)(values) if values else None
    found |= _of_phone(outcome, soc)
    if len(titles) > 1:
        found |= {f"{name}:{title}": value for title, stream in streams.items() for name, value in stream.items()}
    return found


def _of_stream(outcome: Outcome, index: int) -> dict[str, float | None]:
    stream = outcome.streams[index]
    latency = stream.latency
    answers = latency.count > 0
    warm = outcome.curve(f"latency {index}")
    return {
        "response_mean_ms": ns_as_ms(latency.mean_ns) if answers else None,
        **{f"response_p{p}_ms": ns_as_ms(latency.percentile_ns(p)) if answers else None for p in (50, 90, 99)},
        "response_max_ms": ns_as_ms(latency.most_ns) if answers else None,
        "response_warm_ms": mean_between(warm, 0.5, 1) if warm is not None and answers else None,
        "missed_share": _missed(stream) / stream.asked if stream.asked else None,
        "dropped_share": stream.dropped / stream.asked if stream.asked else None,
        "throughput_per_s": throughput(outcome, stream),
    }


def _missed(stream: StreamOutcome) -> int:
    return stream.missed if stream.deadline_us is not None else stream.dropped


def _of_phone(outcome: Outcome, soc: Soc) -> dict[str, float | None]:
    whole_us = outcome.end_ns / NS_PER_US
    busy: dict[str, float | None] = {}
    for kind, kinds in KINDS.items():
        shares = [outcome.busy_us[u.name] / whole_us for u in soc.units if u.kind in kinds and whole_us]
        busy[f"{kind}_busy_share"] = max(shares, default=None)
    clocks = [curve for curve in outcome.curves if curve.name.startswith("clock ")]
    heat = [value for c in outcome.curves if c.name.startswith("temperature ") for _, value in c.points]
    memory = outcome.curve("dram")
    tops = _top_clocks_mhz(soc)
    return {
        "energy_per_inference_mj": outcome.energy_per_inference_mj,
        "power_w": _power_w(outcome),
        "hottest_c": max(heat, default=None),
        "throttled_after_s": ns_as_s(min((t.time_ns for t in outcome.trips), default=outcome.end_ns)) if heat else None,
        "lowest_clock_share": min((v / tops[c.name] for c in clocks for _, v in c.points), default=None),
        **busy,
        "memory_gb_per_s": mean_between(memory, 0, 1) if memory is not None else None,
    }


def _power_w(outcome: Outcome) -> float | None:
    if outcome.energy is None or not outcome.end_ns:
        return None
    return outcome.energy.total_mj / ns_as_s(outcome.end_ns) / MS_PER_S


def _top_clocks_mhz(soc: Soc) -> dict[str, float]:
    """By the name of the clock's curve."""
    if soc.power is None:
        return {}
    return {f"clock {name}": unit.steps.clock_mhz[-1] for name, unit in soc.power.units.items()}
