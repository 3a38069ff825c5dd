"""`partita calibrate --data TABLE`: a preset refitted from a table of measurements."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from partita.errors import SocError
from partita.files import check_outputs, write_atomically

if TYPE_CHECKING:
    from partita.studies.fitting.refit import Part, Refit

FORMAT = "partita-refit/1"

out = Console(soft_wrap=False)
working = Console(stderr=True)


def calibrate_from_table(  # noqa: PLR0913  (one parameter per option)
    table: str,
    into: str | None,
    *,
    models: str | None,
    device: str | None,
    runtime: str | None,
    soc: str | None,
    as_json: bool,
) -> None:
    """Fits, writes the Soc file and what lies beside it, and says how far off the fit is on models left out."""
    target = _target(into)
    with working.status("reading the table") as status:
        made = _fitted(table, target, models, (device, runtime, soc), lambda text: status.update(text))
    written = _write(made, target)
    if as_json:
        typer.echo(json.dumps(_document(made, table, written), indent=1, allow_nan=False))
        return
    out.print(_summary(made))
    for path in written:
        typer.echo(f"wrote {path}")


def _target(into: str | None) -> Path:
    if into is None:
        raise SocError("calibrate --data needs --into FILE.toml, a new file for the fitted Soc")
    target = Path(into)
    if target.suffix != ".toml":
        raise SocError(f"--into {into!r}: Soc files end in .toml")
    if target.exists():
        raise SocError(f"{into} exists; --data writes a new file, which builds on the one that --soc names")
    check_outputs([target])
    return target


def _fitted(
    table: str,
    target: Path,
    models: str | None,
    wanted: tuple[str | None, str | None, str | None],
    progress: Callable[[str], None],
) -> "Refit":
    from partita.studies.fitting.refit import Asked, refit
    from partita.studies.validation.table import read_records
    from partita.studies.validation.validate import recognise

    device, runtime, soc = wanted
    records = read_records(table)
    asked = Asked(
        records=records, models=Path(models) if models is not None else None, device=device, runtime=runtime, soc=soc,
        name=target.stem,
    )  # fmt: skip
    return refit(recognise(records).name, asked, progress)


def _write(made: "Refit", target: Path) -> list[str]:
    """Writes what lies beside first; nothing stays if the Soc file would be none."""
    from partita.devices.load import soc_from_text

    beside = [target.parent / name for name in made.beside]
    check_outputs([target, *beside])
    try:
        for path, content in zip(beside, made.beside.values(), strict=True):
            write_atomically(path, content)
        soc_from_text(made.text, target)
        write_atomically(target, made.text.encode())
    except BaseException:
        for path in beside:
            path.unlink(missing_ok=True)
        raise
    return [str(path) for path in (target, *beside)]


def _document(made: "Refit", table: str, written: list[str]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "table": table,
        "device": made.device,
        "runtime": made.runtime,
        "unit": made.unit,
        "base": made.base,
        "source": made.source,
        "models": list(made.models),
        "parts": [_part(part) for part in made.parts],
        "written": written,
    }


def _part(part: "Part") -> dict[str, Any]:
    return {
        "what": part.what,
        "rows": part.rows,
        "measure": part.measure,
        "in_sample": part.in_sample,
        "left_out": part.left_out,
        "within_10pct": part.within_10pct,
        "coverage_90": part.coverage,
    }


def _summary(made: "Refit") -> Table:
    table = Table(title=f"{made.unit} of {made.base} fitted to {made.device}, {made.runtime}", title_justify="left")
    table.add_column("")
    for name in ("rows", "error", "in sample", "on models left out", "within 10 %", "in the 90 % interval"):
        table.add_column(name, justify="right")
    for part in made.parts:
        shares = (part.in_sample, part.left_out, part.within_10pct, part.coverage)
        table.add_row(part.what, str(part.rows), part.measure, *("" if s is None else f"{s:.1%}" for s in shares))
    return table
