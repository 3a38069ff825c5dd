"""The whole page, from predicted tables, records of fits and notes written by hand."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from partita.studies.validation.fidelity import ablation, ceiling, coverage, goals, left_out
from partita.studies.validation.fidelity.sections import section
from partita.studies.validation.fidelity.ten_models import Draws, ten_models
from partita.studies.validation.fidelity.ten_models import table as table_of_ten
from partita.studies.validation.validate import Validation

NOTES = Path(__file__).parent / "notes"
"""What the numbers mean and where Partita is wrong, written by hand."""


def page(
    done: Sequence[Validation], data: Path | None, models: Path | None, folder: Path, say: Callable[[str], None]
) -> str:
    """Markdown; the pictures go into the folder. `data` is None for the sample, which is too small for some parts."""
    tens: dict[tuple[str, str], Draws] = {}
    if data is not None and models is not None:
        say("phones with ten measured models")
        tens = ten_models(data, models)
    best = ceiling.ceilings(data) if data is not None else {}
    lines = [*_head(done, data is None), *_body(done, tens, best)]
    for validation in done:
        say(f"section {validation.table.name}")
        lines += section(validation, folder)
    return "\n".join(lines).rstrip() + "\n"


def _head(done: Sequence[Validation], is_sample: bool) -> Iterator[str]:
    rows = sum(len(validation.predictions) for validation in done)
    names = ", ".join(f"`{validation.table.name}`" for validation in done)
    yield "# Fidelity"
    yield ""
    yield (
        f"How far predictions are from real hardware: {rows:,} measurements of {len(done)} tables ({names}), made by "
        "`make fidelity"
        + ("`, from the sample that ships with the project." if is_sample else " DATA=DIR MODELS=DIR`.")
    )
    yield ""
    yield from note("reading")


def _body(
    done: Sequence[Validation], tens: Mapping[tuple[str, str], Draws], best: Mapping[str, Mapping[str, ceiling.Ceiling]]
) -> Iterator[str]:
    yield "## Goals, on models and chips that were left out"
    yield ""
    yield from goals.table(list(goals.reached(done, {key: draws.mape for key, draws in tens.items()})))
    yield "## Where Partita is wrong, and why"
    yield ""
    yield from note("wrong")
    if best:
        yield "## What any law of kernels could reach"
        yield ""
        yield from note("ceiling")
        yield from ceiling.table(best)
    yield "## Intervals"
    yield ""
    yield coverage.of_left_out()
    yield ""
    yield from coverage.table(done)
    yield "## What each law buys"
    yield ""
    yield from ablation.table()
    yield from note("ablation")
    if tens:
        yield "## A phone with ten measured models"
        yield ""
        yield from note("ten-models")
        yield from table_of_ten(tens)
    yield "## Every fit"
    yield ""
    yield from left_out.table()
    yield "## Neural processors"
    yield ""
    yield from note("npu")
    yield "## Contention, schedules and splits"
    yield ""
    yield from note("contention")
    yield "## Every table"
    yield ""


def note(name: str) -> Iterator[str]:
    """The lines of a note, with an empty one behind."""
    yield from (NOTES / f"{name}.md").read_text(encoding="utf-8").rstrip().splitlines()
    yield ""
