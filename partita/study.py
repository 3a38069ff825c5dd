"""The command `partita study`: what if the hardware or the model were different?"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from partita import options as given
from partita.errors import OutputError
from partita.files import check_outputs, write_atomically

if TYPE_CHECKING:
    from partita.studies.run import Progress
    from partita.studies.study_file import Study

out = Console(soft_wrap=False)
working = Console(stderr=True)

EPILOG = (
    "Examples:\n\n    partita study call-cost.study.toml\n\n"
    "    partita study call-cost.study.toml -o results.csv --page results.html -j 2\n\n"
    "    partita study fleet.study.toml --cluster tcp://10.0.0.5:8786 --json\n\n"
    "    partita study call-cost.study.toml --parquet results.parquet\n\n"
    "    partita study examples/studies/camera.study.toml\n\n"
    "A study that was stopped goes on where it was: start it again with the same table."
)

File = Annotated[str, typer.Argument(metavar="FILE.study.toml", help="What to vary, and what to ask.")]
Output = Annotated[
    str | None,
    typer.Option("-o", "--output", metavar="FILE.csv", help="The table; NAME.csv if not given.", show_default=False),
]
Page = Annotated[
    str | None,
    typer.Option(metavar="FILE.html", help="The page; beside the table if not given.", show_default=False),
]
Parquet = Annotated[
    str | None,
    typer.Option(metavar="FILE.parquet", help="The table as Parquet too (needs pyarrow).", show_default=False),
]
Processes = Annotated[
    int | None, typer.Option("-j", "--jobs", min=1, help="Worker processes; one a core.", show_default=False)
]
Cluster = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Run on this Dask cluster: tcp://HOST:PORT.", show_default=False)
]


def study(  # noqa: PLR0913  (a command has one parameter per option)
    file: File,
    output: Output = None,
    page: Page = None,
    parquet: Parquet = None,
    jobs: Processes = None,
    cluster: Cluster = None,
    as_json: given.Json = False,
) -> None:
    """Vary a Soc, a load or a model, place and simulate every point, answer what-if questions: a table and a page."""
    from partita.studies.page import study_page
    from partita.studies.report import study_document, study_texts
    from partita.studies.run import Place, run_study
    from partita.studies.runner import usual_processes
    from partita.studies.study_file import load_study

    asked = load_study(file)
    table = output or f"{asked.name}.csv"
    page = page or str(Path(table).with_suffix(".html"))
    if Path(table).suffix != ".csv":
        raise OutputError(f"the table is written as CSV: {table!r} must end in .csv (--parquet writes Parquet too)")
    check_outputs([table, page, parquet], inputs=[file, *_files_of(asked)])
    with _progress(asked.name) as progress:
        result = run_study(asked, table, Place(jobs or usual_processes(), cluster), progress)
    write_atomically(page, study_page(result).encode())
    if parquet is not None:
        from partita.studies.table import read_rows, write_parquet

        write_parquet(parquet, read_rows(table), result.columns, (*result.results, "solve_s"))
    written = [path for path in (table, page, parquet) if path is not None]
    if as_json:
        typer.echo(json.dumps(study_document(result, written), indent=1, allow_nan=False))
        return
    for text in study_texts(result):
        out.print(text)
    for path in written:
        typer.echo(f"wrote {path}")


def _files_of(asked: "Study") -> list[str]:
    """Files that the study reads."""
    models = [model.path for model in (*asked.models, *asked.other_models)]
    return [*models, *([asked.scenario] if asked.scenario else [])]


@contextmanager
def _progress(name: str) -> "Iterator[Progress]":
    """A bar with the time left on a terminal, nothing elsewhere."""
    shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*shown, console=working, disable=not working.is_terminal) as bar:
        task = bar.add_task(name, total=None)

        def told(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        yield told
