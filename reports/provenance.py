"""Where a report's plan came from, and the command that makes it again."""

import shlex
from importlib.metadata import PackageNotFoundError, version

from partita.graph.plan import Plan
from partita.reports.verdict import solver_text
from partita.reports.wording import printable


def partita_version() -> str:
    """The installed version; "not installed" when run from the sources alone."""
    try:
        return version("partita")
    except PackageNotFoundError:
        return "not installed"


def command_of(plan: Plan) -> str:
    """The command line that makes this plan again; empty for a model that never was a file."""
    source = plan.graph.source
    if source is None:
        return ""
    words = ["partita", "place", source.path, "--soc", plan.soc_name]
    for name, dims in source.shapes:
        shape = str(dims) if isinstance(dims, int) else "x".join(str(d) for d in dims)
        words += ["--shape", f"{name}={shape}"]
    for option, given in plan.options.items():
        for value in given:
            words += [f"--{option}", value]
    if source.random_weights:
        words.append("--random-weights")
    return printable(shlex.join(words))


def provenance_of(plan: Plan) -> tuple[tuple[str, str], ...]:
    """What a reader needs to trust and repeat the report, as (term, value)."""
    source = plan.graph.source
    rows = [
        ("Model", source.path if source is not None else f"{plan.graph.name}, made in memory"),
        ("Graph digest", plan.graph_digest),
        ("Chip and runtime", plan.soc_name),
        ("Soc digest", plan.soc_digest),
        ("Objective", plan.proof.objective),
        *((f"Option {name}", ", ".join(given)) for name, given in plan.options.items()),
        ("Solver", solver_text(plan.proof)),
        ("Partita", partita_version()),
        ("Again", command_of(plan)),
    ]
    if source is not None and source.random_weights:
        rows.insert(1, ("Weights", "random: the model's own were not given"))
    return tuple((term, printable(value)) for term, value in rows if value)
