"""The study file: which models, Socs and changes, how each is placed, what is asked of the results."""

import math
import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from partita.devices.load import as_json, read_toml
from partita.devices.number import Strict
from partita.devices.soc import explain
from partita.errors import SocError, StudyError
from partita.graph.plan import Location
from partita.partitioner.wishes import Wishes
from partita.studies.change import SCENARIO, Change, is_whole
from partita.studies.outcome import RESULTS
from partita.studies.scenario_results import SCENARIO_RESULTS

FORMAT = "partita-study/1"
FORMS = ("values", "scale", "range", "scale_range", "choices")
Count = Annotated[int, Field(ge=1, le=1_000_000)]


class ModelEntry(Strict):
    """A model of the study."""

    path: str
    """Beside the study file if it is relative."""
    name: str = ""
    """The file's name without its ending if it is not given."""
    shapes: dict[str, int | tuple[int, ...]] = Field(default_factory=dict)

    @property
    def title(self) -> str:
        return self.name or Path(self.path).name.removesuffix(".onnx")


class OtherModel(ModelEntry):
    """A model that one stream of the scenario runs at every point."""

    stream: str
    """By name, or by number from 0 if it has none."""


class Range(Strict):
    """Numbers from `low` to `high`; in equal ratios if `log`, else in equal steps."""

    low: float
    high: float
    points: Count = 5
    """How many a grid takes; other designs draw between the ends."""
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.high <= self.low:
            raise ValueError(f"high must be above low, is {self.high:g} and {self.low:g}")
        if self.log and self.low <= 0:
            raise ValueError("low must be above 0 if log is true")
        return self

    def at(self, share: float) -> float:
        if self.log:
            return self.low * math.exp(share * math.log(self.high / self.low))
        return self.low + share * (self.high - self.low)

    @property
    def grid(self) -> tuple[float, ...]:
        return tuple(self.at(i / (self.points - 1)) if self.points > 1 else self.low for i in range(self.points))


class Choice(Change):
    """One of several changes, with a name: "NPU gains Gelu", "no NPU"."""

    name: str = Field(min_length=1)


class Variable(Strict):
    """What varies: a number of the Soc or the scenario, a dimension of the models, or one of several named changes."""

    name: str = ""
    path: str = ""
    """A number of the Soc: "units.npu.call_us", or short "npu.call_us"; "call_us" is that of every unit.

    With "scenario." before it a number of the scenario: "scenario.streams.frames.period_ms".
    """
    dimension: str = ""
    """An open dimension of the models by name."""
    values: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    range: Range | None = None
    scale_range: Range | None = None
    choices: tuple[Choice, ...] = ()

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        given = [form for form in FORMS if getattr(self, form)]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(FORMS)}; there is: {', '.join(given) or 'none'}")
        if given == ["choices"]:
            if not self.name or self.path or self.dimension:
                raise ValueError("choices need a name, and neither path nor dimension")
        elif bool(self.path) == bool(self.dimension):
            raise ValueError("give path or dimension")
        elif self.dimension and not self.values:
            raise ValueError(f"dimension {self.dimension!r} takes values")
        if any(value != round(value) or value < 1 for value in self.values if self.dimension):
            raise ValueError(f"dimension {self.dimension!r} takes whole numbers from 1 on")
        if any(value != round(value) for value in self.values if is_whole(self.path)):
            raise ValueError(f"{self.path} takes whole numbers")
        if min(self._least, default=0.0) < 0:
            raise ValueError("values and factors must not be below 0")
        names = [choice.name for choice in self.choices]
        if len(names) != len(set(names)):
            raise ValueError("two choices have the same name")
        return self

    @property
    def _least(self) -> list[float]:
        """What must not be below 0: factors, and numbers of the Soc."""
        factors = [*self.scale, *([self.scale_range.low] if self.scale_range else [])]
        if self.path.startswith(SCENARIO):
            return factors
        return [*factors, *self.values, *([self.range.low] if self.range else [])]

    @property
    def title(self) -> str:
        return self.name or self.path or self.dimension


class Design(Strict):
    """How points are drawn from the variables."""

    kind: Literal["grid", "one_at_a_time", "latin_hypercube", "sobol"] = "grid"
    points: Count = 64
    """Of latin_hypercube and sobol."""
    seed: int = Field(default=0, ge=0)


