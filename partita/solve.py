"""The command `partita solve`: a placement problem in plain numbers, solved, with a bound."""

import json
import sys
import time
from typing import Annotated

import typer
from rich.console import Console

from partita import options as given
from partita.entry import new_app, run
from partita.errors import ProblemError
from partita.files import check_outputs, write_atomically

out = Console(soft_wrap=False)

EPILOG = (
    "Examples:\n\n    partita solve problem.json --objective sum --order free\n\n"
    "    partita solve bert_l-3_inference.json --from msr --objective throughput --json\n\n"
    "    partita solve GoogLeNet.json --objective makespan --time-limit 30 -o placement.json"
)


def solve(  # noqa: PLR0913  (a command has one parameter per option)
    problem: Annotated[str, typer.Argument(metavar="FILE", help="A placement problem as JSON; see docs/solving.md.")],
    objective: Annotated[
        str, typer.Option("--objective", metavar="GOAL", help="throughput, latency, makespan or sum.")
    ] = "sum",
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FORMAT",
            help="The file's format: partita, msr or moirai. Found out if not given.",
            show_default=False,
        ),
    ] = None,
    order: Annotated[
        str,
        typer.Option("--order", metavar="given|free", help="Operators that take turns: in the file's order, or any."),
    ] = "given",
    gap: Annotated[
        float | None,
        typer.Option(
            "--gap",
            help="Stop when proven within this share of the best: 0.01 for throughput and for latency with subgraphs, "
            "else 0.0001.",
            show_default=False,
        ),
    ] = None,
    time_limit: Annotated[
        float, typer.Option("--time-limit", metavar="SECONDS", help="Stop after this time with the best so far.")
    ] = 600.0,
    work: Annotated[
        float,
        typer.Option(
            "--work",
            metavar="SECONDS",
            help="Stop after this much work, counted so that other programs on the machine do not matter.",
        ),
    ] = 60.0,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write the JSON object there too.", show_default=False),
    ] = None,
    as_json: given.Json = False,
) -> None:
    """Solve a placement problem given in plain numbers: no model, no Soc."""
    from partita.partitioner.engines.outcome import Limits
    from partita.partitioner.engines.solve import OBJECTIVES, default_gap
    from partita.partitioner.engines.solve import solve as solve_instance
    from partita.partitioner.problem_file import SOURCES, read_problem
    from partita.reports.solution import Solved, solution_document, solution_table

    if objective not in OBJECTIVES:
        raise ProblemError(f"--objective {objective}: there is no such objective; there are {', '.join(OBJECTIVES)}")
    if source is not None and source not in SOURCES:
        raise ProblemError(f"--from {source}: there is no such format; there are {', '.join(SOURCES)}")
    if order not in ("given", "free"):
        raise ProblemError(f"--order {order}: there is no such choice; there are given, free")
    if (gap is not None and not 0 <= gap < 1) or not time_limit > 0 or not work > 0:
        raise ProblemError("--gap is a share from 0 to below 1, --time-limit and --work are seconds above 0")
    check_outputs([output], inputs=[problem])
    cpu, wall = time.process_time(), time.perf_counter()
    instance = read_problem(problem, source)
    gap = default_gap(instance, objective) if gap is None else gap
    limits = Limits(gap=gap, time_s=time_limit, work_s=work)
    outcome = solve_instance(instance, objective, limits, order_is_free=order == "free")
    solved = Solved(instance, objective, outcome, time.process_time() - cpu, time.perf_counter() - wall)
    text = json.dumps(solution_document(solved), indent=1, allow_nan=False)
    if output is not None:
        write_atomically(output, (text + "\n").encode())
    typer.echo(text) if as_json else out.print(solution_table(solved))


def main() -> None:
    """Run this command alone."""
    app = new_app()
    app.command(epilog=EPILOG)(solve)
    run(app, sys.argv[2:], "partita solve")
