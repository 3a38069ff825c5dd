"""The numbers of a scenario by path, and the scenario with other values at them.

A path begins with "scenario."; a stream goes by its name, or its number from 0 if it has none, a background load by
its unit, by "dram", or by its number if there are several of that title: "scenario.streams.frames.period_ms",
"scenario.background.gpu.share", "scenario.ambient_c".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from partita.errors import StudyError
from partita.simulator.scenario import Scenario, scenario_from
from partita.studies.change import SCENARIO, WHOLE, Change

OPTIONAL = ("ambient_c", "duration_s", "deadline_ms", "queries", "waiting", "end_s")
"""Numbers that can be set where the scenario has none."""
WORDS = ("governor", "heat", "completion", "policy", "execution")
AMOUNTS = ("share", "dram_gb_per_s")
"""Background that has come to 0 is no more there."""
MOST_SHOWN = 6
Fields = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Where a value stands in a dumped scenario."""

    path: str
    holder: Fields
    key: str

    @property
    def is_word(self) -> bool:
        return self.key in WORDS


def stream_titles(scenario: Scenario) -> tuple[str, ...]:
    return tuple(stream.name or str(index) for index, stream in enumerate(scenario.streams))


def check_path(scenario: Scenario, text: str) -> None:
    """StudyError if a path means no number of the scenario."""
    _meant(scenario, _places(_dumped(scenario)), text, words=False)


def number_at(scenario: Scenario, text: str) -> float | None:
    """The first number that a path means; None if the scenario does not give it."""
    place = _meant(scenario, _places(_dumped(scenario)), text, words=False)[0]
    value: float | None = place.holder[place.key]
    return value


def changed_scenario(scenario: Scenario, change: Change) -> Scenario:
    """The scenario with what a change says of it.

    StudyError if the change names what is not there, SimulationError if the result is no scenario.
    """
    fields = _dumped(scenario)
    places = _places(fields)
    mine = change.of_scenario
    for text, value in mine.set.items():
        for place in _meant(scenario, places, text, words=False):
            place.holder[place.key] = _fitting(place.key, value)
    for text, factor in mine.scale.items():
        for place in _meant(scenario, places, text, words=False):
            if place.holder[place.key] is None:
                raise StudyError(f"{scenario.name!r} has no value of {text!r} to scale; write it there, or set it")
            place.holder[place.key] = _fitting(place.key, place.holder[place.key] * factor)
    for text, word in mine.choose.items():
        for place in _meant(scenario, places, text, words=True):
            place.holder[place.key] = word
    fields["background"] = [load for load in fields["background"] if all(load[key] != 0 for key in AMOUNTS)]
    where = scenario.name if mine == Change() else f"{scenario.name} with {mine.to_json()}"
    return scenario_from(fields, where)


def _dumped(scenario: Scenario) -> Fields:
    fields: Fields = scenario.model_dump(mode="json")
    return fields


def _fitting(key: str, value: float) -> float:
    return round(value) if key in WHOLE else value


def _places(fields: Fields) -> list[_Place]:
    loads = [load["unit"] or "dram" for load in fields["background"]]
    found = [*_of(fields, "")]
    found += [_Place(f"clocks_mhz.{unit}", fields["clocks_mhz"], unit) for unit in fields["clocks_mhz"]]
    for index, stream in enumerate(fields["streams"]):
        found += _of(stream, f"streams.{stream['name'] or index}.")
    for index, load in enumerate(fields["background"]):
        found += _of(load, f"background.{loads[index] if loads.count(loads[index]) == 1 else index}.")
    return found


def _of(fields: Fields, before: str) -> Iterator[_Place]:
    for key, value in fields.items():
        is_number = isinstance(value, int | float) or (value is None and key in OPTIONAL)
        if is_number or key in WORDS:
            yield _Place(f"{before}{key}", fields, key)


def _meant(scenario: Scenario, places: list[_Place], text: str, *, words: bool) -> list[_Place]:
    """Those of all parts of a path that "+" joins."""
    known = [place for place in places if place.is_word == words]
    found: list[_Place] = []
    for part in text.split("+"):
        plain = part.strip().removeprefix(SCENARIO).replace("[", ".").replace("]", "")
        load = plain.removeprefix("background.")
        patterns = (plain, f"streams.{plain}", f"streams.*.{plain}", f"background.*.{load}")
        by_pattern = ([place for place in known if fnmatchcase(place.path, pattern)] for pattern in patterns)
        mine = next((group for group in by_pattern if group), [])
        if not mine:
            raise StudyError(_unknown(scenario, known, part.strip(), "value to choose" if words else "number"))
        found += mine
    return found


def _unknown(scenario: Scenario, known: list[_Place], text: str, what: str) -> str:
    paths = [f"{SCENARIO}{place.path}" for place in known]
    near = list(dict.fromkeys([*get_close_matches(text, paths, n=MOST_SHOWN, cutoff=0.5), *paths]))[:MOST_SHOWN]
    return f"the scenario {scenario.name!r} has no {what} {text!r}; near: {', '.join(near)}"
