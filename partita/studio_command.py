"""The command `partita studio`: a local page on which the numbers of a Soc are moved and the placement follows."""

import json
import os
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from partita import options as given
from partita.errors import StudioError
from partita.option_texts import parse_shapes, soc_for

EPILOG = (
    "Examples:\n\n    partita studio model.onnx --soc sd8gen3-qnn --shape batch=1\n\n"
    "    partita studio model.onnx --soc my-soc.toml --port 8080 --no-browser\n\n"
    "It answers to this machine only, until Ctrl-C. It needs the extra [studio]: pip install 'partita[studio]'"
)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="An ONNX model; its weights are not needed.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="The port of 127.0.0.1; 0 for any that is free.")]
Browser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")]
TimeLimit = Annotated[
    float, typer.Option("--time-limit", metavar="SECONDS", help="Stop each search for a placement after this time.")
]


def studio(  # noqa: PLR0913  (a command has one parameter per option)
    model: Model,
    soc: given.SocName = None,
    shape: given.ShapeTexts = None,
    port: Port = 0,
    browser: Browser = True,
    time_limit: TimeLimit = 10.0,
    as_json: given.Json = False,
) -> None:
    """Open a page with sliders for the numbers of a Soc; verdict, timeline and graph follow as they move."""
    soc = soc_for(model, soc)
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise StudioError("Studio needs Starlette and uvicorn: pip install 'partita[studio]'")
    from partita import api
    from partita.devices.load import named_file, preset_names
    from partita.studies.study_file import ModelEntry
    from partita.studio.server import opened, serve
    from partita.studio.session import Session

    shapes = parse_shapes(shape)
    device = api.soc(soc)
    graph = api.load(model, shapes)
    soc_name = soc if soc in preset_names() else os.path.abspath(named_file(soc))
    entry = ModelEntry(path=os.path.abspath(model), name=Path(model).name.removesuffix(".onnx"), shapes=shapes)
    session = Session(entry, graph, device, soc_name, time_limit)

    def ready(url: str) -> None:
        told = {"format": "partita-studio/1", "url": url, "model": graph.name, "soc": device.name,
                "operators": len(graph.nodes)}  # fmt: skip
        typer.echo(json.dumps(told, indent=1) if as_json else f"Studio is at {url} (Ctrl-C stops it)")
        if browser:
            webbrowser.open(url)

    serve(session, opened(port), ready)
