"""The points of a study: one model on one Soc with one change, and how a design draws them."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from partita.studies.change import Change, is_whole
from partita.studies.sobol import latin_hypercube, sobol
from partita.studies.study_file import ModelEntry, Study, Variable

DESIGN = "design"
Setting = tuple[str, Change]
"""How the value of a variable is called, and what it changes."""


@dataclass(frozen=True, slots=True)
class Point:
    """One placement that a study asks for."""

    part: str
    """Who asks: "design", or the kind of an analysis."""
    model: str
    soc: str
    change: Change
    labels: tuple[tuple[str, str], ...] = ()
    """Variables by title, with their values as text."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a result depends on beside its point."""

    models: dict[str, tuple[ModelEntry, str]]
    """By name, with the SHA-256 of the file."""
    socs: dict[str, str]
    """Digest by name."""
    asked: str
    """Objective, allowed types, gap and time limit."""
    load: str = ""
    """The scenario's digest and its other models, as text; empty without one."""

    def key(self, point: Point) -> str:
        """SHA-256 of all that the result of a point depends on; not who asked for it."""
        model, digest = self.models[point.model]
        facts = [digest, sorted(model.shapes.items()), self.socs[point.soc], point.change.to_json(), self.asked]
        facts += [self.load] if self.load else []
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def design_points(study: Study) -> list[Point]:
    """Models and Socs outermost, then the variables as they stand, the last one fastest."""
    drawn = list(_drawn(study))
    return [
        Point(DESIGN, model.title, soc, change, labels)
        for model in study.models
        for soc in study.socs
        for labels, change in drawn
    ]


def _drawn(study: Study) -> Iterator[tuple[tuple[tuple[str, str], ...], Change]]:
    variables, design = study.variables, study.design
    titles = [variable.title for variable in variables]
    if design.kind == "grid":
        for settings in product(*(grid_settings(variable) for variable in variables)):
            yield _together(titles, settings)
        return
    if design.kind == "one_at_a_time":
        yield (), Change()
        for variable in variables:
            for setting in grid_settings(variable):
                yield _together([variable.title], [setting])
        return
    if design.kind == "sobol":
        shares = sobol(design.points, len(variables))
    else:
        shares = latin_hypercube(design.points, len(variables), design.seed)
    for row in shares.tolist():
        yield _together(titles, [_setting_at(v, share) for v, share in zip(variables, row, strict=True)])


def _together(titles: Sequence[str], settings: Sequence[Setting]) -> tuple[tuple[tuple[str, str], ...], Change]:
    change = Change()
    for _, more in settings:
        change = change.joined(more)
    return tuple((title, text) for title, (text, _) in zip(titles, settings, strict=True)), change


def grid_settings(variable: Variable) -> list[Setting]:
    """All values of a variable."""
    if variable.choices:
        return [(choice.name, _of_choice(choice)) for choice in variable.choices]
    numbers = variable.range or variable.scale_range
    return [_setting(variable, number) for number in (numbers.grid if numbers else variable.values or variable.scale)]


def _setting_at(variable: Variable, share: float) -> Setting:
    numbers = variable.range or variable.scale_range
    if numbers is not None:
        return _setting(variable, numbers.at(share))
    settings = grid_settings(variable)
    return settings[int(share * len(settings))]


def _setting(variable: Variable, number: float) -> Setting:
    number = float(f"{number:.9g}")
    if variable.dimension:
        return f"{number:.0f}", Change(shapes={variable.dimension: round(number)})
    if variable.scale or variable.scale_range:
        return f"{number:.6g}", Change(scale={variable.path: number})
    number = float(round(number)) if is_whole(variable.path) else number
    return f"{number:.6g}", Change(set={variable.path: number})


def _of_choice(choice: Change) -> Change:
    return Change(**{field: getattr(choice, field) for field in Change.model_fields})
