"""The compiled loops as a function of addresses: from a shared library made once, or else compiled in this process."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

WORDS = 7
"""Arguments of the loops: addresses and counts."""
ENTRY, TILE_NAME = "partita_run", "partita_tile"
FOLDER = "PARTITA_CACHE"
"""Environment variable: where the library is kept, by default the user's cache folder."""
SOURCES = (
    "compiled_attention",
    "compiled_blocks",
    "compiled_chains",
    "compiled_depthwise",
    "compiled_library",
    "compiled_loops",
    "compiled_memory",
    "compiled_products",
    "compiled_winograd",
    "functions",
    "jobs",
    "meeting",
    "winograd",
)
LINKERS = (("cc", "-shared"), ("ld", "-shared"))


def linker() -> tuple[str, ...] | None:
    """A command that makes shared libraries, if there is one."""
    if os.name != "posix":
        return None
    return next((command for command in LINKERS if shutil.which(command[0])), None)


class Loops(NamedTuple):
    """What `jobs` are run by."""

    run: Callable[[int, int, int, int, int, int, int], None]
    lanes: int
    """float32 numbers in a vector register."""
    rows: int
    """Rows of a tile of results."""
    vectors: int
    """Registers side by side in one."""

    @property
    def width(self) -> int:
        """Columns per panel of weights."""
        return self.lanes * self.vectors


@cache
def loops() -> Loops:
    """The compiled loops; the first use on a machine compiles them for some seconds."""
    path = library_path()
    if path.exists() or (linker() is not None and _compile(path)):
        return _loaded(path)
    from partita.kernels.compiled_blocks import TILE
    from partita.kernels.compiled_loops import run

    return Loops(run, *TILE)


def library_path() -> Path:
    """Where the library for these sources, this numba and this processor is kept."""
    digest = hashlib.sha256(f"{version('numba')} {sys.version} {_processor()}".encode())
    for name in SOURCES:
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "partita"
    return Path(os.environ.get(FOLDER) or default) / f"loops-{digest.hexdigest()[:20]}.so"


def _processor() -> str:
    """What tells apart processors with other instructions."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in information.read_text().splitlines() if line.startswith(wanted)}))


def _compile(path: Path) -> bool:
    """Make the library in another process; False if that does not work here.

    That process gets a new folder for numba's own cache, for what comes from there cannot be linked.
    """
    command = [sys.executable, "-m", f"{__package__}.compiled_library", str(path)]
    with tempfile.TemporaryDirectory() as empty:
        modules = os.pathsep.join(entry for entry in sys.path if entry)
        environment = {**os.environ, "PYTHONPATH": modules, "NUMBA_CACHE_DIR": empty}
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
    return done.returncode == 0 and path.exists()


def _loaded(path: Path) -> Loops:
    library = ctypes.CDLL(str(path))
    entry = getattr(library, ENTRY)
    entry.argtypes = (ctypes.c_void_p, ctypes.c_void_p, *(ctypes.c_int64,) * WORDS)
    unused = ctypes.create_string_buffer(64)  # numba's places for a result and an error, of which there are none
    spare = ctypes.addressof(unused)

    def run(jobs: int, count: int, limits: int, bases: int, thread: int, threads: int, meeting: int) -> None:
        entry(spare, spare + 32, jobs, count, limits, bases, thread, threads, meeting)

    run.__dict__["kept"] = unused
    return Loops(run, *(ctypes.c_int64 * 3).in_dll(library, TILE_NAME))
