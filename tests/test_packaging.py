"""The import names are namespaced, and nothing generic leaks."""

import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent


def test_the_distribution_owns_one_import_name() -> None:
    """`kernels`, `devices` and the like belong to other projects."""
    assert (distribution("partita").read_text("top_level.txt") or "").split() == ["partita"]


def test_console_script_and_module_run() -> None:
    for command in ([sys.executable, "-m", "partita"], [str(Path(sys.executable).parent / "partita")]):
        result = subprocess.run([*command, "--version"], check=True, capture_output=True, text=True, cwd="/")
        assert result.stdout.startswith("partita ")


def test_every_root_folder_is_linked_and_banned_as_a_top_level_import() -> None:
    links = {path.name: path.readlink().as_posix() for path in (REPO / "partita").iterdir() if path.is_symlink()}
    assert links == {name: f"../{name}" for name in links}
    assert all((REPO / name / "__init__.py").is_file() for name in links)
    tool = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]
    assert set(tool["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]) == set(links)
