"""`partita run --backend`: the segments of a plan on other runtimes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from partita.errors import BackendError
from partita.option_texts import parse_backends

if TYPE_CHECKING:
    from partita.graph.plan import Plan

out = Console(soft_wrap=False)


@dataclass(frozen=True, slots=True)
class AskedBackends:
    """What the command line asks for."""

    backends: Sequence[str]
    inputs: Sequence[str]
    seed: int
    check: bool
    save: str | None
    as_json: bool


def run_elsewhere(plan: "Plan", asked: AskedBackends, *, is_timed: bool) -> None:
    """Runs, checks, saves and prints; exit code 1 if an output is further off than its dtypes explain."""
    from partita.backends.run import chosen_backends
    from partita.reports.agreement import agreement_document, agreement_table, run_and_compare
    from partita.reports.checking import save_outputs

    if is_timed:
        raise BackendError(
            "--timeline, --concurrent and --repeat go without --backend: times on other runtimes are not compared"
        )
    backends = chosen_backends(plan, parse_backends(asked.backends))
    result = run_and_compare(plan, backends, asked.inputs, seed=asked.seed, check=asked.check)
    if asked.save is not None:
        save_outputs(asked.save, result.run.outputs)
    if asked.as_json:
        typer.echo(json.dumps(agreement_document(plan, result), indent=1, allow_nan=False))
    else:
        out.print(agreement_table(plan, result))
        if asked.save is not None:
            typer.echo(f"wrote {asked.save}")
    if result.is_right is False:
        raise typer.Exit(1)
