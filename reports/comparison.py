"""Plans side by side under one load: which is best cold, which after the phone has warmed up, and why."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from partita.reports.scenario import mean_between, scenario_document, throughput, trip_sentences
from partita.reports.summary import plain_table, row
from partita.reports.wording import percent_text, significant
from partita.simulator.outcome import Outcome
from partita.simulator.timeline import Counter
from partita.units import ns_as_s

COLD_SHARE = 0.01
"""The first hundredth of a run counts as cold, its second half as warm: clocks rise and fall by turns."""
WARM_SHARE = 0.5
SAME = 0.01
"""A smaller difference is called none."""


def comparison_document(outcomes: Sequence[Outcome], names: Sequence[str]) -> dict[str, Any]:
    """`partita simulate A B --scenario --json`; described by templates/scenario_comparison.schema.json."""
    cold, warm = (best(outcomes, which) for which in ("cold", "warm"))
    return {
        "format": "partita-scenario-comparison/1",
        "scenario": outcomes[0].scenario.name,
        "plans": [
            {"plan": name, "cold_ms": cold_ms(o), "warm_ms": warm_ms(o), "run": scenario_document(o)}
            for name, o in zip(names, outcomes, strict=True)
        ],
        "best_cold": names[cold],
        "best_warm": names[warm],
        "explanation": explanation(outcomes, names),
    }


def cold_ms(outcome: Outcome) -> float:
    """Mean latency in the first hundredth of the run."""
    curve = outcome.curve("latency 0")
    return mean_between(curve, 0, COLD_SHARE) if curve is not None else 0.0


def warm_ms(outcome: Outcome) -> float:
    """Mean latency in its second half."""
    curve = outcome.curve("latency 0")
    return mean_between(curve, 1 - WARM_SHARE, 1) if curve is not None else 0.0


def best(outcomes: Sequence[Outcome], which: str) -> int:
    latency_ms = cold_ms if which == "cold" else warm_ms
    return min(range(len(outcomes)), key=lambda i: (latency_ms(outcomes[i]), i))


def explanation(outcomes: Sequence[Outcome], names: Sequence[str]) -> list[str]:
    """Which plan is best cold, which warm, and why that changes if it does."""
    first, last = best(outcomes, "cold"), best(outcomes, "warm")
    told = [
        f"Cold, {names[first]} is best: {significant(cold_ms(outcomes[first]))} ms"
        + "".join(f"; {n}: {significant(cold_ms(o))} ms" for i, (n, o) in _others(outcomes, names, first))
    ]
    verb = "still" if first == last else "no longer it but"
    told.append(
        f"In the second half of {significant(ns_as_s(outcomes[last].end_ns))} s {verb} {names[last]} is best: "
        f"{significant(warm_ms(outcomes[last]))} ms"
        + "".join(f"; {n}: {significant(warm_ms(o))} ms" for i, (n, o) in _others(outcomes, names, last))
    )
    told += [f"{names[i]}: {sentence}" for i, o in enumerate(outcomes) for sentence in _why(o)]
    if first != last:
        crossing = _crossing_ns(outcomes[first], outcomes[last])
        if crossing is not None:
            told.append(f"From {significant(ns_as_s(crossing))} s on {names[last]} stays ahead of {names[first]}.")
    return told


def _others(outcomes: Sequence[Outcome], names: Sequence[str], but: int) -> list[tuple[int, tuple[str, Outcome]]]:
    return [(i, pair) for i, pair in enumerate(zip(names, outcomes, strict=True)) if i != but]


def _why(outcome: Outcome) -> list[str]:
    power = outcome.curve("power")
    if power is None:
        return []
    stream = outcome.streams[0]
    slowed = warm_ms(outcome) / cold_ms(outcome) - 1 if cold_ms(outcome) else 0.0
    watts = f"the phone draws {mean_between(power, 0, COLD_SHARE):.2f} W cold"
    if not outcome.trips:
        return [f"{watts}, nothing gets too hot."]
    lost = stream.parts_us["throttling"] / max(sum(stream.parts_us.values()), 1e-9)
    told = [f"{watts}. {sentence}" for sentence in trip_sentences(outcome)[:1]] + trip_sentences(outcome)[1:]
    if slowed > SAME:
        clocks = _lowered(outcome)
        told.append(f"It ends {percent_text(slowed)} slower than cold ({clocks}); {percent_text(lost)} of all its "
                    "time is throttling.")  # fmt: skip
    return told


def _lowered(outcome: Outcome) -> str:
    found = []
    for unit in outcome.units:
        curve = outcome.curve(f"clock {unit}")
        if curve is None or not outcome.busy_us.get(unit):
            continue
        top, end = curve.points[0][1], mean_between(curve, 1 - WARM_SHARE, 1)
        if end < top:
            found.append(f"{unit} at {end:.0f} of {top:.0f} MHz")
    return ", ".join(found) or "its clocks are back at the top"


def _crossing_ns(early: Outcome, late: Outcome) -> int | None:
    """After when the second plan stays ahead."""
    first, second = early.curve("latency 0"), late.curve("latency 0")
    if first is None or second is None:
        return None
    end_ns = min(first.points[-1][0], second.points[-1][0])
    steps = [end_ns * i // 200 for i in range(201)]
    ahead = [_at(second, t) < _at(first, t) for t in steps]
    for position in reversed(range(len(steps))):
        if not ahead[position]:
            return steps[position + 1] if position + 1 < len(steps) else None
    return steps[0]


def _at(curve: Counter, time_ns: int) -> float:
    value = curve.points[0][1]
    for start_ns, found in curve.points:
        if start_ns > time_ns:
            break
        value = found
    return value


def comparison_summary(outcomes: Sequence[Outcome], names: Sequence[str]) -> RenderableType:
    """What `partita simulate A B --scenario` prints."""
    table = plain_table(
        "Mean latency and energy", "plan", "cold ms", "warm ms", "per s", "mJ each", "missed", numbers=5
    )
    for name, outcome in zip(names, outcomes, strict=True):
        each = outcome.energy_per_inference_mj
        stream = outcome.streams[0]
        row(table, name, f"{cold_ms(outcome):.3f}", f"{warm_ms(outcome):.3f}", significant(throughput(outcome, stream)),
            significant(each) if each is not None else "", percent_text(stream.miss_share))  # fmt: skip
    head = Text(f"{outcomes[0].scenario.name} on {outcomes[0].soc_name}", style="bold")
    return Group(head, table, *(Text(sentence) for sentence in explanation(outcomes, names)))
