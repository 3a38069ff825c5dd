"""Running a command line: bad input is one line on standard error and exit code 2."""

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer

from partita.errors import PartitaError
from partita.reports.wording import printable

USAGE_ERRORS: type[Any] = typer.BadParameter.__mro__[2]
"""Click's base of all usage errors, which Typer does not export."""
STOPPED = 130
"""The exit code after Ctrl-C, as shells have it."""


def new_app(**more: Any) -> typer.Typer:
    """An app with the settings that all command lines share."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **more,
    )


def run(app: typer.Typer, arguments: Sequence[str], program: str = "partita") -> NoReturn:
    """Run the app and leave."""
    try:
        code = app(list(arguments), prog_name=program, standalone_mode=False)
        if code == STOPPED:
            typer.echo("partita: stopped", err=True)
        sys.exit(code)
    except PartitaError as error:
        _fail(str(error))
    except USAGE_ERRORS as error:
        _fail(f"{error.format_message().rstrip('.')}; see: partita --help")
    except MemoryError:
        _fail("this needs more memory than the machine has; are the shapes right?")
    except BrokenPipeError:
        # The reader of our output has gone; what is left to flush must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(f"cannot write the output: {error.strerror or error}")


def _fail(message: str) -> NoReturn:
    typer.echo(f"partita: error: {printable(' '.join(message.split()))}", err=True)
    sys.exit(2)
