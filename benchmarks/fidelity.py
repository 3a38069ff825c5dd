"""Writes docs/fidelity.md: python benchmarks/fidelity.py [DATA [MODELS]].

Every table in DATA that `partita validate` can read is predicted; without DATA the sample that ships with the project.
Only a run on whole tables writes the page; one on the sample prints its summary.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from partita.devices.laws.law import FITS
from partita.errors import StudyError
from partita.reports.scatter import save_scatter
from partita.studies.validation.prediction import Prediction
from partita.studies.validation.report import percent, validation_texts
from partita.studies.validation.sample import SAMPLE
from partita.studies.validation.summary import Group, summarise
from partita.studies.validation.table import read_records
from partita.studies.validation.validate import Validation, recognise, validate
from partita.studies.validation.why import guess

DOCS = Path(__file__).resolve().parent.parent / "docs"
NOTES = Path(__file__).resolve().parent / "fidelity-notes.md"
"""What the numbers mean and where we are wrong, written by hand; the page begins with it."""


def validations(data: Path, models: Path | None) -> Iterator[Validation]:
    for path in sorted((*data.glob("*.csv"), *data.glob("*.csv.gz"))):
        try:
            recognise(read_records(path))
        except StudyError:
            continue
        yield validate(path, models)


def page(done: Sequence[Validation]) -> Iterator[str]:
    yield NOTES.read_text().rstrip()
    yield ""
    yield "## On models that were left out"
    yield ""
    yield from cross_validated()
    for validation in done:
        yield from section(validation)


def cross_validated() -> Iterator[str]:
    yield "| law | of | rows | MAPE | median | within 10 % | in the 90 % interval | MAPE in sample |"
    yield "|---|---|---|---|---|---|---|---|"
    for path in sorted(FITS.glob("*.json")):
        content = json.loads(path.read_text())
        parts = content["dtypes"] if content["law"] == "thread_pool" else content["fit"]
        for name, part in parts.items():
            fit = part.get("fit", part) if isinstance(part, dict) else None
            if fit is None or "rows" not in fit:
                continue
            shares = ("cross_validated_mape", "cross_validated_median", "cross_validated_within_10pct",
                      "cross_validated_coverage", "mape")  # fmt: skip
            yield f"| {path.stem} | {name} | {fit['rows']} | " + " | ".join(percent(fit.get(s)) for s in shares) + " |"
    yield ""


def section(validation: Validation) -> Iterator[str]:
    summary = summarise(validation.predictions)
    in_sample = sum(row.in_sample for row in validation.predictions)
    yield f"## {validation.table.name}"
    yield ""
    yield (
        f"{len(validation.predictions)} of {validation.rows} rows predicted; {in_sample} of them were fitted on too, "
        "so for those this table is in sample."
    )
    yield ""
    for unit in dict.fromkeys(row.unit for row in validation.predictions):
        yield f"![{unit}: predicted against measured]({plot(validation, unit)})"
        yield ""
    yield from table_of(summary.groups)
    if any(row.level == "op" for row in validation.predictions):
        yield "By class of operator:"
        yield ""
        yield from table_of(summary.by_class)
    yield "The worst rows:"
    yield ""
    yield "| row | device | measured | predicted | a guess why |"
    yield "|---|---|---|---|---|"
    for row in summary.worst:
        why = guess(row, validation.predictions)
        yield f"| {row.name} | {row.device} | {row.measured:.4g} {row.measure} | {row.predicted:.4g} | {why} |"
    yield ""
    for reason, rows in validation.unpredicted.items():
        yield f"- not predicted: {rows} rows: {reason}"
    yield ""


def table_of(groups: Sequence[Group]) -> Iterator[str]:
    yield "| unit | device | precision | class | rows | MAPE | median | in 10 % | in 2x | rank | in interval | FLOPs |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    for g in groups:
        rank = "" if g.spearman is None else f"{g.spearman:.3f}"
        shares = (g.mape, g.median_error, g.within_10pct, g.within_2x)
        yield (
            f"| {g.unit} | {g.device} | {g.precision} | {g.op_class} | {g.rows} | "
            + " | ".join(percent(share) for share in shares)
            + f" | {rank} | {percent(g.coverage_90)} | {percent(g.baseline_mape)} |"
        )
    yield ""


def plot(validation: Validation, unit: str) -> str:
    series: dict[str, list[tuple[float, float]]] = {}
    rows: list[Prediction] = [row for row in validation.predictions if row.unit == unit]
    for row in rows:
        chip = row.device.split(", ")[1] if ", " in row.device else row.device
        series.setdefault(f"{chip} {row.precision}", []).append((row.measured, row.predicted))
    name = f"images/fidelity-{validation.table.name}-{unit.lower()}.png"
    (DOCS / "images").mkdir(exist_ok=True)
    save_scatter(DOCS / name, f"{validation.table.name}: {unit}", series, rows[0].measure)
    return name


def main(arguments: Sequence[str]) -> None:
    data = Path(arguments[0]) if arguments else SAMPLE
    models = Path(arguments[1]) if len(arguments) > 1 else None
    done = []
    for validation in validations(data, models):
        done.append(validation)
        for part in validation_texts(validation):
            Console(width=200).print(part)
    if arguments:
        (DOCS / "fidelity.md").write_text("\n".join(page(done)).rstrip() + "\n")
        print(f"wrote {DOCS / 'fidelity.md'}")


if __name__ == "__main__":
    main(sys.argv[1:])
