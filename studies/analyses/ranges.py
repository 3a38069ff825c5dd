"""The numbers that are known only within a range."""

from dataclasses import dataclass

from partita.devices import facts
from partita.studies.analyses.finding import Context
from partita.studies.change import SCENARIO
from partita.studies.paths import DRAM_BANDWIDTH, number_paths, paths_like
from partita.studies.scenario_paths import number_at
from partita.studies.study_file import Analysis

SET_BY = ("power.", "thermal.", "sharing.")
"""Tables that change no latency; without a scenario they are left out unless a study names them."""


@dataclass(frozen=True, slots=True)
class Ranged:
    """A number with the ends of its range."""

    path: str
    value: float
    low: float
    high: float


def ranged_numbers(ctx: Context, analysis: Analysis) -> list[Ranged]:
    """Those that an analysis names; all of the Soc that a result can depend on if it names none."""
    soc = ctx.socs[ctx.soc]
    known = number_paths(soc)
    wanted = {path for text in analysis.paths for path in paths_like(soc.name, known, text)}
    left_out = SET_BY if ctx.scenario is None else ()
    found = [_given(ctx, path, low, high) for path, (low, high) in analysis.ranges.items()]
    if found and not wanted:
        return found
    for fact in facts(soc):
        low = fact.value if fact.low is None else fact.low
        high = fact.value if fact.high is None else fact.high
        named = fact.path in wanted if wanted else fact.path in known and not fact.path.startswith(left_out)
        if named and low < high and fact.path not in analysis.ranges:
            found.append(Ranged(fact.path, fact.value, low, high))
    return found


def _given(ctx: Context, path: str, low: float, high: float) -> Ranged:
    """The middle of its range stands in for a number that the scenario leaves open."""
    value: float | None
    if path.startswith(SCENARIO):
        assert ctx.scenario is not None, "checked with the study"
        value = number_at(ctx.scenario, path)
    else:
        soc = ctx.socs[ctx.soc]
        first = paths_like(soc.name, number_paths(soc), path)[0]
        first = "dram.peak_gb_per_s" if first == DRAM_BANDWIDTH else first
        value = next((fact.value for fact in facts(soc) if fact.path == first), None)
    return Ranged(path, (low + high) / 2 if value is None else value, low, high)
