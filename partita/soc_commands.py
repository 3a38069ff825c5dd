"""The commands `partita soc`: the presets, their numbers with sources, and the start of a file of one's own."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from partita import options as given

out = Console(soft_wrap=False)

soc_app = typer.Typer(help="The chips and runtimes that Partita knows.", no_args_is_help=True)

SocName = Annotated[str, typer.Argument(metavar="SOC", help="A preset or a Soc file.")]
From = Annotated[str, typer.Option("--from", metavar="SOC", help="The preset or Soc file to build on.")]
Output = Annotated[
    str | None,
    typer.Option("-o", "--output", metavar="FILE.toml", help="Where to write it, if not printed.", show_default=False),
]
Name = Annotated[
    str | None, typer.Option("--name", help="What to call it; else as the file, or my-soc.", show_default=False)
]


@soc_app.command("list", epilog="Example:\n\n    partita soc list --json")
def soc_list(as_json: given.Json = False) -> None:
    """List the presets, and your own (see `partita calibrate --host`)."""
    from partita.devices import load_soc, preset_names
    from partita.devices.load import user_preset_names
    from partita.reports.documents import soc_list_document, soc_list_table

    socs = [load_soc(name) for name in dict.fromkeys((*preset_names(), *user_preset_names()))]
    _print_json(soc_list_document(socs)) if as_json else out.print(soc_list_table(socs))


@soc_app.command("show", epilog="Example:\n\n    partita soc show sd8gen3-qnn")
def soc_show(name: SocName, as_json: given.Json = False) -> None:
    """Print every number of a Soc with its range, kind of evidence and source."""
    from partita.devices import load_soc
    from partita.reports.documents import soc_document, soc_table

    soc = load_soc(name)
    _print_json(soc_document(soc)) if as_json else out.print(soc_table(soc))


@soc_app.command(
    "new",
    epilog="Examples:\n\n    partita soc new --from sd8gen3-qnn -o my-soc.toml\n\n"
    "    partita place model.onnx --soc my-soc.toml",
)
def soc_new(base: From, output: Output = None, name: Name = None, as_json: given.Json = False) -> None:
    """Start a Soc file that builds on another: all its numbers as comments, ready to be changed."""
    from partita.devices import load_soc, preset_names
    from partita.devices.draft import draft
    from partita.files import check_outputs, write_atomically

    is_file = base not in preset_names()
    soc = load_soc(base)
    check_outputs([output], inputs=[base] if is_file else [])
    name = name or (Path(output).stem if output is not None else "my-soc")
    text = draft(soc, _seen_from(base, output) if is_file else base, name)
    if output is not None:
        write_atomically(output, text.encode())
    if as_json:
        _print_json({"format": "partita-soc-draft/1", "name": name, "base": base, "written": output, "text": text})
    elif output is not None:
        typer.echo(f"wrote {output}")
    else:
        typer.echo(text, nl=False)


@soc_app.command("schema", epilog="Example:\n\n    partita soc schema > soc.schema.json")
def soc_schema(as_json: given.Json = False) -> None:
    """Print the JSON Schema of Soc files, for editors; it is JSON with `--json` or without."""
    from partita.devices.schema import soc_file_schema

    _print_json(soc_file_schema())


def _seen_from(base: str, output: str | None) -> str:
    """The path of the base from the folder of the file that names it."""
    folder = Path(output).parent if output is not None else Path()
    return Path(os.path.relpath(base, folder)).as_posix()


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=1, allow_nan=False))
