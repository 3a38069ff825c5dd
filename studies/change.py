"""What a study changes of a Soc, and the Soc that results."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field, ValidationError

from partita.devices import Soc
from partita.devices.load import as_json
from partita.devices.number import Strict
from partita.devices.soc import Gains, explain
from partita.errors import SocError, StudyError
from partita.graph.dtypes import is_floating
from partita.graph.plan import Location
from partita.studies.paths import Fields, fit_to_memory, number_paths, paths_like, scale_number, set_numbers

SCENARIO = "scenario."
"""Paths that begin so mean numbers of the scenario, all others those of the Soc."""
WHOLE = ("seed", "samples", "queries", "priority", "in_flight", "waiting")
"""Numbers of a scenario that count something."""


def is_whole(path: str) -> bool:
    return path.startswith(SCENARIO) and path.rpartition(".")[2] in WHOLE


class GainedDtype(Strict):
    """A type that a unit learns to compute in, with its rates if the Soc does not know them."""

    dtype: str
    peak_gmac_per_s: float | None = Field(default=None, gt=0)
    peak_gop_per_s: float | None = Field(default=None, gt=0)


class Change(Strict):
    """A difference from a Soc, a scenario or a model as it is; nothing if empty."""

    set: dict[str, float] = Field(default_factory=dict)
    """Numbers of the Soc or the scenario by path."""
    scale: dict[str, float] = Field(default_factory=dict)
    """Factors on such numbers by path."""
    choose: dict[str, str | bool] = Field(default_factory=dict)
    """Words and switches of the scenario by path, such as "scenario.governor"."""
    gain_operators: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Types of operators, or of recognised patterns such as Gelu, that a unit takes from now on."""
    lose_operators: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Types of operators that a unit takes no more."""
    gain_dtypes: dict[str, tuple[GainedDtype, ...]] = Field(default_factory=dict)
    """Types that a unit may compute in from now on, quantised ones included."""
    remove: tuple[str, ...] = ()
    """Units that the chip does without."""
    shapes: dict[str, int | tuple[int, ...]] = Field(default_factory=dict)
    """Sizes of the model's open dimensions or inputs."""

    def joined(self, other: "Change") -> "Change":
        """Both; StudyError if both set the same number or size."""
        for field in ("set", "shapes", "choose"):
            twice = sorted(getattr(self, field).keys() & getattr(other, field).keys())
            if twice:
                raise StudyError(f"two variables set {twice[0]!r}; one must go")
        factors = dict(self.scale)
        for path, factor in other.scale.items():
            factors[path] = factors.get(path, 1.0) * factor
        return Change(
            set=self.set | other.set,
            scale=factors,
            choose=self.choose | other.choose,
            gain_operators=_joined(self.gain_operators, other.gain_operators),
            lose_operators=_joined(self.lose_operators, other.lose_operators),
            gain_dtypes=_joined(self.gain_dtypes, other.gain_dtypes),
            remove=tuple(dict.fromkeys((*self.remove, *other.remove))),
            shapes=self.shapes | other.shapes,
        )

    @property
    def of_scenario(self) -> "Change":
        """What it changes of the scenario."""
        return Change(set=_split(self.set)[1], scale=_split(self.scale)[1], choose=self.choose)

    @property
    def of_soc(self) -> "Change":
        """What it changes of the Soc and the model."""
        mine = {"set": _split(self.set)[0], "scale": _split(self.scale)[0], "choose": {}}
        return self.model_copy(update=mine)

    @property
    def allowed(self) -> tuple[Location, ...]:
        """Where quantised types are gained, which placements use only if they may."""
        gained = ((unit, each.dtype) for unit, dtypes in self.gain_dtypes.items() for each in dtypes)
        return tuple(Location(unit, dtype) for unit, dtype in gained if not is_floating(dtype))

    def to_json(self) -> str:
        """Without what is empty; equal changes give equal text."""
        return as_json({key: value for key, value in self.model_dump(mode="json", exclude_none=True).items() if value})


