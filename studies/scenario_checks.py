"""Whether a study and its scenario go together."""

import hashlib
from collections.abc import Iterator

from partita.devices import Soc
from partita.errors import StudyError
from partita.simulator.scenario import Scenario, check_units, load_scenario
from partita.studies.change import SCENARIO, Change
from partita.studies.scenario_paths import changed_scenario, check_path, number_at, stream_titles
from partita.studies.study_file import Analysis, Study
from partita.studies.work import Load, file_sha256, result_columns


def load_of(study: Study) -> Load | None:
    """The scenario that a study names, without its window; StudyError if they do not go together."""
    if not study.scenario:
        return None
    scenario = load_scenario(study.scenario).model_copy(update={"window": None})
    titles, own = stream_titles(scenario), [other.stream for other in study.other_models]
    for index, stream in enumerate(scenario.streams):
        if stream.plan is not None:
            raise StudyError(
                f"{study.scenario}: streams[{index}].plan: a study places its models itself; leave the plan out, and "
                "name the model in the study's [[other_models]]"
            )
    for name in own:
        if name not in titles:
            raise StudyError(f"other_models: {study.scenario} has no stream {name!r}; it has: {', '.join(titles)}")
        if own.count(name) > 1:
            raise StudyError(f"other_models: two models for the stream {name!r}; one must go")
    if len(own) == len(titles):
        raise StudyError("other_models: no stream is left to run the study's [[models]]; leave one out")
    others = tuple((other, file_sha256(other.path)) for other in study.other_models)
    content = scenario.model_dump_json(exclude={"window", "name", "description"})
    return Load(scenario, study.scenario, hashlib.sha256(content.encode()).hexdigest(), others)


def check_scenario(study: Study, socs: dict[str, Soc], scenario: Scenario) -> None:
    """StudyError if the study names a number or a result that the scenario lacks; SimulationError if a Soc does."""
    for soc in socs.values():
        check_units(scenario, soc)
    known = result_columns(scenario)
    for name in study.asked_results:
        if name not in known:
            raise StudyError(f"{name!r} is no result; the streams are: {', '.join(stream_titles(scenario))}")
    for path in _paths(study):
        if path.startswith(SCENARIO):
            check_path(scenario, path)
    for variable in study.variables:
        if variable.scale or variable.scale_range:
            changed_scenario(scenario, Change(scale={variable.path: 1.0}))
        for choice in variable.choices:
            changed_scenario(scenario, choice)
    for analysis in study.analyses:
        _check_ranges(scenario, analysis)


def _paths(study: Study) -> Iterator[str]:
    for variable in study.variables:
        yield variable.path
    for analysis in study.analyses:
        yield from (*analysis.ranges, analysis.path)


def _check_ranges(scenario: Scenario, analysis: Analysis) -> None:
    own = [path for path in analysis.paths if path.startswith(SCENARIO)]
    if own:
        raise StudyError(f"paths: {own[0]!r} has no range of its own; give it `ranges`, as [low, high]")
    for path, (low, high) in analysis.ranges.items():
        value = number_at(scenario, path) if path.startswith(SCENARIO) else None
        if value is not None and not low <= value <= high:
            raise StudyError(f"ranges: {path!r} is {value:g} in the scenario, which is not in [{low:g}, {high:g}]")
