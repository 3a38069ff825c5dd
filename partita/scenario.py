"""`partita simulate --scenario`: plans under a load over time, and two or more plans under the same load."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from partita.devices.soc import Soc
from partita.errors import SimulationError
from partita.files import write_atomically
from partita.graph.plan import Plan
from partita.simulator.outcome import Outcome
from partita.simulator.scenario import Scenario, Window, load_scenario
from partita.simulator.scenario_run import simulate_scenario

out = Console(soft_wrap=False)
SHORT_S = 2.0
"""A scenario this short is drawn interval by interval even if it asks for no window."""

ScenarioFile = Annotated[
    str | None,
    typer.Option("--scenario", metavar="FILE.toml", help="What is asked of the phone over time.", show_default=False),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line asked for."""

    models: Sequence[str]
    scenario: str
    output: str | None
    trace: str | None
    plots: Sequence[str]
    as_json: bool


def run_scenario(asked: Asked, load: Callable[[str], Plan]) -> None:
    """Simulate and show; `load` makes a plan of each file that the command line or the scenario names."""
    scenario = load_scenario(asked.scenario)
    missing = [index for index, stream in enumerate(scenario.streams) if stream.plan is None]
    if len(missing) == 1 and len(asked.models) > 1:
        _compare(asked, scenario, load)
        return
    if len(missing) != len(asked.models):
        raise SimulationError(
            f"{asked.scenario}: {len(missing)} of its streams name no plan, but {len(asked.models)} are given; "
            "give one plan for each, or name it in the scenario"
        )
    names = list(asked.models)
    outcome = _simulate(asked, scenario, [_named(asked, s.plan) or names.pop(0) for s in scenario.streams], load)
    _write(asked, outcome)
    if asked.as_json:
        from partita.reports.scenario import scenario_document

        _print_json(scenario_document(outcome))
        return
    from partita.reports.scenario import scenario_summary

    out.print(scenario_summary(outcome))
    _say_written(asked)


def _compare(asked: Asked, scenario: Scenario, load: Callable[[str], Plan]) -> None:
    """Each plan in its turn in the one stream that names none."""
    from partita.reports.comparison import comparison_document, comparison_summary

    if asked.trace is not None or asked.plots:
        raise SimulationError("--trace and --plot show one run; give one plan, or leave them out to compare")
    outcomes = [
        _simulate(asked, scenario, [_named(asked, s.plan) or model for s in scenario.streams], load)
        for model in asked.models
    ]
    names = [Path(model).name.removesuffix(".plan.json") for model in asked.models]
    document = comparison_document(outcomes, names)
    if asked.output is not None:
        write_atomically(asked.output, _json_bytes(document))
    if asked.as_json:
        _print_json(document)
        return
    out.print(comparison_summary(outcomes, names))
    _say_written(asked)


def _named(asked: Asked, plan: str | None) -> str | None:
    """A plan's path as the scenario file means it."""
    return None if plan is None else str(Path(asked.scenario).parent / plan)


def _simulate(asked: Asked, scenario: Scenario, paths: Sequence[str], load: Callable[[str], Plan]) -> Outcome:
    loaded: dict[str, Plan] = {}
    for index, path in enumerate(paths):
        if path not in loaded:
            if not Path(path).is_file():
                raise SimulationError(f"{asked.scenario}: streams[{index}].plan: there is no file {path!r}")
            loaded[path] = load(path)
    plans = [loaded[path] for path in paths]
    for path, plan in loaded.items():
        if plan.soc_digest != plans[0].soc_digest:
            raise SimulationError(
                f"{path} is placed on {plan.soc_name}, {paths[0]} on {plans[0].soc_name} (or another version of it): "
                "one scenario runs on one phone; place them on the same Soc"
            )
    drawn = asked.trace is not None or bool(asked.plots)
    if drawn and scenario.window is None and scenario.duration_s is not None and scenario.duration_s <= SHORT_S:
        scenario = scenario.model_copy(update={"window": Window(length_s=scenario.duration_s)})
    return simulate_scenario(plans, Soc.from_json(plans[0].soc_json), scenario)


def _write(asked: Asked, outcome: Outcome) -> None:
    if asked.output is not None:
        from partita.reports.scenario import scenario_document

        write_atomically(asked.output, _json_bytes(scenario_document(outcome)))
    if asked.trace is not None:
        from partita.reports.scenario_trace import write_scenario_trace

        write_scenario_trace(outcome, asked.trace)
    for path in asked.plots:
        from partita.reports.figures import figure_bytes
        from partita.reports.scenario_figure import scenario_figure

        soc = Soc.from_json(outcome.streams[0].plan.soc_json)
        write_atomically(path, figure_bytes(scenario_figure(outcome, soc), Path(path).suffix))


def _json_bytes(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, indent=1, allow_nan=False))


def _say_written(asked: Asked) -> None:
    for path in (asked.output, asked.trace, *asked.plots):
        if path is not None:
            typer.echo(f"wrote {path}")
