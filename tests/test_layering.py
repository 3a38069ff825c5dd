"""A folder imports only the folders named beside it."""

import ast
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
ALLOWED: dict[str, set[str]] = {
    "graph": set(),
    "kernels": {"graph"},
    "devices": {"graph"},
    "passes": {"graph", "kernels"},
    "backends": {"graph", "kernels", "devices"},
    "partitioner": {"graph", "devices"},
    "simulator": {"graph", "devices"},
    "reports": {"graph", "kernels", "devices", "passes", "backends", "partitioner", "simulator"},
    "studies": {"graph", "kernels", "devices", "passes", "backends", "partitioner", "simulator", "reports"},
    "studio": {"graph", "devices", "partitioner", "simulator", "reports", "studies"},
}
LEAVES = {"errors", "units", "files"}
ONLY_IN = {
    "pulp": {"partitioner/program.py"},
    "highspy": {"partitioner/program.py"},
    "matplotlib": {"reports"},
    "openvino": {"backends"},
    "onnxruntime": {"backends", "reports", "partita"},
    "starlette": {"studio/server.py"},
    "uvicorn": {"studio/server.py"},
}
"""Libraries and the only files or folders that may import them."""


def imports_of(path: Path) -> set[str]:
    dotted: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            dotted.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            dotted.update(f"{alias.name}." for alias in node.names)
    return dotted


def test_every_folder_has_a_rule() -> None:
    assert set(ALLOWED) == {path.name for path in (REPO / "partita").iterdir() if path.is_symlink()}


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_only_what_it_may(folder: str) -> None:
    for path in (REPO / folder).rglob("*.py"):
        ours = {name.split(".")[1] for name in imports_of(path) if name.startswith("partita.")}
        extra = ours - ALLOWED[folder] - LEAVES - {folder}
        assert not extra, f"{path.relative_to(REPO)} imports {sorted(extra)}"


@pytest.mark.parametrize("leaf", sorted(LEAVES))
def test_a_leaf_imports_nothing_of_ours_but_errors(leaf: str) -> None:
    names = [name for name in imports_of(REPO / "partita" / f"{leaf}.py") if name.startswith("partita.")]
    assert not [name for name in names if not name.startswith("partita.errors")]


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_stays_behind_its_door(library: str) -> None:
    for folder in (*ALLOWED, "partita"):
        for path in (REPO / folder).glob("**/*.py"):
            name = path.relative_to(REPO).as_posix()
            if any(name == allowed or name.startswith(f"{allowed}/") for allowed in ONLY_IN[library]):
                continue
            assert not [i for i in imports_of(path) if i.split(".")[0] == library], f"{name} imports {library}"