def _split(numbers: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Those of the Soc, and those of the scenario."""
    found: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for path, value in numbers.items():
        found[path.startswith(SCENARIO)][path] = value
    return found


def _joined(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(dict.fromkeys((*a.get(key, ()), *b.get(key, ())))) for key in dict.fromkeys((*a, *b))}


def changed(soc: Soc, change: Change) -> Soc:
    """The Soc with the change; StudyError if it names what is not there, SocError if the result is no Soc."""
    fields = soc.model_dump()
    known = number_paths(soc)
    values = {path: value for text, value in change.set.items() for path in paths_like(soc.name, known, text)}
    factors = [(path, by) for text, by in change.scale.items() for path in paths_like(soc.name, known, text)]
    for path, factor in factors:
        set_numbers(fields, {}, {path: factor})
    set_numbers(fields, values, {})
    if values or factors:
        fit_to_memory(fields)
    for field, operators_of in (("operators", change.gain_operators), ("lost_operators", change.lose_operators)):
        for name, operators in operators_of.items():
            unit = _unit(soc, fields, name)
            unit["gains"] = _more_gains(unit["gains"], field, operators)
    for name, dtypes in change.gain_dtypes.items():
        for gained in dtypes:
            _gain_dtype(soc.name, _unit(soc, fields, name), gained)
    for name in change.remove:
        soc.unit_named(name)
        _remove(soc, fields, name)
    try:
        return Soc.model_validate(fields)
    except ValidationError as error:
        raise SocError(f"{soc.name} with {change.to_json()}: {explain(error, fields)}") from None


def _unit(soc: Soc, fields: Fields, name: str) -> Fields:
    soc.unit_named(name)
    return next(unit for unit in fields["units"] if unit["name"] == name)


def _more_gains(gains: Fields | None, field: str, names: Sequence[str]) -> Fields:
    before = gains or Gains().model_dump()
    return before | {field: (*before[field], *names)}


def _gain_dtype(soc_name: str, unit: Fields, gained: GainedDtype) -> None:
    """Only the rates, if the unit has it: whether it is used is then a matter of what the placement allows."""
    dtype = gained.dtype
    given = {"peak_gmac_per_s": gained.peak_gmac_per_s, "peak_gop_per_s": gained.peak_gop_per_s}
    is_new = dtype not in (*unit["dtypes"], *unit["optional_dtypes"])
    for field, rate in given.items():
        if rate is not None:
            evidence = {"kind": "estimated", "source": f"study: {dtype} gained"}
            unit[field] = unit[field] | {dtype: {"value": rate, "low": None, "high": None, **evidence}}
        elif is_new:
            raise StudyError(f"{soc_name!r} does not know how fast {unit['name']} is in {dtype}; give it {field}")
    if is_new:
        field = "dtypes" if is_floating(dtype) else "optional_dtypes"
        unit[field] = (*unit[field], dtype)
        unit["gains"] = _more_gains(unit["gains"], "dtypes", [dtype])
        if unit["npu_law"] is not None:
            unit["npu_law"]["dtypes"][dtype] = _like_the_preferred(unit, dtype)


def _like_the_preferred(unit: Fields, dtype: str) -> Fields:
    """The law's factors of a new type: those of the preferred one, in the proportion of the two types' rates."""
    preferred = unit["dtypes"][0]
    known = unit["npu_law"]["dtypes"][preferred]
    factors = {name: dict(number) for name, number in known.items() if number is not None}
    for name, field in (("matrix", "peak_gmac_per_s"), ("vector", "peak_gop_per_s")):
        ratio = unit[field][dtype]["value"] / unit[field][preferred]["value"]
        scale_number(factors[name], ratio)
    return factors


def _remove(soc: Soc, fields: Fields, name: str) -> None:
    if name == soc.host:
        raise StudyError(f"{soc.name!r} cannot do without {name!r}: it is the host, where models start and end")
    fields["units"] = tuple(unit for unit in fields["units"] if unit["name"] != name)
    fields["links"] = tuple(link for link in fields["links"] if name not in (link["source"], link["target"]))
    if fields["power"] is not None:
        del fields["power"]["units"][name]
    sharing = fields["sharing"]
    if sharing is not None:
        for table in ("weights", "regions"):
            sharing[table].pop(name, None)
    if fields["thermal"] is not None:
        _remove_heat(fields["thermal"], name)


def _remove_heat(thermal: Fields, name: str) -> None:
    for node in thermal["nodes"].values():
        node["heated_by"] = tuple(source for source in node["heated_by"] if source != name)
    limits = [limit | {"units": tuple(u for u in limit["units"] if u != name)} for limit in thermal["limits"]]
    thermal["limits"] = tuple(limit for limit in limits if limit["units"])
