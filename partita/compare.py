"""The command `partita compare`: a plan's simulated timeline beside a measured one."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from partita import options as given
from partita.files import check_outputs, write_atomically
from partita.option_texts import check_plots

out = Console(soft_wrap=False)

EPILOG = (
    "Examples:\n\n    partita place model.onnx --soc host --objective makespan -o model.plan.json\n\n"
    "    partita run model.plan.json --concurrent --timeline run.json\n\n"
    "    partita compare model.plan.json --measured run.json --plot both.png\n\n"
    "    partita compare model.plan.json --measured run.json --json"
)

PlanFile = Annotated[str, typer.Argument(metavar="PLAN", help="A plan that `partita place -o` wrote.")]
Measured = Annotated[
    str, typer.Option("--measured", metavar="FILE.json", help="What `partita run --timeline` wrote of that plan.")
]
Simulated = Annotated[
    str | None,
    typer.Option(
        "--simulated",
        metavar="FILE.json",
        help="What `partita simulate -o` wrote; otherwise the plan is simulated now, in turns or side by side as it "
        "was measured.",
        show_default=False,
    ),
]
Plot = Annotated[
    list[str] | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="Draw both timelines, one above the other, as .png, .svg or .pdf. May be repeated.",
        show_default=False,
    ),
]


def compare(
    plan: PlanFile,
    measured: Measured,
    simulated: Simulated = None,
    plot: Plot = None,
    as_json: given.Json = False,
) -> None:
    """Compare what the simulator says of a plan with what was measured: latency, segments, types of operators."""
    from partita import api
    from partita.reports.comparison_of_run import (
        RunComparison,
        run_comparison_document,
        run_comparison_summary,
        runs_side_by_side,
    )
    from partita.simulator.timeline_file import read_timeline

    plots = plot or []
    check_plots(plots)
    check_outputs(plots, inputs=[plan, measured, *([simulated] if simulated is not None else [])])
    measured_timeline = read_timeline(measured)
    placed = api.load_plan(plan)
    told = read_timeline(simulated) if simulated is not None else None
    found = RunComparison(
        placed,
        told or api.simulate(placed, overlap=runs_side_by_side(measured_timeline)),
        measured_timeline,
    )
    for path in plots:
        _draw(found, path)
    if as_json:
        typer.echo(json.dumps(run_comparison_document(found), indent=1, allow_nan=False))
        return
    out.print(run_comparison_summary(found))
    for path in plots:
        typer.echo(f"wrote {path}")


def _draw(found: Any, path: str) -> None:
    from partita.reports.comparison_figure import comparison_figure
    from partita.reports.figures import figure_bytes

    write_atomically(path, figure_bytes(comparison_figure(found), Path(path).suffix))
