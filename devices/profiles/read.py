"""A profile file -> Profile: which tool wrote it is seen from its content, or said by the user."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from partita.devices.profiles.profile import FORMATS, Profile
from partita.errors import SocError

LARGEST_FILE_BYTES = 1 << 29
"""A profile of a thousand runs of a large model has some hundred megabytes."""


def read_profile(path: str | Path, format_name: str | None = None) -> Profile:
    """The profile in a file, of the format named or found; SocError, on one line, if it is none.

    An unreadable, empty, cut or foreign file is told apart in the message.
    """
    where = str(path)
    text = _text(Path(path))
    if not text.strip():
        raise SocError(f"{where}: the file is empty; a profile was expected")
    profile = _format(text, where, format_name).read(text, where)
    if not profile.rows and profile.total_us is None:
        raise SocError(f"{where}: no operator is measured in it; was the run profiled, and did it end?")
    return profile


def _format(text: str, where: str, name: str | None) -> Any:
    known = ", ".join(FORMATS)
    if name is not None:
        if name not in FORMATS:
            raise SocError(f"profile format {name!r} is not known; known: {known}")
        return FORMATS[name]
    for each in FORMATS.values():
        if each.recognises(text):
            return each
    raise SocError(f"{where}: this is no profile of a known tool ({known}); name it with --format if it is one")


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise SocError(f"{path}: is a folder; a profile was expected")
        if path.exists() and path.stat().st_size > LARGEST_FILE_BYTES:
            raise SocError(f"{path}: has more than {LARGEST_FILE_BYTES >> 20} MiB; profile fewer runs")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SocError(f"{path}: byte {error.start} is not UTF-8; profiles are text") from None
    except (OSError, ValueError) as error:
        raise SocError(f"{path}: cannot be read: {(getattr(error, 'strerror', None) or str(error)).lower()}") from None


def parse_json(text: str, where: str) -> Any:
    """The content of a JSON file; SocError if it is cut short or no JSON."""
    try:
        return json.loads(text)
    except RecursionError:
        raise SocError(f"{where}: is nested too deeply to be a profile") from None
    except ValueError as error:
        at = getattr(error, "pos", 0)
        cut = at >= len(text.rstrip()) - 1 or "Unterminated" in str(error)
        what = "the file is cut short" if cut else "not a JSON file"
        raise SocError(
            f"{where}: {what} ({error}); profile again, and end the session before copying the file"
        ) from None


def parse_csv(text: str, where: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a table with a header, comma or tab separated; SocError if a column is missing or a row is cut."""
    header = text.lstrip("\n\r").splitlines()[0]
    delimiter = "\t" if header.count("\t") > header.count(",") else ","
    try:
        lines = list(csv.reader(io.StringIO(text.strip("\n\r")), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise SocError(f"{where}: the table is cut short or broken: {error}") from None
    names = [cell.strip() for cell in lines[0]]
    lacking = [column for column in columns if column not in names]
    if lacking:
        raise SocError(f"{where}: column {lacking[0]!r} is missing; needed are {', '.join(columns)}")
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        if not cells:
            continue
        if len(cells) < len(names):
            raise SocError(f"{where}, line {number}: the row is cut short: {len(cells)} of {len(names)} columns")
        rows.append(dict(zip(names, (cell.strip() for cell in cells), strict=False)))
    return rows


def record(value: Any, where: str, what: str) -> Mapping[str, Any]:
    """`value` if it is a JSON object; SocError otherwise."""
    if not isinstance(value, dict):
        raise SocError(f"{where}: {what} is no JSON object; the file is broken or of another tool")
    return value


def records(value: Any, where: str, what: str) -> list[Mapping[str, Any]]:
    """`value` if it is a JSON list of objects; SocError otherwise."""
    if not isinstance(value, list):
        raise SocError(f"{where}: {what} is no JSON list; the file is broken or of another tool")
    return [record(each, where, f"{what}[{index}]") for index, each in enumerate(value)]
