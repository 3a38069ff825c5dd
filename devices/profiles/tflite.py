"""TFLite's and LiteRT's operator profile: `benchmark_model --enable_op_profiling=true`, as CSV or as printed text."""

import re
from collections.abc import Iterator, Sequence

from partita.devices.profiles.profile import Profile, Row, profile_format
from partita.errors import SocError
from partita.units import US_PER_MS

RUN_ORDER = "Run Order"
DELEGATE_ROWS = ("Delegate", "DELEGATE")
"""Parts of the node type of a row that stands for all that a delegate ran."""
SETUP_OPS = ("AllocateTensors", "ModifyGraphWithDelegate", "ReplaceNodeSubsets")
_TITLE = re.compile(r"=+ (?P<title>.*?) =+\s*$")
_TOTAL = re.compile(r"Inference \(avg\): (?P<us>[\d.e+]+)")
_NAME = re.compile(r"^\[(?P<names>.*)\]:\d+$")
_NUMBER = r"[-+\d.e]+%?"


def _recognises(text: str) -> bool:
    return RUN_ORDER in text and "node type" in text


@profile_format("tflite", "TFLite / LiteRT benchmark_model operator profile (CSV or text)", _recognises)
def read(text: str, where: str) -> Profile:
    """Average times in the order of execution; operators inside a delegate take the place of the delegate's one row.

    The tables sorted by time and the profile of the initialisation are left out.
    """
    tables = [rows for rows in _tables(text, where) if rows and rows[0].op not in SETUP_OPS]
    if not tables:
        raise SocError(f"{where}: has no table {RUN_ORDER!r} of an inference; profile with --enable_op_profiling=true")
    rows, *inside = tables
    if inside:
        rows = [row for row in rows if not any(part in row.op for part in DELEGATE_ROWS)]
        rows = [*(row for table in inside for row in table), *rows]
    total = _TOTAL.search(text)
    numbered = tuple(_at(row, order) for order, row in enumerate(rows))
    return Profile(format="tflite", rows=numbered, total_us=float(total["us"]) if total else None)


def _at(row: Row, order: int) -> Row:
    return Row(name=row.name, op=row.op, order=order, duration_us=row.duration_us, calls=row.calls, covers=row.covers)


def _tables(text: str, where: str) -> Iterator[list[Row]]:
    """The rows of each table in the order of execution."""
    lines = text.splitlines()
    for start, line in enumerate(lines):
        title = _TITLE.search(line)
        if title is None or title["title"] != RUN_ORDER:
            continue
        if start + 1 >= len(lines) or "node type" not in lines[start + 1]:
            raise SocError(f"{where}, line {start + 2}: the file is cut short; a table's header was expected")
        yield list(_rows(lines, start + 1, where))


def _rows(lines: Sequence[str], header: int, where: str) -> Iterator[Row]:
    separator = r",\s*" if "," in lines[header] else r"\t\s*"
    columns = [name.strip(" []") for name in re.split(separator, lines[header].strip())]
    if columns[0] != "node type" or columns[-1].lower() != "name" or not {"avg_ms", "avg ms"} & set(columns):
        raise SocError(f"{where}, line {header + 1}: the table's columns are not those of benchmark_model")
    pattern = re.compile(
        rf"^\s*(?P<op>.*?){separator}(?P<cells>(?:{_NUMBER}{separator}){{{len(columns) - 2}}})(?P<name>.*)$"
    )
    for index in range(header + 1, len(lines)):
        if not lines[index].strip():
            return
        found = pattern.match(lines[index])
        if found is None:
            raise SocError(f"{where}, line {index + 1}: the row is cut short; {len(columns)} columns were expected")
        cells = re.split(separator, found["cells"].strip().rstrip(","))
        of = dict(zip(columns[1:-1], cells, strict=False))
        yield _row(found["op"].strip(), of, found["name"].strip(), index)


def _row(op: str, cells: dict[str, str], name: str, order: int) -> Row:
    bracketed = _NAME.match(name)
    names = (bracketed["names"] if bracketed else name).split(";")
    return Row(
        name=names[0].strip(),
        op=op,
        order=order,
        duration_us=float(cells.get("avg_ms", cells.get("avg ms", "0"))) * US_PER_MS,
        calls=max(1, int(float(cells.get("times called", "1")))),
        covers=tuple(each.strip() for each in names if each.strip()) if len(names) > 1 else (),
    )
