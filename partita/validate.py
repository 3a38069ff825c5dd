"""The command `partita validate`: predictions beside a published table of measurements."""

import json
from typing import Annotated

import typer
from rich.console import Console

from partita import options as given

out = Console(soft_wrap=False)
working = Console(stderr=True)

EPILOG = (
    "Examples:\n\n    partita validate qed_e2e_real.csv --models models/qed\n\n"
    "    partita validate qed_ops_gpu.csv.gz --json\n\n    partita validate nnmeter_block_lut.csv"
)

TableFile = Annotated[str, typer.Argument(metavar="TABLE", help="A .csv or .csv.gz table of measurements.")]
Models = Annotated[
    str | None,
    typer.Option("--models", metavar="DIR", help="Where NAME.onnx of the table's models lie.", show_default=False),
]


def validate(table: TableFile, models: Models = None, as_json: given.Json = False) -> None:
    """Predict every row of a table of measurements that can be, and say how far off the predictions are."""
    from partita.studies.validation.report import validation_document, validation_texts
    from partita.studies.validation.validate import validate as run

    with working.status("reading the table") as status:
        validation = run(table, models, progress=lambda text: status.update(text))
    if as_json:
        typer.echo(json.dumps(validation_document(validation), indent=1, allow_nan=False))
    else:
        for part in validation_texts(validation):
            out.print(part)
