"""The library of compiled loops: where it lies, and that a process needs no numba to use it."""

import subprocess
import sys
from pathlib import Path

import pytest

from partita.kernels import native

pytest.importorskip("numba")
USE = """
import sys
import numpy as np
from partita.kernels import compiled
a, b = np.ones((20, 3), np.float32), np.ones((3, 40), np.float32)
b.flags.writeable = False
assert (compiled.multiply(a, b) == 3).all()
print("numba" in sys.modules)
"""


def test_the_library_is_kept_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(native.FOLDER, str(tmp_path))
    assert native.library_path().parent == tmp_path
    monkeypatch.delenv(native.FOLDER)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native.library_path().parent == tmp_path / "partita"


def test_another_numba_or_processor_gets_a_library_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = {native.library_path()}
    monkeypatch.setattr(native, "version", lambda name: "0.0")
    paths.add(native.library_path())
    monkeypatch.setattr(native, "_processor", lambda: "another")
    paths.add(native.library_path())
    assert len(paths) == 3


@pytest.mark.skipif(native.linker() is None, reason="no linker here, so the loops are compiled in each process")
def test_a_process_that_uses_the_library_imports_no_numba() -> None:
    native.loops()
    done = subprocess.run([sys.executable, "-c", USE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_a_linker_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert native.linker() is None
