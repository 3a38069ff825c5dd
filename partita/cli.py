"""The command line: arguments -> library -> printing. No logic of its own."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from partita import __version__
from partita import options as given
from partita.backend_run import AskedBackends, run_elsewhere
from partita.calibration import EPILOG as CALIBRATE_EPILOG
from partita.calibration import calibrate
from partita.compare import EPILOG as COMPARE_EPILOG
from partita.compare import compare
from partita.entry import new_app
from partita.entry import run as run_app
from partita.errors import PlacementError, SimulationError
from partita.export import EPILOG as EXPORT_EPILOG
from partita.export import export
from partita.files import check_outputs
from partita.ops import EPILOG, ops
from partita.option_texts import check_plots, parse_shapes, soc_for
from partita.scenario import Asked, ScenarioFile, run_scenario
from partita.soc_commands import soc_app
from partita.solve import EPILOG as SOLVE_EPILOG
from partita.solve import solve
from partita.studio_command import EPILOG as STUDIO_EPILOG
from partita.studio_command import studio
from partita.study import EPILOG as STUDY_EPILOG
from partita.study import study
from partita.validate import EPILOG as VALIDATE_EPILOG
from partita.validate import validate

if TYPE_CHECKING:
    from partita.graph.plan import Plan
    from partita.partitioner.why import Why

app = new_app(
    name="partita",
    help="Place a neural network on the CPU, GPU and NPU of a phone, with proof; run the placement; simulate it.",
    no_args_is_help=True,
)
app.add_typer(soc_app, name="soc")
app.command(epilog=EPILOG)(ops)
app.command(epilog=VALIDATE_EPILOG)(validate)
app.command(epilog=STUDY_EPILOG)(study)
app.command(epilog=STUDIO_EPILOG)(studio)
app.command(epilog=CALIBRATE_EPILOG)(calibrate)
app.command(epilog=SOLVE_EPILOG)(solve)
app.command(epilog=EXPORT_EPILOG)(export)
app.command(epilog=COMPARE_EPILOG)(compare)

out = Console(soft_wrap=False)
progress = Console(stderr=True)

Output = Annotated[
    str | None, typer.Option("-o", "--output", metavar="FILE", help="Where to write it.", show_default=False)
]

Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input", metavar="NAME=FILE.npy", help="Data for an input; the others get random data.", show_default=False
    ),
]


@app.command(
    epilog="Examples:\n\n    partita place model.onnx --soc sd8gen3-qnn --shape batch=1 -o model.plan.json\n\n"
    "    partita place model.onnx --soc my-soc.toml --pin Softmax=cpu --ban Resize=npu --json\n\n"
    "    partita place model.onnx --soc sd855-tflite --objective energy --deadline-ms 20 --max-segments gpu=1\n\n"
    "    partita place model.onnx --soc sd855-tflite --why Softmax\n\n"
    "    partita place decoder.onnx --soc sd8gen3-qnn --shape new=1 --shapes past,mask+1=128..4096 --state 'past*'"
)
@given.with_placing
def place(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An ONNX model; its weights are not needed.")],
    output: Output = None,
    why: given.Why = None,
    explain: given.Explain = False,
    shapes: given.Shapes = None,
    as_json: given.Json = False,
    *,
    placing: given.Placing,
) -> None:
    """Find the best placement of a model on a Soc, and prove how good it is."""
    from partita.api import save_plan
    from partita.reports.summary import plan_document, plan_summary
    from partita.reports.why import why_document, why_summary

    if _is_plan(model):
        raise PlacementError(f"{model}: this is a plan already; place takes an ONNX model")
    if shapes is not None:
        from partita.buckets import run_buckets

        run_buckets(model, shapes, placing, output, as_json=as_json)
        return
    check_outputs([output], inputs=[model])
    plan, answers = _placed(model, placing, why or [], explain=explain)
    if output is not None:
        save_plan(plan, output)
    if as_json:
        _print_json(why_document(plan, answers) if why else plan_document(plan))
        return
    out.print(why_summary(plan, answers) if why else plan_summary(plan))
    _say_written([output])


@app.command(
    epilog="Examples:\n\n    partita run model.plan.json --check\n\n"
    "    partita run model.onnx --soc sd8gen3-qnn --shape batch=1 --input image=photo.npy --save outputs.npz\n\n"
    "    partita run model.plan.json --backend cpu=onnxruntime,npu=qnn-emulator --check"
)
@given.with_placing
def run(
    model: given.Model,
    inputs: Inputs = None,
    seed: Annotated[int, typer.Option(help="Seed of the random inputs.")] = 0,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with the unplaced model, and with onnxruntime if installed.")
    ] = False,
    concurrent: Annotated[
        bool, typer.Option("--concurrent", help="One thread per unit; the outputs are the same to the bit.")
    ] = False,
    timeline: Annotated[
        str | None, typer.Option(metavar="FILE.json", help="Write when each call really ran.", show_default=False)
    ] = None,
    save: Annotated[str | None, typer.Option(metavar="FILE.npz", help="Write the outputs.", show_default=False)] = None,
    repeat: Annotated[
        int, typer.Option(metavar="N", min=1, help="Run so often; times are those of the fastest run.")
    ] = 1,
    backend: given.Backends = None,
    as_json: given.Json = False,
    *,
    placing: given.Placing,
) -> None:
    """Run a placed model with numpy kernels, each operator in the arithmetic of its unit, or on other backends."""
    from partita.reports.checking import run_and_check, save_outputs
    from partita.reports.documents import run_document, run_summary
    from partita.reports.measured import measured_timeline
    from partita.simulator.timeline_file import write_timeline

    check_outputs([save, timeline], inputs=[model])
    plan = _plan(model, placing)
    if backend is not None:
        asked = AskedBackends(backend, inputs or [], seed=seed, check=check, save=save, as_json=as_json)
        run_elsewhere(plan, asked, is_timed=concurrent or timeline is not None or repeat > 1)
        return
    with _working("running"):
        result = run_and_check(plan, inputs or [], seed=seed, check=check, concurrent=concurrent, repeat=repeat)
    if timeline is not None:
        write_timeline(measured_timeline(plan, result.execution), timeline)
    if save is not None:
        save_outputs(save, result.execution.outputs)
    if as_json:
        _print_json(run_document(plan, result))
    else:
        out.print(run_summary(plan, result))
        _say_written([save, timeline])
    if not result.is_right:
        raise typer.Exit(1)


@app.command(
    epilog="Examples:\n\n    partita simulate model.plan.json --plot timeline.png --trace trace.json\n\n"
    "    partita simulate model.onnx --soc sd855-tflite --overlap --json\n\n"
    "    partita simulate camera.plan.json --scenario camera.toml --plot camera.png\n\n"
    "    partita simulate a.plan.json b.plan.json --scenario sustained.toml"
)
@given.with_placing
def simulate(
    models: given.Models = None,
    scenario: ScenarioFile = None,
    overlap: Annotated[
        bool, typer.Option("--overlap", help="Let independent segments run side by side and share the memory.")
    ] = False,
    output: Output = None,
    trace: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Write a trace: .json for Chrome, .pftrace for Perfetto.", show_default=False
        ),
    ] = None,
    plot: Annotated[
        list[str] | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Draw the timeline as .png, .svg or .pdf. May be repeated.",
            show_default=False,
        ),
    ] = None,
    as_json: given.Json = False,
    *,
    placing: given.Placing,
) -> None:
    """Simulate one inference, or with --scenario a load over time: what runs when and where, and what it waits for."""
    from partita import api
    from partita.reports.documents import simulation_document, simulation_summary
    from partita.reports.perfetto_trace import write_trace
    from partita.simulator.timeline_file import write_timeline

    check_plots(plot or [])
    inputs = [*(models or []), *([scenario] if scenario is not None else [])]
    check_outputs([output, trace, *(plot or [])], inputs=inputs)
    if scenario is not None:
        asked = Asked(models=models or [], scenario=scenario, output=output, trace=trace, plots=plot or [],
                      as_json=as_json)  # fmt: skip
        run_scenario(asked, lambda path: _plan(path, placing))
        return
    if models is None or len(models) != 1:
        raise SimulationError("give one MODEL or PLAN; several go with --scenario FILE.toml")
    plan = _plan(models[0], placing)
    timeline = api.simulate(plan, overlap=overlap)
    if output is not None:
        write_timeline(timeline, output)
    if trace is not None:
        write_trace(plan, timeline, trace)
    for path in plot or []:
        api.report(plan, timeline).save(path)
    if as_json:
        _print_json(simulation_document(plan, timeline))
        return
    out.print(simulation_summary(plan, timeline))
    _say_written([output, trace, *(plot or [])])


@app.command(
    epilog="Examples:\n\n    partita report model.plan.json -o report.html\n\n"
    "    partita report model.onnx --soc sd8gen3-qnn --shape batch=1 -o report.html -o report.md -o timeline.pdf"
)
@given.with_placing
def report(
    model: given.Model,
    output: Annotated[
        list[str],
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="By its ending: .html, .md, .json, .png, .svg, .pdf. May be repeated.",
        ),
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Run the placed model and report what its arithmetic does to the outputs.")
    ] = False,
    inputs: Inputs = None,
    as_json: given.Json = False,
    *,
    placing: given.Placing,
) -> None:
    """Write the report of a placement: verdict, timeline, fallbacks and why, boundaries, baselines."""
    from partita import api
    from partita.reports.documents import written_document
    from partita.reports.report import check_form

    for path in output:
        check_form(path)
    check_outputs(output, inputs=[model])
    plan = _plan(model, placing)
    made = api.report(plan)
    if check:
        from partita.reports.checking import run_and_check

        with _working("running"):
            made = replace(made, checks=run_and_check(plan, inputs or [], seed=0, check=True).placed)
    for path in output:
        made.save(path)
    if as_json:
        _print_json(written_document(made, output))
        return
    out.print(made.verdict)
    _say_written(output)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"partita {__version__}")
        raise typer.Exit


def _is_plan(path: str) -> bool:
    """Whether the file is JSON, whatever its name; no ONNX model begins with a brace."""
    try:
        with open(path, "rb") as file:
            return file.read(1) == b"{"
    except (OSError, ValueError):
        return path.endswith(".json")


def _plan(model: str, placing: given.Placing) -> "Plan":
    """The plan in a file, or the plan of a model placed now."""
    from partita import api

    if _is_plan(model):
        if placing.is_given:
            raise PlacementError(f"{model}: a plan says its Soc, shapes and rules itself; give them with an ONNX model")
        with _working("loading the plan and its model"):
            return api.load_plan(model, random_weights=placing.random_weights)
    return _placed(model, placing, [])[0]


def _placed(
    model: str, placing: given.Placing, patterns: Sequence[str], *, explain: bool = False
) -> "tuple[Plan, tuple[Why, ...]]":
    """The plan of a model placed now, and why the operators like some patterns run where they do."""
    from partita import api

    device = api.soc(soc_for(model, placing.soc))
    shapes, wishes = parse_shapes(placing.shape), placing.wishes(explain=explain)
    with _working("reading the model"):
        graph = api.load(model, shapes, random_weights=placing.random_weights)
    with _working(f"placing {len(graph.nodes)} operators"):
        return api.explain(graph, device, wishes, patterns)


@contextmanager
def _working(what: str) -> Iterator[None]:
    """A spinner on a terminal, nothing elsewhere."""
    with progress.status(what):
        yield


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=1, allow_nan=False))


def _say_written(paths: Sequence[str | None]) -> None:
    for path in paths:
        if path is not None:
            typer.echo(f"wrote {path}")


def main() -> None:
    """Run the command line."""
    run_app(app, sys.argv[1:] or ["--help"])
