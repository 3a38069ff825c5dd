"""What the page has changed of the Soc and of what is asked, as the page sends it."""

import json
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError

from partita.devices import Soc
from partita.devices.number import Strict
from partita.devices.soc import explain, json_or_none
from partita.errors import StudioError
from partita.graph.plan import Location
from partita.partitioner.wishes import Wishes
from partita.studies.change import Change
from partita.studies.paths import number_paths

OBJECTIVES = ("latency", "throughput", "energy")
"""Those of the command line that are solved quickly enough to follow a slider."""
MOST_BYTES = 100_000
"""Of one request."""
Name = Annotated[str, Field(min_length=1, max_length=200)]
Names = Annotated[tuple[Name, ...], Field(max_length=500)]


class Settings(Strict):
    """All differences from the Soc as it is in its file; none if empty."""

    set: dict[Name, float] = Field(default_factory=dict, max_length=500)
    """Numbers of the Soc by path."""
    gain: dict[Name, Names] = Field(default_factory=dict, max_length=20)
    """Types of operators that a unit takes from now on, by unit."""
    lose: dict[Name, Names] = Field(default_factory=dict, max_length=20)
    """Types of operators that a unit takes no more."""
    remove: Names = ()
    """Units that are switched off."""
    allow: Names = ()
    """Further types to compute in: "npu:int8"."""
    objective: Literal["latency", "throughput", "energy"] = "latency"

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """StudioError says what is wrong with the text."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            content = json_or_none(text.decode(errors="replace"))
            raise StudioError(f"this is not what the page sends: {explain(error, content)}") from None

    def checked(self, soc: Soc) -> Self:
        """The same; StudioError if it names what the Soc does not have."""
        _known("number", self.set, number_paths(soc))
        units = [unit.name for unit in soc.units]
        _known("unit", (*self.gain, *self.lose, *self.remove), units)
        _known("type", self.allow, [f"{unit.name}:{dtype}" for unit in soc.units for dtype in unit.optional_dtypes])
        return self

    @property
    def change(self) -> Change:
        return Change(set=self.set, gain_operators=self.gain, lose_operators=self.lose, remove=self.remove)

    @property
    def allowed(self) -> tuple[Location, ...]:
        """The types of units that are still there."""
        pairs = (text.partition(":") for text in self.allow)
        return tuple(Location(unit, dtype) for unit, _, dtype in pairs if unit not in self.remove)

    def wishes(self, time_limit_s: float) -> Wishes:
        return Wishes(objective=self.objective, allow=self.allowed, time_limit_s=time_limit_s)

    def to_json(self) -> str:
        """Equal settings give equal text."""
        return json.dumps(self.model_dump(), sort_keys=True)


def _known(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    there = set(known)
    for name in names:
        if name not in there:
            raise StudioError(f"this Soc has no {what} {name!r}; reload the page")
