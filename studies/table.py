"""The table of a study: rows are appended as they come and never lost or repeated, whenever the study is killed.

A row counts once it ends with a line feed and has all its fields; what a kill leaves of the last line is cut off at
the next start. Rows carry a key of all that they depend on, so a study asks only for the keys that are missing.
"""

import csv
import fcntl
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from partita.errors import OutputError, StudyError
from partita.files import checked_target, write_atomically
from partita.studies.work import Row

KEY_CHARACTERS = 64


class Table:
    """An open table; only one study may have it at a time."""

    def __init__(self, path: str | Path, columns: Sequence[str]) -> None:
        self.path, self.columns = Path(path), tuple(columns)
        self.rows: dict[str, Row] = {}
        """By key."""
        checked_target(path)
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise OutputError(f"cannot write {str(path)!r}: {(error.strerror or str(error)).lower()}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise StudyError(f"{path}: another study writes to this table just now; wait for it, or give -o") from None
        try:
            self._resume()
        except StudyError:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not self.rows:
            self.path.unlink(missing_ok=True)
        os.close(self._file)

    def add(self, rows: Iterable[Row]) -> None:
        """Appends rows whose keys are new, and has them on the disk when it returns."""
        whole = [{column: row.get(column, "") for column in self.columns} for row in rows]
        new = {row["key"]: row for row in whole if row["key"] not in self.rows}
        if not new:
            return
        text = "".join(_line(row.values()) for row in new.values())
        left = text.encode()
        while left:
            left = left[os.write(self._file, left) :]
        os.fsync(self._file)
        self.rows |= new

    def _resume(self) -> None:
        """Reads the whole rows that are there, and cuts off what follows them."""
        content = self.path.read_bytes()
        header = _line(self.columns).encode()
        if not content.startswith(header):
            if b"\n" in content:
                raise StudyError(
                    f"{self.path}: has other columns than this study, or is no table; move it away, or give -o"
                )
            os.ftruncate(self._file, 0)
            os.write(self._file, header)
            os.fsync(self._file)
            return
        end = len(header)
        for line in content[end:].splitlines(keepends=True):
            row = self._whole(line)
            if row is None:
                break
            self.rows[row["key"]] = row
            end += len(line)
        os.ftruncate(self._file, end)

    def _whole(self, line: bytes) -> Row | None:
        """The row in a line; None if it is only part of one."""
        if not line.endswith(b"\n") or b"\0" in line:
            return None
        fields = next(csv.reader([line.decode(errors="replace").rstrip("\n")]), [])
        if len(fields) != len(self.columns) or len(fields[0]) != KEY_CHARACTERS:
            return None
        return dict(zip(self.columns, fields, strict=True))


def _line(fields: Iterable[str]) -> str:
    """One line of CSV; a line feed inside a field would end the row, so it becomes a space."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([" ".join(field.splitlines()) for field in fields])
    return buffer.getvalue()


def write_parquet(path: str | Path, rows: Sequence[Row], columns: Sequence[str], numbers: Iterable[str]) -> None:
    """The same table as Parquet, numbers as float64; OutputError if pyarrow is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise OutputError("Parquet needs pyarrow: install partita[parquet], or leave --parquet out") from None
    is_number = set(numbers)
    arrays = {
        column: pyarrow.array([_number(row.get(column, "")) for row in rows], pyarrow.float64())
        if column in is_number
        else pyarrow.array([row.get(column, "") for row in rows], pyarrow.string())
        for column in columns
    }
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(arrays), buffer)
    write_atomically(path, buffer.getvalue())


def _number(text: str) -> float | None:
    return float(text) if text else None


def read_rows(path: str | Path) -> list[Row]:
    """All rows of a table that a study has written."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
