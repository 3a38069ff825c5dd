"""The numbers of a Soc that are known only within a range."""

from collections.abc import Sequence
from dataclasses import dataclass

from partita.devices import Soc, facts
from partita.studies.paths import number_paths, paths_like

SET_BY = ("power.", "thermal.", "sharing.")
"""Tables that change no latency; they are left out unless a study names them."""


@dataclass(frozen=True, slots=True)
class Ranged:
    """A number with the ends of its range."""

    path: str
    value: float
    low: float
    high: float


def ranged_numbers(soc: Soc, paths: Sequence[str]) -> list[Ranged]:
    """Those that the paths name; all that a latency can depend on if none are given."""
    known = number_paths(soc)
    wanted = {path for text in paths for path in paths_like(soc.name, known, text)}
    found = []
    for fact in facts(soc):
        low = fact.value if fact.low is None else fact.low
        high = fact.value if fact.high is None else fact.high
        named = fact.path in wanted if wanted else fact.path in known and not fact.path.startswith(SET_BY)
        if named and low < high:
            found.append(Ranged(fact.path, fact.value, low, high))
    return found
