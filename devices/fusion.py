"""Which chains of operators a unit runs as one kernel: wildcard rules, kept as data."""

from fnmatch import fnmatchcase
from functools import cache
from typing import Literal

from pydantic import Field, ValidationError

from partita.devices.load import as_json, data_file, read_toml
from partita.devices.soc import Strict, Unit, explain
from partita.errors import SocError

CHAIN_JOINT = "+"


class FusionRule(Strict):
    """Chains that begin with a producer and go on with followers."""

    producers: tuple[str, ...]
    """Patterns of operator names for the first link."""
    followers: tuple[str, ...]
    """Patterns of operator names for every other link."""
    maximum: int = Field(ge=2)
    """Most links of a chain, the producer included."""
    dtypes: tuple[str, ...] | None = None
    """Types to compute in; any if absent."""
    source: str

    def fits(self, links: list[str], dtype: str) -> bool:
        if len(links) > self.maximum or (self.dtypes is not None and dtype not in self.dtypes):
            return False
        producer, *followers = links
        return _matches(producer, self.producers) and all(_matches(f, self.followers) for f in followers)


class Fusions(Strict):
    """What one backend fuses."""

    format: Literal["partita-fusions/1"]
    backend: str
    rules: tuple[FusionRule, ...] = ()


@cache
def fusions_named(name: str) -> Fusions:
    """The fusion file of that name; SocError says what is wrong with it and where."""
    path, shown = data_file("fusions", name)
    content = read_toml(path, shown)
    try:
        return Fusions.model_validate_json(as_json(content))
    except ValidationError as error:
        raise SocError(f"{shown}: {explain(error, content)}") from None


def is_chain(pattern: str) -> bool:
    return CHAIN_JOINT in pattern


def fuses(unit: Unit, pattern: str, dtype: str) -> bool:
    """Whether `unit` runs the pattern as one kernel as far as fusing goes.

    A chain must fit a rule of the unit's fusion file. A pattern that is the name of an operator is no matter of
    fusing: whether the unit has that operator is for its support file to say.
    """
    if not is_chain(pattern):
        return True
    links = pattern.split(CHAIN_JOINT)
    return any(rule.fits(links, dtype) for rule in fusions_named(unit.fusions).rules)


def _matches(op: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(op, pattern) for pattern in patterns)
