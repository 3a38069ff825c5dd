"""What a table of measurements is to the validation, and how its file is read."""

import csv
import gzip
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from zlib import error as ZlibError  # noqa: N812  (the library's name for it is `error`)

from partita.errors import StudyError
from partita.studies.validation.prediction import Row

LARGEST_FILE_BYTES = 400_000_000

Record = Mapping[str, str]
"""A row by the names of its columns."""
Progress = Callable[[str], None]
"""Told now and then what is being done."""


@dataclass(frozen=True, slots=True)
class Records:
    """The rows of a file, each with its line for messages."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, Record], ...]

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        return iter(self.rows)


@dataclass(frozen=True, slots=True)
class Table:
    """A published table: how it is recognised, and how its rows become predictions."""

    name: str
    columns: frozenset[str]
    """Names that its header holds and by which it is recognised."""
    read: Callable[[Records, Path | None, Progress], Iterator[Row]]
    """Predictions of the rows, in their order; the path is the folder of models, if one was given."""
    title: str = ""
    is_about: Callable[[Record], bool] = lambda record: True
    """Whether a row is of what the table measures: tables of other runtimes may have the same columns."""

    def is_in(self, records: Records) -> bool:
        """Whether the file is this table."""
        if not self.columns.issubset(records.columns):
            return False
        return not records.rows or any(self.is_about(record) for _, record in records)


def read_records(path: str | Path) -> Records:
    """The rows of a .csv or .csv.gz file; StudyError, naming the line, for anything else."""
    path = Path(path)
    if not path.is_file():
        raise StudyError(f"{path}: there is no such file; a .csv or .csv.gz table of measurements was expected")
    if path.stat().st_size > LARGEST_FILE_BYTES:
        raise StudyError(f"{path}: has more than {LARGEST_FILE_BYTES} bytes; this is no table of measurements")
    try:
        text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode("utf-8-sig")
    except (OSError, EOFError, ZlibError) as error:
        raise StudyError(f"{path}: cannot be read: {str(error).lower()}") from None
    except UnicodeDecodeError as error:
        raise StudyError(f"{path}: byte {error.start} is not UTF-8; a table is UTF-8 text") from None
    return _parsed(path, text)


def _parsed(path: Path, text: str) -> Records:
    lines = csv.reader(text.splitlines(), strict=True)
    try:
        columns = tuple(name.strip() for name in next(lines, []))
        if not any(columns):
            raise StudyError(f"{path}: the file is empty; its first line must name the columns")
        rows: list[tuple[int, Record]] = []
        for cells in lines:
            if not cells:
                continue
            if len(cells) != len(columns):
                raise StudyError(
                    f"{path}, line {lines.line_num}: has {len(cells)} cells, the header names {len(columns)} columns"
                )
            rows.append((lines.line_num, dict(zip(columns, cells, strict=True))))
    except csv.Error as error:
        raise StudyError(f"{path}, line {lines.line_num}: not a CSV file: {error}") from None
    return Records(path, columns, tuple(rows))


def number(record: Record, column: str, where: str) -> float:
    """The number in a cell; StudyError if there is none or it is not finite."""
    text = record[column].strip()
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise StudyError(f"{where}: column {column!r} holds {text!r}, a number was expected")
    return value


def where(records: Records, line: int) -> str:
    """How to call a row in a message."""
    return f"{records.path}, line {line}"
