"""The command `partita studio`: what it says before the page opens."""

import importlib.util
import json
import socket
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from partita.studio.session import Session
from tests.partita.command_line import run_cli
from tests.partita.test_cli import MODEL
from tests.studio.sessions import SOC, small_session


def test_without_its_libraries_it_says_how_to_get_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partita.studio_command.find_spec", lambda name: None)
    result = run_cli(capsys, monkeypatch, "studio", "model.onnx", "--soc", SOC)
    assert result.code == 2
    assert result.err == "partita: error: Studio needs Starlette and uvicorn: pip install 'partita[studio]'\n"


def test_it_asks_for_a_soc(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_cli(capsys, monkeypatch, "studio", MODEL)
    assert result.code == 2
    assert "which Soc?" in result.err


@pytest.mark.skipif(importlib.util.find_spec("uvicorn") is None, reason="the extra [studio] is not installed")
def test_in_json_it_says_where_the_page_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small_session(tmp_path)

    def served(session: Session, listener: socket.socket, ready: Callable[[str], None]) -> None:
        with listener:
            ready(f"http://127.0.0.1:{listener.getsockname()[1]}/")

    monkeypatch.setattr("partita.studio.server.serve", served)
    model = str(tmp_path / "model.onnx")
    result = run_cli(capsys, monkeypatch, "studio", model, "--soc", SOC, "--no-browser", "--json")
    assert result.code == 0, result.err
    content = json.loads(result.out)
    schema = files("partita.reports").joinpath("templates", "studio.schema.json").read_text()
    jsonschema.validate(content, json.loads(schema))
    assert content["operators"] == 5
