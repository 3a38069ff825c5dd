"""Running the command line inside the test process."""

import sys
from dataclasses import dataclass

import pytest

from partita import cli


@dataclass(frozen=True, slots=True)
class Result:
    code: int
    out: str
    err: str


def run_cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """What `partita ARGUMENTS` prints and its exit code."""
    monkeypatch.setattr(sys, "argv", ["partita", *arguments])
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    captured = capsys.readouterr()
    return Result(code, captured.out, captured.err)
