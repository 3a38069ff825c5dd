"""`python -m partita.studies.validation.fidelity [DATA [MODELS]]`: every table in DATA, predicted, as one page.

With DATA it writes docs/fidelity.md; without, the sample that ships with the project gives out/fidelity/fidelity.md.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from partita.errors import PartitaError, StudyError
from partita.files import write_atomically
from partita.studies.validation.fidelity.ablation import measured_anew
from partita.studies.validation.fidelity.page import page
from partita.studies.validation.report import validation_texts
from partita.studies.validation.sample import SAMPLE, SAMPLE_MODELS
from partita.studies.validation.table import read_records
from partita.studies.validation.validate import Validation, recognise, validate

DOCS = Path("docs")
ELSEWHERE = Path("out") / "fidelity"
"""For what was made of the sample alone."""


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    data, models = _folders(given.data, given.models)
    if given.ablation:
        measured_anew(data, models, say)
    done = []
    for path in tables(data):
        done.append(validate(path, models, progress=lambda text: None))
        show(done[-1])
    folder = DOCS if given.data else ELSEWHERE
    folder.mkdir(parents=True, exist_ok=True)
    text = page(done, data if given.data else None, models, folder, say)
    write_atomically(folder / "fidelity.md", text.encode())
    say(f"wrote {folder / 'fidelity.md'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m partita.studies.validation.fidelity", description=__doc__)
    parser.add_argument("data", nargs="?", metavar="DATA", help="a folder of published tables; else the sample")
    parser.add_argument("models", nargs="?", metavar="MODELS", help="their graphs; else DATA/../models")
    parser.add_argument("--ablation", action="store_true", help="fit again without each part of the laws ([fit], slow)")
    return parser


def _folders(data: str | None, models: str | None) -> tuple[Path, Path | None]:
    if data is None:
        return SAMPLE, SAMPLE_MODELS if SAMPLE_MODELS.is_dir() else None
    folder = Path(data)
    if not folder.is_dir():
        raise StudyError(f"{data}: is no folder; DATA is a folder of published tables")
    beside = folder.resolve().parent / "models"
    return folder, Path(models) if models else beside if beside.is_dir() else None


def tables(data: Path) -> Iterator[Path]:
    """The tables in a folder that can be validated, by name."""
    for path in sorted((*data.glob("*.csv"), *data.glob("*.csv.gz"))):
        try:
            recognise(read_records(path))
        except StudyError:
            continue
        yield path


def show(validation: Validation) -> None:
    console = Console(width=160)
    for part in validation_texts(validation):
        console.print(part)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except PartitaError as error:
        sys.exit(f"error: {error}")
