"""The command `partita export`: a plan as files that other tools read and run."""

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from partita import options as given
from partita.errors import OutputError, PlanError

if TYPE_CHECKING:
    from partita.graph.plan import Plan
    from partita.graph.quantisation import Range
    from partita.reports.exports.folder import Export

out = Console(soft_wrap=False)

EPILOG = (
    "Examples:\n\n    partita export model.plan.json -o exported\n\n"
    "    partita export model.plan.json -o exported --only segments --only model --check\n\n"
    "    cd exported && python run_segments.py --provider npu=QNNExecutionProvider --check\n\n"
    "    partita place model.onnx --soc sd8gen3-qnn --pin @exported/pins.txt"
)


def export(  # noqa: PLR0913  (a command has one parameter per option)
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="A plan that `partita place -o` wrote.")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="FOLDER", help="The folder to write.")],
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="PART",
            help="Write this part only: model (annotated ONNX), segments, settings, profile. Repeatable.",
            show_default=False,
        ),
    ] = None,
    overlap: Annotated[
        bool, typer.Option("--overlap", help="In the profile, let independent segments run side by side.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Run the segments and the whole model with onnxruntime, and compare.")
    ] = False,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="NAME=FILE.npy",
            help="Data for an input, from which quantised tensors get their ranges; the others get random data.",
            show_default=False,
        ),
    ] = None,
    random_weights: given.RandomWeights = False,
    as_json: given.Json = False,
) -> None:
    """Write a plan as files for other tools: annotated ONNX, one model per segment, settings, a profile."""
    from partita import api
    from partita.reports.exports.folder import PARTS, checked_folder, export_plan

    parts = tuple(dict.fromkeys(only or PARTS))
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise OutputError(f"--only {unknown[0]}: there is no such part; there are {', '.join(PARTS)}")
    if check:
        _check_possible(parts)
    checked_folder(output)
    loaded = api.load_plan(plan, random_weights=random_weights)
    timeline = api.simulate(loaded, overlap=overlap)
    written = export_plan(loaded, timeline, output, parts, _ranges(loaded, inputs or []))
    found = _differences(loaded, written) if check else None
    if as_json:
        typer.echo(json.dumps(_document(written, found), indent=1, allow_nan=False))
    else:
        _show(written, found)
    if found is not None and not _is_right(found):
        raise typer.Exit(1)


def _ranges(plan: "Plan", inputs: list[str]) -> "dict[str, Range]":
    """Of a plan with quantised locations; empty for any other."""
    from partita.passes.random_feeds import random_feeds
    from partita.reports.checking import ranges_of, read_inputs

    given_feeds = read_inputs(plan.graph, inputs)
    return ranges_of(plan, {**random_feeds(plan.graph), **given_feeds} if given_feeds else None, 0)


def _check_possible(parts: tuple[str, ...]) -> None:
    if not {"model", "segments"} <= set(parts):
        raise OutputError(
            "--check compares the segments with the whole model: write both, --only segments --only model"
        )
    if find_spec("onnxruntime") is None:
        raise PlanError("--check needs onnxruntime, which is not installed: pip install 'partita[onnxruntime]'")


def _differences(plan: "Plan", written: "Export") -> dict[str, float]:
    """How far each output of the segments is from the whole model's, on random inputs."""
    from partita.passes.random_feeds import random_feeds
    from partita.reports.exports.run_segments import differences, run_segments

    feeds = random_feeds(plan.graph)
    outputs = run_segments(written.folder, feeds, {}, lambda _: None)
    return differences(written.folder, feeds, outputs)


def _is_right(found: dict[str, float]) -> bool:
    from partita.reports.exports.run_segments import TOLERANCE

    return all(difference <= TOLERANCE for difference in found.values())


def _document(written: "Export", found: dict[str, float] | None) -> dict[str, Any]:
    """`partita export --json`; described by templates/exported.schema.json."""
    return {
        "format": "partita-exported/1",
        "folder": str(written.folder),
        "files": list(written.files),
        "size_bytes": written.size_bytes,
        "segments": len(written.manifest["segments"]),
        "differences": None if found is None else {name: _finite(x) for name, x in found.items()},
        "is_right": None if found is None else _is_right(found),
    }


def _finite(number: float) -> float | None:
    return number if number < float("inf") else None


def _show(written: "Export", found: dict[str, float] | None) -> None:
    from partita.reports.wording import bytes_text

    for name, difference in (found or {}).items():
        verdict = "right" if difference < float("inf") and _is_right({name: difference}) else "WRONG"
        typer.echo(f"{name}: {difference:.1e} from the whole model, {verdict}")
    typer.echo(f"wrote {len(written.files)} files, {bytes_text(written.size_bytes)}, to {written.folder}")