class Analysis(Strict):
    """A question to the results. `model` and `soc` are the first of the study if they are not given."""

    kind: Literal["tornado", "pareto", "break_even", "marginal", "compare", "robustness"]
    result: str = ""
    """A column of results; the study's first if it is not given."""
    results: tuple[str, ...] = ()
    """Of pareto: two columns, both to be small."""
    paths: tuple[str, ...] = ()
    """Numbers of tornado and robustness; all with a range if none are given."""
    ranges: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """More such numbers by path, with the ends between which they lie; those of the scenario have no others."""
    path: str = ""
    """Of break_even: the number that rises."""
    unit: str = ""
    """Of break_even: the unit that stops paying; of marginal: the unit that gains operators."""
    limit: float | None = None
    """Of break_even in place of unit: what the result passes."""
    low: float = Field(default=0.0, ge=0)
    high: float = Field(default=0.0, ge=0)
    operators: tuple[str, ...] = ()
    """Of marginal: all that the unit refuses if none are given."""
    without: tuple[str, ...] = ()
    """Of marginal: units that the chip does without meanwhile."""
    samples: Count = 100
    """Of robustness."""
    seed: int = Field(default=0, ge=0)
    top: Count = 12
    """Rows that are shown."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for result in (*self.results, *([self.result] if self.result else [])):
            check_result(result)
        for path, (low, high) in self.ranges.items():
            if self.kind not in ("tornado", "robustness") or low >= high:
                raise ValueError(f"ranges.{path}: goes with tornado and robustness, as [low, high] with low < high")
        if self.kind == "pareto" and len(self.results) not in (0, 2):
            raise ValueError("pareto takes two results")
        if self.kind == "marginal" and not self.unit:
            raise ValueError("marginal needs unit")
        if self.kind == "break_even" and bool(self.unit) == (self.limit is not None):
            raise ValueError("break_even needs unit, which stops paying, or limit, which the result passes")
        if self.kind == "break_even" and not (self.path and 0 < self.low < self.high):
            raise ValueError("break_even needs path, and low and high with 0 < low < high")
        return self


class Study(Strict):
    """A study as its file has it."""

    format: Literal["partita-study/1"]
    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9._-]+$")
    title: str = ""
    models: tuple[ModelEntry, ...] = Field(min_length=1)
    socs: tuple[str, ...] = Field(min_length=1)
    """Presets, or Soc files beside the study file."""
    scenario: str = ""
    """A scenario file beside the study file: each point is placed, then simulated under this load."""
    other_models: tuple[OtherModel, ...] = ()
    """What the scenario's other streams run; those that are not named here run the point's model."""
    objective: str = "latency"
    """What each placement is best at, as `partita place --objective`."""
    allow: tuple[str, ...] = ()
    """Quantised types that placements may use, as "npu:int8"."""
    gap: float | None = Field(default=None, ge=0, lt=1)
    time_limit_s: float = Field(default=60.0, gt=0)
    result: str = "latency_ms"
    """What analyses look at if they do not say otherwise."""
    variables: tuple[Variable, ...] = ()
    design: Design = Design()
    analyses: tuple[Analysis, ...] = ()

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        for what, names in (
            ("variables", [variable.title for variable in self.variables]),
            ("models", [model.title for model in self.models]),
            ("socs", list(self.socs)),
        ):
            twice = [name for i, name in enumerate(names) if name in names[:i]]
            if twice:
                raise ValueError(f"two {what} are called {twice[0]!r}; give one another name")
        check_result(self.result)
        if not self.scenario:
            self._check_no_scenario()
        for text in self.allow:
            if not all(text.partition(":")):
                raise ValueError(f"allow takes UNIT:DTYPE, such as npu:int8, is {text!r}")
        return self

    def _check_no_scenario(self) -> None:
        asked = [name for a in self.analyses for name in (a.result, *a.results)]
        needy = [name for name in (self.result, *asked) if _column(name) in SCENARIO_RESULTS]
        changes = [choice for variable in self.variables for choice in variable.choices]
        needy += [v.path for v in self.variables if v.path.startswith(SCENARIO)]
        needy += [path for c in changes for path in (*c.of_scenario.set, *c.of_scenario.scale, *c.choose)]
        needy += [p for a in self.analyses for p in (*a.paths, *a.ranges, a.path) if p.startswith(SCENARIO)]
        needy += [f"other_models: {other.stream}" for other in self.other_models]
        if needy:
            raise ValueError(f'{needy[0]!r} needs a scenario; give the study scenario = "FILE.toml"')

    @property
    def asked_results(self) -> tuple[str, ...]:
        """Columns that the study and its analyses look at."""
        named = [name for a in self.analyses for name in (a.result, *a.results) if name]
        return tuple(dict.fromkeys((self.result, *named)))

    @property
    def wishes(self) -> Wishes:
        return Wishes(objective=self.objective, allow=self.allowed, gap=self.gap, time_limit_s=self.time_limit_s)

    @property
    def allowed(self) -> tuple[Location, ...]:
        return tuple(Location(unit, dtype) for unit, _, dtype in (text.partition(":") for text in self.allow))


def _column(result: str) -> str:
    """Without the stream: "response_p99_ms:frames"."""
    return result.partition(":")[0]


def check_result(result: str) -> None:
    """ValueError if no study has such a column; which streams there are is not known yet."""
    if result not in RESULTS and _column(result) not in SCENARIO_RESULTS:
        more = f"; of a scenario: {', '.join(SCENARIO_RESULTS)}"
        raise ValueError(f"{result!r} is no result; there is: {', '.join(RESULTS)}{more}")


def load_study(path: str | Path) -> Study:
    """The study in a file; its paths of models and Socs as they are from here. StudyError says what is wrong."""
    try:
        content = read_toml(Path(path))
    except SocError as error:
        raise StudyError(str(error)) from None
    try:
        study = Study.model_validate_json(as_json(content))
    except ValidationError as error:
        raise StudyError(f"{path}: {explain(error, content)}") from None
    folder = Path(path).parent
    models = tuple(m.model_copy(update={"path": _beside(folder, m.path), "name": m.title}) for m in study.models)
    socs = tuple(_beside(folder, soc) if soc.endswith(".toml") else soc for soc in study.socs)
    others = tuple(o.model_copy(update={"path": _beside(folder, o.path)}) for o in study.other_models)
    scenario = _beside(folder, study.scenario) if study.scenario else ""
    study.wishes  # noqa: B018  (an objective that is none is told now, with the file)
    return study.model_copy(update={"models": models, "socs": socs, "scenario": scenario, "other_models": others})


def _beside(folder: Path, name: str) -> str:
    return name if os.path.isabs(name) else str(folder / name)
